from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from slowfast.errors import UsageError
from slowfast.solver.param_groups import Rule, build_param_groups, layers_below_top


class Tower(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.zeros(3, 4))
        self.conv1 = nn.Conv2d(3, 4, 2, bias=False)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(depth))
        self.ln_post = nn.LayerNorm(4)


class TwoTowers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.clip = nn.Module()
        self.clip.visual = Tower(2)
        self.clip.text = Tower(3)
        self.clip.logit_scale = nn.Parameter(torch.tensor(1.0))


class WithBatchNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 2, 1)
        self.bn = nn.BatchNorm3d(2)
        self.ln = nn.LayerNorm(2)
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.special = nn.Linear(2, 2)


def names(groups):
    return [group["param_names"] for group in groups]


def factor_of(groups, name):
    return next(group["layer_decay"] for group in groups if name in group["param_names"])


def test_pyslowfast_groups_in_order():
    groups = build_param_groups(WithBatchNorm(), weight_decay=0.1, bn_weight_decay=0.2)
    assert [group["weight_decay"] for group in groups] == [0.2, 0.1]
    assert names(groups) == [
        ["bn.weight", "bn.bias"],
        [
            "scale",
            "conv.weight",
            "conv.bias",
            "ln.weight",
            "ln.bias",
            "special.weight",
            "special.bias",
        ],
    ]


def test_one_dimensional_parameters_without_decay_but_the_scalar_with():
    groups = build_param_groups(WithBatchNorm(), weight_decay=0.1, zero_wd_1d=True)
    assert names(groups)[1] == ["scale", "conv.weight", "special.weight"]
    assert names(groups)[2] == ["conv.bias", "ln.weight", "ln.bias", "special.bias"]
    assert groups[2]["weight_decay"] == 0.0


def test_no_weight_decay_matches_fragments_of_names():
    model = WithBatchNorm()
    model.no_weight_decay = lambda: {"spec"}
    groups = build_param_groups(model, weight_decay=0.1)
    assert names(groups)[-1] == ["special.weight", "special.bias"]


def test_ost_has_one_group_with_everything_decayed():
    groups = build_param_groups(TwoTowers(), weight_decay=0.001)
    assert len(groups) == 1
    assert groups[0]["weight_decay"] == 0.001
    assert len(groups[0]["params"]) == len(list(TwoTowers().parameters()))


def test_frozen_parameters_are_in_no_group():
    model = WithBatchNorm()
    model.conv.requires_grad_(False)
    listed = sum(names(build_param_groups(model, weight_decay=0.1)), [])
    assert not any(name.startswith("conv") for name in listed)


def test_nothing_to_train_is_refused():
    with pytest.raises(UsageError, match="no trainable parameter"):
        build_param_groups(nn.Linear(1, 1).requires_grad_(False), weight_decay=0.1)


def test_a_shared_parameter_lands_once():
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    model["b"].weight = model["a"].weight
    listed = sum(names(build_param_groups(model, weight_decay=0.1)), [])
    assert listed == ["a.weight", "a.bias", "b.bias"]


def test_the_first_matching_rule_wins():
    model = WithBatchNorm()
    model.param_rules = (
        Rule("special.*", lr_scale=10.0, weight_decay=0.5),
        Rule("*.weight", lr_scale=2.0),
    )
    groups = build_param_groups(model, weight_decay=0.1)
    special = next(group for group in groups if "special.weight" in group["param_names"])
    assert special["lr_scale"] == 10.0
    assert special["weight_decay"] == 0.5
    assert special["param_names"] == ["special.weight", "special.bias"]
    assert {g["lr_scale"] for g in groups if "conv.weight" in g["param_names"]} == {2.0}
    assert {g["lr_scale"] for g in groups if "conv.bias" in g["param_names"]} == {1.0}


def test_a_rule_that_matches_nothing_is_refused_with_the_nearest_names():
    model = WithBatchNorm()
    model.param_rules = (Rule("specail.weight", 10.0), Rule("*.bias", 2.0))
    with pytest.raises(UsageError, match=r"WithBatch.*'specail.weight'.*nearest: special.weight,"):
        build_param_groups(model, weight_decay=0.1)
    model.param_rules = (Rule("other.*", 10.0, optional=True), Rule("*.bias", 2.0))
    assert {g["lr_scale"] for g in build_param_groups(model, weight_decay=0.1)} == {1.0, 2.0}
    model.bn.requires_grad_(False)  # matched, though nothing of it is trained
    build_param_groups(model, weight_decay=0.1, rules=[Rule("bn.*", 3.0)])


@given(patterns=st.lists(st.sampled_from(["*", "clip.*", "*.weight", "*text*", "nothing"])))
@settings(max_examples=40, deadline=None)
def test_every_trainable_parameter_lands_exactly_once(patterns):
    model = TwoTowers()
    rules = [Rule(pattern, lr_scale=i + 2.0, optional=True) for i, pattern in enumerate(patterns)]
    groups = build_param_groups(
        model, weight_decay=0.1, layer_decay=0.5, zero_wd_1d=True, rules=rules
    )
    placed = [id(p) for group in groups for p in group["params"]]
    assert sorted(placed) == sorted(id(p) for p in model.parameters())


