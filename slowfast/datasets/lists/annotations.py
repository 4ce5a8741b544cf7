"""Read the list of a split: which videos there are, and their labels.

Forms that are recognised:
    path label            PySlowFast, ViFi-CLIP, OST (a line with a path alone has label 0)
    path<tab>class name   what our tools write
    path ignored label    PySlowFast
    folder frames label   Text4Vis: frames on the disk, one folder for each video
    [{"filename": ..., "label": [3]}, ...]      JSON, as OST accepts it
    root/class name/video a folder instead of a list: one folder for each class
Fields are separated by blanks, commas or tabs. Blank lines, CRLF, a byte order mark and a missing
final newline do no harm.
"""

from __future__ import annotations

import codecs
import difflib
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slowfast.config.inputs import no_list
from slowfast.datasets.lists.class_folders import refuse_other_classes
from slowfast.datasets.lists.file_lookup import absent, find_by_name, is_clutter, walk
from slowfast.datasets.lists.lines import VIDEO_SUFFIXES, Entries, parse_lines
from slowfast.datasets.lists.video_list import PathArray, VideoList
from slowfast.errors import DataError, UsageError
from slowfast.text.labels import ClassVocabulary, parse_json, spelling_key
from slowfast.utils.logging import get_logger

__all__ = ["PathArray", "VideoList", "read_list"]

logger = get_logger(__name__)
KINDS = ("auto", "video", "frames")
NUMBER = re.compile(r"[+-]?\d+(\.0+)?")  # 3.0: pandas' way after a missing value
# A list of lines may begin with a bracket too: names of HMDB-51 do.
JSON_START = re.compile(r'\s*(\[\s*([\[{"]|\d*\s*\]?\s*$)|\{\s*["}])')


def read_list(  # noqa: PLR0913 - plain values, each of its own kind
    path: str | os.PathLike[str],
    *,
    separator: str = "",
    prefix: str = "",
    root: str = "",
    num_classes: int = 0,
    kind: str = "auto",
    classes: ClassVocabulary | None = None,
    any_names: bool = False,
    check_files: bool = True,
) -> VideoList:
    """Return the videos and labels of a list file, a JSON list or a tree of class folders.

    Args:
        path: the list, or the root of the tree.
        separator: what parts the fields; empty, or PySlowFast's default of one blank: recognised.
        prefix: folder put in front of relative paths (DATA.PATH_PREFIX).
        root: where absent files are looked for by name; empty: ``prefix``, or the list's folder.
        num_classes: labels must be below it (0 = not checked).
        kind: "video", "frames", or "auto": frames if lines have three fields, the middle one a
            number, and paths have no suffix of a video.
        classes: those that labels count. Labels may be their names, too, and numbers must not
            contradict class folders (``refuse_other_classes``).
        any_names: without ``classes``, take any names for labels and number them by the alphabet.
        check_files: look for the files, and say how many are absent. Costs one listing of each
            folder that occurs, and a walk of ``root`` if something is absent.

    Raises:
        DataError: no or an empty list, wrong fields or labels (file and line are named), several
            files of the same base name, or none of the listed files exists.
        UsageError: unknown ``kind``.
    """
    if kind not in KINDS:
        raise UsageError(f"DATA.LIST_FORMAT is {kind!r}; known: {', '.join(KINDS)}")
    path = os.fspath(path)
    labels_of = _Labels(path, num_classes, classes, any_names=any_names)
    if os.path.isdir(path):
        return _read_tree(path, labels_of, kind)
    entries = _read_entries(path, separator, kind, labels_of)
    labels = labels_of.numbers(entries.labels, entries.lines)
    paths = [os.path.join(prefix, name) for name in entries.paths] if prefix else entries.paths
    missing: list[int] = []
    if check_files:
        root = root or prefix or os.path.dirname(path) or "."
        paths, missing = _locate(path, paths, labels, root)
    _report_duplicates(path, paths)
    if labels_of.all_numbers:
        refuse_other_classes(path, paths, labels, labels_of.names, labels_of.of_folder)
    return VideoList(
        paths=PathArray(paths),
        labels=labels,
        num_frames=None if entries.num_frames is None else np.array(entries.num_frames),
        lines=np.array(entries.lines),
        kind="video" if entries.num_frames is None else "frames",
        missing=tuple(missing),
        class_names=labels_of.names,
    )


