"""What a run shows on a terminal: a real one, in a terminal of its own."""

from __future__ import annotations

import os
import pty
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(folder: Path, *words: str) -> tuple[int, str]:
    """Return the exit code of a command and all that it wrote to its terminal."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        # the variable COLUMNS: no line is wrapped by the display
        env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "400", "TERM": "xterm"}
        os.execve(sys.executable, [sys.executable, *words], env)
    found = b""
    try:
        while part := os.read(terminal, 65536):
            found += part
    except OSError:  # the child has closed it
        pass
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), found.decode()


def screen(text: str) -> list[str]:
    """Return the lines that stay, as a terminal shows them: a line that is erased does not."""
    rows: list[str] = [""]
    for part in re.split(r"(\r?\n|\x1b\[1A|\x1b\[2K)", text):
        if part.endswith("\n"):
            rows.append("")
        elif part == "\x1b[1A":
            rows.pop()
        elif part == "\x1b[2K":
            rows[-1] = ""
        else:
            rows[-1] += CONTROL.sub("", part)
    return [row.strip() for row in rows if row.strip()]


@pytest.fixture(scope="module")
def run(demo_data, tmp_path_factory) -> tuple[Path, list[str], str]:
    """Train OST for two epochs on eight videos and test it; returns folder, screen and raw text."""
    folder = tmp_path_factory.mktemp("console")
    for split, listed in (("train", "train"), ("val", "test_seen"), ("test", "test_seen")):
        lines = (demo_data / f"{listed}.csv").read_text().splitlines()[:8]
        (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")
    options = {
        "DATA.PATH_TO_DATA_DIR": str(folder),
        "DATA.PATH_PREFIX": str(demo_data),
        **{f"DATA.{split.upper()}_FILE": f"{split}.csv" for split in ("train", "val", "test")},
        "DATA.NUM_FRAMES": "2",
        "DATA_LOADER.NUM_WORKERS": "1",
        "TRAIN.BATCH_SIZE": "4",
        "TRAIN.EVAL_PERIOD": "1",
        "SOLVER.MAX_EPOCH": "2",
        "SOLVER.WARMUP_EPOCHS": "0.0",
        "TEST.ENABLE": "True",
        "LOG_MODEL_INFO": "True",
        "LOG_PERIOD": "1",
        "OUTPUT_DIR": "out",
    }
    config = str(ROOT / "configs/demo/ost.yaml")
    words = ["-m", "ost", "run", "--cfg", config, "--opts"]
    code, text = on_a_terminal(folder, *words, *(word for pair in options.items() for word in pair))
    assert code == 0, text
    return folder, screen(text), text


def test_two_epochs_take_at_most_25_lines(run) -> None:
    _, lines, text = run
    assert len(lines) <= 25, "\n".join(lines)
    assert "epoch 1/2 ━" in CONTROL.sub("", text), "the live line was there, and has gone"
    assert not any("━" in line for line in lines)


def test_it_begins_with_data_model_schedule_device_and_output(run) -> None:
    folder, lines, _ = run
    assert [line.split(":")[0] for line in lines[:5]] == [
        *("data", "model", "schedule", "device", "output")
    ]
    data, model, schedule, device, output = (line.partition(":")[2] for line in lines[:5])
    assert f"train {folder}/train.csv (8 videos), val {folder}/val.csv (8 videos)" in data
    assert "64 classes of label_db/demo_actions/seen.txt" in data
    assert "OST, encoder FrameWise, head OSTHead" in model
    assert "weights random, 1.06 of 7.39 million parameters trained" in model
    assert "2 epochs, adamw, rate 0.001 cosine; effective batch 4" in schedule
    assert device.strip() == "cpu, 1 process, float32"
    assert output.split()[0] == "out"


def test_every_epoch_has_its_lines(run) -> None:
    lines = run[1][5:9]
    found = [re.match(r"epoch (\d/2): (loss|validation top-1) ", line) for line in lines]
    assert [match and match.groups() for match in found] == [
        (epoch, what) for epoch in ("1/2", "2/2") for what in ("loss", "validation top-1")
    ]


def test_it_ends_with_figures_files_and_the_next_command(run) -> None:
    folder, lines, _ = run
    assert re.match(r"tested 8 of 8 videos, 2x1x1 views: top-1 [\d.]+, top-5 [\d.]+", lines[-5])
    assert lines[-4].startswith("worst classes: ")
    assert lines[-3].startswith("most confused: ")
    where, _, files = lines[-2].partition(": ")
    assert where == "written to out"
    assert {"results.json", "per_class.txt", "confusion_matrix.csv"} <= set(files.split(", "))
    assert all((folder / "out" / name).is_file() for name in files.split(", "))
    assert lines[-1] == "next: ost summarize out"


def test_what_scripts_look_for_is_in_the_file_alone(run) -> None:
    folder, lines, _ = run
    log = (folder / "out" / "stdout.log").read_text()
    for text in ("json_stats: ", '"_type": "val_epoch"', "Model:\n", "_p7.39_f0.01_1a", "Warning"):
        assert text in log
        assert not any(text.strip() in line for line in lines)
