"""Loggers of this project: one file per run, one console per machine, statistics as JSON lines.

The file ``stdout.log`` gets every line. The console gets what a person follows a run by: what is
``say``-ed, warnings, and whatever code outside this package logs. Python's own warnings, which are
those of libraries, go to the file alone while a run has one. The root logger, other libraries'
loggers and the built-in ``print`` stay as they are.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import simplejson

from slowfast.errors import UsageError
from slowfast.utils import distributed as du

ROOT = "slowfast"
PACKAGE = str(Path(__file__).resolve().parents[1])
LINE = "[%(asctime)s][%(levelname)s] %(filename)s: %(lineno)4d: %(message)s"
WARNINGS = "py.warnings"  # where the standard library sends them
DATE = "%m/%d %H:%M:%S"
SIX_DIGITS = ("lr", "loss", "grad_norm")
_writer: Callable[[str], None] | None = None


def get_logger(name: str = ROOT) -> logging.Logger:
    """Return the logger ``name``, below the project's own so that its lines reach our handlers.

    >>> get_logger("my_extension").name
    'slowfast.my_extension'
    """
    inside = name == ROOT or name.startswith(ROOT + ".")
    return logging.getLogger(name if inside else f"{ROOT}.{name}")


def say(line: str) -> None:
    """Log a line that the console shows too; all else of this package is in the file alone."""
    logging.getLogger(ROOT).info(line, extra={"shown": True}, stacklevel=2)


def redirect_console(writer: Callable[[str], None] | None) -> None:
    """Send console lines through ``writer`` (a live display that must not be broken) or, with None,
    to standard output again."""
    global _writer
    _writer = writer


class ConsoleHandler(logging.Handler):
    """Write lines to the standard output of the moment, or above a live progress line.

    An attribute ``shown`` of a record says whether it belongs here; by default warnings do, and
    lines of code that is not this package's.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the console shows a record."""
        foreign = not record.pathname.startswith(PACKAGE)
        shown = getattr(record, "shown", foreign or record.levelno >= logging.WARNING)
        return bool(shown) and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record: its text, behind its level if that is a warning's or above."""
        line = self.format(record)
        if record.levelno >= logging.WARNING:
            line = f"{record.levelname.lower()}: {line}"
        if _writer is not None:
            _writer(line)
        else:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def reset_logging() -> None:
    """Close and remove the handlers that ``setup_logging`` added."""
    logging.captureWarnings(False)
    for name in (ROOT, WARNINGS):
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()


def setup_logging(output_dir: str | Path = "", rank: int | None = None) -> None:
    """Give the project's logger its handlers; calling it again replaces them.

    Args:
        output_dir: folder in which rank 0 appends to ``stdout.log``; empty for no file.
        rank: this process's global rank; taken from the process group when None. Processes that
            are not the first of their machine stay silent.

    Raises UsageError when the folder cannot be made or written to.
    """
    reset_logging()
    rank = du.get_rank() if rank is None else rank
    logger = logging.getLogger(ROOT)
    logger.setLevel(logging.INFO)
    file = _log_file(Path(output_dir)) if rank == 0 and output_dir else logging.NullHandler()
    file.setFormatter(logging.Formatter(LINE, datefmt=DATE))
    logger.addHandler(file)
    if rank == 0 or (du.is_initialized() and du.get_local_rank() == 0):
        logger.addHandler(ConsoleHandler())
    if output_dir:
        logging.captureWarnings(True)
        logging.getLogger(WARNINGS).addHandler(file)


def _log_file(folder: Path) -> logging.Handler:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return logging.FileHandler(folder / "stdout.log", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"OUTPUT_DIR {folder}: cannot be written to ({error.strerror}); name another folder"
        ) from error


def _plain(key: str, value: Any) -> Any:
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    # 5 decimals, as PySlowFast's readers expect, print a CLIP learning rate of 3.33e-6 as 0.
    text = f"{Decimal(f'{value:.5e}'):f}" if key.startswith(SIX_DIGITS) else f"{value:.5f}"
    return simplejson.RawJSON(text)  # never with an exponent


def format_json_stats(stats: Mapping[str, Any]) -> str:
    """Return ``stats`` as PySlowFast's line: sorted keys, floats as plain numbers.

    Floats have 5 decimals, losses, learning rates and gradient norms 6 significant digits; NaN and
    infinity become null, because JSON has no number for them.

    >>> format_json_stats({"lr": 3.33e-6, "epoch": "1/2", "dt": 0.25})
    'json_stats: {"dt": 0.25000, "epoch": "1/2", "lr": 0.00000333000}'
    """
    plain = {key: _plain(key, value) for key, value in stats.items()}
    return "json_stats: " + simplejson.dumps(plain, sort_keys=True)


def log_json_stats(stats: Mapping[str, Any], output_dir: str | Path = "") -> None:
    """Log ``stats`` as one statistics line and, on rank 0, append it to ``json_stats.log``."""
    line = format_json_stats(stats)
    get_logger(__name__).info(line)
    if output_dir and du.is_root_proc():
        with Path(output_dir, "json_stats.log").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
