import random

import cv2
import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from slowfast.config import load_cfg
from slowfast.config.paths import SHIPPED
from slowfast.datasets.transforms import clip as C
from slowfast.datasets.transforms.draws import LegacyRng
from slowfast.errors import DataError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 60, 80, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "want"),
    [(240, 320, (256, 341)), (360, 202, (456, 256)), (256, 256, (256, 256))],
)
def test_short_side_sizes_are_rounded_half_up(height, width, want):
    assert C.keep_ratio_size(height, width, 256) == want


def test_resize_is_opencvs(frames):
    got = C.resize_frames(frames, 33, 47)
    for frame, small in zip(frames, got):
        np.testing.assert_array_equal(small, cv2.resize(frame, (47, 33)))
    assert C.resize_frames(frames, 60, 80) is frames


def test_torch_resize_differs_from_opencvs_by_rounding_only(frames):
    torch_like = C.resize_frames(frames, 33, 47, "torch").astype(int)
    assert np.abs(torch_like - C.resize_frames(frames, 33, 47)).max() <= 1


def test_sizes_of_the_multi_scale_crop_by_hand():
    full, big, mid, small = 256, 224, 192, 168
    assert C.multi_scale_sizes(256, 341, 224) == [
        (full, full), (big, full), (full, big), (big, big), (mid, big),
        (big, mid), (mid, mid), (small, mid), (mid, small), (small, small),
    ]  # fmt: skip
    assert 64 in {
        side for pair in C.multi_scale_sizes(73, 97, 64) for side in pair
    }  # 63 becomes 64


@pytest.mark.parametrize(("height", "width"), [(256, 341), (341, 256), (256, 456)])
def test_there_are_46_distinct_boxes(height, width):
    """Ten sizes at five places; two of the sizes fill the short side and lose two places each."""
    rng = np.random.default_rng(0)
    drawn = {C.multi_scale_box(height, width, 224, rng) for _ in range(4000)}
    want = {
        (y, x, h, w)
        for w, h in C.multi_scale_sizes(height, width, 224)
        for x, y in C.quarter_positions(height, width, w, h)[:5]
    }
    assert drawn == want
    assert len(want) == 46
    assert all(y + h <= height and x + w <= width for y, x, h, w in want)


