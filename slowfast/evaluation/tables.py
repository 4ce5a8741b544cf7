"""Tables of results as text: for a terminal, in Markdown, in LaTeX, and as CSV with every figure.

Own rows are marked "measured" and published ones "published (source)", in every form.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tabulate

from slowfast.evaluation.published import Published
from slowfast.evaluation.result_entry import HALF
from slowfast.evaluation.summary import Cell, Row, Table

MEASURED = "measured"
SHOWN = 3
TITLES = {
    "top1": "top-1",
    "top5": "top-5",
    "map": "mAP",
    "half_top1": "half-class top-1",
    "half_top5": "half-class top-5",
    "hm": "HM",
}
# Facts of a row, by the title of their column; what all rows share stands above the table instead.
FACTS = (
    *("data set", "method", "arch", "frames", "views", "CLIP share", "start", "descriptors"),
    *("labels", "test set", "seed", "mean over"),
)
CSV_COLUMNS = (
    *("protocol", "data set", "method", "result", "measure", "mean", "sample_std"),
    *("population_std", "published_std", "runs", "mean over", "arch", "frames", "views"),
    *(
        "CLIP share",
        "start",
        "descriptors",
        "labels",
        "test set",
        "videos scored",
        "videos listed",
        "weights",
    ),
)
STD = {
    "sample": "sample standard deviation (divided by n-1)",
    "population": "population standard deviation (divided by n)",
}


class Grid(NamedTuple):
    """A table as text. ``left`` of the columns are aligned to the left, the rest to the right."""

    title: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]
    left: int


def build_grid(table: Table, *, std: str = "sample", digits: int = 1) -> Grid:
    """Return the text of a table.

    Args:
        table: of one protocol.
        std: which deviation of the own runs stands behind the mean, a key of ``STD``.
        digits: behind the point.
    """
    facts: list[dict[str, str]] = []
    own: list[dict[str, str]] = []
    figures: list[list[str]] = []
    sources: list[str] = []
    for row in table.rows:
        facts.append(_facts(row))
        own.append(facts[-1])
        cells = [_cell(row.cells.get(name), _kind(name, std), digits) for name in table.columns]
        figures.append([*cells, f"{_total(row, 'scored')} of {_total(row, 'listed')}"])
        sources.append(MEASURED)
        for entry in row.published:
            facts.append(_published_facts(entry, row))
            cells = [_published_cell(entry, name) for name in table.columns]
            figures.append([*cells, ""])
            sources.append(entry.label)
    shown, shared = _split_facts(facts)
    for fact in own:
        fact["labels"] = fact["labels"] or "classes.csv"
        fact["test set"] = fact["test set"] or "other list"
    header = [*shown, "result", *(_title(name) for name in table.columns), "videos scored"]
    rows = [
        [*(fact[name] for name in shown), source, *cells]
        for fact, source, cells in zip(facts, sources, figures)
    ]
    title = ", ".join([table.protocol, *shared, "percent"])
    notes = _notes(table, std)
    if any(not all(row[: len(shown)]) for row in rows):
        notes.append("empty cells of published rows: not stated there")
    return Grid(title, header, rows, notes, len(shown) + 1)


def _split_facts(facts: Sequence[dict[str, str]]) -> tuple[list[str], list[str]]:
    """Return the facts that need a column, and the others as words for the title."""
    shown, shared = [], []
    for name in FACTS:
        values = {fact[name] for fact in facts}
        if len(values) > 1 or name == "data set":
            shown.append(name)
        elif value := values.pop():
            shared.append(f"{name} {value}")
    return shown, shared


def _facts(row: Row) -> dict[str, str]:
    setting, first = row.setting, row.results[0]
    sets = {result.test_set for result in row.results}
    values = (
        f"{setting.dataset} ({setting.part})" if setting.part else setting.dataset,
        f"{setting.method}, {setting.variant}" if setting.variant else setting.method,
        setting.arch,
        setting.frames,
        setting.views,
        f"{setting.clip_ratio:g}",
        f"{setting.start} {setting.start_digest}".rstrip(),
        setting.descriptors,
        first.labels,
        setting.test_set or (first.test_set if len(sets) == 1 else ""),
        setting.seed,
        row.runs,
    )
    return dict(zip(FACTS, values, strict=True))


def _published_facts(entry: Published, row: Row) -> dict[str, str]:
    return {
        **_facts(row),
        "method": f"{entry.method}, {entry.variant}" if entry.variant else entry.method,
        "arch": entry.arch,
        "frames": entry.frames,
        "views": entry.views,
        "CLIP share": "" if entry.clip_ratio is None else f"{entry.clip_ratio:g}",
        "start": entry.start,
        "descriptors": entry.descriptors,
        "labels": entry.labels,
        "test set": entry.test_set,
        "mean over": entry.averaging,
    }


def _cell(cell: Cell | None, std: str, digits: int) -> str:
    if cell is None:
        return "-"
    if cell.spread is None or cell.spread.runs == 1:
        return f"{cell.mean:.{digits}f}"
    return f"{cell.mean:.{digits}f} ±{_deviation(cell, std):.{digits}f}"


def _kind(column: str, std: str) -> str:
    """Return which deviation a column shows: of half-class draws always that of Text4Vis."""
    return "population" if column.startswith(HALF) else std


def _deviation(cell: Cell, std: str) -> float:
    assert cell.spread is not None
    return cell.spread.sample_std if std == "sample" else cell.spread.population_std


def _published_cell(entry: Published, name: str) -> str:
    if name not in entry.figures:
        return "-"
    if (deviation := entry.figures.get(f"{name}_std")) is None:
        return f"{entry.figures[name]:g}"
    return f"{entry.figures[name]:.1f} ±{deviation:.1f}"


def _title(column: str) -> str:
    return f"{column}-shot" if column.isdecimal() else TITLES.get(column, column)


def _total(row: Row, name: str) -> int:
    return sum(getattr(result, name) for result in row.results)


def _notes(table: Table, std: str) -> list[str]:
    notes = []
    cells = [(name, cell.spread) for row in table.rows for name, cell in row.cells.items()]
    several = {name.startswith(HALF) for name, spread in cells if spread and spread.runs > 1}
    if False in several:
        notes.append(f"±: {STD[std]} over the runs of a row")
    if any(name.startswith(HALF) for name in table.columns):
        notes.append(
            "half-class: mean over random halves of the classes"
            + (f", ± {STD['population']} over these draws" if True in several else "")
        )
    if any(result.map_of == "double_softmax" for row in table.rows for result in row.results):
        notes.append("mAP: of a double softmax, absent classes count 0 (TEST.MAP double_softmax)")
    if any(f"{name}_std" in p.figures for r in table.rows for p in r.published for name in TITLES):
        kinds = {p.deviation for r in table.rows for p in r.published if p.deviation}
        notes.append(f"± of published rows: as printed there, kind: {', '.join(sorted(kinds))}")
    if "hm" in table.columns:
        notes.append("HM: harmonic mean of the mean base and the mean novel accuracy")
    notes += [row.note for row in table.rows if row.note]
    lost = sum(_total(row, "listed") - _total(row, "scored") for row in table.rows)
    if lost:
        notes.append(f"videos listed but not scored: {lost}; each results.json names its own")
    weights = list(dict.fromkeys(r.weights for row in table.rows for r in row.results))
    notes += [f"weights: {text}" for text in weights[:SHOWN]]
    if weights[SHOWN:]:
        notes.append(f"weights: {len(weights) - SHOWN} more, all of them in the form csv")
    return notes


def to_console(grid: Grid) -> str:
    """Return the table with aligned columns, for a terminal or a text file."""
    return "\n".join([grid.title, "", _drawn(grid, "simple"), *_after(grid.notes, "")]) + "\n"


def to_markdown(grid: Grid) -> str:
    """Return the table in Markdown, readable as text too."""
    return (
        "\n".join([f"**{grid.title}**", "", _drawn(grid, "pipe"), *_after(grid.notes, "* ")]) + "\n"
    )


def to_latex(grid: Grid) -> str:
    """Return the table in LaTeX (package booktabs), notes as comments."""
    title = "".join(tabulate.LATEX_ESCAPE_RULES.get(sign, sign) for sign in grid.title)
    lines = [
        "\\begin{table}",
        f"\\caption{{{title}}}",
        _drawn(grid, "latex_booktabs"),
        *(f"% {note}" for note in grid.notes),
        "\\end{table}",
    ]
    return "\n".join(lines).replace("±", "$\\pm$") + "\n"


def to_csv(tables: Sequence[Table]) -> str:
    """Return every figure of all tables on a line of its own, with both deviations, unrounded."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, CSV_COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for table in tables:
        for row in table.rows:
            for name in table.columns:
                if name in row.cells:
                    writer.writerow(_own_record(table, row, name))
            for entry in row.published:
                for name in table.columns:
                    if name in entry.figures:
                        writer.writerow(_published_record(table, row, entry, name))
    return buffer.getvalue()


