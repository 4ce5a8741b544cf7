"""What the annotation readers give and the lists hold, and the reading of annotation files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from slowfast.errors import DataError
from slowfast.text.labels import parse_json

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


class Video(NamedTuple):
    """A line of a list to write; ``frames`` for folders of images."""

    path: str
    label: int
    frames: int | None = None


def list_text(videos: Sequence[Video], names: Sequence[str] = ()) -> str:
    """Return the lines of a list: ``path label``, or ``folder frames label``.

    Fields are parted by a tab when one of them holds a blank (Kinetics' class folders), else by a
    blank; the reader of lists recognises both.

    Args:
        videos: the lines.
        names: of the classes by label, written in place of the numbers.

    >>> list_text([Video("a.avi", 0), Video("b.avi", 1)], ["run", "sit up"])
    'a.avi\\trun\\nb.avi\\tsit up\\n'
    """
    labels = [names[video.label] if names else video.label for video in videos]
    counts = [() if video.frames is None else (video.frames,) for video in videos]
    rows = [
        tuple(map(str, (video.path, *count, label)))
        for video, count, label in zip(videos, counts, labels)
    ]
    separator = "\t" if any(" " in field for row in rows for field in row) else " "
    return "".join(separator.join(row) + "\n" for row in rows)


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


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Return ("file:line", text) of the lines that are not empty; raises as ``read_text``."""
    lines = enumerate(read_text(path).splitlines(), 1)
    return [(f"{path}:{number}", line.strip()) for number, line in lines if line.strip()]


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; raises DataError with the line that is wrong."""
    return parse_json(read_text(path), path, DataError)


def find_files(root: Path, *patterns: str) -> list[Path]:
    """Return the files below ``root`` that fit the first pattern which any file fits.

    ``root`` may also be the file itself. Raises DataError when there is none.
    """
    if root.is_file():
        return [root]
    for pattern in patterns:
        if found := sorted(root.glob(pattern)):
            return found
    raise DataError(f"{root}: no annotation file {' or '.join(patterns)}; check --annotations")


def find_file(root: Path, *patterns: str) -> Path:
    """Return the only file that ``find_files`` finds; raises DataError for none or several."""
    first, *others = find_files(root, *patterns)
    if others:
        raise DataError(f"{root}: {first.name} and {others[0].name} are both there; keep one")
    return first
