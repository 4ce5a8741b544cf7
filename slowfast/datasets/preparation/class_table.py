"""The classes of a data set: numbers, names, and how its files spell them."""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from slowfast.errors import DataError, UsageError
from slowfast.text.labels import load_classes, shorten, spelling_key

PUBLISHED = "classes_published.csv"


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

    @cached_property
    def _exact(self) -> dict[str, int]:
        return {folder: label for label, folder in enumerate(self.folders)}

    @cached_property
    def _loose(self) -> dict[str, int]:
        counts = Counter(map(spelling_key, self.folders))
        keys = {spelling_key(folder): label for folder, label in self._exact.items()}
        return {key: label for key, label in keys.items() if counts[key] == 1}

    def __len__(self) -> int:
        return len(self.names)

    def get(self, spelling: str) -> int | None:
        """Return the label of the class that the data set spells so, or None."""
        return self._exact.get(spelling, self._loose.get(spelling_key(spelling)))

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

    def subset(self, subset: str) -> dict[str, int]:
        """Return the classes that a file beside ours lists, with their labels, in its order.

        ``<subset>.txt``, or ``<subset>_published.txt`` where our names are the published ones and
        that file exists. Raises UsageError for no such file, or a name that we lack.
        """
        folder = self.path.parent
        path = folder / f"{subset}{'_published' * (self.path.name == PUBLISHED)}.txt"
        path = path if path.exists() else folder / f"{subset}.txt"
        if not path.exists():
            known = ", ".join(sorted(p.stem for p in folder.glob("*.txt"))) or "none"
            raise UsageError(f"{path}: no such subset of classes; known for {folder.name}: {known}")
        numbers = {name: label for label, name in enumerate(self.names)}
        names = load_classes(path).names
        if unknown := [name for name in names if name not in numbers]:
            raise UsageError(f"{path}: not among the classes of {self.path}: {shorten(unknown)}")
        return {name: numbers[name] for name in names}

    def exchanged(self) -> list[int]:
        """Return the labels whose name is the spelling of another class's files.

        That is so for four classes of HMDB-51 in the lists that the ViFi-CLIP line published.
        """
        return [i for i, name in enumerate(self.names) if self.get(name) not in (i, None)]


def load_table(folder: Path, labels: str = "right") -> ClassTable:
    """Read ``classes.csv`` of a folder of label_db, or ``classes_published.csv``.

    Raises UsageError when there is no such file.
    """
    path = folder / (PUBLISHED if labels == "published" else "classes.csv")
    if labels == "published" and folder.is_dir() and not path.exists():
        raise UsageError(f"--labels published: {folder.name} has no published variant ({path})")
    classes = load_classes(path)
    return ClassTable(classes.names, classes.folders or classes.names, path)
