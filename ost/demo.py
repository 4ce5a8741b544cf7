"""Train OST on drawn actions and test it zero-shot on classes that it never saw: ``ost demo``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this tool."""
    parser = argparse.ArgumentParser(
        prog="ost demo",
        description="Draw a small action data set, train OST on its seen classes and a baseline on "
        "class names beside it, test both on classes that were never seen, and draw one video's "
        "transport plans. A run that was stopped, even killed, continues with the same command.",
    )
    parser.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="trainings with seeds 1 to N (default 1)"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/demo"), help="(%(default)s)")
    parser.add_argument(
        "--data", type=Path, default=Path("data/demo_actions"), help="(%(default)s)"
    )
    parser.add_argument("--fresh", action="store_true", help="start over, forget earlier results")
    parser.add_argument(
        "--opts",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="KEY VALUE",
        help="overrides of every config; must come last",
    )
    return parser


def show_table(result: object, seconds: float) -> None:
    """Print the accuracies, the losses and where the picture is."""
    from rich.console import Console
    from rich.table import Table

    from slowfast.studies.demo import PARTS, DemoResult, table

    assert isinstance(result, DemoResult)
    num = {part: round(100 / level) for part, level in result.chance.items()}
    console = Console(width=None if sys.stdout.isatty() else 100)
    means = "" if len(result.seeds) == 1 else f", mean of {len(result.seeds)} seeds (each seed)"
    grid = Table(title=f"Top-1 accuracy in percent{means}", title_justify="left")
    grid.add_column("method")
    for part in PARTS:
        kind = ", zero-shot" if part == "unseen" else ""
        grid.add_column(f"{num[part]} {part} classes{kind}", justify="right")
    for title, cells in table(result):
        grid.add_row(title, *(cells[part] for part in PARTS))
    console.print(grid)
    for seed in result.seeds:
        losses = ", ".join(f"{name} {loss:.6g}" for name, loss in seed.loss.items())
        print(f"seed {seed.seed}: loss of the last epoch: {losses}")
    if result.picture:
        print(f"transport plans of one video: {result.picture}")
    print(f"took {seconds:.0f} s")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.seeds < 1:
        parser.error(f"--seeds {args.seeds}: expected 1 or more")
    start = time.perf_counter()
    from slowfast.studies.demo import Demo, run_demo

    result = run_demo(
        Demo(
            args.output,
            args.data,
            range(1, args.seeds + 1),
            opts=args.opts,
            fresh=args.fresh,
            say=lambda line: print(f"== {line}", flush=True),
        )
    )
    show_table(result, time.perf_counter() - start)
    return 0
