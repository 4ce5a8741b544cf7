"""Lists that the papers' authors published, read as they are.

ViFi-CLIP, OST, TC-CLIP: ``file label``, flat or below train/, val/, test/. Text4Vis: ``file label``
or ``folder frames label``. Open-VCLIP, FROSTER, STDD: ``Class/file,label``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from slowfast.datasets.preparation.entries import Entry, read_lines
from slowfast.errors import DataError, UsageError


class _Style(NamedTuple):
    """How a line looks: to people, and as an expression with the parts name, frames, label."""

    form: str
    pattern: re.Pattern[str]


STYLES = {
    "vifi_clip": _Style("file label", re.compile(r"([^ ]+)() +(\d+)")),
    "text4vis": _Style(
        "file label, or folder frames label", re.compile(r"([^ ]+?)(?: +(\d+))? +(\d+)")
    ),
    "stdd": _Style("Class/file,label", re.compile(r"(.+?)(?:,\s*\d+)?()\s*,\s*(\d+)")),
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
    style = _recognise(rows[0][1]) if style == "auto" else style
    if style not in STYLES:
        raise UsageError(f"--published-style {style!r}; known: {', '.join(('auto', *STYLES))}")
    form, pattern = STYLES[style]
    entries: list[Entry] = []
    for where, text in rows:
        match = pattern.fullmatch(text)
        if match is None:
            raise DataError(f"{where}: {text!r}, expected {form!r}")
        name, frames, label = match.groups()
        if int(label) >= num_classes:
            raise DataError(
                f"{where}: label {int(label)}, expected 0..{num_classes - 1}; name the classes "
                "that the list counts with --subset"
            )
        entries.append(Entry(name, int(label), where, frames=int(frames) if frames else None))
    return entries


def _recognise(text: str) -> str:
    """Return the style of a list by its first line; names may hold commas, labels do not.

    >>> _recognise("Rad,schlag_0.avi 3"), _recognise("a/b 20 3"), _recognise("a/b.avi,3")
    ('vifi_clip', 'text4vis', 'stdd')
    """
    if STYLES["stdd"].pattern.fullmatch(text):
        return "stdd"
    return "text4vis" if len(text.split()) == 3 else "vifi_clip"