def test_layer_decay_counts_from_the_top_of_each_tower():
    groups = build_param_groups(TwoTowers(), weight_decay=0.1, layer_decay=0.5)
    expected = {
        "clip.logit_scale": 1.0,
        "clip.visual.ln_post.weight": 1.0,
        "clip.visual.transformer.resblocks.1.weight": 0.5,
        "clip.visual.transformer.resblocks.0.weight": 0.25,
        "clip.visual.conv1.weight": 0.125,
        "clip.text.transformer.resblocks.2.weight": 0.5,
        "clip.text.transformer.resblocks.0.weight": 0.125,
        "clip.text.positional_embedding": 0.0625,
    }
    assert {name: factor_of(groups, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "below"),
    [
        ("blocks.0.attn.weight", 4),
        ("blocks.3.attn.weight", 1),
        ("cls_token", 5),
        ("pos_embed_spatial", 5),
        ("patch_embed.proj.weight", 5),
        ("head.weight", 0),
    ],
)
def test_pyslowfast_layer_ids(name, below):
    # PySlowFast: L ** (N + 1 - id) with N = 4; id 0 for embeddings, i + 1 for block i.
    assert layers_below_top(name, {"blocks": 4}) == below


def test_an_embedding_without_any_stack_is_at_the_top():
    assert layers_below_top("conv1.weight", {}) == 0


def test_a_model_may_bring_its_own_layers():
    model = nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.Linear(1, 1)})
    model.layer_of = lambda name: 3 if name.startswith("a") else 0
    groups = build_param_groups(model, weight_decay=0.1, layer_decay=0.1)
    assert factor_of(groups, "a.weight") == pytest.approx(1e-3)
    assert factor_of(groups, "b.weight") == 1.0


def test_layer_decay_takes_whole_names_only_for_no_weight_decay():
    model = TwoTowers()
    model.no_weight_decay = lambda: {"logit_scale", "clip.visual.conv1.weight"}
    groups = build_param_groups(model, weight_decay=0.1, layer_decay=0.9)
    undecayed = sum((g["param_names"] for g in groups if g["weight_decay"] == 0.0), [])
    assert undecayed == ["clip.visual.conv1.weight"]


def test_layer_decay_with_batch_norm_is_refused():
    with pytest.raises(UsageError, match="LAYER_DECAY must be 1 with batch norms; found bn.weight"):
        build_param_groups(WithBatchNorm(), weight_decay=0.1, layer_decay=0.5)


class UpstreamViT(nn.Module):
    """Names and order of a vision transformer of PySlowFast with two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = nn.Linear(2, 2)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 2))
        self.pos_embed = nn.Parameter(torch.zeros(1, 3, 2))
        self.norm_stem = nn.LayerNorm(2)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"norm": nn.LayerNorm(2), "mlp": nn.Linear(2, 2)}) for _ in range(2)
        )
        self.head = nn.Linear(2, 3)

    def no_weight_decay(self):
        return {"pos_embed"}


def test_layer_decay_keeps_upstreams_order():
    # By hand: upstream walks the parameters in the model's order and opens a group at the first
    # one of each (layer, decayed or not). A module's own parameters come before its children's.
    # Layer 0: embeddings; 1, 2: blocks; 3: everything else.
    groups = build_param_groups(UpstreamViT(), weight_decay=0.1, layer_decay=0.5, zero_wd_1d=True)
    expected = [
        (["cls_token", "patch_embed.weight"], 0.125, 0.1),
        (["pos_embed", "patch_embed.bias"], 0.125, 0.0),
        (["norm_stem.weight", "norm_stem.bias", "head.bias"], 1.0, 0.0),
        (["blocks.0.norm.weight", "blocks.0.norm.bias", "blocks.0.mlp.bias"], 0.25, 0.0),
        (["blocks.0.mlp.weight"], 0.25, 0.1),
        (["blocks.1.norm.weight", "blocks.1.norm.bias", "blocks.1.mlp.bias"], 0.5, 0.0),
        (["blocks.1.mlp.weight"], 0.5, 0.1),
        (["head.weight"], 1.0, 0.1),
    ]
    found = [(g["param_names"], g["layer_decay"], g["weight_decay"]) for g in groups]
    assert found == expected


def test_adams_state_of_upstream_reaches_its_parameters():
    model = UpstreamViT()
    groups = build_param_groups(model, weight_decay=0.1, layer_decay=0.5, zero_wd_1d=True)
    # What upstream saves: a number for each parameter in the order of the groups, no names.
    names = sum(([n] for g in groups for n in g["param_names"]), [])
    shapes = {name: p.shape for name, p in model.named_parameters()}
    state = {
        i: {"step": torch.tensor(1.0), "exp_avg": torch.full(shapes[n], float(len(n))),
            "exp_avg_sq": torch.ones(shapes[n])}
        for i, n in enumerate(names)
    }  # fmt: skip
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    packed = optimizer.state_dict()["param_groups"]
    for group in packed:
        del group["param_names"], group["lr_scale"]
    optimizer.load_state_dict({"state": state, "param_groups": packed})
    for name, parameter in model.named_parameters():
        assert float(optimizer.state[parameter]["exp_avg"].flatten()[0]) == len(name)
