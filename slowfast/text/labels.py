"""Class names in their order, read from the forms that people's files have."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from slowfast.config.paths import find_file
from slowfast.errors import SlowFastError, UsageError


@dataclass(frozen=True)
class ClassVocabulary:
    """The class names of a data set; a name's position is its label.

    ``folders`` are the spellings of the data set's own folders, if its file has a column of them.
    Raises UsageError when a name is empty or occurs twice.

    >>> vocabulary = ClassVocabulary(("run", "jump"))
    >>> len(vocabulary), vocabulary.index("jump"), vocabulary.subset(["jump"]).names
    (2, 1, ('jump',))
    """

    names: tuple[str, ...]
    folders: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.names:
            raise UsageError("the list of classes is empty")
        if "" in self.names:
            raise UsageError(f"class {self.names.index('')} has an empty name")
        if twice := [name for name, count in Counter(self.names).items() if count > 1]:
            raise UsageError(f"class names must differ, but these occur twice: {shorten(twice)}")

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: label for label, name in enumerate(self.names)}

    def index(self, name: str) -> int:
        """Return the label of ``name``; raises UsageError for an unknown one."""
        if name not in self._positions:
            raise UsageError(f"no class is called {name!r}; known: {shorten(self.names)}")
        return self._positions[name]

    @cached_property
    def spellings(self) -> dict[str, int]:
        """Labels by ``spelling_key`` of the folders of their class, where no two have the same."""
        keys = list(map(spelling_key, self.folders or self.names))
        counts = Counter(keys)
        return {key: label for label, key in enumerate(keys) if counts[key] == 1}

    def subset(self, names: Iterable[str]) -> ClassVocabulary:
        """Return the vocabulary of ``names`` in their own order; each must be known here."""
        names = tuple(names)
        if unknown := [name for name in names if name not in self._positions]:
            raise UsageError(
                f"{len(unknown)} names of the subset are not among the classes: {shorten(unknown)}"
            )
        folders = [self.folders[self.index(name)] for name in names if self.folders]
        return ClassVocabulary(names, tuple(folders))


def shorten(names: Iterable[str], limit: int = 5) -> str:
    """Return the first ``limit`` names in quotes and how many there are in all, for a message.

    >>> shorten(["a", "b", "c"], limit=2)
    "'a', 'b' (3 in all)"
    """
    names = list(names)
    text = ", ".join(repr(name) for name in names[:limit])
    return text if len(names) <= limit else f"{text} ({len(names)} in all)"


def spelling_key(text: str) -> str:
    """Return ``text`` without case, blanks and signs: lists and folders are spelled in many ways.

    >>> spelling_key("Passing_American football (in game)")
    'passingamericanfootballingame'
    """
    return re.sub(r"[\W_]+", "", text.casefold())


def load_classes(path: str | Path) -> ClassVocabulary:
    """Read class names from a file.

    Forms: ``.csv`` with a header that has a ``name`` column (an ``id`` column must count the rows
    from 0); ``.json`` as a list, ``{"0": name}`` or PySlowFast's ``{name: 0}``; anything else as
    plain text with one name a line, the line's number being the label.

    Raises UsageError that names the file and the line or id that is wrong.
    """
    path = find_file(path, "file of class names (TEXT.CLASSES)")
    text = path.read_text(encoding="utf-8-sig")
    folders: list[str] = []
    if path.suffix.lower() == ".csv":
        names, folders = _from_csv(text, path)
    else:
        names = (_from_json if path.suffix.lower() == ".json" else _from_lines)(text, path)
    try:
        return ClassVocabulary(tuple(names), tuple(folders))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def load_vocabulary(classes: str | Path, subset: str | Path = "") -> ClassVocabulary:
    """Return the classes of TEXT.CLASSES, or those of them that TEXT.SUBSET lists, in its order.

    Raises UsageError for a wrong file, or a subset of other classes.
    """
    vocabulary = load_classes(classes)
    if not subset:
        return vocabulary
    try:
        return vocabulary.subset(load_classes(subset).names)
    except UsageError as error:
        raise UsageError(
            f"TEXT.SUBSET {subset} with TEXT.CLASSES {classes}: {error}. Set TEXT.CLASSES to the "
            "list that the subset was taken from, or TEXT.SUBSET to '' for all classes"
        ) from None


def parse_json(
    text: str, path: str | Path, error: type[SlowFastError] = UsageError, **options: Any
) -> Any:
    """Return ``json.loads(text, **options)``; raises ``error`` with the line of ``path``."""
    try:
        return json.loads(text, **options)
    except json.JSONDecodeError as found:
        raise error(f"{path}:{found.lineno}: not valid JSON: {found.msg}") from None


def _from_csv(text: str, path: Path) -> tuple[list[str], list[str]]:
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    reader.fieldnames = [field.strip().lower() for field in reader.fieldnames or ()]
    if "name" not in reader.fieldnames:
        raise UsageError(
            f"{path}: the first line must name the columns, 'id,name'; found "
            f"{','.join(reader.fieldnames)!r} (a plain list of names ends in .txt)"
        )
    names: list[str] = []
    folders: list[str] = []
    for row in reader:
        if "id" in reader.fieldnames and (row["id"] or "").strip() != str(len(names)):
            raise UsageError(
                f"{path}:{reader.line_num}: id {row['id']!r}, expected {len(names)}: "
                "rows must be in the order of their ids, from 0"
            )
        names.append((row["name"] or "").strip())
        folders.append((row.get("folder") or "").strip() or names[-1])
    return names, folders if "folder" in reader.fieldnames else []


def _from_json(text: str, path: Path) -> list[str]:
    table = parse_json(text, path)
    if isinstance(table, list) and all(isinstance(name, str) for name in table):
        return [_unquote(name) for name in table]
    if isinstance(table, dict):
        if table and all(isinstance(value, int) for value in table.values()):
            table = {str(label): name for name, label in table.items()}
        if set(table) == {str(label) for label in range(len(table))}:
            return [_unquote(str(table[str(label)])) for label in range(len(table))]
    raise UsageError(
        f'{path}: expected a list of names, {{"0": name, ...}} or {{name: 0, ...}} with ids '
        "from 0 without gaps"
    )


def _from_lines(text: str, path: Path) -> list[str]:
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise UsageError(
            f"{path}:{lines.index('') + 1}: empty line; a line's number is its class's label"
        )
    return lines


def _unquote(name: str) -> str:
    # PySlowFast's file of Kinetics names has quotation marks inside the names.
    return name.strip().strip('"').strip()
