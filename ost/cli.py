"""The command ``ost``: finds the tool that is asked for, and ends its mistakes in one line.

A tool is a module of this package with ``main(argv) -> exit code``. It is imported when it is asked
for, so that the list of all tools needs nothing but the standard library.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from slowfast import __version__
from slowfast.errors import SlowFastError, UsageError

GROUPS = {
    "Models": {
        "run": "train and test what a config says",
        "train": "train what a config says, without its test",
        "test": "test what a config says, without its training",
        "predict": "label video files with any class names",
        "config": "show a composed config and where each value was set",
    },
    "Data": {
        "prepare": "make the lists of a data set from its annotations and videos",
        "check": "find the videos of a list that are missing or broken",
        "sampling": "show which frames of a video every view takes",
        "label-db": "prove that class lists and descriptors are whole",
        "demo-data": "write the demo's data set of drawn actions",
        "miniature": "write miniatures of the benchmark data sets",
    },
    "Weights": {
        "average": "average weights: with the original CLIP's, or over epochs",
        "convert": "turn weights of any known system into ours, and back",
        "classifier": "make constant classifier rows from videos or class names",
    },
    "Studies": {
        "demo": "train OST on drawn actions, test it on unseen ones",
        "matrix": "train and test every encoder with every head",
        "protocol": "run a whole protocol of the papers",
        "submit": "put a protocol into a cluster's queue",
        "summarize": "gather results into tables, beside published figures",
        "benchmark": "measure speed against baselines of the same run",
    },
}
TOOLS = [name for group in GROUPS.values() for name in group]
INTERRUPTED = 130
NO_READER = 141  # as the shell reports a program that SIGPIPE ended


def help_text() -> str:
    """Return the list of all tools."""
    lines = ["usage: ost TOOL ...     ost TOOL --help     ost --version"]
    for title, group in GROUPS.items():
        lines += [f"{title}:", *(f"  {name:<11} {what}" for name, what in group.items())]
    lines.append("Exit codes: 0 done, 1 failed, 2 wrong usage, 3 data problem, 130 interrupted.")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool that the first word names and return its exit code.

    A mistake that the user can mend is one line on the error stream; any other exception is raised,
    so that its traceback is seen and Python exits with 1.

    Args:
        argv: words after the program's name (default: the process's).
    """
    name, *words = (sys.argv[1:] if argv is None else list(argv)) or [""]
    if name in ("-h", "--help"):
        sys.stdout.write(help_text())
        return 0
    if name == "--version":
        sys.stdout.write(f"ost {__version__}\n")
        return 0
    if name not in TOOLS:
        return _refuse(name)
    return call(name, words)


def call(name: str, words: Sequence[str]) -> int:
    """Run the tool ``name`` with the words behind it and return its exit code; see ``main``."""
    try:
        code: int = importlib.import_module(f"ost.{name.replace('-', '_')}").main(words)
        sys.stdout.flush()
    except SlowFastError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # Who read our output has left (``| head -1``). Python would say so when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    except PermissionError as error:
        sys.stderr.write(f"error: {error.filename} cannot be used ({error.strerror})\n")
        return UsageError.exit_code
    return code


def _refuse(name: str) -> int:
    if not name:
        sys.stderr.write(help_text())
        return 2
    near = difflib.get_close_matches(name, TOOLS, n=1, cutoff=0)
    sys.stderr.write(f"error: no tool {name!r}; nearest: {near[0]}; ost --help lists all\n")
    return 2


def run_tool(name: str) -> NoReturn:
    """Run one tool with the words of this process and exit with its code; for ``tools/*.py``."""
    sys.exit(call(name, sys.argv[1:]))
