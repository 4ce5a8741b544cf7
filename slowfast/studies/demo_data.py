"""Draw the demo's data set where it is not there yet, with progress."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from slowfast.datasets.demo_actions import Sizes
from slowfast.datasets.generators import GENERATOR_REGISTRY
from slowfast.utils.logging import setup_logging
from slowfast.utils.progress import ProgressLine, progress_line


def draw_demo_data(folder: Path, sizes: Sizes, *, output: Path, say: Callable[[str], None]) -> None:
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
