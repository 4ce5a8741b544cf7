"""Loading is strict, reports every key, and gives the same model from every form of file."""

import logging

import pytest
import torch
from torch import nn

from slowfast.checkpoint.load import (
    clear_names,
    inflate_weight,
    load_weights,
)
from slowfast.errors import UsageError

from . import weights
from .weights import Holder, save


def same(model, state):
    own = model.state_dict()
    return all(torch.equal(own[key], value) for key, value in state.items())


@pytest.mark.parametrize("system", ["ours", "ost", "flat", "custom"])
@pytest.mark.parametrize("prefixed", [True, False])
def test_all_systems_load_alike(tmp_path, system, prefixed):
    state = weights.ours()
    named = state if system == "ours" else getattr(weights, system)(state)
    named = {k.removeprefix("module."): v for k, v in named.items()}
    named = {f"module.{k}": v for k, v in named.items()} if prefixed else named
    model = Holder()
    report = load_weights(model, save(tmp_path / "x.pth", {"model": named}))
    assert same(model, state)
    assert report.clean
    assert len(report.matched) == len(state)


def test_a_wrapped_model_loads_too(tmp_path):
    class Wrapper(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

    model = Wrapper(Holder())
    load_weights(model, save(tmp_path / "x.pth", weights.ours()))
    assert same(model.module, weights.ours())


def test_half_precision_files_become_float32(tmp_path):
    state = {key: value.half() for key, value in weights.ours().items()}
    model = Holder()
    load_weights(model, save(tmp_path / "x.pth", weights.flat(state)))
    assert same(model, {key: value.float() for key, value in state.items()})
    assert model.clip.logit_scale.dtype == torch.float32


def test_vifi_keeps_the_token_embedding_only_of_a_pretrained_clip(tmp_path):
    path = save(tmp_path / "vifi.pth", {"model": weights.vifi(weights.ours())})
    model = Holder()
    before = model.clip.text.token_embedding.weight.clone()
    with pytest.raises(UsageError, match=r"hold no clip\.text\.token_embedding.*CLIP\.PRETRAINED"):
        load_weights(model, path)
    assert same(model, Holder().state_dict()), "a refused load must leave the model alone"
    report = load_weights(model, path, pretrained=True)
    assert report.kept == ["clip.text.token_embedding.weight"]
    assert report.dropped == ["module.prompt_learner.complete_text_embeddings"]
    assert "1 kept (clip.text.token_embedding.weight)" in str(report)
    assert torch.equal(model.clip.text.token_embedding.weight, before)
    assert torch.equal(model.clip.visual.proj, weights.ours()["clip.visual.proj"])


@pytest.mark.parametrize("pretrained", [False, True])
def test_batch_norms_may_come_without_their_batch_counts(tmp_path, pretrained):
    state = Holder(1, layers=[1, 1, 1, 1], width=8).state_dict()
    full = {key: value + (value.ndim == 0) for key, value in state.items()}
    counts = [key for key in full if key.endswith("num_batches_tracked")]
    assert counts
    bare = {key: value for key, value in full.items() if key not in counts}
    model = Holder(layers=[1, 1, 1, 1], width=8)
    report = load_weights(model, save(tmp_path / "bare.pt", bare), pretrained=pretrained)
    assert report.clean
    assert report.kept == counts
    assert same(model, bare)
    path = save(tmp_path / "short.pt", {k: v for k, v in bare.items() if "running_var" not in k})
    with pytest.raises(UsageError, match=r"keys of the model are missing \(clip.*running_var"):
        load_weights(model, path, pretrained=pretrained)
    load_weights(model, save(tmp_path / "full.pt", full))
    assert same(model, full)


def test_other_archs_are_refused_with_both_shapes(tmp_path):
    path = save(tmp_path / "x.pth", weights.flat(weights.ours()))
    wanted = r"another arch.*conv1\.weight is \(32, 3, 16, 16\) in the file and \(32, 3, 8, 8\) in"
    with pytest.raises(UsageError, match=wanted):
        load_weights(Holder(patch_size=8), path)
    with pytest.raises(UsageError, match=r"another arch.*12 keys of the model are missing"):
        load_weights(Holder(layers=3), path)
    with pytest.raises(UsageError, match=r"another arch.*12 keys are not the model's"):
        load_weights(Holder(layers=1), path)


@pytest.mark.parametrize(
    ("part", "name", "option", "size"),
    [
        ("encoder", "trunk", "MODEL.ENCODER, TRUNK.ARCH", "TRUNK.ARCH"),
        ("head", "projection", "MODEL.HEAD_NAME", "TEXT.CLASSES and TEXT.SUBSET"),
    ],
)
def test_the_options_behind_another_part_are_named(tmp_path, part, name, option, size):
    own = Holder()
    own.add_module(part, nn.ModuleDict({name: nn.Linear(2, 3)}))
    path = save(tmp_path / "x.pth", own.state_dict())
    with pytest.raises(UsageError, match=f"2 keys are not the model's.*; set {option} as for"):
        load_weights(Holder(), path)
    other = Holder()
    other.add_module(part, nn.ModuleDict({name: nn.Linear(2, 4)}))
    with pytest.raises(UsageError, match=f"choose the {size} they belong to"):
        load_weights(other, path)


def test_lenient_loads_warn_and_still_want_half(tmp_path, caplog):
    state = weights.ours()
    del state["clip.visual.proj"]
    state["clip.text.positional_embedding"] = torch.zeros(5, 16)
    state["head.weight"] = torch.zeros(3)
    path = save(tmp_path / "x.pth", state)
    model = Holder()
    with caplog.at_level(logging.WARNING):
        report = load_weights(model, path, strict=False)
    assert report.missing == ["clip.visual.proj"]
    assert report.surplus == ["head.weight"]
    assert report.misfit[0].in_file == (5, 16)
    assert torch.equal(model.clip.visual.proj, Holder().clip.visual.proj)
    few = save(tmp_path / "few.pth", {"clip.logit_scale": torch.tensor(1.0)})
    with pytest.raises(UsageError, match="only 1 of the model's"):
        load_weights(model, few, strict=False)


def test_no_epoch_or_optimizer_comes_along(tmp_path):
    content = {"model_state": weights.ours(), "epoch": 9, "optimizer_state": {"junk": 1}}
    assert load_weights(Holder(), save(tmp_path / "x.pyth", content)).clean


def test_inflation_keeps_the_answer_to_a_still_video(tmp_path):
    flat, deep = nn.Conv2d(2, 3, 3), nn.Conv3d(2, 3, (4, 3, 3))
    report = load_weights(deep, save(tmp_path / "x.pth", flat.state_dict()), inflate=True)
    assert report.inflated == ["weight"]
    image = torch.randn(1, 2, 5, 5)
    video = image.unsqueeze(2).expand(-1, -1, 4, -1, -1)
    torch.testing.assert_close(deep(video).squeeze(2), flat(image))
    assert inflate_weight(flat.weight, 4).shape == (3, 2, 4, 3, 3)
    with pytest.raises(UsageError, match="another arch"):
        load_weights(deep, tmp_path / "x.pth")


def test_clearing_names():
    state = {"backbone.a.w": torch.ones(1), "backbone.b.w": torch.ones(1)}
    assert list(clear_names(state, ["backbone.", ".w"])) == ["a", "b"]
    with pytest.raises(UsageError, match="makes two keys w"):
        clear_names(state, ["backbone.", "a.", "b."])


@pytest.mark.parametrize("pattern", ["backbon.", "module."])
def test_a_pattern_that_clears_nothing_is_refused_with_the_nearest_keys(tmp_path, pattern):
    path = save(tmp_path / "x.pth", {f"backbone.{k}": v for k, v in weights.ours().items()})
    wanted = rf"CLEAR_NAME_PATTERN '{pattern}' occurs in no key of the file; nearest: backbone\.cl"
    with pytest.raises(UsageError, match=wanted):
        load_weights(Holder(), path, clear_name_patterns=["backbone.", pattern])
    assert load_weights(Holder(), path, clear_name_patterns=["backbone."]).clean


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("strict", [True, False])
def test_values_that_are_no_numbers_are_refused_with_their_key(tmp_path, value, strict):
    state = weights.ours()
    state["clip.visual.proj"][3, 2] = state["clip.text.positional_embedding"][0, 0] = value
    path, model = save(tmp_path / "x.pth", state), Holder()
    with pytest.raises(UsageError, match=r"x.pth: clip\.\S+ holds NaN or .* \(and 1 more\)"):
        load_weights(model, path, strict=strict)
    assert same(model, Holder().state_dict()), "a refused load must leave the model alone"
    load_weights(model, path, strict=strict, allow_nan=True)
    assert not model.clip.visual.proj[3, 2].isfinite()


def test_a_number_beyond_the_models_type_is_infinite_there(tmp_path):
    state = {key: value.double() for key, value in weights.ours().items()}
    state["clip.logit_scale"].fill_(1e300)
    with pytest.raises(UsageError, match=r"clip\.logit_scale holds NaN or infinite"):
        load_weights(Holder(), save(tmp_path / "x.pth", state))


def test_infinities_of_a_mask_are_the_models_own(tmp_path):
    model = Holder()
    model.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))
    assert load_weights(model, save(tmp_path / "x.pth", model.state_dict())).clean


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        (torch.int8, "int8, expected .*: this looks like a quantised model"),
        (torch.bool, "bool, expected .*: this looks like masks of a pruned"),
        (torch.complex64, "complex64, expected .*: this looks like a network of complex"),
    ],
)
def test_only_floating_point_numbers_are_weights(tmp_path, dtype, kind):
    state = weights.ours()
    state["clip.visual.proj"] = state["clip.visual.proj"].to(dtype)
    with pytest.raises(UsageError, match=rf"clip\.visual\.proj is {kind}"):
        load_weights(Holder(), save(tmp_path / "x.pth", state), allow_nan=True)


def test_a_conversion_and_the_epoch_are_reported(tmp_path, caplog):
    state = weights.ours()
    content = {"model_state": {key: value.half() for key, value in state.items()}, "epoch": 6}
    with caplog.at_level(logging.INFO):
        report = load_weights(Holder(), save(tmp_path / "x.pyth", content))
    assert report.converted == {"float16": len(state)}
    assert report.epoch == 7
    assert f"{len(state)} converted from float16" in caplog.text
    assert load_weights(Holder(), save(tmp_path / "y.pyth", state)).converted == {}
