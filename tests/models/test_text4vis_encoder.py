"""Text4Vis's encoder against formulas written out in loops, and what it refuses."""

from __future__ import annotations

import json

import open_clip
import pytest
import torch
from open_clip.modified_resnet import ModifiedResNet
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from slowfast.checkpoint.load import load_weights
from slowfast.engine.weights import load_test_weights
from slowfast.errors import UsageError
from slowfast.models import Text4VisEncoder, build_model
from slowfast.models.clip.build import build_clip
from slowfast.models.encoders.frame_transformer import FrameTransformer
from slowfast.models.encoders.temporal_shift import ShiftedConv, TemporalBlock
from slowfast.models.encoders.text4vis import TowerOptions
from slowfast.solver.optimizer import construct_optimizer
from tests.models import text4vis_oracle as oracle
from tests.models.conftest import TINY_CLIP

TEMPORAL = ["off", "tsm", "tokenshift", "tokent1d"]


@pytest.fixture
def wide_clip(tmp_path):
    """Return towers whose text width (128) is not the joint dimension (64)."""
    arch = json.loads(TINY_CLIP.read_text())
    arch |= {"embed_dim": 64}
    arch["text_cfg"] |= {"width": 128}
    (tmp_path / "wide.json").write_text(json.dumps(arch))
    return build_clip(str(tmp_path / "wide.json")).eval()


@pytest.fixture
def resnet_clip():
    """Return make(layers): towers with a tiny ResNet."""

    def make(*layers):
        torch.manual_seed(2)
        clip = open_clip.CustomTextCLIP(
            embed_dim=32,
            quick_gelu=True,
            vision_cfg={"image_size": 64, "layers": layers, "width": 8, "head_width": 64},
            text_cfg={"width": 32, "heads": 2, "layers": 1},
        )
        for module in clip.visual.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.running_mean, std=0.1)
        return clip.eval()

    return make


def video_of(frames: int, size: int = 32, batch: int = 2):
    generator = torch.Generator().manual_seed(frames)
    return torch.randn(batch, 3, frames, size, size, generator=generator)


def disturb(module: nn.Module) -> None:
    """Move every parameter away from its initial value, so that none is 0 or 1."""
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)


def expected(clip, encoder, videos, *, transf_heads=1, **options):
    state = clip.visual.state_dict()
    rows = [oracle.tower(state, v.transpose(0, 1), heads=2, **options) for v in videos]
    if encoder.temporal is not None and videos.shape[2] > 1 and not options.get("joint"):
        own = encoder.temporal.state_dict()
        rows = [oracle.temporal_head(own, row, heads=transf_heads) for row in rows]
    return torch.stack(rows).float()


@torch.no_grad()
@pytest.mark.parametrize("head", ["none", "transf"])
@pytest.mark.parametrize("temporal", TEMPORAL)
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_features_are_the_formulas(tiny_clip, head, temporal, frames):
    encoder = Text4VisEncoder(clip=tiny_clip, head=head, tower=TowerOptions(temporal)).eval()
    disturb(tiny_clip.visual)
    disturb(encoder)
    videos = video_of(frames)
    found, extras = encoder(tiny_clip, videos)
    assert found.shape == (2, frames, 32)
    assert not extras
    assert encoder.provides == {"frames"}
    assert_close(
        found, expected(tiny_clip, encoder, videos, temporal=temporal), rtol=1e-4, atol=2e-5
    )


@torch.no_grad()
@pytest.mark.parametrize("head", ["none", "transf"])
@pytest.mark.parametrize("frames", [1, 4])
def test_joint_features_are_the_formulas(tiny_clip, head, frames):
    encoder = Text4VisEncoder(
        clip=tiny_clip, head=head, tower=TowerOptions(joint=True), num_frames=frames
    ).eval()
    assert tiny_clip.visual.time_embedding.shape == (frames, 32)
    disturb(tiny_clip.visual)
    videos = video_of(frames)
    found = encoder(tiny_clip, videos).video_BTD
    assert found.shape == (2, 1, 32)
    assert encoder.provides == frozenset()
    assert_close(found, expected(tiny_clip, encoder, videos, joint=True), rtol=1e-4, atol=2e-5)


