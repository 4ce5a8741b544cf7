"""The wheel, built from this tree and installed beside nothing of it, used in an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ost.cli import TOOLS
from tests.video_files import write_video

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("slowfast", "ost", "configs", "label_db")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")


def run(words: list[object], folder: Path, **env: str) -> str:
    """Run a command in ``folder``; it must succeed. Returns what it printed."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "RANK")}
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        env={**clean, "OMP_NUM_THREADS": "1", **env},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    # From a copy: what setuptools leaves in a checkout would go into the next wheel.
    tree = tmp_path_factory.mktemp("tree")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, tree)
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run([*words, "--wheel-dir", tree / "dist", tree], tree)
    (path,) = (tree / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    words = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    run([*words, folder, wheel], folder)
    return folder


def test_everything_is_in_it_and_nothing_else(wheel) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = set()
    for name in FOLDERS:
        for path in (ROOT / name).rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                place = "" if name in ("slowfast", "ost") else "slowfast/"
                expected.add(f"{place}{path.relative_to(ROOT).as_posix()}")
    assert found == expected
    assert "slowfast/py.typed" in found


IMPORT_ALL = """
import importlib, slowfast
from ost.cli import TOOLS
tools = [importlib.import_module("ost." + name.replace("-", "_")) for name in TOOLS]
print(*(module.__file__ for module in (slowfast, *tools)), sep="\\n")
"""
TINY = {
    "DATA.PATH_TO_DATA_DIR": ".",
    "DATA.PATH_PREFIX": ".",
    "DATA.TRAIN_FILE": "list.csv",
    "DATA.VAL_FILE": "list.csv",
    "DATA.NUM_FRAMES": "2",
    "DATA_LOADER.NUM_WORKERS": "0",
    "TRAIN.BATCH_SIZE": "2",
    "SOLVER.MAX_EPOCH": "1",
    "SOLVER.WARMUP_EPOCHS": "0.0",
}


def test_all_that_runs_is_installed(site, tmp_path) -> None:
    places = run(["-c", IMPORT_ALL], tmp_path, PYTHONPATH=str(site)).split()
    assert len(places) == len(TOOLS) + 1
    assert all(place.startswith(f"{site}/") for place in places)


def test_it_trains_and_predicts_in_an_empty_folder(site, tmp_path) -> None:
    def ost(*words: str) -> str:
        return run([site / "bin" / "ost", *words], tmp_path, PYTHONPATH=str(site))

    tiny = [word for pair in TINY.items() for word in pair]
    videos = [write_video(tmp_path / f"{i}.mp4", 12) for i in range(4)]
    (tmp_path / "list.csv").write_text("".join(f"{v.name} {i}\n" for i, v in enumerate(videos)))
    ost("train", "--cfg", "demo/ost", "--opts", *tiny, "OUTPUT_DIR", "out")
    weights = "out/checkpoints/checkpoint_epoch_00001.pyth"
    assert (tmp_path / weights).is_file()

    words = ["--cfg", "configs/demo/test_unseen.yaml", "--json", "--topk", "16", "3.mp4"]
    opts = [*tiny, "TEST.CHECKPOINT_FILE_PATH", weights]
    found = json.loads(ost("predict", *words, "--opts", *opts))
    assert found["path"] == "3.mp4"
    assert not found["error"]
    assert len(set(found["labels"])) == 16
    assert sum(found["scores"]) == pytest.approx(1.0, abs=1e-3)
