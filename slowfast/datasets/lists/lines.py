"""The lines of a list: what separates their fields, and what the fields are."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from slowfast.errors import DataError
from slowfast.utils.logging import get_logger

logger = get_logger(__name__)
LAST_BLANK = "last blank"  # names with blanks in them
SEPARATORS = {"\t": "tab", ",": "comma", " ": "blank", LAST_BLANK: "the last blank"}
# Looked at to recognise the form; all lines are checked afterwards.
SAMPLE_LINES = 1000
VIDEO_SUFFIXES = (
    *(".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg"),
    *(".flv", ".wmv", ".ts", ".3gp", ".ogv", ".gif"),
)


class Entries(NamedTuple):
    """The parsed content of a list, before files are looked up.

    ``labels`` are as they stand, None where there is none; ``lines`` count from 1.
    """

    paths: list[str]
    labels: list[Any]
    num_frames: list[int] | None
    lines: list[int]


def parse_lines(
    path: str, text: str, *, separator: str, kind: str, is_label: Callable[[str], bool]
) -> Entries:
    """Return the fields of the lines of ``text``; arguments as of ``read_list``.

    Args:
        path: for messages.
        text: content of the list.
        separator: what parts the fields; empty or a blank: recognised.
        kind: "video", "frames" or "auto".
        is_label: whether a field may be a label.

    Raises:
        DataError: lines have different or too many fields, an empty path, or no number of frames.
    """
    found = {i: line.strip() for i, line in enumerate(text.split("\n"), 1) if line.strip()}
    numbers, lines = list(found), list(found.values())
    if not lines:
        return Entries([], [], None, [])
    recognised = _recognise(lines[:SAMPLE_LINES], is_label)
    if not recognised and _has_header(lines) and _recognise(lines[1:SAMPLE_LINES], is_label):
        logger.warning("%s: the first line, %r, is taken for a header", path, lines[0])
        numbers, lines = numbers[1:], lines[1:]
        recognised = _recognise(lines[:SAMPLE_LINES], is_label)
    if separator in ("", " "):
        # Labels that are wrong, or of unknown classes, are parted all the same.
        separator = recognised or next(filter(partial(_parts_all, lines), ("\t", ",")), " ")
        if separator != " ":
            logger.info("%s: fields are separated by %s", path, SEPARATORS[separator])
    rows = [_split(line, separator) for line in lines]
    width = Counter(map(len, rows)).most_common(1)[0][0]
    if width not in (2, 3) and (width != 1 or recognised):
        width = 0
    for row, number in zip(rows, numbers):
        if problem := _problem(row, width, separator, recognised):
            raise DataError(f"{path}:{number}: {problem}")
    if width == 1:
        logger.warning("%s: no line has a label; all videos get label 0", path)
    return Entries(
        paths=_slashes(path, [row[0] for row in rows]),
        labels=[row[-1] if width > 1 else None for row in rows],
        num_frames=_frame_counts(path, rows, numbers, kind),
        lines=numbers,
    )


def _split(line: str, separator: str) -> list[str]:
    if separator == LAST_BLANK:
        return line.rsplit(None, 1)
    if '"' in line:
        line = " ".join(line.split()) if separator == " " else line
        try:
            return [part.strip() for part in next(csv.reader([line], delimiter=separator))]
        except csv.Error:
            return [line]  # refused for its number of fields
    return line.split() if separator == " " else [part.strip() for part in line.split(separator)]


def _slashes(path: str, names: list[str]) -> list[str]:
    """Return names as this system writes them: a list of Windows has backslashes only."""
    if os.sep == "\\" or not any("\\" in name for name in names) or any("/" in n for n in names):
        return names
    logger.warning("%s: backslashes in names are taken for those of Windows' folders", path)
    return [name.replace("\\", "/") for name in names]


def _recognise(lines: Sequence[str], is_label: Callable[[str], bool]) -> str:
    """Return the separator that parts every line into a path and a label, or ""."""
    if _has_blanks_in_names(lines, is_label):
        return LAST_BLANK
    for middle_is_number in (True, False):
        for separator in ("\t", ",", " "):
            rows = [_split(line, separator) for line in lines]
            if len({len(row) for row in rows}) != 1 or len(rows[0]) not in (2, 3):
                continue
            if not all(is_label(row[-1]) for row in rows):
                continue
            if len(rows[0]) == 2 or not middle_is_number or all(r[1].isdecimal() for r in rows):
                return separator
    return ""


def _parts_all(lines: Sequence[str], separator: str) -> bool:
    """Whether every line has the separator; a comma, which names may hold, behind a video."""
    return all(
        separator in line and (separator == "\t" or _is_video(_split(line, separator)[0]))
        for line in lines
    )


def _has_header(lines: Sequence[str]) -> bool:
    """Whether the first of several lines names neither a video nor a number (``path,label``)."""
    first = lines[0].lower()
    named = any(suffix in first for suffix in VIDEO_SUFFIXES)
    return len(lines) > 1 and not named and not any(sign.isdigit() for sign in first)


def _has_blanks_in_names(lines: Sequence[str], is_label: Callable[[str], bool]) -> bool:
    """Whether the form is ``drinking (31).mp4 0``: only a whole name ends as a video does."""
    if any(sign in line for line in lines for sign in '\t,"'):
        return False
    rows = [_split(line, LAST_BLANK) for line in lines]
    whole = all(len(row) == 2 and is_label(row[1]) and _is_video(row[0]) for row in rows)
    return whole and not all(_is_video(line.split()[0]) for line in lines)


def _is_video(name: str) -> bool:
    return name.lower().endswith(VIDEO_SUFFIXES)


def _problem(row: list[str], width: int, separator: str, recognised: str) -> str:
    """Return what is wrong with a line that should have ``width`` fields (0: none is usual)."""
    if len(row) == width:
        return "" if row[0] else "the path is empty"
    hint = ""
    if recognised and recognised != separator:
        name = SEPARATORS[recognised]
        hint = f"; with DATA.PATH_LABEL_SEPARATOR {recognised!r} ({name}) the list can be read"
    elif len(row) > 3:
        hint = "; paths that contain the separator need another one, such as a tab"
    expected = f"{width} as in other lines" if width else "path and label"
    shown = SEPARATORS.get(separator, repr(separator))
    return f"{len(row)} fields separated by {shown}, expected {expected}{hint}"


def _frame_counts(
    path: str, rows: list[list[str]], numbers: list[int], kind: str
) -> list[int] | None:
    """Return the middle fields as frame counts if the list is one of frame folders, else None."""
    width = len(rows[0])
    if kind == "auto":
        folders = width == 3 and all(
            row[1].isdecimal() and not row[0].lower().endswith(VIDEO_SUFFIXES)
            for row in rows[:SAMPLE_LINES]
        )
        kind = "frames" if folders else "video"
    if kind == "video":
        return None
    if width != 3:
        raise DataError(
            f"{path}:{numbers[0]}: {width} fields; a list of frame folders needs three: "
            "folder, number of frames, label"
        )
    for row, number in zip(rows, numbers):
        if not row[1].isdecimal():
            raise DataError(
                f"{path}:{number}: the number of frames is {row[1]!r}, expected an integer"
            )
    return [int(row[1]) for row in rows]
