"""Train what a config says, without its test."""

from __future__ import annotations

from collections.abc import Sequence

from ost import run


def main(argv: Sequence[str]) -> int:
    """Train every config of the command line and return the exit code."""
    return run.main(argv, name="train", opts=["TEST.ENABLE", "False"])
