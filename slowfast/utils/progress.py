"""A live line that says how far an epoch or a test is, how fast, and how long it will take."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from slowfast.errors import UsageError
from slowfast.utils.logging import redirect_console, say

MODES = ("auto", "rich", "plain", "none")


class ProgressLine(Protocol):
    """What a loop sees of the display."""

    def advance(self, videos: int, **fields: float) -> None:
        """Count one step with ``videos`` videos; ``fields`` are numbers to show, such as loss."""


def describe(fields: dict[str, float]) -> str:
    """Return numbers as short text.

    >>> describe({"loss": 1.23456, "top1_err": 50.0})
    'loss 1.235  top1_err 50'
    """
    return "  ".join(f"{name} {value:.4g}" for name, value in fields.items())


class _Silent:
    """No display at all."""

    def advance(self, videos: int, **fields: float) -> None:
        """Do nothing."""


class _Plain:
    """One ordinary log line every ``period`` steps and at the end."""

    def __init__(self, total: int, title: str, period: int, start: int) -> None:
        self.total, self.title, self.period = total, title, max(1, period)
        self.step, self.first, self.videos = start, start, 0
        self.began = time.perf_counter()

    def advance(self, videos: int, **fields: float) -> None:
        """Count one step and write a line when one is due."""
        self.step += 1
        self.videos += videos
        if self.step % self.period and self.step != self.total:
            return
        spent = max(time.perf_counter() - self.began, 1e-9)
        left = spent / (self.step - self.first) * (self.total - self.step)
        say(
            f"{self.title}: {self.step}/{self.total}  {self.videos / spent:.1f} videos/s  "
            f"{timedelta(seconds=round(left))} left  {describe(fields)}".rstrip()
        )


class _Live:
    """A line on a terminal that is redrawn in place, and gone at the end."""

    def __init__(self, progress: Progress, total: int, title: str, start: int) -> None:
        self.progress, self.videos = progress, 0
        self.task = progress.add_task(
            title, total=total, completed=start, rate="- videos/s", numbers=""
        )

    def advance(self, videos: int, **fields: float) -> None:
        """Count one step and show its numbers."""
        self.videos += videos
        spent = self.progress.tasks[0].elapsed or 1e-9
        rate, numbers = f"{self.videos / spent:.1f} videos/s", describe(fields)
        self.progress.update(self.task, advance=1, rate=rate, numbers=numbers)


def resolve_mode(mode: str, *, terminal: bool) -> str:
    """Return the display to use: "auto" is rich on a terminal and plain elsewhere.

    Raises UsageError for a mode that does not exist.
    """
    if mode not in MODES:
        raise UsageError(f"LOG.PROGRESS {mode!r}: expected one of {', '.join(MODES)}")
    if mode == "auto":
        return "rich" if terminal else "plain"
    return mode


@contextmanager
def progress_line(
    mode: str, total: int, title: str, *, log_period: int = 10, start: int = 0
) -> Iterator[ProgressLine]:
    """Show the progress of ``total`` steps while the block runs.

    Args:
        mode: LOG.PROGRESS: "auto", "rich", "plain" or "none" (for all ranks but the first).
        total: steps in all.
        title: what is being done, such as "train 3/20".
        log_period: steps between two lines of the plain form.
        start: steps that were done before (a resumed epoch).

    Log lines that are written meanwhile appear above a live line and do not break it.
    """
    kind = resolve_mode(mode, terminal=sys.stdout.isatty())
    if kind != "rich":
        yield _Silent() if kind == "none" else _Plain(total, title, log_period, start)
        return
    with _live_progress() as progress:
        yield _Live(progress, total, title, start)


@contextmanager
def _live_progress() -> Iterator[Progress]:
    console = Console(file=sys.stdout)

    def write(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    columns: tuple[Any, ...] = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[numbers]}"),
    )
    with Progress(*columns, console=console, redirect_stdout=False, transient=True) as progress:
        redirect_console(write)
        try:
            yield progress
        finally:
            redirect_console(None)
