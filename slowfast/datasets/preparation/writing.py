"""Write lists and reports: beside, then renamed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from slowfast.evaluation.results import atomic_write


class Video(NamedTuple):
    """A line of a list to write; ``frames`` for folders of images."""

    path: str
    label: int
    frames: int | None = None


def write_text(path: Path, text: str) -> Path:
    """Write ``text`` atomically; names that are not UTF-8 keep their bytes.

    Raises SlowFastError with one line when the disk refuses.
    """
    return atomic_write(path, text.encode("utf-8", "surrogateescape"))


def list_text(videos: Sequence[Video]) -> str:
    """Return the lines of a list: ``path label``, or ``folder frames label``.

    Fields are parted by a tab when a path holds a blank (Kinetics' class folders), else by a blank;
    the reader of lists recognises both.

    >>> list_text([Video("a.avi", 0), Video("b.avi", 1)])
    'a.avi 0\\nb.avi 1\\n'
    """
    separator = "\t" if any(" " in video.path for video in videos) else " "
    rows = ((v.path, *(() if v.frames is None else (v.frames,)), v.label) for v in videos)
    return "".join(separator.join(map(str, row)) + "\n" for row in rows)


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