@torch.no_grad()
@pytest.mark.parametrize("temporal", TEMPORAL)
def test_the_modes_differ_and_order_matters_to_them(tiny_clip, temporal):
    plain = Text4VisEncoder(clip=tiny_clip, head="none")(tiny_clip, video_of(4)).video_BTD
    encoder = Text4VisEncoder(clip=tiny_clip, head="none", tower=TowerOptions(temporal)).eval()
    found = encoder(tiny_clip, video_of(4)).video_BTD
    turned = encoder(tiny_clip, video_of(4).flip(2)).video_BTD.flip(1)
    assert torch.allclose(found, plain, atol=1e-5) == (temporal == "off")
    assert torch.allclose(found, turned, atol=1e-5) == (temporal == "off")


@torch.no_grad()
def test_the_learned_filter_begins_as_the_shift(tiny_clip):
    videos = video_of(4)
    shift = Text4VisEncoder(clip=tiny_clip, head="none", tower=TowerOptions("tokenshift"))
    found = shift(tiny_clip, videos).video_BTD
    tiny_clip.visual.transformer.resblocks[0].control_point = None
    torch.manual_seed(1)
    again = build_clip(str(TINY_CLIP)).eval()
    conv = Text4VisEncoder(clip=again, head="none", tower=TowerOptions("tokent1d"))
    assert_close(conv(again, videos).video_BTD, found, rtol=0, atol=1e-6)


@torch.no_grad()
def test_the_number_of_attention_heads_comes_from_the_text_tower(wide_clip):
    encoder = Text4VisEncoder(clip=wide_clip).eval()
    disturb(encoder)
    videos = video_of(5)
    found = encoder(wide_clip, videos).video_BTD
    assert_close(found, expected(wide_clip, encoder, videos, transf_heads=2), rtol=1e-4, atol=2e-5)
    other = expected(wide_clip, encoder, videos, transf_heads=1)
    assert not torch.allclose(found, other, atol=1e-3)


def test_published_numbers_of_attention_heads_and_parameters():
    heads = {"ViT-B-16": 8, "ViT-L-14": 12, "RN50": 8, "RN50x4": 10}
    with torch.device("meta"):
        for arch, count in heads.items():
            text = open_clip.get_model_config(arch)["text_cfg"]["width"]
            assert text // 64 == count
        sizes = [sum(p.numel() for p in FrameTransformer(d, 8).parameters()) for d in (512, 768)]
        assert [round(size / 1e6, 2) for size in sizes] == [18.95, 42.59]


