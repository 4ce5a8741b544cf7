"""Released Text4Vis files: no text tower, a temporal head, and the marks of wrappers and of TSM."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor, nn

from ost.cli import call
from slowfast.checkpoint.adapters import adapt
from slowfast.checkpoint.load import load_weights
from slowfast.checkpoint.reader import read_checkpoint
from slowfast.errors import UsageError

from . import weights
from .weights import save

HEAD = ("frame_position_embeddings.weight", "transformer.resblocks.0.ln_1.weight")


class Model(weights.Holder):
    """CLIP and, where asked for, parameters of a temporal head."""

    def __init__(self, seed: int = 0, *, head: bool = True) -> None:
        super().__init__(seed)
        if head:
            self.encoder = nn.Module()
            self.encoder.temporal = nn.Module()
            self.encoder.temporal.frame_position_embeddings = nn.Embedding(77, 16)
            block = nn.ModuleDict({"ln_1": nn.LayerNorm(16, bias=False)})
            self.encoder.temporal.transformer = nn.ModuleDict({"resblocks": nn.ModuleList([block])})


def released(*, head: bool = True) -> dict[str, Tensor]:
    """Return weights under the names of the released files."""
    state = {k: v for k, v in weights.custom(weights.ours(1)).items() if not k.startswith("text.")}
    if head:
        sizes = ((77, 16), (16,))
        state |= {f"fusion_model.{name}": torch.randn(*size) for name, size in zip(HEAD, sizes)}
    return state


def envelope(state: dict[str, Tensor]) -> dict[str, object]:
    return {"epoch": 29, "model_state_dict": state, "optimizer_state_dict": {"state": {}}}


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("kind", ["auto", "text4vis"])
def test_names(tmp_path, head, kind):
    state = released(head=head)
    checkpoint = read_checkpoint(save(tmp_path / "model_best.pt", envelope(state)))
    assert checkpoint.source == "model_state_dict"
    assert checkpoint.extra["epoch"] == 29
    adapted = adapt(checkpoint.state, kind)
    assert adapted.kind == "text4vis"
    own = Model(head=head).state_dict()
    assert set(adapted.state) == {key for key in own if not key.startswith("clip.text.")}
    assert torch.equal(adapted.state["clip.visual.proj"], state["visual.proj"])
    assert torch.equal(adapted.state["clip.logit_scale"], state["logit_scale"])


@pytest.mark.parametrize("where", ["module.", "_orig_mod.module.", "inside"])
def test_wrappers_anywhere(where):
    state = released()
    if where == "inside":
        wrapped = {k.replace("fusion_model.", "fusion_model.module."): v for k, v in state.items()}
    else:
        wrapped = {where + key: value for key, value in state.items()}
    adapted = adapt(wrapped)
    assert adapted.kind == "text4vis"
    assert adapted.state.keys() == adapt(state).state.keys()


def test_what_tsm_leaves_in_names(caplog):
    state = released()
    block = "visual.transformer.resblocks.1."
    shifted = {key.replace(block, f"{block}net."): value for key, value in state.items()}
    assert shifted.keys() != state.keys()
    with caplog.at_level(logging.INFO):
        assert adapt(shifted).state.keys() == adapt(state).state.keys()
    assert caplog.text.count("trained with TEXT4VIS.TEMPORAL tsm") == 1
    resnet = {"logit_scale": torch.ones(()), "visual.layer1.0.conv1.net.weight": torch.ones(1)}
    assert "clip.visual.layer1.0.conv1.weight" in adapt(resnet).state


def test_weights_of_tsm_need_a_model_that_shifts(tmp_path, caplog):
    block = "visual.transformer.resblocks.1."
    state = {key.replace(block, f"{block}net."): value for key, value in released().items()}
    path = save(tmp_path / "tsm.pt", envelope(state))
    model = Model()
    before = model.clip.visual.proj.clone()
    with pytest.raises(UsageError, match="were trained with TEXT4VIS.TEMPORAL tsm; set it for the"):
        load_weights(model, path, pretrained=True)
    assert torch.equal(model.clip.visual.proj, before)
    with caplog.at_level(logging.WARNING):
        load_weights(model, path, pretrained=True, strict=False)
    assert "set it for the model" in caplog.text
    model.encoder.marks = ("TEXT4VIS.TEMPORAL tsm",)
    assert load_weights(model, path, pretrained=True).clean


def test_time_embeddings_of_another_length_are_no_other_arch(tmp_path):
    model = Model()
    model.clip.visual.time_embedding = nn.Parameter(torch.zeros(4, 32))
    path = save(
        tmp_path / "x.pt", envelope({**released(), "visual.time_embedding": torch.ones(8, 32)})
    )
    with pytest.raises(UsageError, match=r"is \(8, 32\) in .*choose the DATA\.NUM_FRAMES they bel"):
        load_weights(model, path, pretrained=True)
    state = {**released(), "visual.time_embedding": torch.ones(8, 48), "visual.proj": torch.ones(2)}
    with pytest.raises(UsageError, match=r"choose the CLIP\.ARCH they belong to"):
        load_weights(model, save(tmp_path / "y.pt", envelope(state)), pretrained=True)


def test_files_of_the_contrastive_trainer_are_refused(tmp_path):
    whole = {"epoch": 3, "model_state_dict": weights.flat(weights.ours())}
    head = {"module.frame_position_embeddings.weight": torch.ones(77, 16)}
    path = save(tmp_path / "nce.pt", {**whole, "fusion_model_state_dict": head})
    with pytest.raises(UsageError, match=r"contrastive trainer.*\(fusion_model_state_dict\)"):
        load_weights(Model(head=False), path)
    # without a temporal head nothing lies apart
    path = save(tmp_path / "plain.pt", {**whole, "fusion_model_state_dict": {}})
    assert load_weights(Model(head=False), path).clean


def test_both_names_of_one_weight_are_refused():
    state = released()
    state["visual.transformer.resblocks.1.net.ln_1.weight"] = torch.ones(32)
    with pytest.raises(UsageError, match=r"two keys .* become clip\.visual.*ln_1\.weight"):
        adapt(state)


def test_files_of_others_are_not_taken_for_it():
    assert adapt(weights.flat(weights.ours())).kind == "openai_clip"
    assert adapt(weights.custom(weights.ours())).kind == "open_clip"
    assert adapt({**released(), "prompt_learner.ctx": torch.ones(1)}).kind != "text4vis"
    assert adapt({"visual.proj": torch.ones(1)}).kind != "text4vis"


def test_loading_keeps_the_text_tower_of_a_pretrained_clip_only(tmp_path):
    path = save(tmp_path / "k400.pt", envelope(released()))
    model = Model(7)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(
        UsageError, match=r"text4vis files hold no clip\.text\..*set CLIP\.PRETRAINED to the origin"
    ):
        load_weights(model, path)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    report = load_weights(model, path, pretrained=True)
    assert report.clean
    assert len(report.matched) + len(report.kept) == len(before)
    assert all(key.startswith("clip.text.") for key in report.kept)
    assert torch.equal(
        model.clip.text.positional_embedding, before["clip.text.positional_embedding"]
    )
    assert torch.equal(model.clip.visual.proj, released()["visual.proj"])


@pytest.mark.parametrize("pretrained", [True, False])
@pytest.mark.parametrize(
    ("in_file", "in_model", "said"),
    [(False, True, "2 keys of the model are missing"), (True, False, "2 keys are not the model's")],
)
def test_file_and_model_must_agree_about_the_head(tmp_path, pretrained, in_file, in_model, said):
    path = save(tmp_path / "x.pt", envelope(released(head=in_file)))
    with pytest.raises(
        UsageError, match=rf"{said} \(encoder\.temporal\..*; set TEXT4VIS\.HEAD as for the weights"
    ):
        load_weights(Model(head=in_model), path, pretrained=pretrained)


def test_other_options_are_named_too(tmp_path):
    state = released()
    state["visual.time_embedding"] = torch.ones(8, 32)
    state["visual.transformer.resblocks.0.control_point.conv.weight"] = torch.ones(32, 1, 3)
    path = save(tmp_path / "x.pt", envelope(state))
    with pytest.raises(UsageError, match=r"set TEXT4VIS\.TEMPORAL, TEXT4VIS\.JOINT as for"):
        load_weights(Model(), path, pretrained=True)


def test_weights_of_another_arch_name_the_arch(tmp_path):
    state = {**released(), "visual.proj": torch.ones(32, 8)}
    with pytest.raises(UsageError, match=r"visual\.proj is \(32, 8\).*choose the CLIP\.ARCH"):
        load_weights(Model(), save(tmp_path / "x.pt", envelope(state)), pretrained=True)


def run(*words: object) -> int:
    return call("convert", [str(word) for word in words])


def test_conversion_takes_the_text_tower_from_the_original(tmp_path, capsys):
    state, original = released(), weights.ours(2)
    source = save(tmp_path / "k400.pt", envelope(state))
    clip = save(tmp_path / "clip.pt", weights.flat(original))
    out = tmp_path / "ours.pyth"
    assert run(source, out) == 2
    assert "files hold no clip.text.*; name the original CLIP" in capsys.readouterr().err
    empty = save(tmp_path / "empty.pt", {"clip.visual.proj": state["visual.proj"]})
    assert run(source, out, "--clip", empty) == 2
    assert "holds no clip.text.* either" in capsys.readouterr().err
    assert run(source, out, "--clip", clip) == 0
    text = sum(key.startswith("clip.text.") for key in original)
    assert f"taken from {clip}: clip.text.* ({text} tensors)" in capsys.readouterr().out
    model = Model()
    assert load_weights(model, out).clean
    assert torch.equal(model.clip.visual.proj, state["visual.proj"])
    name = "clip.text.positional_embedding"
    assert torch.equal(model.state_dict()[name], original[name])
    assert run(out, tmp_path / "back.pt", "--to", "openai") == 0
    assert f"left out encoder.temporal.{HEAD[0]}: no part of CLIP" in capsys.readouterr().out


@pytest.mark.parametrize(("layers", "count"), [(12, 226), (24, 370)])
def test_key_counts_of_the_published_files(layers, count):
    block = [f"ln_{i}.{p}" for i in (1, 2) for p in ("weight", "bias")]
    block += ["attn.in_proj_weight", "attn.in_proj_bias"]
    linear = ("attn.out_proj", "mlp.c_fc", "mlp.c_proj")
    block += [f"{name}.{p}" for name in linear for p in ("weight", "bias")]
    names = ["logit_scale", "visual.class_embedding", "visual.positional_embedding", "visual.proj"]
    names += ["visual.conv1.weight", f"fusion_model.{HEAD[0]}"]
    names += [f"visual.ln_{p}.{q}" for p in ("pre", "post") for q in ("weight", "bias")]
    for stack, depth in (("visual", layers), ("fusion_model", 6)):
        names += [f"{stack}.transformer.resblocks.{i}.{n}" for i in range(depth) for n in block]
    assert len(names) == count
    with torch.device("meta"):
        adapted = adapt(dict.fromkeys(names, torch.ones(1)))
    assert adapted.kind == "text4vis"
    assert len(adapted.state) == count
    assert all(key.startswith(("clip.visual.", "clip.logit", "encoder.")) for key in adapted.state)
