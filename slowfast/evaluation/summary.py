"""Results of several tests gathered into tables: which of them belong in one mean, and the mean.

Nothing is averaged but splits and seeds of otherwise equal runs. What must not be averaged, other
label lists or test videos, is refused until the caller asks to see it apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import NamedTuple

from slowfast.errors import UsageError
from slowfast.evaluation.published import Published, PublishedTables
from slowfast.evaluation.result_entry import BASE_TO_NOVEL, Result, Setting
from slowfast.evaluation.spread import Spread, harmonic_mean, spread

BY = ("labels", "test_set", "split", "seed")


class Cell(NamedTuple):
    """A mean over runs; ``spread`` is None for a figure made of means.

    Of half-class columns over the draws of all runs.
    """

    mean: float
    spread: Spread | None = None


@dataclass(frozen=True)
class Row:
    """The mean over the runs of one setting and the published figures to show beside it."""

    setting: Setting
    cells: Mapping[str, Cell]
    results: Sequence[Result]
    published: Sequence[Published] = ()
    note: str = ""

    @property
    def runs(self) -> str:
        """Say over what the mean is, as ``3 splits`` or ``split 1``."""
        splits = sorted({result.split for result in self.results})
        seeds = sorted({result.seed for result in self.results})
        runs = {(result.split, result.seed) for result in self.results}
        if len(runs) not in (1, len(splits) * len(seeds)):
            return f"{len(runs)} runs"
        parts = [f"{len(v)} {what}s" for what, v in (("split", splits), ("seed", seeds)) if v[1:]]
        if parts:
            return " x ".join(parts)
        return f"split {splits[0]}" if splits[0] else "1 run"


class Table(NamedTuple):
    """All rows of a protocol; ``columns`` are the keys of their cells, in order."""

    protocol: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def gather(
    results: Iterable[Result],
    *,
    by: Sequence[str] = (),
    published: PublishedTables | None = None,
    methods: Sequence[str] = (),
) -> list[Table]:
    """Return one table for each protocol, rows ordered by data set.

    Args:
        results: of any tests; one given twice counts once.
        by: of ``BY``: what gets rows of its own instead of a refusal or a place in the mean.
        published: figures to show beside the rows.
        methods: whose figures; the row's own method if empty.

    Raises:
        UsageError: results that one mean would hold were scored with several label lists or on
            several test sets, or are of the same split and seed.
    """
    groups: dict[Setting, list[Result]] = defaultdict(list)
    for result in {result.path: result for result in results}.values():
        groups[_key(result, by)].append(result)
    groups = _apart_by_start(groups)
    published = published or PublishedTables()
    rows: dict[str, list[Row]] = defaultdict(list)
    for setting in sorted(groups):
        row = _row(setting, groups[setting])
        beside = _beside(row, published, methods)
        rows[setting.protocol].append(replace(row, published=beside))
    return [Table(name, _columns(own), _once(own)) for name, own in rows.items()]


def _key(result: Result, by: Sequence[str]) -> Setting:
    apart = {name: getattr(result, name) for name in by}
    if "test_set" in apart:
        apart["test_set"] = result.test_set or result.test_list or "unnamed list"
    return result.setting._replace(**apart)


def _apart_by_start(groups: Mapping[Setting, list[Result]]) -> dict[Setting, list[Result]]:
    """Give runs of one setting that started from different files of one name rows of their own."""
    apart: dict[Setting, list[Result]] = defaultdict(list)
    for setting, results in groups.items():
        several = len({result.start_digest for result in results} - {""}) > 1
        for result in results:
            digest = result.start_digest if several else ""
            apart[setting._replace(start_digest=digest)].append(result)
    return apart


def _row(setting: Setting, results: Sequence[Result]) -> Row:
    columns: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        for column in result.figures:
            columns[column].append(result)
    where = f"{setting.protocol} {setting.dataset} {setting.method}"
    _refuse_several(
        (result.labels or "classes.csv" for result in results),
        f"{where}: scored with several lists of class names, {{}}; their mean would mean nothing: "
        "show them apart with --by labels, or summarise them in separate calls",
    )
    _refuse_several(
        (result.map_of or "several labels" for result in columns.get("map", ())),
        f"{where}: mAP of several rules (TEST.MAP), {{}}, which do not compare: summarise them in "
        "separate calls",
    )
    for column, own in columns.items():
        _refuse_test_sets(f"{where} {column}", own)
        _refuse_doubles(f"{where} {column}", own)
    cells = {}
    for column, own in columns.items():
        values = spread(
            [v for result in own for v in result.draws.get(column, (result.figures[column],))]
        )
        cells[column] = Cell(values.mean, values)
    note = _unequal(columns)
    if setting.protocol == BASE_TO_NOVEL and {"base", "novel"} <= set(cells) and not note:
        cells["hm"] = Cell(harmonic_mean(cells["base"].mean, cells["novel"].mean))
    return Row(setting, cells, tuple(results), note=f"{where}: {note}" if note else "")


def _unequal(columns: Mapping[str, Sequence[Result]]) -> str:
    """Say which columns are means over other runs than the rest; empty if none is."""
    runs = {column: sorted((r.split, r.seed) for r in own) for column, own in columns.items()}
    if len({tuple(own) for own in runs.values()}) <= 1:
        return ""
    return "the columns are means over different runs: " + ", ".join(
        f"{column} over {len(own)}" for column, own in runs.items()
    )


def _refuse_several(names: Iterable[str], message: str) -> None:
    """Refuse a mean over results of several kinds; ``{}`` of the message lists them."""
    kinds = Counter(names)
    if len(kinds) > 1:
        listed = [f"{name} ({n} result{'s'[: n > 1]})" for name, n in kinds.items()]
        raise UsageError(message.replace("{}", " and ".join(listed)))


def _refuse_test_sets(where: str, results: Sequence[Result]) -> None:
    _refuse_several(
        (result.test_set or "lists of other sizes" for result in results),
        f"{where}: tested on several test sets, {{}}, whose figures cannot be compared: show them "
        "apart with --by test_set, or summarise them in separate calls",
    )
    for split in {result.split: None for result in results}:
        own = [result for result in results if result.split == split and result.videos]
        digests = {result.videos: result for result in own}
        if len(digests) > 1:
            one, other = list(digests.values())[:2]
            raise UsageError(
                f"{where}: split {split!r} was tested on different videos: {one.path} on "
                f"{one.listed} ({one.test_list}), {other.path} on {other.listed} "
                f"({other.test_list}): name the splits apart (TEST.SPLIT), show them apart with "
                "--by test_set if the lists are different ones, or summarise them in separate calls"
            )


def _refuse_doubles(where: str, results: Sequence[Result]) -> None:
    seen: dict[tuple[str, str], Result] = {}
    for result in results:
        other = seen.setdefault((result.split, result.seed), result)
        if other is not result:
            raise UsageError(
                f"{where}: two results of split {result.split!r} and seed {result.seed}: "
                f"{other.path} and {result.path}; leave one out, or tell them apart by TEST.SPLIT "
                "or RNG_SEED"
            )


def _beside(row: Row, tables: PublishedTables, methods: Sequence[str]) -> tuple[Published, ...]:
    """Return the published figures for a row, the row's own method's or those of ``methods``."""
    setting, found = row.setting, []
    first = row.results[0]
    for method in methods or [setting.method]:
        wanted = Published(
            source="",
            protocol=setting.protocol,
            dataset=setting.dataset,
            method=method,
            figures={},
            variant=setting.variant if method == setting.method else "",
            test_set=first.test_set,
            start=setting.start,
            descriptors=setting.descriptors,
            arch=setting.arch,
            frames=setting.frames,
            views=setting.views.partition(",")[0],  # papers say how many, seldom what is fused
            labels=first.labels or "classes.csv",
            clip_ratio=setting.clip_ratio,
        )
        found += [p for p in tables.closest(wanted) if set(p.figures) & set(row.cells)]
    return tuple(found)


def _once(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Leave published figures with the last of the rows in succession that have the same ones."""
    return tuple(
        replace(row, published=()) if after and row.published == after.published else row
        for row, after in zip_longest(rows, rows[1:])
    )


def _columns(rows: Sequence[Row]) -> tuple[str, ...]:
    order = ("top1", "top5", "map", "half_top1", "half_top5", "base", "novel", "hm")
    found = {column for row in rows for column in row.cells}
    shots = sorted((column for column in found if column.isdecimal()), key=int)
    return (*shots, *(column for column in order if column in found))