def _own_record(table: Table, row: Row, name: str) -> dict[str, object]:
    facts = {key: value for key, value in _facts(row).items() if key in CSV_COLUMNS}
    cell = row.cells[name]
    own = [result for result in row.results if name in result.figures] or row.results
    record: dict[str, object] = {
        **facts,
        "protocol": table.protocol,
        "result": MEASURED,
        "measure": _title(name),
        "mean": _number(cell.mean),
        "videos scored": sum(result.scored for result in own),
        "videos listed": sum(result.listed for result in own),
        "weights": "; ".join({result.weights: None for result in own}),
    }
    if cell.spread is not None:
        record["runs"] = cell.spread.runs
        if cell.spread.runs > 1:
            record["sample_std"] = _number(cell.spread.sample_std)
            record["population_std"] = _number(cell.spread.population_std)
    return record


def _published_record(table: Table, row: Row, entry: Published, name: str) -> dict[str, object]:
    facts = _published_facts(entry, row)
    return {
        **{key: value for key, value in facts.items() if key in CSV_COLUMNS},
        "protocol": table.protocol,
        "result": entry.label,
        "measure": _title(name),
        "mean": _number(entry.figures[name]),
        "published_std": entry.figures.get(f"{name}_std", ""),
    }


def _number(value: float) -> str:
    return f"{value:.6g}"


def _drawn(grid: Grid, form: str) -> str:
    columns = ["left"] * grid.left + ["right"] * (len(grid.header) - grid.left)
    text: str = tabulate.tabulate(
        grid.rows, grid.header, tablefmt=form, disable_numparse=True, colalign=columns
    )
    return text


def _after(notes: Sequence[str], mark: str) -> list[str]:
    return ["", *(f"{mark}{note}" for note in notes)] if notes else []


FORMATS: dict[str, Callable[[Grid], str]] = {
    "console": to_console,
    "markdown": to_markdown,
    "latex": to_latex,
}
