"""Trunks of pytorchvideo as encoders; whole networks of pytorchvideo are the oracle."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from slowfast.errors import UsageError
from slowfast.models import ENCODER_REGISTRY
from slowfast.models.build import build_model, unwrap
from slowfast.models.clip.vision import encode_frames
from slowfast.models.encoders.trunk import (
    BUILDERS,
    HUB_ARCHS,
    build_trunk,
    cut_head,
    encode_times,
    load_trunk,
    measure,
)
from slowfast.utils.distributed import get_rank, get_world_size
from tests.distributed import run_two_processes

pytest.importorskip("pytorchvideo.models")
DEMO = Path(__file__).resolve().parents[2] / "configs" / "demo"
CHANNELS = {"x3d": 216, "slow": 256, "mvit": 128}
SIZES = ("DATA.NUM_FRAMES", 6, "DATA.TRAIN_CROP_SIZE", 32, "DATA.TEST_CROP_SIZE", 32)


def tiny(builder: str) -> str:
    return str(DEMO / f"trunk_{builder}_tiny.json")


def clips(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, 6, 32, 32, generator=torch.Generator().manual_seed(3))


def build(tiny_cfg, builder: str, *opts):
    torch.manual_seed(0)
    trunk = ("MODEL.ENCODER", "VideoTrunk", "TRUNK.ARCH", tiny(builder))
    return build_model(tiny_cfg("ViFiCLIP", *trunk, *SIZES, *opts))


@pytest.mark.parametrize("builder", BUILDERS)
def test_each_network_gives_features_of_each_time_in_the_joint_space(tiny_cfg, builder):
    model = build(tiny_cfg, builder)
    features = model.encoder(model.clip, clips()).video_BTD
    assert features.shape == (2, 6, 32)
    assert model.encoder.projection.in_features == CHANNELS[builder]
    assert model.encoder.provides == {"frames"}
    output = model(clips())
    assert output.logits.shape == (2, 3)
    output.logits.sum().backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


@torch.no_grad()
@pytest.mark.parametrize("builder", BUILDERS)
def test_the_whole_network_s_own_head_on_our_features_gives_its_own_logits(builder):
    torch.manual_seed(0)
    whole = build_trunk(tiny(builder)).eval()
    torch.manual_seed(0)
    trunk = build_trunk(tiny(builder)).eval()
    cut_head(trunk)
    if builder == "mvit":
        seen = {}
        whole.norm_embed.register_forward_hook(lambda _, __, out: seen.update(tokens=out))
        whole(clips())
        expected = seen["tokens"][:, 1:].reshape(2, 6, 4 * 4, -1).mean(dim=2)
    else:
        head = whole.blocks[-1]
        maps = trunk(clips())
        if builder == "x3d":  # its own steps behind the convolution which we keep
            maps = head.pool.post_act(head.pool.post_conv(maps.mean(dim=(2, 3, 4), keepdim=True)))
            head.activation, head.output_pool = None, None
            assert_close(whole(clips()).flatten(1), head.proj(maps.flatten(1)))
            return
        whole.blocks[-1] = nn.Identity()
        expected = whole(clips()).mean(dim=(3, 4)).transpose(1, 2)
    assert_close(encode_times(trunk, clips()), expected)


@torch.no_grad()
@pytest.mark.parametrize("builder", BUILDERS)
def test_a_score_in_evaluation_does_not_depend_on_the_batch(tiny_cfg, builder):
    model = build(tiny_cfg, builder)
    model.train()(clips())
    model.eval()
    both = model(clips()).logits
    alone = torch.cat([model(clips()[i : i + 1]).logits for i in range(2)])
    assert_close(both, alone, rtol=1e-4, atol=1e-4)


def test_training_moves_running_statistics_unless_they_are_frozen(tiny_cfg):
    def moved(*opts):
        model = build(tiny_cfg, "x3d", *opts).train()
        before = {k: v.clone() for k, v in model.state_dict().items() if "running" in k}
        assert before
        model(clips())
        return any(not torch.equal(model.state_dict()[k], v) for k, v in before.items())

    assert moved()
    assert not moved("MODEL.FROZEN_BN", True)


def test_the_image_tower_is_gone(tiny_cfg):
    model = build(tiny_cfg, "x3d")
    assert not any(key.startswith("clip.visual") for key in model.state_dict())
    assert model.clip.visual.output_dim == 32
    with pytest.raises(UsageError, match="removes CLIP's image tower"):
        encode_frames(model.clip.visual, clips())


@pytest.mark.parametrize("trainable", ["image", "none"])
def test_the_trunk_is_trained_whatever_is_frozen_of_clip(tiny_cfg, trainable):
    model = build(tiny_cfg, "slow", "CLIP.TRAINABLE", trainable)
    trained = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"encoder"}


def test_a_backbone_rate_is_for_clip_and_not_for_the_trunk(tiny_cfg):
    model = build(tiny_cfg, "slow", "SOLVER.BACKBONE_LR_RATIO", 0.1)
    assert [rule.pattern for rule in model.param_rules] == ["clip.*"]


def test_one_time_is_not_enough_for_a_head_that_needs_frames(tiny_cfg):
    one = ("DATA.NUM_FRAMES", 1)
    assert build(tiny_cfg, "x3d", *one).encoder.provides == frozenset()
    with pytest.raises(UsageError, match="OSTHead needs"):
        build(tiny_cfg, "x3d", *one, "MODEL.HEAD_NAME", "OSTHead")


def test_descriptors_are_matched_to_the_times_of_a_trunk(tiny_cfg):
    model = build(tiny_cfg, "mvit", "MODEL.HEAD_NAME", "OSTHead").eval()
    assert model(clips()).logits.shape == (2, 3)


@pytest.mark.parametrize(("frames", "side"), [(5, 32), (6, 64)])
def test_a_transformer_refuses_clips_for_which_it_has_no_positions(tiny_cfg, frames, side):
    sizes = ("DATA.NUM_FRAMES", frames, "DATA.TRAIN_CROP_SIZE", side)
    with pytest.raises(UsageError, match="has positions for 6 x 32 x 32: set DATA.NUM_FRAMES"):
        build(tiny_cfg, "mvit", *sizes)


def test_the_crops_of_the_test_are_measured_before_a_training(tiny_cfg):
    sizes = ("DATA.TRAIN_CROP_SIZE", 32, "DATA.TEST_CROP_SIZE", 64)
    with pytest.raises(UsageError, match="6 x 64 x 64"):
        build(tiny_cfg, "mvit", *sizes, "TEST.ENABLE", True)
    build(tiny_cfg, "mvit", *sizes, "TEST.ENABLE", False)


def test_a_convolutional_trunk_takes_other_sizes(tiny_cfg):
    model = build(tiny_cfg, "slow").eval()
    assert model(torch.randn(1, 3, 4, 48, 40)).video_BTD.shape == (1, 4, 32)


def test_measuring_changes_nothing_of_the_trunk():
    torch.manual_seed(0)
    trunk = build_trunk(tiny("x3d"))
    cut_head(trunk)
    before = {key: value.clone() for key, value in trunk.state_dict().items()}
    assert measure(trunk, 6, 32) == (216, 6)
    assert trunk.training
    assert all(torch.equal(value, before[key]) for key, value in trunk.state_dict().items())


@pytest.mark.parametrize("builder", BUILDERS)
def test_a_released_file_is_loaded_without_its_classifier(tmp_path, builder):
    torch.manual_seed(0)
    whole = build_trunk(tiny(builder))
    path = tmp_path / "released.pyth"
    torch.save({"model_state": whole.state_dict()}, path)
    torch.manual_seed(1)
    trunk = build_trunk(tiny(builder))
    load_trunk(trunk, str(path), cut_head(trunk))
    for key, value in trunk.state_dict().items():
        assert_close(value, whole.state_dict()[key])


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    trunk = build_trunk(tiny("slow"))
    state = trunk.state_dict()
    name = next(iter(state))
    torch.save({**state, name: state[name].to(torch.int8)}, tmp_path / "released.pyth")
    with pytest.raises(UsageError, match=f"TRUNK.PRETRAINED .*: {name} is int8"):
        load_trunk(trunk, str(tmp_path / "released.pyth"), cut_head(trunk))


def test_weights_of_another_trunk_are_refused(tmp_path):
    other, trunk = build_trunk(tiny("slow")), build_trunk(tiny("x3d"))
    lost = cut_head(trunk)
    path = tmp_path / "released.pyth"
    torch.save({"model_state": other.state_dict()}, path)
    with pytest.raises(UsageError, match='another TRUNK.ARCH: Missing key.* "blocks.0'):
        load_trunk(trunk, str(path), lost)
    state = {**trunk.state_dict(), "extra": torch.ones(1)}
    torch.save({"model_state": state}, path)
    with pytest.raises(UsageError, match="Unexpected key.*extra"):
        load_trunk(trunk, str(path), lost)
    key = "blocks.0.norm.weight"
    torch.save({"model_state": {**trunk.state_dict(), key: torch.ones(3)}}, path)
    with pytest.raises(UsageError, match=rf"size mismatch for {key}: .*\[3\]. from checkpoint"):
        load_trunk(trunk, str(path), lost)


def test_options_reach_the_file_of_weights(tiny_cfg, tmp_path):
    with pytest.raises(UsageError, match="nowhere.pyth"):
        build(tiny_cfg, "x3d", "TRUNK.PRETRAINED", str(tmp_path / "nowhere.pyth"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"builder": "c3d"}', "builder 'c3d': choose from"),
        ('{"builder": ["x3d"]}', r"builder \['x3d'\]: choose from mvit, slow, x3d"),
        ('{"builder": "x3d", "colour": 1}', "not usable by create_x3d: .*colour"),
        ('{"builder": "slow", "model_depth": 7}', "not usable by create_resnet"),
        ("[1]", "expected a JSON object"),
        ("{", "not valid JSON"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, text, message):
    path = tmp_path / "trunk.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        build_trunk(str(path))


@pytest.mark.parametrize(
    ("arch", "message"),
    [("nowhere.json", "no such file"), ("slowfast_r50", "choose from c2d_r50, .*json file")],
)
def test_an_unknown_trunk_is_refused(arch, message):
    with pytest.raises(UsageError, match=message):
        build_trunk(arch)


def test_the_names_are_those_of_the_hub(monkeypatch):
    from pytorchvideo.models import hub

    calls = []
    for name in HUB_ARCHS:
        assert callable(getattr(hub, name))
        monkeypatch.setattr(hub, name, lambda pretrained: calls.append(pretrained) or nn.Identity())
    assert isinstance(build_trunk("x3d_s"), nn.Identity)
    assert calls == [False]


def test_without_pytorchvideo_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorchvideo.models.hub", None)
    with pytest.raises(UsageError, match="needs pytorchvideo .*pip install"):
        build_trunk("x3d_s")


def test_what_does_not_go_with_a_trunk_is_refused(tiny_cfg):
    with pytest.raises(UsageError, match="open_clip prepares frames for CLIP's image tower"):
        build(tiny_cfg, "x3d", "DATA.TRANSFORMS", "open_clip")
    with pytest.raises(UsageError, match="ACT_CHECKPOINT: MODEL.ENCODER VideoTrunk"):
        build(tiny_cfg, "x3d", "MODEL.ACT_CHECKPOINT", True)


def test_it_is_registered():
    assert "VideoTrunk" in ENCODER_REGISTRY.names()


def test_the_demo_s_trunks_name_their_builder():
    for builder in BUILDERS:
        assert json.loads(Path(tiny(builder)).read_text())["builder"] == builder


def step(cfg) -> dict[str, torch.Tensor]:
    """Return the gradients of one step on this process's share of four clips."""
    torch.manual_seed(0)
    model = build_model(cfg).train()
    rank, world = get_rank(), get_world_size()
    share = slice(rank * 4 // world, (rank + 1) * 4 // world)
    labels = torch.tensor([2, 0, 2, 1])
    nn.functional.cross_entropy(model(clips(4)[share]).logits, labels[share]).backward()
    own = unwrap(model)
    return {name: p.grad for name, p in own.named_parameters() if p.requires_grad}


def test_two_processes_take_the_step_of_one_where_statistics_are_frozen(tiny_cfg):
    trunk = ("MODEL.ENCODER", "VideoTrunk", "TRUNK.ARCH", tiny("slow"), "MODEL.FROZEN_BN", True)
    cfg = tiny_cfg("ViFiCLIP", *trunk, *SIZES)
    alone = step(cfg)
    for gradients in run_two_processes(step, cfg):
        assert set(gradients) == set(alone)
        for name, gradient in gradients.items():
            assert_close(gradient, alone[name], rtol=1e-3, atol=1e-5)