def test_initial_values_of_the_temporal_head():
    head = FrameTransformer(64, 1)
    block = head.transformer.resblocks[3]
    for weight in (head.frame_position_embeddings.weight, block.mlp.c_fc.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert block.attn.out_proj.weight.std().item() == pytest.approx(0.02, rel=0.1)
    # Xavier: uniform within sqrt(6 / (64 + 3 * 64)).
    assert block.attn.in_proj_weight.abs().max().item() == pytest.approx(0.153, rel=0.02)
    assert not block.mlp.c_proj.bias.any()
    assert not block.attn.out_proj.bias.any()
    assert not block.attn.in_proj_bias.any()
    assert block.ln_1.eps == block.ln_2.eps == 1e-12
    assert len(head.transformer.resblocks) == 6


def test_a_joint_dimension_that_the_heads_do_not_divide_is_refused():
    with pytest.raises(UsageError, match=r"12 attention heads .* divide the joint dimension 512"):
        FrameTransformer(512, 12)


def test_more_frames_than_positions_are_refused():
    with pytest.raises(UsageError, match=r"78 frames.*transf has 77 positions"):
        FrameTransformer(8, 1)(torch.zeros(1, 78, 8))


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 3])
def test_tsm_in_a_resnet_shifts_before_the_first_convolutions(resnet_clip, frames):
    clip, videos = resnet_clip(2, 1, 1, 1), video_of(frames, 64)
    visual = clip.visual
    hidden = visual.stem(videos.transpose(1, 2).flatten(0, 1))
    for block in [*visual.layer1, *visual.layer2, *visual.layer3, *visual.layer4]:
        maps = hidden.unflatten(0, (2, frames)).permute(0, 1, 3, 4, 2)
        moved = [oracle.shifted(list(v), hidden.shape[1] // 8) for v in maps]
        moved = torch.stack([torch.stack(v) for v in moved]).permute(0, 1, 4, 2, 3).flatten(0, 1)
        out = F.relu(block.bn1(F.conv2d(moved, block.conv1.weight)))
        out = block.avgpool(F.relu(block.bn2(F.conv2d(out, block.conv2.weight, padding=1))))
        out = block.bn3(F.conv2d(out, block.conv3.weight))
        same = hidden if block.downsample is None else block.downsample(hidden)
        hidden = F.relu(out + same)
    wanted = visual.attnpool(hidden).unflatten(0, (2, frames))
    keys = list(visual.state_dict())
    encoder = Text4VisEncoder(clip=clip, head="none", tower=TowerOptions("tsm")).eval()
    assert_close(encoder(clip, videos).video_BTD, wanted, rtol=1e-5, atol=1e-5)
    assert list(visual.state_dict()) == keys
    again = encoder(clip, video_of(2, 64)).video_BTD
    assert again.shape == (2, 2, 32)


def test_deep_resnets_shift_every_second_bottleneck():
    with torch.device("meta"):
        visual = ModifiedResNet([3, 4, 23, 3], 32, 4, image_size=32, width=8)
    clip = nn.Module()
    clip.visual = visual
    Text4VisEncoder(clip=clip, head="none", tower=TowerOptions("tsm"))
    for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        for number, bottleneck in enumerate(layer):
            assert isinstance(bottleneck.conv1, ShiftedConv) == (number % 2 == 0)


@torch.no_grad()
@pytest.mark.parametrize("head", ["none", "transf"])
def test_a_resnet_without_time_inside_is_as_it_was(resnet_clip, head):
    clip, videos = resnet_clip(1, 1, 1, 1), video_of(2, 64)
    found = Text4VisEncoder(clip=clip, head=head)(clip, videos).video_BTD
    images = clip.visual(videos.transpose(1, 2).flatten(0, 1)).unflatten(0, (2, 2))
    assert torch.allclose(found, images, atol=1e-5) == (head == "none")


@pytest.mark.parametrize(
    "tower",
    [
        TowerOptions("tokenshift"),
        TowerOptions("tokent1d"),
        TowerOptions(joint=True),
        TowerOptions(drop_path=0.1),
        TowerOptions(emb_dropout=0.1),
        TowerOptions("tsm", drop_path=0.1),
    ],
)
def test_a_resnet_refuses_the_rest(resnet_clip, tower):
    named = "TEXT4VIS.DROP_PATH" if tower.temporal == "tsm" else tower.changed
    with pytest.raises(UsageError, match=rf"{named} changes CLIP's own .* is a ModifiedResNet"):
        Text4VisEncoder(clip=resnet_clip(1, 1, 1, 1), tower=tower)


@pytest.mark.parametrize("temporal", ["tsm", "tokenshift", "tokent1d"])
def test_foreign_towers_work_with_nothing_inside_only(tiny_clip, temporal):
    class Foreign(nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :32]

    tiny_clip.visual = Foreign()
    encoder = Text4VisEncoder(clip=tiny_clip).eval()
    assert encoder(tiny_clip, video_of(2)).video_BTD.shape == (2, 2, 32)
    with pytest.raises(UsageError, match=rf"TEMPORAL {temporal} .* is a Foreign; choose an arch"):
        Text4VisEncoder(clip=tiny_clip, tower=TowerOptions(temporal))


@pytest.mark.parametrize("temporal", ["tsm", "tokenshift", "tokent1d"])
def test_joint_attention_excludes_shifts(tiny_clip, temporal):
    with pytest.raises(UsageError, match=f"JOINT and TEXT4VIS.TEMPORAL {temporal} exclude"):
        Text4VisEncoder(clip=tiny_clip, tower=TowerOptions(temporal, joint=True))


def test_joint_attention_has_one_number_of_frames(tiny_clip):
    encoder = Text4VisEncoder(clip=tiny_clip, tower=TowerOptions(joint=True), num_frames=4)
    with pytest.raises(UsageError, match=r"clips of 3 frames, .* time embeddings for 4"):
        encoder(tiny_clip, video_of(3))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("TEXT4VIS.JOINT", True), "with TEXT4VIS.JOINT"),
        (("DATA.NUM_FRAMES", 1), "on clips of one frame"),
    ],
)
def test_a_head_that_is_not_used_is_not_trained(tiny_cfg, caplog, options, reason):
    model = build_model(tiny_cfg("Text4Vis", "DATA.NUM_FRAMES", 3, *options))
    assert f"transf is not used {reason}" in caplog.text
    frames = 1 if "DATA.NUM_FRAMES" in options else 3
    model(video_of(frames)).logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.requires_grad == (not name.startswith(("clip.text.", "encoder."))), name


