"""The names that PySlowFast users import, drawing from the global generators."""

import random

import numpy as np
import pytest
import torch

from slowfast.config.defaults import get_cfg
from slowfast.datasets import DATASET_REGISTRY, build_dataset, transform, utils
from slowfast.datasets.kinetics import Kinetics
from slowfast.datasets.transforms import slowfast as transforms
from slowfast.datasets.transforms.draws import LegacyRng


@pytest.fixture
def video():
    return torch.rand(3, 4, 36, 50, generator=torch.Generator().manual_seed(0))


def seed(value):
    random.seed(value)
    np.random.seed(value)  # noqa: NPY002


def test_data_sets_are_found_where_pyslowfast_has_them():
    assert DATASET_REGISTRY.get("Kinetics") is Kinetics
    assert callable(build_dataset)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        ({"inverse": True}, {"inverse_uniform_sampling": True}),
        ({"flip": False}, {"random_horizontal_flip": False}),
        (
            {"area": (0.1, 1.0), "aspect": (0.75, 1.33), "motion_shift": True},
            {"scale": [0.1, 1.0], "aspect_ratio": [0.75, 1.33], "motion_shift": True},
        ),
    ],
)
def test_spatial_sampling_draws_from_the_global_generators(video, ours, theirs):
    seed(3)
    got = utils.spatial_sampling(video, -1, 28, 36, 24, **theirs)
    want = transforms.SpatialSampling(24, 28, 36, **ours).random(video, LegacyRng(3))
    torch.testing.assert_close(got, want, rtol=0, atol=0)


def test_the_steps_one_by_one_equal_the_whole(video):
    seed(5)
    want = utils.spatial_sampling(video, -1, 28, 36, 24)
    seed(5)
    images, _ = transform.random_short_side_scale_jitter(video, 28, 36)
    images, _ = transform.random_crop(images, 24)
    images, boxes = transform.horizontal_flip(0.5, images)
    torch.testing.assert_close(images, want, rtol=0, atol=0)
    assert boxes is None


def test_fixed_and_resized_crops(video):
    got, _ = transform.uniform_crop(video, 24, 2, scale_size=28)
    torch.testing.assert_close(got, utils.spatial_sampling(video, 2, 28, 28, 24))
    for name in ("random_resized_crop", "random_resized_crop_with_shift"):
        seed(1)
        got = getattr(transform, name)(video, 24, 24)
        want = getattr(transforms, name)(video, 24, (0.8, 1.0), (3 / 4, 4 / 3), LegacyRng(1))
        torch.testing.assert_close(got, want)


def test_normalize_and_pathways(video):
    frames = torch.randint(0, 256, (2, 4, 4, 3), dtype=torch.uint8)
    torch.testing.assert_close(
        utils.tensor_normalize(frames, [0.5] * 3, [0.25] * 3), (frames / 255 - 0.5) / 0.25
    )
    cfg = get_cfg()
    (only,) = utils.pack_pathway_output(cfg, video)
    assert only is video
    cfg.DATA.REVERSE_INPUT_CHANNEL = True
    torch.testing.assert_close(utils.pack_pathway_output(cfg, video)[0], video[[2, 1, 0]])
