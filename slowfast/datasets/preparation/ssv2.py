"""Something-Something V2's official JSON files: labels, train, validation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slowfast.datasets.preparation.class_table import ClassTable
from slowfast.datasets.preparation.entries import Annotations, Entry, one_of, read_text
from slowfast.errors import DataError

FILES = {"labels": "labels", "train": "train", "val": "validation"}


def read_ssv2(root: Path, classes: ClassTable, splits: Sequence[str]) -> Annotations:
    """Return ``train`` and ``val``; the class of a video is its template without brackets.

    The test set has no public labels in the first release and is left out.

    Raises:
        DataError: a file is missing or of another form, a template is no class, or the labels file
            gives a class another number than our table.
    """
    labels = _find(root, "labels")
    _check_numbers(labels, classes)
    lists: dict[str, list[Entry]] = {}
    files = [labels]
    for split in ("train", "val"):
        if split in splits:
            files.append(_find(root, split))
            lists[split] = _read_split(files[-1], classes)
    return Annotations(lists, files, [])


def class_of(template: str) -> str:
    """Return the class of a template.

    >>> class_of("Holding [something] next to [something]")
    'Holding something next to something'
    """
    return template.replace("[", "").replace("]", "")


def _find(root: Path, what: str) -> Path:
    name = FILES[what]
    patterns = (f"something-something-v2-{name}.json", f"labels/{name}.json", f"{name}.json")
    return one_of(root, patterns, f"{name}.json")


def _load(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from None


def _check_numbers(path: Path, classes: ClassTable) -> None:
    table = _load(path)
    if not isinstance(table, dict):
        raise DataError(f'{path}: expected {{"class": "number", ...}}')
    for name, number in table.items():
        label = classes.find(class_of(name), str(path))
        if str(number) != str(label):
            raise DataError(
                f"{path}: class {name!r} has number {number}, but {label} in {classes.path}; "
                "every published list and checkpoint uses the latter"
            )


def _read_split(path: Path, classes: ClassTable) -> list[Entry]:
    rows = _load(path)
    entries: list[Entry] = []
    for number, row in enumerate(rows if isinstance(rows, list) else [rows], 1):
        where = f"{path}: entry {number}"
        if not isinstance(row, dict) or not {"id", "template"} <= set(row):
            raise DataError(f"{where}: {str(row)[:80]}, expected an id and a template")
        label = classes.find(class_of(row["template"]), where)
        entries.append(Entry(f"{row['id']}.webm", label, where))
    return entries
