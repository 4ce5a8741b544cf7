"""The classes of a data set: numbers, names, and how its files spell them."""

from __future__ import annotations

import csv
import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slowfast.errors import DataError, UsageError
from slowfast.text.labels import load_classes, shorten

LABELS = ("right", "published")


def key(text: str) -> str:
    """Return ``text`` without case, blanks and signs: folders are spelled in many ways.

    >>> key("Passing_American football (in game)")
    'passingamericanfootballingame'
    """
    return re.sub(r"[\W_]+", "", text.casefold())


@dataclass(frozen=True)
class ClassTable:
    """Classes in the order of their labels.

    Args:
        names: as texts and subsets use them.
        folders: as the data set's own folders, files and annotations spell them.
        path: where they were read.
    """

    names: tuple[str, ...]
    folders: tuple[str, ...]
    path: Path
    _exact: Mapping[str, int] = field(init=False, repr=False, compare=False)
    _loose: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        keys = [key(folder) for folder in self.folders]
        counts = Counter(keys)
        loose = {k: i for i, k in enumerate(keys) if counts[k] == 1}
        object.__setattr__(self, "_exact", {name: i for i, name in enumerate(self.folders)})
        object.__setattr__(self, "_loose", loose)

    def __len__(self) -> int:
        return len(self.names)

    def get(self, spelling: str) -> int | None:
        """Return the label of the class that the data set spells so, or None."""
        return self._exact.get(spelling, self._loose.get(key(spelling)))

    def find(self, spelling: str, where: str) -> int:
        """Return the label of the class that the data set spells so.

        Raises DataError for an unknown one; ``where`` names the file and line.
        """
        label = self.get(spelling)
        if label is None:
            near = difflib.get_close_matches(spelling, self.folders, n=1)
            hint = f"; nearest: {near[0]!r}" if near else ""
            raise DataError(f"{where}: {self.path} has no class {spelling!r}{hint}")
        return label

    def subset(self, names: Iterable[str], where: Path) -> list[int]:
        """Return the labels of ``names``; raises UsageError if the table lacks one."""
        numbers = {name: label for label, name in enumerate(self.names)}
        names = list(names)
        if unknown := [name for name in names if name not in numbers]:
            raise UsageError(f"{where}: not among the classes of {self.path}: {shorten(unknown)}")
        return [numbers[name] for name in names]

    def exchanged(self) -> list[int]:
        """Return the labels whose name is the spelling of another class's files.

        That is so for four classes of HMDB-51 in the lists that the ViFi-CLIP line published.
        """
        return [i for i, name in enumerate(self.names) if self.get(name) not in (i, None)]


def load_table(folder: Path, labels: str = "right") -> ClassTable:
    """Read ``classes.csv`` of a folder of label_db, or ``classes_published.csv``.

    Raises UsageError when there is no such file.
    """
    path = folder / ("classes_published.csv" if labels == "published" else "classes.csv")
    if labels == "published" and folder.is_dir() and not path.exists():
        raise UsageError(f"--labels published: {folder.name} has no published variant ({path})")
    names = load_classes(path).names
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, skipinitialspace=True))
    folders = [(row.get("folder") or "").strip() for row in rows]
    return ClassTable(names, tuple(f or n for f, n in zip(folders, names)), path)
