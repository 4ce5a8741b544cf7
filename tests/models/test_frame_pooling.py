"""The baseline over any tower, from its shipped configs on."""

from __future__ import annotations

import re
from pathlib import Path

import open_clip
import pytest
import torch
from torch.testing import assert_close

from slowfast.config import load_cfg
from slowfast.config.arch import context_length, read_arch
from slowfast.models import FramePooling
from slowfast.models.build import build_model
from slowfast.models.encoders.trunk import HUB_ARCHS
from slowfast.text import get_prompts
from tests.models.conftest import TINY_CLIP

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "CLIP" / "open_clip"
NAMES = ("kinetics400", "kinetics600", "ucf101", "hmdb51", "ssv2", "activitynet200")


@torch.no_grad()
def test_it_is_open_clips_zero_shot_classifier_averaged_over_frames(tiny_cfg, videos):
    torch.manual_seed(0)
    model = build_model(tiny_cfg("FramePooling")).eval()
    assert isinstance(model, FramePooling)
    templates = get_prompts("openvclip_28").category
    assert len(templates) == 28

    rows = []
    for name in model.head.vocabulary.names:
        texts = open_clip.tokenize([template.format(name=name) for template in templates])
        mean_D = model.clip.encode_text(texts, normalize=True).mean(dim=0)
        rows.append(mean_D / mean_D.norm())
    scores = [
        model.clip.logit_scale.exp()
        * model.clip.encode_image(videos[:, :, t], normalize=True)
        @ torch.stack(rows).T
        for t in range(videos.shape[2])
    ]
    assert_close(model(videos).logits, torch.stack(scores).mean(dim=0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_tower_is_all_that_a_user_chooses(name):
    opts = ("CLIP.ARCH", "ViT-B-16-SigLIP2", "CLIP.PRETRAINED", "webli")
    cfg = load_cfg(CONFIGS / f"{name}.yaml", opts, env={})
    assert not cfg.TRAIN.ENABLE
    assert cfg.DATA.TRANSFORMS == "open_clip"
    assert (cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS) == (1, 1)
    assert (cfg.MODEL.MODEL_NAME, cfg.DATA.NUM_FRAMES) == ("FramePooling", 8)
    assert cfg.TEST.PROTOCOL == "zero_shot"
    assert name in cfg.TEXT.CLASSES
    assert name in cfg.OUTPUT_DIR


def test_the_shipped_configs_are_those():
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(NAMES)


def test_a_shipped_config_builds_over_a_small_tower():
    opts = ("CLIP.ARCH", str(TINY_CLIP), "CLIP.PRETRAINED", "", "NUM_GPUS", 0)
    model = build_model(load_cfg(CONFIGS / "hmdb51.yaml", opts, env={}))
    assert len(model.head.vocabulary) == 51
    assert model.head.bank.where_KN.shape == (51, 28)


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "encoders.md").read_text()


def test_every_tower_of_the_page_exists_with_its_tags():
    rows = re.findall(r"^\|[^|]+\| `([^`]+)` \| ((?:`[^`]+`(?:, )?)+) \| (\d+)", PAGE, re.MULTILINE)
    assert len(rows) >= 8
    for arch, tags, tokens in rows:
        assert context_length(read_arch(arch)) == int(tokens)
        for tag in re.findall("`([^`]+)`", tags):
            assert open_clip.pretrained.get_pretrained_cfg(arch, tag), f"{arch} {tag}"


def test_the_page_s_trunk_is_a_valid_config(tmp_path):
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "page.yaml"
    path.write_text(text)
    cfg = load_cfg(path, env={})
    assert (cfg.MODEL.ENCODER, cfg.TRUNK.ARCH) == ("VideoTrunk", "x3d_m")
    for arch in HUB_ARCHS:
        assert f"`{arch}`" in PAGE
