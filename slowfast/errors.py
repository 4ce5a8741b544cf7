"""The errors that end a run with one clear line, and the exit code that belongs to each."""

from __future__ import annotations

from typing import ClassVar


class SlowFastError(Exception):
    """A failure that is shown to the user as one line instead of a traceback.

    The message names the file, key or class, what was expected, what was found and what to do.
    """

    exit_code: ClassVar[int] = 1


class UsageError(SlowFastError, ValueError):
    """Wrong usage, configuration, text or weights: nothing was started (exit code 2)."""

    exit_code = 2


class DataError(SlowFastError, ValueError):
    """Missing, empty or broken data (exit code 3)."""

    exit_code = 3


class DecodeError(DataError):
    """One video could not be read.

    Args:
        path: the file as listed.
        reason: what the decoder said, in one line.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class SinkhornError(SlowFastError):
    """Transport costs are NaN or infinite; ``pairs`` are the flat indices, of ``total``."""

    def __init__(self, pairs: list[int], total: int) -> None:
        super().__init__(pairs, total)
        self.pairs, self.total = pairs, total

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.pairs[:8])) + (", ..." if len(self.pairs) > 8 else "")
        return (
            f"transport costs are NaN or infinite for {len(self.pairs)} of {self.total} pairs "
            f"(flat indices {shown}): look at the features of these videos and classes"
        )


class Interrupted(SlowFastError):
    """The run was asked to stop (SIGINT or SIGTERM) and has saved its state (exit code 130)."""

    exit_code = 130
