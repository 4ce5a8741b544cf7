import math
import random

import numpy as np
import pytest
import torch

from slowfast.datasets.transforms.draws import LegacyRng
from slowfast.datasets.transforms.random_erasing import RandomErasing
from slowfast.errors import UsageError


def erased(video: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Return the T x H x W mask of changed pixels."""
    return (video != out).any(dim=1)


@pytest.mark.parametrize("mode", ["const", "rand", "pixel"])
def test_one_box_for_all_frames(mode):
    video = torch.full((4, 3, 32, 40), 9.0)
    for seed in range(20):
        out = RandomErasing(1.0, mode=mode)(video, np.random.default_rng(seed))
        mask = erased(video, out)
        assert (mask == mask[0]).all()
        rows, cols = mask[0].any(1).nonzero().flatten(), mask[0].any(0).nonzero().flatten()
        assert mask[0].sum() == len(rows) * len(cols)  # a full rectangle
        assert 0.01 < mask[0].float().mean() < 0.4
    assert (video == 9).all()


def test_what_is_written_in_each_mode():
    video = torch.full((3, 3, 32, 32), 9.0)
    rng = np.random.default_rng(0)
    zeros = RandomErasing(1.0, mode="const")(video, rng)
    assert set(zeros.unique().tolist()) == {0.0, 9.0}
    colours = RandomErasing(1.0, mode="rand")(video, rng)
    assert len(colours.unique()) == 1 + 3 * 3  # one a frame and channel
    noise = RandomErasing(1.0, mode="pixel")(video, rng)
    changed = erased(video, noise)
    assert len(noise.unique()) == 1 + 3 * int(changed.sum())


def test_probability_and_count():
    video = torch.ones(1, 1, 64, 64)
    never = RandomErasing(0.0)
    assert never(video, np.random.default_rng(0)) is video
    half = RandomErasing(0.5)
    hits = [bool(half.boxes(64, 64, np.random.default_rng(s))) for s in range(400)]
    assert 0.4 < np.mean(hits) < 0.6
    several = RandomErasing(1.0, max_count=3)
    counts = {len(several.boxes(64, 64, np.random.default_rng(s))) for s in range(60)}
    assert counts == {1, 2, 3}


def test_leading_frames_stay_clean_on_request():
    video = torch.ones(6, 3, 32, 32)
    out = RandomErasing(1.0, mode="const", max_count=2, num_splits=2)(
        video, np.random.default_rng(0)
    )
    assert erased(video, out).flatten(1).any(1).tolist() == [False] * 3 + [True] * 3


@pytest.mark.parametrize("seed", range(4))
def test_draws_replay_pythons_and_torchs_generators(seed):
    random.seed(seed)
    torch.manual_seed(seed)
    want = torch.zeros(4, 3, 32, 32)
    random.random()
    count = random.randint(1, 2)
    for _ in range(count):
        while True:
            area = random.uniform(0.02, 1 / 3) * 1024 / count
            aspect = math.exp(random.uniform(math.log(0.3), math.log(1 / 0.3)))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if h < 32 and w < 32:
                break
        top, left = random.randint(0, 32 - h), random.randint(0, 32 - w)
        for frame in want[2:]:
            frame[:, top : top + h, left : left + w] = torch.empty(3, h, w).normal_()
    erase = RandomErasing(1.0, mode="pixel", max_count=2, num_splits=2)
    torch.testing.assert_close(erase(torch.zeros(4, 3, 32, 32), LegacyRng(seed)), want)


def test_global_generators_are_used_without_an_rng():
    video = torch.ones(2, 3, 16, 16)
    random.seed(3)
    first = RandomErasing(1.0, mode="const")(video)
    random.seed(3)
    torch.testing.assert_close(RandomErasing(1.0, mode="const")(video), first)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"mode": "blur"}, "AUG.RE_MODE is 'blur'"), ({"probability": 2.0}, "AUG.RE_PROB")],
)
def test_wrong_settings_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        RandomErasing(**options)
