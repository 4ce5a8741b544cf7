"""What the annotation readers give: named videos with labels, in named lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from slowfast.errors import DataError

SPLITS = ("train", "val", "test")


class Entry(NamedTuple):
    """One listed video.

    ``name``: where it is expected below the folder of videos, with "/"; ``label``: number of its
    class; ``source``: "file:line" of the annotation; ``segment``: start and end in seconds where
    only a part of the video is meant; ``frames``: images in the folder, for lists of frame folders.
    """

    name: str
    label: int
    source: str
    segment: tuple[float, float] | None = None
    frames: int | None = None


class Annotations(NamedTuple):
    """The content of annotation files: ``lists`` by name, the ``files`` read, and ``notes``."""

    lists: dict[str, list[Entry]]
    files: list[Path]
    notes: list[str]


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Return (number, text) of the lines that are not empty; a byte order mark and CRLF are cut.

    Raises DataError when the file is missing or cannot be read.
    """
    text = read_text(path)
    return [(i, line.strip()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]


def read_text(path: Path) -> str:
    """Return the content of an annotation file; raises DataError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such annotation file; unpack the official annotations and give their "
            "folder as --annotations"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: the annotation file cannot be read ({error.strerror})") from None


def find_folder(root: Path, inside: Sequence[str], has: str) -> Path:
    """Return ``root``, or the one of its folders ``inside``, that holds a file fitting ``has``.

    Raises DataError when none does.
    """
    for folder in (root, *(root / name for name in inside)):
        if any(folder.glob(has)):
            return folder
    looked = ", ".join(["there", *(f"in {name}/" for name in inside)])
    raise DataError(f"{root}: no annotation file {has} (looked {looked}); check --annotations")


def one_of(root: Path, patterns: Iterable[str], what: str) -> Path:
    """Return the only file below ``root`` that fits one of ``patterns``, tried in order.

    Raises DataError when there is none, or several fit the same pattern.
    """
    patterns = list(patterns)
    if root.is_file():
        return root
    for pattern in patterns:
        found = sorted(root.glob(pattern))
        if len(found) > 1:
            raise DataError(f"{root}: {found[0].name} and {found[1].name} both fit {what}")
        if found:
            return found[0]
    raise DataError(f"{root}: no annotation file of {what}; looked for {', '.join(patterns)}")
