import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast.datasets.transforms.draws import LegacyRng
from slowfast.datasets.transforms.mixup import MixUp, convert_to_one_hot, cutmix_box, mixup_target
from slowfast.errors import UsageError


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.rand(4, 3, 2, 8, 10, generator=torch.Generator().manual_seed(0))
    return x, torch.tensor([0, 3, 1, 4])


def test_soft_targets_by_hand():
    torch.testing.assert_close(
        mixup_target(torch.tensor([0, 2]), 4, 0.7, 0.2),
        torch.tensor([[0.7 * 0.85 + 0.3 * 0.05, 0.05, 0.3 * 0.85 + 0.7 * 0.05, 0.05],
                      [0.3 * 0.85 + 0.7 * 0.05, 0.05, 0.7 * 0.85 + 0.3 * 0.05, 0.05]]),
    )  # fmt: skip
    with pytest.raises(UsageError, match="LABEL_SMOOTH_VALUE"):
        convert_to_one_hot(torch.tensor([0]), 2, 1.0)


def test_mixup_is_a_weighted_sum_with_the_mirror(batch):
    x, y = batch
    np.random.seed(1)  # noqa: NPY002
    np.random.rand()  # noqa: NPY002 - whether to mix
    lam = np.random.beta(0.8, 0.8)  # noqa: NPY002
    before = x.clone()
    mixed, target = MixUp(0.8, 0.0, label_smoothing=0.0, num_classes=5)(x, y, LegacyRng(1))
    torch.testing.assert_close(mixed, lam * x + (1 - lam) * x.flip(0))
    torch.testing.assert_close(target[0, [0, 4]], torch.tensor([lam, 1 - lam], dtype=torch.float32))
    assert (x == before).all()


def test_cutmix_writes_one_box_into_all_frames_and_corrects_the_share(batch):
    x, y = batch
    np.random.seed(2)  # noqa: NPY002
    np.random.rand()  # noqa: NPY002
    lam = np.random.beta(1.0, 1.0)  # noqa: NPY002
    cut_h, cut_w = int(8 * np.sqrt(1 - lam)), int(10 * np.sqrt(1 - lam))
    cy, cx = np.random.randint(0, 8), np.random.randint(0, 10)  # noqa: NPY002
    top, bottom = np.clip([cy - cut_h // 2, cy + cut_h // 2], 0, 8)
    left, right = np.clip([cx - cut_w // 2, cx + cut_w // 2], 0, 10)
    want = x.clone()
    want[..., top:bottom, left:right] = x.flip(0)[..., top:bottom, left:right]
    mixed, target = MixUp(0.0, 1.0, label_smoothing=0.0, num_classes=5)(x, y, LegacyRng(2))
    torch.testing.assert_close(mixed, want)
    share = 1 - (bottom - top) * (right - left) / 80
    torch.testing.assert_close(
        target[1, [3, 1]], torch.tensor([share, 1 - share], dtype=torch.float32)
    )


def test_kinds_are_switched_with_the_given_chance():
    mix = MixUp(0.8, 1.0, switch_prob=0.25, num_classes=5)
    kinds = [mix.draw(np.random.default_rng(seed))[1] for seed in range(400)]
    assert 0.18 < np.mean(kinds) < 0.32
    assert all(
        not mixed for _, mixed in (MixUp(0.8, 0.0).draw(np.random.default_rng(s)) for s in range(9))
    )


def test_no_mixing_still_smooths_the_labels(batch):
    x, y = batch
    mixed, target = MixUp(0.8, 1.0, mix_prob=0.0, num_classes=5)(x, y, np.random.default_rng(0))
    assert mixed is x
    torch.testing.assert_close(target, convert_to_one_hot(y, 5, 0.1))
    mixed, _ = MixUp(0.0, 0.0, num_classes=5)(x, y, np.random.default_rng(0))
    assert mixed is x


def test_the_middle_of_an_odd_batch_meets_itself():
    x, y = torch.rand(3, 1, 1, 4, 4), torch.tensor([0, 1, 2])
    mixed, target = MixUp(0.8, 0.0, label_smoothing=0.0, num_classes=3)(
        x, y, np.random.default_rng(0)
    )
    torch.testing.assert_close(mixed[1], x[1])
    torch.testing.assert_close(target[1], torch.tensor([0.0, 1.0, 0.0]))


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.0, 1.0), st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_boxes_stay_inside_and_never_take_more_than_drawn(height, width, lam, seed):
    (top, bottom, left, right), share = cutmix_box(height, width, lam, np.random.default_rng(seed))
    assert 0 <= top <= bottom <= height
    assert 0 <= left <= right <= width
    assert lam - 1e-9 <= share <= 1.0


@given(st.integers(2, 6), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_targets_are_distributions(size, seed):
    x, y = torch.rand(size, 1, 1, 6, 6), torch.arange(size) % 4
    _, target = MixUp(0.8, 1.0, num_classes=4)(x, y, np.random.default_rng(seed))
    torch.testing.assert_close(target.sum(1), torch.ones(size))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"mixup_alpha": -1.0}, "ALPHA"),
        ({"mix_prob": 1.5}, "PROB"),
        ({"switch_prob": -0.1}, "SWITCH_PROB"),
    ],
)
def test_wrong_settings_are_refused(options, name):
    with pytest.raises(UsageError, match=f"MIXUP.{name}"):
        MixUp(**options)


def test_one_clip_has_no_partner():
    with pytest.raises(UsageError, match="at least 2 clips"):
        MixUp(num_classes=2)(torch.rand(1, 1, 2, 2), torch.tensor([0]), np.random.default_rng(0))
