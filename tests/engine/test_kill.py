"""Real signals to a real process: stop, save, leave with the right code, and go on bit-exactly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slowfast.engine.train import train
from tests.engine.tiny import assert_same_training, last_state, tiny_cfg

ROOT = Path(__file__).resolve().parents[2]
SLOW = """
import time
import torch
from tests.engine.tiny import TinyNet

class SlowNet(TinyNet):
    def forward(self, x):
        time.sleep(0.05)
        return super().forward(x)

from slowfast.models.build import MODEL_REGISTRY
if "SlowNet" not in MODEL_REGISTRY:
    MODEL_REGISTRY.register(SlowNet)
"""
OPTIONS = ("SOLVER.MAX_EPOCH", 3, "DATA_LOADER.NUM_WORKERS", 1)


@pytest.fixture
def command(tmp_path):
    """Return the words of a run in ``tmp_path/broken`` on a model that takes its time."""
    (tmp_path / "slow.py").write_text(SLOW)
    cfg = tiny_cfg(tmp_path / "broken", *OPTIONS, "TEST.ENABLE", False)
    text = cfg.dump().replace("MODEL_NAME: TinyNet", "MODEL_NAME: SlowNet")
    (tmp_path / "run.yaml").write_text(text)
    return [
        sys.executable,
        "tools/run_net.py",
        "--cfg",
        str(tmp_path / "run.yaml"),
        "--extension",
        str(tmp_path / "slow.py"),
    ]


def start(command):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(path, text, process, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and text in path.read_text():
            return
        time.sleep(0.01)
    process.kill()
    pytest.fail(f"{text!r} did not come: {process.communicate()}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 130), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
def test_stop_a_run_and_give_the_same_command_again(tmp_path, command, number, code):
    process = start(command)
    wait_for(tmp_path / "broken" / "json_stats.log", '"train_epoch"', process)
    os.killpg(process.pid, number)  # as a terminal and a queue do: loading processes get it too
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    if code == 130:
        assert errors.startswith("error: interrupted by SIG")
        assert "saved " in errors
        assert len(errors.splitlines()) == 1
    again = start(command)
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    train(tiny_cfg(tmp_path / "unbroken", *OPTIONS))
    assert_same_training(last_state(tmp_path / "broken"), last_state(tmp_path / "unbroken"))
