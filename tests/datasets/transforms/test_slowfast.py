import math
import random

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.functional as TF

from slowfast.datasets.transforms import slowfast as T
from slowfast.datasets.transforms.draws import Draws, LegacyRng, standard_normal, stream
from slowfast.errors import DataError, UsageError

MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 36, 50, 3), dtype=np.uint8)


@pytest.fixture
def video(frames) -> torch.Tensor:
    return T.normalize(torch.from_numpy(frames), MEAN, STD).permute(3, 0, 1, 2)


def test_normalize_equals_torchvision(frames):
    got = T.normalize(torch.from_numpy(frames), MEAN, STD)
    for frame, normal in zip(frames, got):
        want = TF.normalize(TF.to_tensor(frame), list(MEAN), list(STD))
        torch.testing.assert_close(normal.permute(2, 0, 1), want)


def test_normalize_takes_floats_as_they_are_and_leaves_them_alone():
    given = torch.full((1, 1, 1, 3), 0.5)
    torch.testing.assert_close(
        T.normalize(given, (0.5, 0.0, 0.25), (1.0, 0.5, 0.25)).flatten(),
        torch.tensor([0.0, 1.0, 1.0]),
    )
    assert given.unique().item() == 0.5


@pytest.mark.parametrize(
    ("height", "width", "size", "want"),
    [
        (240, 320, 256, (256, 341)),  # 341.33 down
        (320, 240, 256, (341, 256)),
        (256, 340, 224, (224, 297)),  # 297.5 down
        (100, 100, 64, (64, 64)),
        (1080, 1920, 224, (224, 398)),
    ],
)
def test_short_side_by_hand(height, width, size, want):
    assert T.short_side_size(height, width, size) == want
    assert T.scale_short_side(torch.zeros(1, 1, height, width), size).shape[-2:] == want


