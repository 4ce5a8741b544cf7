"""Lists that the papers' authors published, read as they are.

ViFi-CLIP, OST, TC-CLIP: ``file label``, flat or below train/, val/, test/. Text4Vis: ``file label``
or ``folder frames label``. Open-VCLIP, FROSTER, STDD: ``Class/file,label``.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from slowfast.datasets.preparation.entries import Entry, read_lines
from slowfast.errors import DataError, UsageError


class _Style(NamedTuple):
    """How a line is parted, and the number of fields that it may have."""

    separator: str
    widths: tuple[int, ...]
    form: str


STYLES = {
    "vifi_clip": _Style(" ", (2,), "file label"),
    "text4vis": _Style(" ", (2, 3), "file label, or folder frames label"),
    "stdd": _Style(",", (2, 3), "Class/file,label"),
}


def read_published(path: Path, style: str, num_classes: int) -> list[Entry]:
    """Return the entries of a published list; labels are taken as they stand.

    Args:
        path: the list.
        style: "vifi_clip", "text4vis", "stdd", or "auto": by the separator of the first line.
        num_classes: labels must be below it.

    Raises:
        DataError: no such file, or a line of another form (file and line are named).
        UsageError: unknown ``style``.
    """
    rows = read_lines(path)
    if not rows:
        raise DataError(f"{path}: the list is empty")
    if style == "auto":
        style = _recognise(rows[0][1])
    if style not in STYLES:
        known = ", ".join(("auto", *STYLES))
        raise UsageError(f"--published-style {style!r}; known: {known}")
    return [_entry(path, line, text, STYLES[style], num_classes) for line, text in rows]


def _recognise(text: str) -> str:
    """Return the style of a list by its first line; names may hold commas, labels do not.

    >>> _recognise("Rad,schlag_0.avi 3"), _recognise("a/b 20 3"), _recognise("a/b.avi,3")
    ('vifi_clip', 'text4vis', 'stdd')
    """
    last = text.rpartition(",")[2].strip()
    if "," in text and last.isdecimal():
        return "stdd"
    return "text4vis" if len(text.split()) == 3 else "vifi_clip"


def _entry(path: Path, line: int, text: str, style: _Style, num_classes: int) -> Entry:
    where = f"{path}:{line}"
    name, _, label = text.rpartition(style.separator)
    name, frames = name.strip(), None
    if 3 in style.widths:
        rest, _, middle = name.rpartition(style.separator)
        if rest and middle.strip().isdecimal():
            name = rest.strip()
            frames = int(middle) if style.separator == " " else None
    if not name or not label.strip().isdecimal() or (" " in name and style.separator == " "):
        raise DataError(f"{where}: {text!r}, expected {style.form!r}")
    if int(label) >= num_classes:
        raise DataError(
            f"{where}: label {int(label)}, expected 0..{num_classes - 1}; name the classes that "
            "the list counts with --subset"
        )
    return Entry(name, int(label), where, frames=frames)
