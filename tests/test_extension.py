"""An unchanged extension file: trained, resumed and tested by the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[1]
EXTENSION = Path(__file__).with_name("extension_example.py")

CONFIG = f"""
EXTENSIONS: [{EXTENSION}]
NUM_GPUS: 0
LOG_PERIOD: 2
MODEL: {{MODEL_NAME: TwoLineNet, HEAD_NAME: PooledHead, NUM_CLASSES: 3, LOSS_FUNC: cross_entropy}}
DATA: {{NUM_FRAMES: 2, TRAIN_CROP_SIZE: 8, TEST_CROP_SIZE: 8}}
DATA_LOADER: {{NUM_WORKERS: 0}}
SOLVER: {{BASE_LR: 0.1, MAX_EPOCH: 1, WARMUP_EPOCHS: 0.0, OPTIMIZING_METHOD: adamw}}
TRAIN: {{DATASET: colors, BATCH_SIZE: 4, EVAL_PERIOD: 1, CHECKPOINT_PERIOD: 1}}
TEST: {{DATASET: Colors, BATCH_SIZE: 5, NUM_ENSEMBLE_VIEWS: 3, NUM_SPATIAL_CROPS: 3}}
RESNET: {{DEPTH: 50}}
SLOWFAST: {{ALPHA: 8}}
MVIT: {{DEPTH: 16}}
"""


def run_net(folder: Path, *opts: str) -> str:
    """Run tools/run_net.py with the config and return what it printed; it must succeed."""
    config = folder / "extension.yaml"
    config.write_text(CONFIG)
    command = [sys.executable, "tools/run_net.py", "--cfg", str(config), "--opts"]
    command += ["OUTPUT_DIR", str(folder / "out"), *opts]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def statistics(folder: Path) -> list[dict[str, Any]]:
    """Parse the statistics lines as people's scripts do: take all that follows ``json_stats: ``."""
    lines = (folder / "out" / "stdout.log").read_text().splitlines()
    marked = [line.split("json_stats: ", 1)[1] for line in lines if "json_stats: " in line]
    return [json.loads(text) for text in marked]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One epoch, then the same command for a second one, which continues; then the test."""
    folder = tmp_path_factory.mktemp("extension")
    run_net(folder, "TEST.ENABLE", "False")
    run_net(folder, "SOLVER.MAX_EPOCH", "2")
    return folder


def test_it_resumes_and_learns(trained: Path) -> None:
    epochs = [s["epoch"] for s in statistics(trained) if s.get("_type") == "train_epoch"]
    assert epochs == ["1/1", "2/2"]
    last = [s for s in statistics(trained) if s.get("_type") == "val_epoch"][-1]
    assert last["top1_err"] < 50.0


def test_its_log_is_what_scripts_of_upstream_expect(trained: Path) -> None:
    kinds = {s.get("_type") or s["split"] for s in statistics(trained)}
    assert {"train_iter_", "train_epoch", "val_epoch", "test_iter", "test_final"} <= kinds
    first = next(s for s in statistics(trained) if s.get("_type") == "train_iter_")
    assert (first["epoch"], first["iter"]) == ("1/1", "2/15")
    assert isinstance(first["top1_err"], float | int)


def test_its_checkpoint_is_what_scripts_of_upstream_expect(trained: Path) -> None:
    files = sorted(p.name for p in (trained / "out" / "checkpoints").iterdir())
    assert {"checkpoint_epoch_00001.pyth", "checkpoint_epoch_00002.pyth"} <= set(files)
    path = trained / "out" / "checkpoints" / "checkpoint_epoch_00002.pyth"
    state = torch.load(path, map_location="cpu", weights_only=True)
    assert state["epoch"] == 1
    assert {"stem.weight", "head.projection.weight"} <= set(state["model_state"])
    assert "param_groups" in state["optimizer_state"]
    assert "MODEL_NAME: TwoLineNet" in state["cfg"]


def test_every_video_is_scored_once_with_nine_views(trained: Path) -> None:
    result = json.loads((trained / "out" / "results.json").read_text())
    assert (result["num_videos_scored"], result["num_videos_listed"]) == (7, 7)
    assert result["num_views"] == 9
    assert result["top1"] > 60.0
    rows = (trained / "out" / "predictions.jsonl").read_text().splitlines()
    assert [json.loads(row)["label"] for row in rows] == [0, 1, 2, 0, 1, 2, 0]


def test_its_folder_says_what_ran(trained: Path) -> None:
    out = trained / "out"
    difference = (out / "config.diff.yaml").read_text()
    assert "MODEL_NAME: TwoLineNet" in difference
    assert "RNG_SEED" not in difference
    assert "RNG_SEED" in (out / "config.yaml").read_text()
    assert json.loads((out / "env.json").read_text())["versions"]["torch"]


def test_two_processes_give_the_same_table(trained: Path) -> None:
    """torchrun with CPU ranks, for a number of videos that no two divide."""
    folder = trained / "two"
    config = trained / "extension.yaml"
    weights = trained / "out" / "checkpoints" / "checkpoint_epoch_00002.pyth"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["tools/run_net.py", "--cfg", str(config), "--opts", "OUTPUT_DIR", str(folder)]
    command += ["TRAIN.ENABLE", "False", "TEST.CHECKPOINT_FILE_PATH", str(weights)]
    command += ["DIST_BACKEND", "gloo"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    one, two = (
        [json.loads(row) for row in (path / "predictions.jsonl").read_text().splitlines()]
        for path in (trained / "out", folder)
    )
    assert [row["top"] for row in two] == [row["top"] for row in one]
    for mine, other in zip(two, one):
        assert mine["scores"] == pytest.approx(other["scores"], abs=1e-5)
