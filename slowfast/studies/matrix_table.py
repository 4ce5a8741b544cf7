"""The table of the matrix, as Markdown, as JSON and for a terminal.

A cell says: mean top-1 and its spread, milliseconds of a training step, trained and all parameters.
"""

from __future__ import annotations

import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from slowfast.errors import UsageError
from slowfast.evaluation.results import atomic_write
from slowfast.evaluation.spread import spread
from slowfast.studies.matrix import COLUMNS, ROWS, TEACHER, Matrix, Pair, Task

BEGIN, END = "<!-- matrix:begin -->", "<!-- matrix:end -->"
MILLION = 1e6
Results = Mapping[Task, Mapping[str, Any]]


class Cell(NamedTuple):
    """A pair's figures over its seeds; ``reason`` says why there are none."""

    pair: Pair
    top1: tuple[float, ...] = ()
    step_ms: float = 0.0
    trained: int = 0
    parameters: int = 0
    reason: str = ""

    def lines(self) -> tuple[str, ...]:
        """Return the text of the cell.

        >>> Cell(Pair("a", "b"), (50.0, 60.0, 70.0), 123.4, 1_061_633, 7_385_857).lines()
        ('60.0 ±10.0', '123 ms', '1.06 / 7.39 M')
        >>> Cell(Pair("a", "b"), reason="they exclude each other").lines()
        ('-',)
        """
        if not self.top1:
            return ("-",)
        found = spread(self.top1)
        mean = f"{found.mean:.1f}"
        return (
            mean if found.runs == 1 else f"{mean} ±{found.sample_std:.1f}",
            f"{self.step_ms:.0f} ms",
            f"{self.trained / MILLION:.2f} / {self.parameters / MILLION:.2f} M",
        )


class MatrixTable(NamedTuple):
    """The cells by row and column, and what has to be said about them."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: dict[Pair, Cell]
    notes: tuple[str, ...]


def build_table(matrix: Matrix, results: Results) -> MatrixTable:
    """Return the table of the pairs that ``matrix`` names."""
    cells = {pair: _cell(matrix, pair, results) for pair in matrix.pairs}
    seeds = ", ".join(map(str, matrix.seeds))
    return MatrixTable(
        f"Top-1 in percent on 16 classes that were never seen (chance 6.2), seeds {seeds}",
        tuple(row for row in ROWS if any(pair.row == row for pair in matrix.pairs)),
        tuple(column for column in COLUMNS if any(pair.column == column for pair in matrix.pairs)),
        cells,
        (*_notes(matrix, results), *_reasons(cells)),
    )


def _cell(matrix: Matrix, pair: Pair, results: Results) -> Cell:
    own = [results[Task(pair, seed)] for seed in matrix.seeds]
    good = [result for result in own if "top1" in result]
    if len(good) < len(own):
        bad = next(result for result in own if "top1" not in result)
        failed = str(bad.get("failed", "not run")).strip().splitlines()[-1]
        return Cell(pair, reason=str(bad.get("refused") or f"failed: {failed}"))
    return Cell(
        pair,
        tuple(result["top1"] for result in good),
        statistics.median(result["step_ms"] for result in good),
        good[0]["trained"],
        good[0]["parameters"],
    )


def _notes(matrix: Matrix, results: Results) -> list[str]:
    """Return what a reader must know about the figures."""
    cfg = matrix.config("matrix", Task(TEACHER, matrix.seeds[0]))
    videos = next((result["videos"] for result in results.values() if "videos" in result), "?")
    trained = min(matrix.train_videos, matrix.sizes.train)
    seconds = [result["seconds"] for result in results.values() if "seconds" in result]
    notes = [
        "a cell: mean over the seeds ± sample standard deviation; a training step without its "
        "data, median of the epochs and of the seeds; parameters trained / all "
        "(6.32 M of them are CLIP's token embedding, which the demo never trains)",
        f"trained from random weights on {trained} videos of each of 64 seen classes, "
        f"{cfg.DATA.NUM_FRAMES} frames of {cfg.DATA.TRAIN_CROP_SIZE} pixels, batches of "
        f"{cfg.TRAIN.BATCH_SIZE}, {cfg.SOLVER.MAX_EPOCH} epochs of the demo's recipe; tested on "
        f"{videos} videos, one view",
        "objective: cross_entropy over all seen classes for the frozen classifier, which cannot "
        "use another; ost_contrastive over the batch for all other heads",
    ]
    if any(COLUMNS[pair.column].taught for pair in matrix.pairs):
        notes.append(
            f"FrozenClassifier: its text tower starts from, and stays at, the one that {TEACHER} "
            "trained with the same seed, because random texts would tell it nothing; its image "
            "tower starts from random weights as all others do"
        )
    if seconds:
        notes.append(
            f"measured with one thread a process on {platform.machine()}, torch "
            f"{torch.__version__}; {statistics.mean(seconds):.0f} s for a pair and seed in the mean"
        )
    return notes


def _reasons(cells: Mapping[Pair, Cell]) -> list[str]:
    """Return each reason for a missing figure once, with the pairs that it concerns."""
    found: dict[str, list[Pair]] = {}
    for pair, cell in cells.items():
        if cell.reason:
            found.setdefault(cell.reason, []).append(pair)
    return [f'"-" at {", ".join(map(str, own))}: {reason}' for reason, own in found.items()]


def to_markdown(table: MatrixTable) -> str:
    """Return the table and its notes as Markdown."""
    header = ["encoder", *(COLUMNS[column].title for column in table.columns)]
    lines = [f"**{table.title}**", "", _row(header), _row(["---", *["---:"] * len(table.columns)])]
    for row in table.rows:
        cells = [table.cells.get(Pair(row, column)) for column in table.columns]
        texts = ["<br>".join(cell.lines()) if cell else "" for cell in cells]
        lines.append(_row([ROWS[row].title, *texts]))
    return "\n".join([*lines, "", *(f"* {note}" for note in table.notes)]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def to_json(matrix: Matrix, table: MatrixTable) -> dict[str, Any]:
    """Return every figure in plain types."""
    return {
        "title": table.title,
        "seeds": list(matrix.seeds),
        "pairs": [
            {
                "encoder": [ROWS[pair.row].encoder, *ROWS[pair.row].opts],
                "head": [COLUMNS[pair.column].head, *COLUMNS[pair.column].opts],
                **{key: value for key, value in cell._asdict().items() if key != "pair"},
            }
            for pair, cell in table.cells.items()
        ],
        "notes": list(table.notes),
    }


def write_docs(path: Path, markdown: str) -> None:
    """Put the table between the marks of a page, in place of what stands there.

    Raises:
        UsageError: the page does not have both marks, in order.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UsageError(f"{path}: expected the marks {BEGIN} and {END} in it, in this order")
    atomic_write(path, f"{before}{BEGIN}\n{markdown}{END}{after}")