def _read_entries(path: str, separator: str, kind: str, labels_of: _Labels) -> Entries:
    text = _read_text(path)
    if JSON_START.match(text):
        entries = _parse_json(path, text)
    else:
        entries = parse_lines(path, text, separator=separator, kind=kind, is_label=labels_of.fits)
    if not entries.paths:
        raise DataError(f"{path}: the list is empty; expected lines like 'folder/video.mp4 3'")
    return entries


def _read_text(path: str) -> str:
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise no_list(path) from None
    except OSError as error:
        raise DataError(f"{path}: the list cannot be read ({error.strerror})") from None
    if not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-8-sig", errors="surrogateescape")
    logger.warning("%s: read as UTF-16, which its first bytes announce", path)
    try:
        return data.decode("utf-16")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: announces UTF-16, but is not ({error.reason})") from None


class _Labels:
    """Turns label fields into numbers and refuses wrong ones with file and line."""

    def __init__(
        self, path: str, num_classes: int, classes: ClassVocabulary | None, *, any_names: bool
    ) -> None:
        self.path = path
        self.limit = num_classes or len(classes or ())
        self.names = classes.names if classes else ()
        self.known = {name: label for label, name in enumerate(self.names)}
        self.spellings = classes.spellings if classes else {}
        self.any_names = any_names and not classes
        self.all_numbers = False

    def of_folder(self, name: str) -> int | None:
        """Return the label of the class that folders spell ``name``, if there is one."""
        return self.spellings.get(spelling_key(name), self.known.get(name))

    def find(self, text: Any) -> int | None:
        """Return the label that a field means: a class name, a number, or a folder's spelling."""
        text = str(text)
        if text in self.known:
            return self.known[text]
        if NUMBER.fullmatch(text):
            return int(text.partition(".")[0])
        return self.spellings.get(spelling_key(text))

    def fits(self, text: str) -> bool:
        """Whether ``text`` may be a label at all."""
        if self.any_names:
            return not text.lower().endswith(VIDEO_SUFFIXES)
        return self.find(text) is not None

    def numbers(self, labels: Sequence[Any], lines: Sequence[int]) -> np.ndarray:
        """Return int64 labels; raises DataError for the first that is wrong."""
        stated = [str(label) for label in labels if label is not None]
        if self.any_names and not all(map(NUMBER.fullmatch, stated)):
            self.names = tuple(sorted(set(stated)))
            self.known = {name: label for label, name in enumerate(self.names)}
        values = [0 if label is None else self.find(label) for label in labels]
        numeric = all(map(NUMBER.fullmatch, stated)) and not set(stated) & self.known.keys()
        self.all_numbers = numeric and len(stated) == len(labels)
        if None in values:
            bad = values.index(None)
            near = difflib.get_close_matches(str(labels[bad]), self.known, n=1)
            hint = f"; nearest class: {near[0]!r}" if near else ""
            expected = "an integer" + (" or a class name" if self.known else "")
            hint = hint if self.known else " (names need TEXT.CLASSES)"
            raise DataError(
                f"{self.path}:{lines[bad]}: the label is {labels[bad]!r}, expected {expected}{hint}"
            )
        numbers = np.array(values, dtype=np.int64)
        wrong = (numbers < 0) | ((numbers >= self.limit) if self.limit else False)
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            limit = f"0..{self.limit - 1} (MODEL.NUM_CLASSES)" if self.limit else "0 and above"
            raise DataError(
                f"{self.path}:{lines[first]}: label {numbers[first]} is outside {limit}"
                f"{f', as are {wrong.sum() - 1} others' if wrong.sum() > 1 else ''}"
            )
        return numbers


