"""What results say of the parts that made them, for the package's parts and for an extension's."""

from __future__ import annotations

import pytest
import torch
from fvcore.common.config import CfgNode
from torch import nn

from slowfast.config import custom_config
from slowfast.engine.facts import describe_parts
from slowfast.errors import UsageError
from slowfast.models import (
    ENCODER_REGISTRY,
    HEAD_REGISTRY,
    LOSS_REGISTRY,
    MODEL_REGISTRY,
    FrameWise,
    VideoTextModel,
    build_model,
)
from slowfast.models.classifiers import ClassifierFile, write_classifier
from tests.models.conftest import NAMES

TEMPORAL = ("MODEL.ENCODER", "Text4VisEncoder", "TEXT4VIS.HEAD", "none")
TRUNK = ("MODEL.ENCODER", "VideoTrunk", "DATA.TRAIN_CROP_SIZE", 32, "DATA.NUM_FRAMES", 4)
TINY_TRUNK = "configs/demo/trunk_x3d_tiny.json"
FROZEN = ("MODEL.HEAD_NAME", "FrozenClassifier", "CLASSIFIER.KIND")
WINDOWS = ("MODEL.ENCODER", "Windows")
CONTRASTIVE = ("MODEL.LOSS_FUNC", "ost_contrastive")


def described(tiny_cfg, name, *opts):
    cfg = tiny_cfg(name, *opts)
    return describe_parts(cfg, build_model(cfg))


@pytest.mark.parametrize(
    ("model", "encoder", "head", "sections"),
    [
        ("OST", "FrameWise", "OSTHead", {"OST", "TEXT", "CLIP"}),
        ("ViFiCLIP", "FrameWise", "CategoryHead", {"TEXT", "CLIP"}),
        (
            *("Text4Vis", "Text4VisEncoder", "FrozenClassifier"),
            {"TEXT4VIS", "CLASSIFIER", "TEXT", "CLIP"},
        ),
    ],
)
def test_the_parts_in_use_are_named_and_only_what_they_read(
    tiny_cfg, model, encoder, head, sections
):
    facts = described(tiny_cfg, model, "TRAIN.ENABLE", False)
    assert (facts["encoder"], facts["head"]) == (encoder, head)
    assert {name.split(".")[0] for name in facts["options"]} == sections
    assert facts["variant"] == []
    assert "optimizer" not in facts


@pytest.mark.parametrize(
    ("model", "opts", "words"),
    [
        ("OST", ("OST.MATCHING", "pooled"), ["matching pooled"]),
        ("OST", ("OST.MATCHING", "category", "OST.CONDITION", []), ["matching category"]),
        ("OST", ("OST.KINDS", ["spatial"]), ["kinds spatial"]),
        ("OST", ("OST.KINDS", ["temporal", "spatial"]), []),
        ("OST", ("OST.CONDITION", []), ["condition none"]),
        ("OST", ("OST.CONDITION", ["temporal", "spatial"]), ["condition spatial+temporal"]),
        ("OST", ("OST.EPSILON", 0.2), ["epsilon 0.2"]),
        ("OST", ("OST.TARGET_TEMPERATURE", 5.0), ["target temperature 5"]),
        ("OST", ("TEXT.TEMPLATES", "vifi_clip"), ["templates vifi_clip"]),
        ("OST", ("MODEL.LOSS_FUNC", "cross_entropy"), []),
        ("OST", ("MODEL.HEAD_NAME", "PooledDescriptorHead"), ["head PooledDescriptorHead"]),
        ("OST", ("MODEL.HEAD_NAME", "OSTHead", "MODEL.ENCODER", "FrameWise"), []),
        ("ViFiCLIP", ("CLIP.TRAINABLE", "text"), ["text tower tuned"]),
        ("ViFiCLIP", ("CLIP.TRAINABLE", "none"), []),
        ("ViFiCLIP", ("MODEL.LOSS_FUNC", "soft_cross_entropy"), []),
        ("ViFiCLIP", CONTRASTIVE, ["contrastive"]),
        ("CLIP", ("MODEL.LOSS_FUNC", "elsewhere", "TRAIN.ENABLE", False), ["loss elsewhere"]),
        ("CLIP", TEMPORAL, ["encoder Text4VisEncoder", "frame head none"]),
        (
            "CLIP",
            (*TEMPORAL, "TEXT4VIS.TEMPORAL", "tsm"),
            ["encoder Text4VisEncoder", "temporal tsm", "frame head none"],
        ),
        ("Text4Vis", ("TEXT4VIS.HEAD", "none"), []),
        ("Text4Vis", ("TEXT4VIS.HEAD", "none", "TEXT4VIS.JOINT", True), ["temporal joint"]),
        (
            "CLIP",
            (*TRUNK, "TRUNK.ARCH", TINY_TRUNK),
            ["encoder VideoTrunk", "trunk trunk_x3d_tiny"],
        ),
        ("CLIP", (*FROZEN, "random"), ["head FrozenClassifier", "classifier random"]),
    ],
)
def test_what_is_not_as_published_is_put_in_words(tiny_cfg, model, opts, words):
    assert described(tiny_cfg, model, *opts)["variant"] == words


