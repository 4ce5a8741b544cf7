"""HMDB-51's official lists: ``<class>_test_split{1,2,3}.txt``, lines ``file flag``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from slowfast.datasets.preparation.class_table import ClassTable
from slowfast.datasets.preparation.entries import Annotations, Entry, find_folder, read_lines
from slowfast.errors import DataError

FILE = re.compile(r"(.+)_test_split([123])\.txt")
# The flag of a line: in neither list, in the training list, in the test list.
PARTS = {"0": None, "1": "train", "2": "test"}


def read_hmdb51(root: Path, classes: ClassTable, splits: Sequence[str]) -> Annotations:
    """Return train_splitN and test_splitN (70 and 30 videos a class), and ``all`` videos.

    Raises:
        DataError: no split file, a class that has not all three, an unknown class, or a line that
            is not a file name and 0, 1 or 2.
    """
    folder = find_folder(root, ("testTrainMulti_7030_splits",), "*_test_split1.txt")
    found = sorted(path for path in folder.iterdir() if FILE.fullmatch(path.name))
    names = sorted({_parts(path)[0] for path in found})
    lists: dict[str, list[Entry]] = {
        f"{part}_split{number}": [] for part in ("train", "test") if part in splits
        for number in "123"
    }  # fmt: skip
    everything: dict[str, Entry] = {}
    for spelling in names:
        for number in "123":
            path = folder / f"{spelling}_test_split{number}.txt"
            label = classes.find(spelling, str(path))
            for entry, part in _read(path, spelling, label):
                everything.setdefault(entry.name, entry)
                if f"{part}_split{number}" in lists:
                    lists[f"{part}_split{number}"].append(entry)
    if "train" in splits and "test" in splits:
        lists["all"] = list(everything.values())
    return Annotations(lists, found, [])


def _parts(path: Path) -> tuple[str, str]:
    match = FILE.fullmatch(path.name)
    assert match
    return match[1], match[2]


def _read(path: Path, spelling: str, label: int) -> list[tuple[Entry, str | None]]:
    rows: list[tuple[Entry, str | None]] = []
    for line, text in read_lines(path):
        name, _, flag = text.rpartition(" ")
        if flag not in PARTS or not name:
            raise DataError(f"{path}:{line}: {text!r}, expected a file name and 0, 1 or 2")
        rows.append((Entry(f"{spelling}/{name.strip()}", label, f"{path}:{line}"), PARTS[flag]))
    return rows
