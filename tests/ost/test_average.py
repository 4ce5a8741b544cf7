"""The command line that averages weights, run as people run it."""

import subprocess
import sys

import pytest
import torch

from ost.cli import call
from slowfast.checkpoint.checkpointer import Checkpointer
from slowfast.checkpoint.load import load_weights
from slowfast.checkpoint.sources import sha256
from tests.checkpoint import weights


def run(*words):
    return call("average", [str(word) for word in words])


@pytest.fixture
def pair(tmp_path):
    """The original in OpenAI's form, the fine-tuned in the OST code's."""
    original = weights.save(tmp_path / "clip.pt", weights.flat(weights.ours(1)))
    tuned = weights.save(tmp_path / "best.pth", {"model": weights.ost(weights.ours(2))})
    return original, tuned


def test_help_says_which_side_gets_the_ratio(capsys):
    for words in (["--help"], ["mix", "--help"]):
        with pytest.raises(SystemExit) as caught:
            run(*words)
        assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "weight of ORIGINAL, from 0 to 1; FINETUNED gets the rest" in text
    assert "OST's zero-shot results use 0.2" in text


def test_mix_of_two_foreign_files(tmp_path, pair, capsys):
    out = tmp_path / "made" / "mix.pyth"
    assert run("mix", *pair, "--ratio", 0.2, "-o", out) == 0
    assert "0.2 x" in capsys.readouterr().out
    content = torch.load(out, weights_only=True)
    one, two = weights.ours(1), weights.ours(2)
    for key, value in content["model_state"].items():
        torch.testing.assert_close(value, 0.2 * one[key] + 0.8 * two[key])
    record = content["made_from"]
    assert (record["method"], record["ratio_original"]) == ("mix", 0.2)
    assert [s["sha256"] for s in record["sources"]] == [sha256(path) for path in pair]
    assert [s["kind"] for s in record["sources"]] == ["openai_clip", "ost"]
    assert [s["weight"] for s in record["sources"]] == [0.2, 0.8]
    assert load_weights(weights.Holder(), out).clean


def test_nothing_is_overwritten_without_force(tmp_path, pair, capsys):
    out = tmp_path / "mix.pyth"
    out.write_text("precious")
    assert run("mix", *pair, "--ratio", 0.2, "-o", out) == 2
    assert "exists; choose another name, or overwrite it with --force" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert run("mix", *pair, "--ratio", 0.2, "-o", out, "--force") == 0
    assert run("mix", *pair, "--ratio", 0.2, "-o", pair[0], "--force") == 2
    assert "one of the sources" in capsys.readouterr().err


def test_sweep(tmp_path, pair):
    assert run("sweep", *pair, "--ratios", 0, 0.25, 1, "-o", tmp_path / "mixes") == 0
    files = sorted((tmp_path / "mixes").iterdir())
    assert [file.name for file in files] == ["mix_0.25.pyth", "mix_0.pyth", "mix_1.pyth"]
    for name, seed in (("mix_0.pyth", 2), ("mix_1.pyth", 1)):
        state = torch.load(tmp_path / "mixes" / name, weights_only=True)["model_state"]
        assert all(torch.equal(state[key], value) for key, value in weights.ours(seed).items())
    assert run("sweep", *pair, "--ratios", 0.5, 0.25, "-o", tmp_path / "mixes") == 2
    assert not (tmp_path / "mixes" / "mix_0.5.pyth").exists(), "refused before the first is made"


def test_uniform_over_the_epochs_of_a_run(tmp_path, capsys):
    checkpointer = Checkpointer(tmp_path)
    for epoch in range(1, 6):
        checkpointer.save({"model_state": {"w": torch.tensor([float(epoch)])}}, epoch=epoch)
    checkpointer.save({"model_state": {"w": torch.tensor([99.0])}}, epoch=5, best=True)
    checkpointer.save({"model_state": {"w": torch.tensor([99.0])}}, epoch=5, iteration=3)
    for source in (tmp_path, checkpointer.directory):
        out = tmp_path / f"swa_{source.name}.pth"
        assert run("uniform", source, "--epochs", "2-4", "-o", out) == 0
        content = torch.load(out, weights_only=True)
        assert content["model_state"]["w"].item() == 3.0
        assert content["made_from"]["epochs"] == [2, 3, 4]
    assert "[3/3]" in capsys.readouterr().err
    assert run("uniform", tmp_path, "-o", tmp_path / "all.pth") == 0
    files = [checkpointer.path(1), checkpointer.path(5)]
    assert run("uniform", *files, "-o", tmp_path / "two.pth") == 0
    state = torch.load(tmp_path / "two.pth", weights_only=True)["model_state"]
    assert state["w"].item() == 3.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mix", "{a}", "{b}", "--ratio", "1.2"], "ratio 1.2: expected 0"),
        (["mix", "{a}", "{absent}", "--ratio", "0.2"], "no such file"),
        (["mix", "{a}", "{text}", "--ratio", "0.2"], "not a checkpoint; it looks like text"),
        (["mix", "{a}", "{wide}", "--ratio", "0.2"], "w of source 2 is (3,), before it was (2,)"),
        (["mix", "{a}", "{other}", "--ratio", "0.2"], "only in the original weights: w"),
        (["uniform", "{a}"], "1 files, expected two"),
        (["uniform", "{a}", "{a}"], "named twice"),
        (["uniform", "{a}", "{other}"], "1 keys missing (w)"),
        (["uniform", "{a}", "{b}", "--epochs", "3"], "expected two numbers, such as 2-22"),
        (["uniform", "{a}", "{b}", "--epochs", "1-3"], "no epoch number in the name"),
        (["uniform", "{empty}"], "no files named like checkpoint_epoch_00001.pyth"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(tmp_path, words, message, capsys):
    paths = {name: tmp_path / f"{name}.pth" for name in ("a", "b", "wide", "other", "absent")}
    weights.save(paths["a"], {"w": torch.ones(2)})
    weights.save(paths["b"], {"w": torch.zeros(2)})
    weights.save(paths["wide"], {"w": torch.ones(3)})
    weights.save(paths["other"], {"v": torch.ones(2)})
    paths["text"] = tmp_path / "notes.txt"
    paths["text"].write_text("not weights")
    paths["empty"] = tmp_path / "empty"
    paths["empty"].mkdir()
    assert run(*(word.format(**paths) for word in words), "-o", tmp_path / "out.pth") == 2
    captured = capsys.readouterr().err.splitlines()
    assert message in captured[-1]
    assert captured[-1].startswith("error: ")
    assert not (tmp_path / "out.pth").exists()


def test_jobs_that_share_a_folder_are_not_averaged(tmp_path, capsys):
    for task in ("", "ssl"):
        Checkpointer(tmp_path, task=task).save({"model_state": {"w": torch.ones(1)}}, epoch=1)
    assert run("uniform", tmp_path, "-o", tmp_path / "out.pth") == 2
    assert "several jobs" in capsys.readouterr().err


def test_vifi_clip_needs_a_word_about_its_missing_table(tmp_path, pair, capsys):
    vifi = weights.save(tmp_path / "vifi.pth", {"model": weights.vifi(weights.ours(2))})
    words = ("mix", pair[0], vifi, "--ratio", 0.2, "-o", tmp_path / "out.pth")
    assert run(*words) == 2
    assert "only in the original weights: clip.text.token_embedding" in capsys.readouterr().err
    assert run(*words, "--only-original", "keep") == 0
    assert load_weights(weights.Holder(), tmp_path / "out.pth").clean


def test_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "ost", "average", "mix"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--ratio" in done.stderr
