"""The command line that converts checkpoints: there, back, and refused."""

import open_clip
import pytest
import safetensors.torch
import torch

from ost.cli import call
from slowfast.checkpoint.load import load_weights
from tests.checkpoint import weights


def run(*words):
    return call("convert", [str(word) for word in words])


def equal(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("system", ["ost", "flat", "custom"])
def test_foreign_to_ours_and_back(tmp_path, system, capsys):
    state = weights.ours()
    source = weights.save(tmp_path / "in.pth", {"model": getattr(weights, system)(state)})
    assert run(source, tmp_path / "ours.pyth") == 0
    content = torch.load(tmp_path / "ours.pyth", weights_only=True)
    assert equal(content["model_state"], state)
    assert content["made_from"]["sources"][0]["path"] == str(source)
    assert load_weights(weights.Holder(), tmp_path / "ours.pyth").clean
    assert f"{len(state)} renamed" in capsys.readouterr().out
    for target, names in (
        ("open_clip", weights.flat),
        ("openai", weights.flat),
        ("open_clip_custom", weights.custom),
    ):
        out = tmp_path / f"{target}.pt"
        assert run(tmp_path / "ours.pyth", out, "--to", target) == 0
        assert equal(torch.load(out, weights_only=True), names(state))
    clip = open_clip.CLIP(**weights.CONFIG)
    clip.load_state_dict(torch.load(tmp_path / "open_clip.pt", weights_only=True), strict=True)


def test_vifi_takes_its_table_from_the_original(tmp_path, capsys):
    tuned, original = weights.ours(1), weights.ours(2)
    source = weights.save(tmp_path / "vifi.pth", {"model": weights.vifi(tuned)})
    clip = weights.save(tmp_path / "clip.pt", weights.flat(original))
    out = tmp_path / "ours.pyth"
    assert run(source, out) == 2
    assert "name the original CLIP of the same arch with --clip" in capsys.readouterr().err
    other = weights.save(tmp_path / "other.pt", weights.Holder(patch_size=8).state_dict())
    assert run(source, out, "--clip", other) == 2
    assert "weights of another arch: clip.visual." in capsys.readouterr().err
    assert run(source, out, "--clip", clip) == 0
    table = "clip.text.token_embedding.weight"
    assert equal(
        torch.load(out, weights_only=True)["model_state"], {**tuned, table: original[table]}
    )
    text = capsys.readouterr().out
    assert "dropped module.prompt_learner.complete_text_embeddings" in text
    assert f"taken from {clip}: {table}" in text


def test_safetensors_and_half(tmp_path):
    state = weights.ours()
    source = weights.save(tmp_path / "in.pyth", {"model_state": state})
    out = tmp_path / "deep" / "clip.safetensors"
    assert run(source, out, "--to", "open_clip", "--half") == 0
    found = safetensors.torch.load_file(out)
    assert equal(found, {key: value.half() for key, value in weights.flat(state).items()})
    assert run(out, tmp_path / "back.safetensors", "--from", "openai_clip") == 0
    assert load_weights(weights.Holder(), tmp_path / "back.safetensors").clean


def test_parts_beside_clip_are_left_out_aloud(tmp_path, capsys):
    state = {**weights.ours(), "head.weight": torch.ones(2)}
    source = weights.save(tmp_path / "in.pyth", {"model_state": state})
    assert run(source, tmp_path / "clip.pt", "--to", "openai") == 0
    assert "left out head.weight" in capsys.readouterr().out
    assert run(source, tmp_path / "clip.pt", "--to", "openai") == 2
    assert "--force" in capsys.readouterr().err


def test_models_without_clip_have_no_open_clip_form(tmp_path, capsys):
    source = weights.save(tmp_path / "in.pyth", {"model_state": {"conv.weight": torch.ones(2)}})
    assert run(source, tmp_path / "out.pt", "--to", "open_clip") == 2
    assert "holds no CLIP weights" in capsys.readouterr().err
    assert run(source, tmp_path) == 2
    assert "a folder" in capsys.readouterr().err
