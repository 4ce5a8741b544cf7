"""The helper that runs a function in several processes."""

from __future__ import annotations

import os
import time

import pytest
import torch

from slowfast.errors import UsageError
from slowfast.utils import distributed as du
from tests.distributed import RankError, run_two_processes


def _gather(value: int) -> list[int]:
    tensor = torch.tensor([du.get_rank() + value])
    return du.all_gather([tensor])[0].tolist()


def _fail_on_one() -> None:
    if du.get_rank() == 1:
        raise UsageError("wrong on purpose")
    du.synchronize()


def _die_on_one() -> None:
    if du.get_rank() == 1:
        os._exit(7)
    du.synchronize()


def test_results_come_in_rank_order() -> None:
    assert run_two_processes(_gather, 10) == [[10, 11], [10, 11]]
    assert run_two_processes(_gather, 1, world=3) == [[1, 2, 3]] * 3


def test_an_error_is_raised_with_its_rank_and_cause() -> None:
    start = time.monotonic()
    with pytest.raises(RankError, match="rank 1 failed(.|\n)*wrong on purpose") as caught:
        run_two_processes(_fail_on_one)
    assert isinstance(caught.value.__cause__, UsageError)
    assert caught.value.rank == 1
    assert time.monotonic() - start < 20


def test_a_dead_process_is_named() -> None:
    with pytest.raises(RankError, match="exit code 7"):
        run_two_processes(_die_on_one)