def test_resize_equals_opencv_on_floats(video):
    got = T.resize(video, 24, 61)
    want = cv2.resize(video[1, 2].contiguous().numpy(), (61, 24), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(got[1, 2].numpy(), want, atol=2e-5)
    torch.testing.assert_close(T.resize(video, 24, 61, "opencv"), got, atol=2e-5, rtol=0)


def test_resize_is_the_identity_at_the_same_size_and_refuses_unknown_methods(video):
    assert T.resize(video, 36, 50) is video
    assert T.scale_short_side(video, 36) is video
    with pytest.raises(UsageError, match="DATA.RESIZE is 'pil'"):
        T.resize(video, 10, 10, "pil")


@pytest.mark.parametrize(
    ("height", "width", "size", "offsets"),
    [
        (256, 340, 256, [(0, 0), (0, 42), (0, 84)]),
        (340, 256, 256, [(0, 0), (42, 0), (84, 0)]),
        (256, 341, 224, [(16, 0), (16, 59), (16, 117)]),  # 58.5 up
        (257, 257, 224, [(17, 0), (17, 17), (17, 33)]),  # a square counts as landscape
        (9, 8, 8, [(0, 0), (1, 0), (1, 0)]),
    ],
)
def test_three_crops_by_hand(height, width, size, offsets):
    boxes = [T.uniform_crop_box(height, width, size, index) for index in range(3)]
    assert boxes == [(y, x, size, size) for y, x in offsets]


def test_crops_scale_the_clip_once_and_agree_with_single_crops(video):
    sampling = T.SpatialSampling(24, 28, 28)
    together = sampling.crops(video, [2, 0, 1])
    for index, crop in zip([2, 0, 1], together):
        alone = T.SpatialSampling(24, 28, 28).crops(video, [index])[0]
        torch.testing.assert_close(crop, alone, rtol=0, atol=0)
        scaled = F.interpolate(video, size=(28, 38), mode="bilinear", align_corners=False)
        left = {0: 0, 1: 7, 2: 14}[index]
        torch.testing.assert_close(crop, scaled[:, :, 2:26, left : left + 24])


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_jitter_replays_numpys_global_draws_in_the_published_order(video, seed, inverse):
    np.random.seed(seed)  # noqa: NPY002
    if inverse:
        side = int(round(1.0 / np.random.uniform(1 / 36, 1 / 28)))  # noqa: NPY002
    else:
        side = int(round(np.random.uniform(28, 36)))  # noqa: NPY002
    long = math.floor(50 / 36 * side)
    want = video if side == 36 else F.interpolate(video, size=(side, long), mode="bilinear")
    y = np.random.randint(0, side - 24)  # noqa: NPY002
    x = np.random.randint(0, long - 24)  # noqa: NPY002
    want = want[:, :, y : y + 24, x : x + 24]
    if np.random.uniform() < 0.5:  # noqa: NPY002
        want = want.flip(-1)
    got = T.SpatialSampling(24, 28, 36, inverse=inverse).random(video, LegacyRng(seed))
    torch.testing.assert_close(got, want)


def test_random_crop_draws_nothing_along_a_side_that_fits():
    rng = LegacyRng(1)
    assert T.random_crop_box(24, 24, 24, rng) == (0, 0, 24, 24)
    assert rng.random() == LegacyRng(1).random()
    tops = {T.random_crop_box(27, 24, 24, rng).top for _ in range(60)}
    assert tops == {0, 1, 2}  # the last offset, 3, is never drawn


@pytest.mark.parametrize("seed", range(5))
def test_resized_crop_replays_pythons_draws(seed):
    random.seed(seed)
    while True:
        area = random.uniform(0.3, 1.0) * 36 * 50
        aspect = math.exp(random.uniform(math.log(0.75), math.log(4 / 3)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= 50 and 0 < h <= 36:
            break
    want = (random.randint(0, 36 - h), random.randint(0, 50 - w), h, w)
    assert T.resized_crop_box(36, 50, (0.3, 1.0), (0.75, 4 / 3), LegacyRng(seed)) == want


@pytest.mark.parametrize(
    ("height", "width", "want"),
    [
        (100, 1000, (0, 433, 100, 133)),  # too wide: height kept, width 133 of 1000
        (1000, 100, (433, 0, 133, 100)),  # too tall: 100 / 0.75 = 133
        (100, 100, (0, 0, 100, 100)),
    ],
)
def test_resized_crop_falls_back_to_the_centre(height, width, want):
    area = (20.0, 20.0)  # larger than the frame: each of the ten tries misses
    assert T.resized_crop_box(height, width, area, (0.75, 4 / 3), np.random.default_rng(0)) == want


def test_random_resized_crop_of_the_whole_frame_is_a_resize():
    square = torch.rand(3, 2, 40, 40)
    got = T.random_resized_crop(square, 16, (1.0, 1.0), (1.0, 1.0), np.random.default_rng(0))
    torch.testing.assert_close(got, F.interpolate(square, size=(16, 16), mode="bilinear"))


def test_moving_box_is_drawn_from_first_to_last(video):
    rng = LegacyRng(4)
    first = T.resized_crop_box(36, 50, (0.1, 0.5), (0.8, 1.2), rng)
    last = T.resized_crop_box(36, 50, (0.1, 0.5), (0.8, 1.2), rng)
    out = T.random_resized_crop_with_shift(video, 12, (0.1, 0.5), (0.8, 1.2), LegacyRng(4))
    assert out.shape == (3, 4, 12, 12)
    for t in range(4):
        i, j, h, w = (int(a + (b - a) * t / 3 + 1e-9) for a, b in zip(first, last))
        want = TF.resize(video[:, t, i : i + h, j : j + w], [12, 12], antialias=False)
        torch.testing.assert_close(out[:, t], want)


def test_flip_mirrors_half_of_the_clips():
    rng = np.random.default_rng(0)
    clip = torch.arange(3.0).expand(1, 1, 3)
    flipped = [T.horizontal_flip(clip, rng)[0, 0, 0].item() == 2 for _ in range(400)]
    assert 0.4 < np.mean(flipped) < 0.6
    assert not (T.horizontal_flip(clip, rng, 1.0) - clip.flip(-1)).any()


def test_frames_smaller_than_the_crop_are_refused_with_the_way_out():
    with pytest.raises(DataError, match=r"20 x 50 pixels is smaller than the crop of 24.*SCALES"):
        T.random_crop_box(20, 50, 24, np.random.default_rng(0))
    with pytest.raises(DataError, match="smaller than the crop"):
        T.uniform_crop(torch.zeros(1, 20, 50), 24, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"area": (0.1, 1.0)}, "belong together"),
        ({"area": (0.1, 1.0), "aspect": (1.3, 0.7)}, "ASPECT_RELATIVE: expected"),
        ({"area": (0.5,), "aspect": (0.7, 1.3)}, "SCALES_RELATIVE: expected"),
        ({"min_scale": 300}, r"SCALES: expected \[low, high\]"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        T.SpatialSampling(**{"crop_size": 24, "min_scale": 28, "max_scale": 36, **options})


def test_chain_of_pyslowfast_equals_its_parts(frames):
    chain = T.SlowFastTransform(T.SpatialSampling(24, 28, 36), MEAN, STD)
    got = chain.random(frames, LegacyRng(7))
    normal = torch.stack([TF.normalize(TF.to_tensor(f), list(MEAN), list(STD)) for f in frames], 1)
    torch.testing.assert_close(got, T.SpatialSampling(24, 28, 36).random(normal, LegacyRng(7)))
    assert got.is_contiguous()
    fixed = T.SlowFastTransform(T.SpatialSampling(24, 28, 28), MEAN, STD).crops(frames, [1])
    torch.testing.assert_close(fixed[0], T.SpatialSampling(24, 28, 28).crops(normal, [1])[0])


def test_legacy_streams_equal_the_global_generators():
    random.seed(11)
    np.random.seed(11)  # noqa: NPY002
    torch.manual_seed(11)
    legacy = LegacyRng(11)
    assert isinstance(legacy, Draws)
    assert isinstance(np.random.default_rng(0), Draws)
    assert legacy.normal(0, 1) == np.random.normal(0, 1)  # noqa: NPY002
    assert stream(legacy, "python").normal(1, 2) == random.gauss(1, 2)
    torch.testing.assert_close(standard_normal(legacy, (2, 3)), torch.empty(2, 3).normal_())
    shared = LegacyRng()
    random.seed(5)
    want = random.random()
    random.seed(5)
    assert shared.python.random() == want
    generator = np.random.default_rng(0)
    assert stream(generator, "python") is generator
    assert standard_normal(generator, (2, 3)).dtype == torch.float32