def _parse_json(path: str, text: str) -> Entries:
    table = parse_json(text, path, DataError)
    if isinstance(table, dict):
        table = [{"filename": name, "label": label} for name, label in table.items()]
    entries = [_json_entry(path, number, entry) for number, entry in enumerate(table, 1)]
    paths, labels = [name for name, _ in entries], [label for _, label in entries]
    return Entries(paths, labels, None, list(range(1, len(paths) + 1)))


def _json_entry(path: str, number: int, entry: Any) -> tuple[str, Any]:
    facts = entry if isinstance(entry, dict) else {}
    name, label = facts.get("filename", facts.get("path")), facts.get("label")
    if isinstance(label, list) and len(label) == 1:
        label = label[0]
    if not isinstance(name, str) or not name or not isinstance(label, int | str):
        raise DataError(
            f"{path}: entry {number} is {str(entry)[:80]!r}, expected "
            '{"filename": "folder/video.mp4", "label": [3]}'
        )
    return name, label


def _read_tree(root: str, labels_of: _Labels, kind: str) -> VideoList:
    """Return the videos of ``root``/class name/..., sorted by class and path; see ``walk``."""
    if kind == "frames":
        raise DataError(f"{root}: frame folders need a list (folder, number of frames, label)")
    entries = os.scandir(root)
    folders = sorted(e.name for e in entries if e.is_dir() and not is_clutter(e.name))
    numbers: dict[str, int | None] = {folder: label for label, folder in enumerate(folders)}
    if labels_of.known:
        numbers = {folder: labels_of.of_folder(folder) for folder in folders}
    if unknown := [folder for folder, label in numbers.items() if label is None]:
        raise DataError(f"{root}: folder {unknown[0]!r} is not among the class names")
    found = [
        (path, numbers[folder])
        for folder in folders
        for path in sorted(
            os.path.join(place, name)
            for place, _, names in walk(os.path.join(root, folder))
            for name in names
        )
        if os.path.splitext(path)[1].lower() in VIDEO_SUFFIXES
    ]
    if not found:
        raise DataError(f"{root}: no videos; expected class folders with video files in them")
    paths, values = zip(*found)
    labels = labels_of.numbers(values, range(1, len(values) + 1))
    return VideoList(PathArray(paths), labels, class_names=labels_of.names or tuple(folders))


def _locate(
    path: str, paths: list[str], labels: np.ndarray, root: str
) -> tuple[list[str], list[int]]:
    """Return the paths with absent files replaced by those of the same base name, and the rest."""
    gone = absent(paths)
    if not gone:
        return paths, []
    found = find_by_name(paths, gone, root)
    if found:
        logger.info(
            "%s: %d of %d files are not where they are listed and were found by name under %s",
            path, len(found), len(paths), root,
        )  # fmt: skip
        listed, paths = paths, [found.get(i, name) for i, name in enumerate(paths)]
        _refuse_shared(path, listed, paths, labels)
    missing = [i for i in gone if i not in found]
    first = ", ".join(paths[i] for i in missing[:3])
    if len(missing) == len(paths):
        raise DataError(
            f"{path}: none of the {len(paths)} listed files exists, nor any of that name under "
            f"{root} (first: {first}); set DATA.PATH_PREFIX to the folder of the videos"
        )
    if missing:
        logger.warning("%s: %d of %d listed files are missing: %s%s", path, len(missing),
                       len(paths), first, ", ..." if len(missing) > 3 else "")  # fmt: skip
    return paths, missing


def _refuse_shared(path: str, listed: list[str], paths: list[str], labels: np.ndarray) -> None:
    """Refuse one file that was found by name for two absent ones of different labels."""
    first: dict[str, int] = {}
    for i, (name, found) in enumerate(zip(listed, paths)):
        other = i if name == found else first.setdefault(found, i)
        if listed[other] != name and labels[other] != labels[i]:
            raise DataError(
                f"{path}: {listed[other]} and {name} do not exist, and one file of that name does: "
                f"{found}, which cannot be both; put it where it is listed"
            )


def _report_duplicates(path: str, paths: list[str]) -> None:
    if len(set(paths)) == len(paths):
        return
    twice = [name for name, count in Counter(paths).items() if count > 1]
    logger.warning("%s: %d paths are listed more than once, first %s", path, len(twice), twice[0])