def test_rows_and_descriptors_of_a_file_are_named_by_it(tiny_cfg, tmp_path):
    path = write_classifier(tmp_path / "lda.npz", ClassifierFile(torch.eye(3, 32), NAMES))
    facts = described(tiny_cfg, "CLIP", *FROZEN, "file", "CLASSIFIER.FILE", str(path))
    assert facts["variant"] == ["head FrozenClassifier", "classifier file lda"]
    texts = tmp_path / "spatial.json"
    texts.rename(tmp_path / "spatial_8.json")
    opts = ("TEXT.SPATIAL", str(tmp_path / "spatial_8.json"))
    assert described(tiny_cfg, "OST", *opts)["variant"] == ["descriptors 8"]


@pytest.fixture
def extension(monkeypatch):
    """Register a whole method as its file would, for the time of a test."""
    for registry in (ENCODER_REGISTRY, HEAD_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY):
        monkeypatch.setattr(registry, "_obj_map", dict(registry._obj_map))
    monkeypatch.setattr(custom_config, "_REGISTERED", dict(custom_config._REGISTERED))

    @custom_config.register_options
    def add_options(_C):
        _C.WINDOWS = CfgNode()
        _C.WINDOWS.SIZE = 3
        _C.WINDOWS.DILATED = False

    @ENCODER_REGISTRY.register()
    class Windows(FrameWise):
        options = ("WINDOWS",)

        def __init__(self, cfg, clip):
            nn.Module.__init__(self)

    @LOSS_REGISTRY.register()
    def distill(cfg):
        return lambda output, labels: {}

    @MODEL_REGISTRY.register()
    class Windowed(VideoTextModel):
        encoder_name = "Windows"
        loss_name = "distill"

    return Windows


@pytest.mark.parametrize(
    ("model", "opts", "words"),
    [
        ("Windowed", (), []),
        ("Windowed", ("WINDOWS.SIZE", 5), ["size 5"]),
        ("OST", (*WINDOWS, "WINDOWS.DILATED", True), ["encoder Windows", "dilated True"]),
        ("CLIP", ("MODEL.LOSS_FUNC", "distill"), ["loss distill"]),
    ],
)
def test_an_extension_is_told_apart_by_its_own_file(extension, tiny_cfg, model, opts, words):
    loss = ("MODEL.LOSS_FUNC", "distill") if model == "Windowed" else ()
    assert described(tiny_cfg, model, *loss, *opts)["variant"] == words


def test_options_of_an_extension_that_is_not_in_use_are_warned_of(extension, tiny_cfg, caplog):
    build_model(tiny_cfg("CLIP", "WINDOWS.SIZE", 5))
    assert "WINDOWS.SIZE 5: for MODEL.ENCODER Windows; this model has FrameWise" in caplog.text


def test_a_part_described_by_no_option_is_refused_when_it_is_built(
    extension, tiny_cfg, monkeypatch
):
    monkeypatch.setattr(extension, "options", "WINDOWS.WIDTH")
    with pytest.raises(UsageError, match=r"Windows is described by WINDOWS\.WIDTH, which is no"):
        build_model(tiny_cfg("Windowed"))
