"""The videos of a split in a form that loading processes share without copying."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np


class PathArray:
    """Many strings in one block of bytes.

    A Python list of strings is copied bit by bit into every loading process, because reading an
    item writes its reference count; one array is not.

    >>> paths = PathArray(["a.mp4", "b/ü.mp4"])
    >>> len(paths), paths[1], paths[-2], list(paths)
    (2, 'b/ü.mp4', 'a.mp4', ['a.mp4', 'b/ü.mp4'])
    """

    def __init__(self, paths: Iterable[str]) -> None:
        encoded = [path.encode("utf-8", "surrogateescape") for path in paths]
        self._bytes = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self._ends = np.cumsum([len(item) for item in encoded], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> str:
        index = range(len(self))[index]
        start = int(self._ends[index - 1]) if index else 0
        block = self._bytes[start : int(self._ends[index])]
        return block.tobytes().decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))


@dataclass(frozen=True)
class VideoList:
    """The videos of a split; entry i is video i of the run.

    Args:
        paths: where each video lies (for kind "frames": its folder).
        labels: int64, one for each video.
        num_frames: for kind "frames" how many images each folder holds, else None.
        lines: line (or JSON entry) of each video in its list, counted from 1, where there is one.
        kind: "video" or "frames".
        missing: positions of videos that were not found when the list was read.
        class_names: of the classes by label, where they are known.
    """

    paths: PathArray | Sequence[str]
    labels: np.ndarray
    num_frames: np.ndarray | None = None
    lines: np.ndarray | None = None
    kind: str = "video"
    missing: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert len(self.paths) == len(self.labels), (len(self.paths), len(self.labels))

    def __len__(self) -> int:
        return len(self.labels)

    def keep(self, positions: np.ndarray) -> VideoList:
        """Return the videos at ``positions`` (rising) only, with all that is known of them."""
        missing = set(self.missing)
        return replace(
            self,
            paths=PathArray(self.paths[int(i)] for i in positions),
            labels=self.labels[positions],
            num_frames=None if self.num_frames is None else self.num_frames[positions],
            lines=None if self.lines is None else self.lines[positions],
            missing=tuple(new for new, old in enumerate(positions) if int(old) in missing),
        )