@pytest.mark.parametrize(
    ("temporal", "joint"), [*((temporal, False) for temporal in TEMPORAL), ("off", True)]
)
def test_names_stay_those_of_clip(tiny_clip, temporal, joint):
    before = tiny_clip.state_dict()
    tower = TowerOptions(temporal, joint, 0.1, 0.1)
    Text4VisEncoder(clip=tiny_clip, tower=tower)
    after = tiny_clip.state_dict()
    assert all(after[key] is before[key] or torch.equal(after[key], before[key]) for key in before)
    new = sorted(set(after) - set(before))
    if temporal == "tokent1d":
        blocks = "visual.transformer.resblocks"
        assert new == [f"{blocks}.{i}.control_point.conv.weight" for i in range(2)]
        assert after[new[0]].shape == (32, 1, 3)
    else:
        assert new == (["visual.time_embedding"] if joint else [])


@pytest.mark.parametrize("temporal", TEMPORAL)
def test_plain_clip_weights_load_unchanged(tiny_cfg, tmp_path, temporal):
    original = build_clip(str(TINY_CLIP)).state_dict()
    torch.save(original, tmp_path / "clip.pt")
    options = ("TEXT4VIS.TEMPORAL", temporal, "CLIP.PRETRAINED", str(tmp_path / "clip.pt"))
    loaded = build_model(tiny_cfg("Text4Vis", *options)).clip.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in original.items())


@pytest.mark.parametrize(
    "options",
    [("TEXT4VIS.TEMPORAL", "tokent1d"), ("TEXT4VIS.JOINT", True, "TEXT4VIS.HEAD", "none")],
)
def test_rates_and_mixing_of_what_is_added(tiny_cfg, tmp_path, options):
    torch.save(build_clip(str(TINY_CLIP)).state_dict(), tmp_path / "clip.pt")
    shared = ("CLIP.PRETRAINED", str(tmp_path / "clip.pt"), "SOLVER.BACKBONE_LR_RATIO", 0.1)
    cfg = tiny_cfg("Text4Vis", *shared, *options)
    model = build_model(cfg)
    groups = construct_optimizer(model, cfg).param_groups
    scale = {name: group["lr_scale"] for group in groups for name in group["param_names"]}
    for name in scale:
        slow = name.startswith("clip.") and "control_point" not in name
        assert scale[name] == (0.1 if slow else 1.0), name
    disturb(model)
    torch.save({"model_state": model.state_dict()}, tmp_path / "tuned.pyth")
    tuned = {name: p.detach().clone() for name, p in model.named_parameters()}
    test = ("TEST.CLIP_RATIO", 0.25, "TEST.CHECKPOINT_FILE_PATH", str(tmp_path / "tuned.pyth"))
    cfg = tiny_cfg("Text4Vis", *shared, *options, *test)
    mixed = build_model(cfg)
    load_test_weights(cfg, mixed)
    moved = {name for name, p in mixed.named_parameters() if not torch.equal(p, tuned[name])}
    original = {f"clip.{key}" for key in build_clip(str(TINY_CLIP)).state_dict()}
    assert moved == {name for name in tuned if name in original}
    assert load_weights(mixed, tmp_path / "tuned.pyth").clean


