"""Functions for spawned processes, which find them by import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import torch

from slowfast.errors import DataError, Interrupted
from slowfast.utils import distributed as du


def gather_ranks(tag: str) -> dict[str, Any]:
    """Return what only a working group can know."""
    ranks = du.all_gather([torch.tensor([du.get_rank()])])[0].tolist()
    return {"tag": tag, "ranks": ranks, "local": du.get_local_rank(), "pid": os.getpid()}


def fail_on(rank: int, how: str) -> None:
    """Fail on one rank while the others wait for it in a collective."""
    if du.get_rank() == rank:
        if how == "raise":
            raise KeyError("a bug on purpose")
        if how == "data":
            raise DataError("list.csv:3: label 9 is outside 0..3")
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
    du.synchronize()
    time.sleep(60)


def save_when_interrupted(folder: str) -> None:
    """Behave as a training loop does on SIGTERM: rank 0 saves slowly, then all raise."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    Path(folder, f"ready{du.get_rank()}").touch()
    while not stopped:
        time.sleep(0.02)
    if du.get_rank() == 0:
        time.sleep(0.5)
        Path(folder, "saved").touch()
    raise Interrupted("interrupted by SIGTERM; saved")


def wait_forever(folder: str) -> None:
    """Note the process's number and wait."""
    Path(folder, f"pid{du.get_rank()}").write_text(str(os.getpid()))
    time.sleep(600)


def rank_and_world(cfg: Any) -> dict[str, Any]:
    """Return the place in the job and something of the config, as a phase would see it."""
    return {"rank": du.get_rank(), "world": du.get_world_size(), "seed": cfg.RNG_SEED}
