"""Test what a config says, without its training."""

from __future__ import annotations

from collections.abc import Sequence

from ost import run


def main(argv: Sequence[str]) -> int:
    """Test every config of the command line and return the exit code."""
    return run.main(argv, name="test", opts=["TRAIN.ENABLE", "False"])
