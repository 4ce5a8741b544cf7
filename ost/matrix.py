"""Train and test every encoder with every head on the demo's data: ``ost matrix``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this tool."""
    parser = argparse.ArgumentParser(
        prog="ost matrix",
        description="Train and test every encoder with every head on the demo's drawn actions and "
        "print one table: rows encoders, columns heads. A run that was stopped, even killed, "
        "continues with the same command; what is finished is not repeated.",
    )
    add = parser.add_argument
    add(
        "--pairs",
        nargs="+",
        default=[],
        metavar="ENCODER:HEAD",
        help="only these, such as framewise:ost 'transf:*' (default: all; an unknown name lists "
        "the known ones)",
    )
    add("--seeds", type=int, default=3, metavar="N", help="trainings with seeds 1 to N (default 3)")
    add("--jobs", type=int, default=1, metavar="N", help="processes of one thread (default 1)")
    add("--output", type=Path, default=Path("runs/matrix"), help="(%(default)s)")
    add("--data", type=Path, default=Path("data/demo_actions"), help="(%(default)s)")
    add("--fresh", action="store_true", help="start over, forget earlier results of these pairs")
    add("--write-docs", type=Path, metavar="FILE", help="put the table between this page's marks")
    add(
        "--opts",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="KEY VALUE",
        help="overrides of every config; must come last",
    )
    return parser


def show_table(table: object) -> None:
    """Print the table with a line for each figure of a cell, and the notes."""
    from rich.console import Console
    from rich.table import Table

    from slowfast.studies.matrix import COLUMNS, ROWS, Pair
    from slowfast.studies.matrix_table import MatrixTable

    assert isinstance(table, MatrixTable)
    console = Console(width=None if sys.stdout.isatty() else 140)
    grid = Table(title=table.title, title_justify="left", show_lines=True)
    grid.add_column("encoder")
    for column in table.columns:
        grid.add_column(COLUMNS[column].title, justify="right")
    for row in table.rows:
        cells = [table.cells.get(Pair(row, column)) for column in table.columns]
        grid.add_row(ROWS[row].title, *("\n".join(c.lines()) if c else "" for c in cells))
    console.print(grid)
    for note in table.notes:
        print(f"* {note}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the matrix and return its exit code: 1 if a pair failed."""
    parser = build_parser()
    args = parser.parse_args(argv)
    for name in ("seeds", "jobs"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} {getattr(args, name)}: expected 1 or more")
    start = time.perf_counter()
    from slowfast.evaluation.results import atomic_write, write_json
    from slowfast.studies.matrix import Matrix, choose_pairs
    from slowfast.studies.matrix_jobs import run_matrix
    from slowfast.studies.matrix_table import build_table, to_json, to_markdown, write_docs

    def say(line: str) -> None:
        print(f"== {line}", flush=True)

    seeds = tuple(range(1, args.seeds + 1))
    matrix = Matrix(args.output, args.data, choose_pairs(args.pairs), seeds, opts=tuple(args.opts))
    results = run_matrix(matrix, jobs=args.jobs, fresh=args.fresh, say=say)
    table = build_table(matrix, results)
    atomic_write(args.output / "matrix.md", to_markdown(table))
    write_json(args.output / "matrix.json", to_json(matrix, table))
    if args.write_docs:
        write_docs(args.write_docs, to_markdown(table))
    show_table(table)
    say(f"{args.output}/matrix.md and matrix.json; took {time.perf_counter() - start:.0f} s")
    failures = {task: result["failed"] for task, result in results.items() if "failed" in result}
    for task, failure in failures.items():
        print(f"error: {task} failed:\n{failure}", file=sys.stderr)
    return 1 if failures else 0
