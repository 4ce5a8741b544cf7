"""docs/add_a_method.md by the letter: its files are written down and its commands run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "add_a_method.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What makes the demo's data and schedule as small as can be; appended to every command.
SMALL = (
    *("SOLVER.MAX_EPOCH", "1", "SOLVER.WARMUP_EPOCHS", "0.0", "DATA.NUM_FRAMES", "2"),
    *("DATA_LOADER.NUM_WORKERS", "0", "LOG_MODEL_INFO", "False", "TRAIN.BATCH_SIZE", "16"),
)
# All commands in one process, each as ``ost run`` runs it, and what they leave to look at.
DRIVER = """
import json, sys
import torch
from ost.run import main
from slowfast.errors import UsageError

def foreign(path):
    state = torch.load("runs/video_prompts/checkpoints/checkpoint_epoch_00001.pyth")["model_state"]
    names = {"clip.": "backbone.", "encoder.queries": "context_queries",
             "head.project.": "prompter."}
    renamed = {}
    for key, value in state.items():
        old = next(old for old in names if key.startswith(old))
        renamed["module." + names[old] + key[len(old):]] = value
    renamed["module.average.backbone.logit_scale"] = torch.ones(())
    torch.save({"state_dict": renamed, "epoch": 3}, path)

commands, pair = json.loads(sys.argv[1])
for words in commands:
    if "released.pth" in words:
        foreign("released.pth")
    assert main(words) == 0, words

from slowfast.config import load_cfg
from slowfast.models import build_model
from slowfast.solver.optimizer import construct_optimizer
cfg = load_cfg("video_prompts.yaml", pair)
model = build_model(cfg)
groups = construct_optimizer(model, cfg).param_groups
rates = {name: group["lr_scale"] for group in groups for name in group["param_names"]}
video = torch.randn(3, 3, 2, 32, 32)
with torch.no_grad():
    together = model.eval()(video).logits
    alone = torch.cat([model(video[i:i + 1]).logits for i in range(3)])
texts = model.head.encode_texts(model.clip.text, model(video).extras["context_BCD"])
try:
    build_model(load_cfg("video_prompts.yaml", [*pair, "MODEL.ENCODER", "FrameWise"]))
except UsageError as error:
    refused = str(error)
print("FOUND", json.dumps({
    "rates": {name: rates[name] for name in ("encoder.queries", "head.project.weight",
                                              "clip.visual.proj")},
    "difference": float((together - alone).abs().max()),
    "conditioned": float((texts[0] - texts[1]).norm()),
    "refused": refused,
}))
"""


def blocks(language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(PAGE) if found == language]


def commands() -> list[list[str]]:
    """Return the words behind ``python tools/run_net.py`` of every command line of the page."""
    lines = [line for text in blocks("bash") for line in text.splitlines()]
    assert all(line.startswith("python tools/run_net.py ") for line in lines)
    return [shlex.split(line)[2:] for line in lines]


@pytest.fixture(scope="module")
def done(tmp_path_factory, demo_data):
    """Return the folder in which all of the page was run, and what the driver saw."""
    folder = tmp_path_factory.mktemp("method")
    (folder / "data").symlink_to(demo_data)
    few = (folder / "data" / "train.csv").read_text().splitlines()[:16]
    (folder / "few.csv").write_text("\n".join(few))
    for text in (*blocks("python"), *blocks("yaml")):
        name = re.match(r"# file: (\S+)\n", text)
        assert name, f"a block without a file's name: {text[:60]!r}"
        (folder / name[1]).write_text(text)
    small = [
        *SMALL,
        "DATA.TRAIN_FILE",
        str(folder / "few.csv"),
        "DATA.PATH_TO_DATA_DIR",
        "data",
        "DATA.PATH_PREFIX",
        "data",
    ]
    words = [[*line, *([] if "--opts" in line else ["--opts"]), *small] for line in commands()]
    driver = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps([words, small])],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert driver.returncode == 0, driver.stdout[-2000:] + driver.stderr[-3000:]
    marked = [line for line in driver.stdout.splitlines() if line.startswith("FOUND ")]
    return folder, json.loads(marked[-1].removeprefix("FOUND "))


def results(folder: Path, name: str) -> dict:
    return json.loads((folder / "runs" / name / "results.json").read_text())


def test_it_trains_and_is_tested_on_other_classes(done) -> None:
    folder, _ = done
    found = results(folder, "video_prompts")
    assert (found["num_videos_scored"], found["num_videos_listed"]) == (16, 16)
    assert len(found["per_class"]) == 16
    path = folder / "runs" / "video_prompts" / "checkpoints" / "checkpoint_epoch_00001.pyth"
    state = torch.load(path, weights_only=True)["model_state"]
    own = {key for key in state if not key.startswith("clip.")}
    assert own == {"encoder.queries", "head.project.weight", "head.project.bias"}


def test_the_authors_file_gives_the_same_figures(done) -> None:
    folder, _ = done
    foreign, own = results(folder, "foreign"), results(folder, "video_prompts")
    assert foreign["weights"] == "released.pth"
    assert (foreign["top1"], foreign["per_class"]) == (own["top1"], own["per_class"])
    log = (folder / "runs" / "foreign" / "stdout.log").read_text()
    assert "video_prompts weights of released.pth" in log
    assert "1 dropped" in log


def test_new_parameters_learn_ten_times_as_fast(done) -> None:
    assert done[1]["rates"] == {
        "encoder.queries": 10.0,
        "head.project.weight": 10.0,
        "clip.visual.proj": 1.0,
    }


def test_scores_belong_to_a_video_although_texts_do_too(done) -> None:
    assert done[1]["conditioned"] > 1e-3
    assert done[1]["difference"] < 1e-4


def test_the_head_over_another_encoder_is_refused_in_its_own_words(done) -> None:
    refused = done[1]["refused"]
    assert "VideoPromptHead needs ['context_BCD']" in refused
    assert "the prompt of a class depends on the video" in refused
    assert "other encoders that do: ContextEncoder" in refused


@pytest.mark.parametrize("name", ["other_head", "mixed"])
def test_other_pairs_are_trained(done, name) -> None:
    stats = (done[0] / "runs" / name / "json_stats.log").read_text()
    assert '"_type": "train_epoch"' in stats
    assert "loss_video_to_text" in stats


def test_results_of_other_parts_are_told_apart(done) -> None:
    own, small = results(done[0], "video_prompts"), results(done[0], "small")
    assert (own["encoder"], own["head"]) == ("ContextEncoder", "VideoPromptHead")
    assert own["options"]["VIDEO_PROMPTS.TOKENS"] == 4
    assert own["variant"] == []
    assert small["variant"] == ["head BestTemplateHead", "loss FocalLoss"]
    assert (small["optimizer"], small["options"]["SOLVER.BASE_LR"] > 0) == ("nadamw", True)


def test_the_small_parts_are_trained_and_tested(done) -> None:
    small = results(done[0], "small")
    assert (small["num_videos_scored"], small["num_videos_listed"]) == (16, 16)
    stats = (done[0] / "runs" / "small" / "json_stats.log").read_text()
    assert "loss_FocalLoss" in stats
    assert "loss_0" in stats


def test_the_page_names_files_that_exist() -> None:
    for path in re.findall(r"`((?:slowfast|tests|docs|tools)/[\w/.]+\.\w+)`", PAGE):
        assert (ROOT / path).is_file(), path
