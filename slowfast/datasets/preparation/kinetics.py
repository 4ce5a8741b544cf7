"""Kinetics' official tables: CSV with label, youtube_id, time_start, time_end, split."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from slowfast.datasets.preparation.class_table import ClassTable
from slowfast.datasets.preparation.entries import Annotations, Entry, read_text
from slowfast.errors import DataError

SPELLINGS = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}
COLUMNS = ("label", "youtube_id", "time_start", "time_end")


def read_kinetics(root: Path, classes: ClassTable, splits: Sequence[str]) -> Annotations:
    """Return ``train``, ``val`` and, where its table is there, ``test``.

    A clip is ``<split>/<class>/<youtube id>_<start>_<end>.mp4`` with times of six digits; other
    layouts are found by file name.

    Raises:
        DataError: the table of a split is missing, a column or number is wrong, an unknown class.
    """
    tables = _find_tables(root)
    lists: dict[str, list[Entry]] = {}
    for split in splits:
        if split in tables:
            lists[split] = _read_table(tables[split], split, classes)
        elif split != "test":
            raise DataError(
                f"{root}: no table of split {split!r} (such as {split}.csv); get it, or name the "
                "splits that you have with --splits"
            )
    return Annotations(lists, [tables[split] for split in lists], [])


def _find_tables(root: Path) -> dict[str, Path]:
    tables: dict[str, Path] = {}
    for path in sorted(root.glob("*.csv")):
        split = SPELLINGS.get(re.split(r"[-_]", path.stem)[-1].lower())
        if split in tables:
            raise DataError(f"{root}: {tables[split].name} and {path.name} are both of {split}")
        if split:
            tables[split] = path
    return tables


def _read_table(path: Path, split: str, classes: ClassTable) -> list[Entry]:
    reader = csv.DictReader(read_text(path).splitlines(), skipinitialspace=True)
    if absent := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
        held = "; labels of this split were held back in early releases" * (absent == ["label"])
        raise DataError(f"{path}: no column {absent[0]!r}, expected {', '.join(COLUMNS)}{held}")
    entries: list[Entry] = []
    for row in reader:
        where = f"{path}:{reader.line_num}"
        label = classes.find((row["label"] or "").strip(), where)
        try:
            start, end = (int(float(row[name])) for name in ("time_start", "time_end"))
        except (TypeError, ValueError):
            raise DataError(f"{where}: time_start and time_end must be seconds") from None
        clip = f"{(row['youtube_id'] or '').strip()}_{start:06d}_{end:06d}.mp4"
        entries.append(Entry(f"{split}/{classes.folders[label]}/{clip}", label, where))
    return entries
