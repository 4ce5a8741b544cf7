from __future__ import annotations

import logging
import random

import numpy as np
import torch

from slowfast.engine.state import Progress, RankState, generators_kept
from slowfast.utils import distributed as du
from tests.distributed import run_two_processes


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002


def test_generators_continue_where_they_were_saved():
    states = RankState().state_dict()
    expected = draw()
    draw()
    RankState().load_state_dict(states)
    assert draw() == expected


def test_the_state_loads_without_running_code(tmp_path):
    before, after = RankState(), RankState()
    before.note([("a.mp4", "empty")])
    torch.save(before.state_dict(), tmp_path / "state.pt")
    after.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert after.broken == {"a.mp4": "empty"}


def test_another_number_of_ranks_is_said_aloud(caplog):
    states = RankState().state_dict() * 3
    before = torch.get_rng_state()
    with caplog.at_level(logging.WARNING, "slowfast"):
        RankState().load_state_dict(states)
    assert torch.equal(torch.get_rng_state(), before)
    assert "saved by 3 processes and is resumed by 1" in caplog.text


def test_an_evaluation_leaves_the_generators_alone():
    torch.manual_seed(4)
    expected = draw_after_nothing()
    torch.manual_seed(4)
    with generators_kept():
        draw()
    assert torch.rand(1).item() == expected


def draw_after_nothing():
    return torch.rand(1).item()


def test_progress_goes_to_its_position():
    progress = Progress(iters=10)
    progress.load_state_dict({"epoch": 3, "iteration": 4, "iters": 10})
    assert (progress.epoch, progress.iteration) == (3, 4)
    assert progress.state_dict() == {"epoch": 3, "iteration": 4, "iters": 10}


def test_progress_scales_with_the_length_of_an_epoch(caplog):
    progress = Progress(iters=5)
    with caplog.at_level(logging.WARNING, "slowfast"):
        progress.load_state_dict({"epoch": 3, "iteration": 9, "iters": 10})
    assert progress.iteration == 4
    assert "not bit-exactly" in caplog.text


def test_between_epochs_their_length_does_not_matter():
    progress = Progress(iters=5)
    progress.load_state_dict({"epoch": 3, "iteration": 0, "iters": 10})
    assert (progress.epoch, progress.iteration) == (3, 0)


def _broken_of_two():
    state = RankState()
    state.note([(f"rank{du.get_rank()}.mp4", "empty"), ("both.mp4", "short")])
    return state.broken_of_all()


def test_broken_videos_of_all_ranks_are_counted_once():
    expected = {"both.mp4": "short", "rank0.mp4": "empty", "rank1.mp4": "empty"}
    assert run_two_processes(_broken_of_two) == [expected, expected]
    assert list(expected) == sorted(expected)