@pytest.mark.parametrize("temporal", ["tsm", "tokent1d"])
def test_recomputing_activations_changes_nothing(tiny_clip, temporal):
    encoder = Text4VisEncoder(clip=tiny_clip, tower=TowerOptions(temporal)).train()
    gradients = []
    for recompute in (False, True):
        tiny_clip.set_grad_checkpointing(recompute)
        tiny_clip.zero_grad()
        loss = encoder(tiny_clip, video_of(4)).video_BTD.square().sum()
        # Another number of frames between forward and backward must not reach the recomputation.
        encoder(tiny_clip, video_of(2))
        loss.backward()
        gradients.append({n: p.grad.clone() for n, p in tiny_clip.visual.named_parameters()})
    for name, gradient in gradients[0].items():
        assert_close(gradients[1][name], gradient, rtol=1e-5, atol=1e-5)


def test_stochastic_depth_rises_and_drops_whole_videos(tiny_clip):
    tower = TowerOptions(drop_path=0.5)
    encoder = Text4VisEncoder(clip=tiny_clip, head="none", tower=tower)
    blocks = tiny_clip.visual.transformer.resblocks
    assert [block.drop for block in blocks] == [0.0, 0.5]
    assert [block.attention_dropout for block in blocks] == [0.0, 0.5]
    with torch.no_grad():
        videos = video_of(3)
        kept = encoder.eval()(tiny_clip.eval(), videos).video_BTD
        assert_close(kept, expected(tiny_clip, encoder, videos), rtol=1e-4, atol=2e-5)
        branch = torch.ones(64 * 3, 5, 32)
        thinned = blocks[1].train()._thin(branch, 3).unflatten(0, (64, 3))
    values = thinned.flatten(1)
    assert torch.equal(values.amin(dim=1), values.amax(dim=1)), "all of a video or nothing"
    assert set(values[:, 0].tolist()) == {0.0, 2.0}


def test_all_can_be_dropped(tiny_clip):
    block = TemporalBlock(tiny_clip.visual.transformer.resblocks[0], width=32, drop=1.0).train()
    tokens = torch.randn(6, 5, 32)
    assert torch.equal(block(tokens, 3), tokens)


def test_embedding_dropout_is_for_training(tiny_clip):
    tower = TowerOptions(emb_dropout=0.5)
    encoder = Text4VisEncoder(clip=tiny_clip, head="none", tower=tower).eval()
    with torch.no_grad():
        videos = video_of(2)
        plain = encoder(tiny_clip, videos).video_BTD
        assert_close(plain, expected(tiny_clip, encoder, videos), rtol=1e-4, atol=2e-5)
        one, two = (encoder.train()(tiny_clip, videos).video_BTD for _ in range(2))
    assert not torch.allclose(one, two)


@pytest.mark.parametrize(
    "tower", [*map(TowerOptions, TEMPORAL), TowerOptions(joint=True)], ids=lambda t: str(t.changed)
)
def test_half_precision_stays_close(tiny_clip, tower):
    encoder = Text4VisEncoder(clip=tiny_clip, tower=tower, num_frames=3).eval()
    exact = encoder(tiny_clip, video_of(3)).video_BTD
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = encoder(tiny_clip, video_of(3)).video_BTD
    assert F.cosine_similarity(found.float(), exact, dim=-1).min() > 0.99
    found.float().sum().backward()
    assert all(p.grad.isfinite().all() for p in tiny_clip.visual.parameters())
