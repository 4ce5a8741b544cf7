"""Frames as open_clip sees images; its own image_transform on PIL images is the oracle."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from slowfast.config import load_cfg
from slowfast.config.arch import frame_size, read_preprocessing
from slowfast.datasets.from_config import transform_of
from slowfast.datasets.transforms.clip import ClipTransform
from slowfast.datasets.transforms.open_clip import OpenClipTransform
from slowfast.errors import UsageError

FACTS = PreprocessCfg((32, 32), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


@pytest.fixture(params=[(45, 60), (70, 41), (32, 32)], ids=str)
def frames(request) -> np.ndarray:
    size = (3, *request.param, 3)
    return np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)


def make(resize_mode="shortest", interpolation="bicubic", **more) -> OpenClipTransform:
    facts = replace(FACTS, interpolation=interpolation, resize_mode=resize_mode, fill_color=7)
    return OpenClipTransform(facts, **more)


def cfg_of(*opts):
    base = ["DATA.TRANSFORMS", "open_clip", "TEST.NUM_SPATIAL_CROPS", 1]
    return load_cfg([], [*base, *opts], env={})


@pytest.mark.parametrize("resize_mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_a_view_is_open_clips_own(frames, resize_mode, interpolation):
    image = image_transform_v2(
        PreprocessCfg(
            size=32,
            mean=FACTS.mean,
            std=FACTS.std,
            interpolation=interpolation,
            resize_mode=resize_mode,
            fill_color=7,
        ),
        is_train=False,
    )
    expected = torch.stack([image(Image.fromarray(frame)) for frame in frames], dim=1)
    (found,) = make(resize_mode, interpolation).crops(frames, [1])
    assert found.shape == (3, 3, 32, 32)
    assert torch.equal(found, expected)


def test_three_crops_go_from_border_to_border(frames):
    transform = make(num_crops=3)
    first, centre, last = transform.crops(frames, [0, 1, 2])
    assert torch.equal(centre, transform.crops(frames, [1])[0])
    turned = np.ascontiguousarray(frames[:, ::-1, ::-1])
    assert torch.allclose(first, transform.crops(turned, [2])[0].flip(-1, -2), atol=0.05)
    whole = transform._image.transforms[0](Image.fromarray(frames[0]))
    corner = (np.asarray(whole)[0, 0] / 255 - FACTS.mean) / FACTS.std
    np.testing.assert_allclose(first[:, 0, 0, 0], corner, rtol=1e-5, atol=1e-5)
    corner = (np.asarray(whole)[-1, -1] / 255 - FACTS.mean) / FACTS.std
    np.testing.assert_allclose(last[:, 0, -1, -1], corner, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("resize_mode", ["squash", "longest"])
def test_there_is_one_crop_of_a_frame_that_is_fitted_in_whole(resize_mode):
    with pytest.raises(
        UsageError, match=f"NUM_SPATIAL_CROPS 3: .*resize mode {resize_mode}.* to 1"
    ):
        make(resize_mode, num_crops=3)


def test_unknown_ways_are_refused():
    with pytest.raises(UsageError, match="no preprocessing with interpolation nearest"):
        make(interpolation="nearest")


def test_it_travels_to_worker_processes(frames):
    transform = make()
    again = pickle.loads(pickle.dumps(transform))
    assert torch.equal(again.crops(frames, [1])[0], transform.crops(frames, [1])[0])


@pytest.mark.parametrize(
    ("arch", "tag", "size"),
    [
        ("ViT-B-16-SigLIP2-384", "webli", 384),
        ("ViT-B-32", "openai", 224),
        ("RN50x4", "openai", 288),
    ],
)
def test_one_option_chooses_size_and_statistics(arch, tag, size):
    cfg = cfg_of("CLIP.ARCH", arch, "CLIP.PRETRAINED", tag, "DATA.TEST_CROP_SIZE", 96)
    facts = open_clip.pretrained.get_pretrained_cfg(arch, tag)
    for split in ("val", "test"):
        transform = transform_of(cfg, split)
        assert transform.preprocessing == read_preprocessing(arch, tag)
        assert transform.preprocessing.size == (size, size)
        assert transform.preprocessing.mean == facts["mean"]
        assert transform.training is None
    assert frame_size(cfg) == (size, size)


def test_training_is_the_clip_pipeline_at_that_size():
    opts = ("CLIP.ARCH", "ViT-B-16-SigLIP2", "CLIP.PRETRAINED", "webli", "AUG.CLIP_GRAY_SCALE", 0.2)
    training = transform_of(cfg_of(*opts), "train").training
    assert isinstance(training, ClipTransform)
    assert (training.size, training.short_side, training.gray) == (224, 256, 0.2)
    assert training.mean == training.std == (0.5, 0.5, 0.5)
    frames = np.zeros((2, 240, 320, 3), dtype=np.uint8)
    clip = transform_of(cfg_of(*opts), "train").random(frames, np.random.default_rng(0))
    assert clip.shape == (3, 2, 224, 224)
    assert torch.all(clip == -1)


def test_several_crops_depend_on_the_tag():
    crops = ("TEST.NUM_SPATIAL_CROPS", 3)
    transform_of(cfg_of("CLIP.ARCH", "ViT-B-32", "CLIP.PRETRAINED", "openai", *crops), "test")
    siglip = ("CLIP.ARCH", "ViT-B-16-SigLIP2", "CLIP.PRETRAINED", "webli")
    with pytest.raises(UsageError, match="NUM_SPATIAL_CROPS 3"):
        transform_of(cfg_of(*siglip, *crops), "test")
    transform_of(cfg_of(*siglip, *crops), "val")


def test_frames_that_are_no_squares_are_tested_and_not_trained(tmp_path):
    vision = {"image_size": [32, 48], "patch_size": 16, "layers": 1, "width": 64}
    path = tmp_path / "arch.json"
    path.write_text(json.dumps({"embed_dim": 8, "vision_cfg": vision, "text_cfg": {}}))
    cfg = cfg_of("CLIP.ARCH", str(path))
    (found,) = transform_of(cfg, "test").crops(np.zeros((1, 60, 60, 3), dtype=np.uint8), [1])
    assert found.shape == (3, 1, 32, 48)
    with pytest.raises(UsageError, match="trains on squares, and .* takes 32x48"):
        transform_of(cfg, "train")


def test_other_transforms_keep_their_options():
    assert frame_size(load_cfg([], ["DATA.TRAIN_CROP_SIZE", "96"], env={})) == (96, 96)
