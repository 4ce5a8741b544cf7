"""Find the listed videos in a folder of any layout, with one walk over it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

from slowfast.datasets.lists.file_lookup import walk
from slowfast.datasets.lists.lines import VIDEO_SUFFIXES
from slowfast.errors import DataError
from slowfast.text.labels import spelling_key

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


class FileIndex:
    """The videos, and the folders of images, below ``root``; paths are relative with "/".

    Raises DataError when ``root`` is no folder or holds neither.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.fspath(root)
        if not os.path.isdir(self.root):
            raise DataError(f"{self.root}: no such folder of videos; check --videos")
        self.paths: set[str] = set()
        self.images: dict[str, int] = {}
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for path in self._walk():
            name = path.rpartition("/")[2]
            self.paths.add(path)
            self._by_name.setdefault(name, []).append(path)
            stem = name if path in self.images else os.path.splitext(name)[0]
            self._by_stem.setdefault(stem, []).append(path)
        if not self.paths:
            raise DataError(f"{self.root}: neither videos nor folders of images are below it")

    def candidates(self, name: str) -> tuple[str, list[str]]:
        """Return how ``name`` was found ("exact", "by name", "other suffix") and the paths."""
        if name in self.paths:
            return "exact", [name]
        base = name.rpartition("/")[2]
        if base in self._by_name:
            return "by name", self._by_name[base]
        stem, suffix = os.path.splitext(base)
        if suffix.lower() not in VIDEO_SUFFIXES:
            stem = base
        # ActivityNet's files carry a v_ before the identifier, some people's downloads do not.
        for spelling in (stem, stem.removeprefix("v_")):
            if spelling in self._by_stem:
                return "other suffix", self._by_stem[spelling]
        return "missing", []

    def _walk(self) -> Iterable[str]:
        for folder, folders, files in walk(self.root):
            folders[:] = [name for name in folders if not name.startswith(".")]
            inside = os.path.relpath(folder, self.root).replace(os.sep, "/")
            prefix = "" if inside == "." else f"{inside}/"
            visible = [name for name in sorted(files) if not name.startswith(".")]
            yield from (prefix + n for n in visible if n.lower().endswith(VIDEO_SUFFIXES))
            count = count_images(visible)
            if count and prefix:
                self.images[inside] = count
                yield inside


def count_images(names: Iterable[str]) -> int:
    """Return how many images of the most frequent kind there are: alike but for their numbers.

    Optical flow beside the frames does not make a video longer.

    >>> count_images(["img_1.jpg", "img_2.jpg", "flow_x_1.jpg", "flow_y_1.jpg", "notes.txt"])
    2
    """
    images = (name for name in names if name.lower().endswith(IMAGE_SUFFIXES))
    return max(Counter(re.sub(r"\d+", "0", name) for name in images).values(), default=0)


class Resolution(NamedTuple):
    """Where each listed name lies.

    ``paths``: listed name -> relative path; ``missing``: names without a file; ``ambiguous``: names
    that several files fit; ``how``: counts of "exact", "by name", "other suffix"; ``unlisted``:
    number of files that nothing lists; ``images``: how many a found path has that is a folder.
    """

    paths: dict[str, str]
    missing: list[str]
    ambiguous: dict[str, list[str]]
    how: dict[str, int]
    unlisted: int
    images: dict[str, int]


def resolve(names: Iterable[str], index: FileIndex) -> Resolution:
    """Look every listed name up: as it stands, by base name, by base name with another suffix.

    Of several files of a name, the one that shares most folders with the listed path is taken.

    Raises DataError when not a single one is found.
    """
    found: dict[str, str] = {}
    missing: list[str] = []
    ambiguous: dict[str, list[str]] = {}
    how: Counter[str] = Counter()
    names = list(dict.fromkeys(names))
    for name in names:
        kind, paths = index.candidates(name)
        paths = _nearest(name, paths) if len(paths) > 1 else paths
        if len(paths) == 1:
            found[name] = paths[0]
            how[kind] += 1
        elif paths:
            ambiguous[name] = paths
        else:
            missing.append(name)
    if names and not found and not ambiguous:
        raise DataError(
            f"none of the {len(names)} listed videos is below {index.root} (first: {names[0]}; "
            f"one of the {len(index.paths)} that are: {min(index.paths)}); check --videos"
        )
    unlisted = len(index.paths) - len({*found.values()}.union(*ambiguous.values()))
    images = {path: index.images[path] for path in found.values() if path in index.images}
    return Resolution(found, missing, ambiguous, dict(how), unlisted, images)


def _nearest(name: str, paths: list[str]) -> list[str]:
    wanted = {spelling_key(part) for part in PurePosixPath(name).parts[:-1]}

    def shared(path: str) -> int:
        return len(wanted & {spelling_key(part) for part in PurePosixPath(path).parts[:-1]})

    best = max(map(shared, paths))
    return [path for path in paths if shared(path) == best]
