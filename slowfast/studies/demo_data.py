"""The demo's data set, drawn where it is not there yet, and the configs that read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from slowfast.config import load_cfg
from slowfast.config.paths import resolve_path
from slowfast.datasets.demo_actions import Sizes
from slowfast.datasets.generators import GENERATOR_REGISTRY
from slowfast.utils.logging import setup_logging
from slowfast.utils.progress import ProgressLine, progress_line

Say = Callable[[str], None]


def draw_demo_data(folder: Path, sizes: Sizes, *, output: Path, say: Say) -> None:
    """Draw what is missing of the data set.

    Args:
        folder: of the data set.
        sizes: clips per class.
        output: where the log goes.
        say: shows a line to the user.

    Raises:
        DataError: the folder holds something else.
    """
    say(f"data set {folder}: drawing what is not there yet")
    setup_logging(output)
    with ExitStack() as stack:
        lines: list[ProgressLine] = []

        def report(done: int, total: int) -> None:
            if not lines:
                context = progress_line("auto", total, "drawing", log_period=100, start=done - 1)
                lines.append(stack.enter_context(context))
            lines[0].advance(1)

        GENERATOR_REGISTRY.get("demo_actions")(folder, sizes=sizes, report=report)


def demo_config(name: str, data: Path, opts: Iterable[object]) -> Any:
    """Return ``configs/demo/<name>.yaml`` for the videos in ``data``, with overrides."""
    words = ("DATA.PATH_TO_DATA_DIR", data, "DATA.PATH_PREFIX", data, *opts)
    return load_cfg(resolve_path(f"configs/demo/{name}.yaml"), [str(word) for word in words])
