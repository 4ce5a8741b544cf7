"""start: how long the command line takes to answer --help."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from ost.benchmarks.core import Report, Settings, race

ROOT = Path(__file__).resolve().parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There is nothing to choose."""


def _run(*words: str) -> None:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    subprocess.run(
        [sys.executable, *words],
        check=True,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": paths},
    )


def run(args: argparse.Namespace, settings: Settings) -> Report:
    """Measure fresh processes."""
    report = Report("start", {"repeats": settings.repeats})
    calls = {
        "ost run --help": lambda: _run("-m", "ost", "run", "--help"),
        "python, nothing else": lambda: _run("-c", "pass"),
        "python, import torch": lambda: _run("-c", "import torch"),
    }
    report.add("a fresh process", race(calls, settings))
    report.notes.append(f"goal: < 1 s; found {report.rows[0].seconds:.2f} s")
    return report
