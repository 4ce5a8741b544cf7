"""What a run prepares and which phases it runs; what scripts see of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import yaml

from slowfast.config import load_cfg
from slowfast.engine import run
from slowfast.errors import UsageError
from slowfast.utils import logging as slog
from tests.engine.tiny import tiny_cfg

ROOT = Path(__file__).parents[2]


@pytest.fixture
def phases(monkeypatch) -> list[str]:
    """Replace training and test by notes of having been called."""
    called: list[str] = []
    for name in ("train", "test"):
        module = types.ModuleType(f"slowfast.engine.{name}")

        def phase(cfg, name=name):
            called.append(name)
            slog.get_logger("x").info(f"in {name}")
            return {"seed": cfg.RNG_SEED}

        setattr(module, name, phase)
        monkeypatch.setitem(sys.modules, f"slowfast.engine.{name}", module)
    yield called
    slog.reset_logging()


def make_cfg(folder: Path, *opts: str):
    words = ["NUM_GPUS", "0", "OUTPUT_DIR", str(folder), "RNG_SEED", "7", *opts]
    return load_cfg([], words, env={})


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [(True, True, ["train", "test"]), (False, True, ["test"]), (True, False, ["train"])],
)
def test_the_enabled_phases_run_in_order(tmp_path, phases, train, test, expected) -> None:
    cfg = make_cfg(tmp_path, "TRAIN.ENABLE", str(train), "TEST.ENABLE", str(test))
    assert run.run(cfg) == {name: {"seed": 7} for name in expected}
    assert phases == expected


def test_nothing_to_do_is_said(tmp_path, phases, caplog) -> None:
    cfg = make_cfg(tmp_path, "TRAIN.ENABLE", "False", "TEST.ENABLE", "False")
    assert run.run(cfg) == {}
    assert "nothing to do: TRAIN.ENABLE and TEST.ENABLE are both False" in caplog.text


def test_the_folder_describes_the_run(tmp_path, phases) -> None:
    folder = tmp_path / "deep" / "out"
    cfg = make_cfg(folder)
    run.run(cfg)
    assert yaml.safe_load((folder / "config.yaml").read_text())["RNG_SEED"] == 7
    difference = yaml.safe_load((folder / "config.diff.yaml").read_text())
    assert (difference["NUM_GPUS"], difference["RNG_SEED"]) == (0, 7)
    assert len(difference) <= 4, "only what was set, and what follows from it"
    assert json.loads((folder / "env.json").read_text())["machine"]["host"]
    log = (folder / "stdout.log").read_text()
    assert log.count("in train") == 1


def test_the_saved_config_is_a_config(tmp_path, phases) -> None:
    cfg = make_cfg(tmp_path)
    run.run(cfg)
    again = load_cfg([tmp_path / "config.yaml"], env={})
    assert again.dump() == cfg.dump()
    short = load_cfg([tmp_path / "config.diff.yaml"], env={})
    assert short.dump() == cfg.dump()


def test_an_output_folder_that_cannot_be_made_is_one_line(tmp_path, phases) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"OUTPUT_DIR .*file.*: cannot be written to"):
        run.run(make_cfg(tmp_path / "file" / "out"))


def run_net(*words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "tools/run_net.py", *words],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_missing_gpus_end_with_code_2_and_one_line(tmp_path) -> None:
    config = tmp_path / "x.yaml"
    config.write_text(
        "NUM_GPUS: 64\nTRAIN: {BATCH_SIZE: 64, DATASET: mine}\n"
        "TEST: {BATCH_SIZE: 64, DATASET: mine}\n"
    )
    done = run_net("--cfg", str(config), "--opts", "OUTPUT_DIR", str(tmp_path / "out"))
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: NUM_GPUS is 64, but this machine has")


@pytest.mark.parametrize("option", ["TRAIN.CHECKPOINT_TYPE", "TEST.CHECKPOINT_TYPE"])
def test_an_unknown_type_of_checkpoint_is_refused_before_anything_starts(tmp_path, option):
    with pytest.raises(UsageError, match=f"{option} 'xclip': choose auto or one of .*slowfast"):
        run.run(tiny_cfg(tmp_path, option, "xclip"))
    assert not (tmp_path / "checkpoints").exists()