@given(st.integers(32, 300), st.integers(32, 300), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_boxes_stay_inside(height, width, seed):
    short = C.short_side_for(64)
    height, width = C.keep_ratio_size(height, width, short)
    y, x, h, w = C.multi_scale_box(height, width, 64, np.random.default_rng(seed))
    assert 0 <= y <= y + h <= height
    assert 0 <= x <= x + w <= width


def test_box_draws_come_from_pythons_stream_size_first():
    random.seed(9)
    sizes = C.multi_scale_sizes(256, 341, 224)
    w, h = random.choice(sizes)
    x, y = random.choice(C.quarter_positions(256, 341, w, h)[:5])
    assert C.multi_scale_box(256, 341, 224, LegacyRng(9)) == (y, x, h, w)


@pytest.mark.parametrize(
    ("height", "width", "want"),
    [
        (224, 299, [(0, 0), (0, 37), (0, 74)]),  # rest 75: the last crop ends a pixel early
        (299, 224, [(0, 0), (37, 0), (74, 0)]),
        (256, 341, [(16, 0), (16, 58), (16, 116)]),
    ],
)
def test_fixed_crops_by_hand(height, width, want):
    boxes = C.fixed_boxes(height, width, 224, [0, 1, 2])
    assert [(box.top, box.left) for box in boxes] == want


def test_too_small_frames_are_refused():
    with pytest.raises(DataError, match="smaller than the crop of 224"):
        C.fixed_boxes(200, 300, 224, [1])
    with pytest.raises(DataError, match="smaller than the crop of 34"):
        [C.multi_scale_box(32, 32, 34, np.random.default_rng(seed)) for seed in range(60)]


def test_jitter_equals_torchvisions_class_frame_by_frame(frames):
    random.seed(2)
    torch.manual_seed(2)
    worker = torchvision.transforms.ColorJitter(0.4, 0.4, 0.2, 0.1)
    assert random.random() < 1.0
    want = np.stack([np.asarray(worker(Image.fromarray(frame))) for frame in frames])
    np.testing.assert_array_equal(C.ColorJitter(1.0)(frames, LegacyRng(2)), want)


def test_jitter_once_a_clip_changes_equal_frames_alike(frames):
    same = np.repeat(frames[:1], 4, axis=0)
    rng = np.random.default_rng(0)
    steady = C.ColorJitter(1.0, per_frame=False)(same, rng)
    assert (steady == steady[0]).all()
    assert (steady != same).any()
    flicker = C.ColorJitter(1.0)(same, rng)
    assert (flicker[0] != flicker[1]).any()
    assert C.ColorJitter(0.0)(same, rng) is same


def test_gray_scale_is_pillows_luma_for_the_whole_clip(frames):
    got = C.gray_scale(frames, np.random.default_rng(0), 1.0)
    want = torchvision.transforms.Grayscale(3)(Image.fromarray(frames[2]))
    np.testing.assert_array_equal(got[2], np.asarray(want))
    assert C.gray_scale(frames, np.random.default_rng(0), 0.0) is frames


def test_the_chain_replays_the_published_order(frames):
    """Oracle: the steps one by one with OpenCV, Pillow and the three global generators."""
    seed, size = 6, 32
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    small = np.stack([cv2.resize(f, (48, 36)) for f in frames])  # int(256 / 224 * 32) = 36
    w, h = random.choice(C.multi_scale_sizes(36, 48, size))
    x, y = random.choice(C.quarter_positions(36, 48, w, h)[:5])
    out = np.stack([cv2.resize(f[y : y + h, x : x + w], (size, size)) for f in small])
    if np.random.random() < 0.5:  # noqa: NPY002
        out = out[:, :, ::-1].copy()
    if random.random() < 0.8:
        worker = torchvision.transforms.ColorJitter(0.4, 0.4, 0.2, 0.1)
        out = np.stack([np.asarray(worker(Image.fromarray(f))) for f in out])
    if random.random() < 0.2:
        out = np.stack([np.asarray(Image.fromarray(f).convert("L").convert("RGB")) for f in out])
    want = (out - np.array([123.675, 116.28, 103.53])) / np.array([58.395, 57.12, 57.375])

    chain = C.ClipTransform(size, 36, MEAN, STD, jitter=C.ColorJitter(0.8), gray=0.2)
    got = chain.random(frames, LegacyRng(seed))
    assert got.shape == (3, 3, size, size)
    assert got.is_contiguous()
    np.testing.assert_allclose(got.permute(1, 2, 3, 0).numpy(), want, atol=1e-5)


def test_test_crops_equal_opencv_and_slicing(frames):
    chain = C.ClipTransform(32, 36, MEAN, STD)
    (centre,) = chain.crops(frames, [1])
    small = cv2.resize(frames[1], (48, 36))[2:34, 8:40] / 255.0
    want = (small - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(centre[:, 1].permute(1, 2, 0).numpy(), want, atol=1e-5)
    three = C.ClipTransform(32, 32, MEAN, STD).crops(frames, [0, 1, 2])
    assert [crop.shape for crop in three] == [(3, 3, 32, 32)] * 3


@pytest.mark.parametrize(("split", "short"), [("train", 256), ("val", 256), ("test", 224)])
def test_validation_within_a_training_has_the_published_short_side(split, short):
    """ViFi-CLIP fully supervised: one centre crop of 256 pixels, then 4 x 3 views of 224."""
    leaf = SHIPPED / "configs/ViFiCLIP/fully_supervised/kinetics400.yaml"
    chain = C.ClipTransform.from_cfg(load_cfg(leaf, env={}), split)
    assert (chain.short_side, chain.size) == (short, 224)
