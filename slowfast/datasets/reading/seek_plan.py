"""Which packets must be decoded to get at some frames: key frames, reordering, cost; no reading.

A video stream is a list of packets in decoding order; B-frames are shown in another order. A frame
can be decoded correctly from any key frame that comes before it in both orders: a frame shown
before the key frame may refer to pictures in front of it (an open group of pictures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

# Restarting at a key frame (seek, flush) costs about as much as decoding this many frames: on H.264
# at 320 x 240 the prices 0 to 8 gave the same times, 16 and more were slower.
SEEK_COST = 3


class Run(NamedTuple):
    """One stretch of packets to decode.

    ``first``, ``last``: positions in decoding order, both included; ``seek``: whether to jump to
    ``first``, a key frame; ``wanted``: presentation indices of the frames to take from it.
    """

    first: int
    last: int
    seek: bool
    wanted: tuple[int, ...]


@dataclass(frozen=True)
class PacketTable:
    """The packets of a stream in decoding order.

    Args:
        pts: presentation times in ticks, int64 (all known).
        dts: decoding times in ticks, int64 (pts where unknown).
        key: True where decoding can start.
        shown: False where the frame is decoded but not shown (edit lists).
    """

    pts: np.ndarray
    dts: np.ndarray
    key: np.ndarray
    shown: np.ndarray

    @cached_property
    def positions(self) -> np.ndarray:
        """Decoding position of each frame in presentation order."""
        order = np.argsort(self.pts, kind="stable")
        return order[self.shown[order]]

    @cached_property
    def frame_pts(self) -> np.ndarray:
        """Presentation time of each frame, ascending."""
        return self.pts[self.positions]

    @cached_property
    def place(self) -> dict[int, int]:
        """Decoding position by presentation time."""
        return {int(pts): i for i, pts in enumerate(self.pts)}

    @cached_property
    def entries(self) -> np.ndarray:
        """For each frame in presentation order the latest position at which decoding may start."""
        keys = np.flatnonzero(self.key)
        if len(keys) == 0 or (np.diff(self.pts[keys]) <= 0).any():
            return np.zeros(len(self.positions), dtype=np.int64)
        by_position = np.searchsorted(keys, self.positions, side="right") - 1
        by_time = np.searchsorted(self.pts[keys], self.frame_pts, side="right") - 1
        nearest = np.minimum(by_position, by_time)
        return np.where(nearest >= 0, keys[nearest.clip(0)], 0)


def plan_runs(table: PacketTable, wanted: Sequence[int], seek_cost: int = SEEK_COST) -> list[Run]:
    """Return the cheapest stretches that contain the ``wanted`` frames, in presentation order.

    Decoding goes on from frame to frame unless a key frame in front of the next wanted frame is
    more than ``seek_cost`` packets ahead.

    Args:
        table: packets of the stream.
        wanted: presentation indices, ascending, without repeats.
        seek_cost: price of a jump in frames; a very large one never jumps.

    >>> key = np.arange(100) % 25 == 0
    >>> pts = np.arange(100)
    >>> table = PacketTable(pts, pts, key, np.ones(100, bool))
    >>> [(run.first, run.last, run.seek) for run in plan_runs(table, [2, 30, 80])]
    [(0, 2, False), (25, 30, True), (75, 80, True)]
    """
    runs: list[Run] = []
    first, last, seek = 0, -1, False
    frames: list[int] = []
    for frame in wanted:
        position, entry = int(table.positions[frame]), int(table.entries[frame])
        ahead = entry - (last + 1) > seek_cost
        behind = entry < first
        if ahead or behind:
            if frames:
                runs.append(Run(first, last, seek, tuple(frames)))
            first, last, seek, frames = entry, -1, True, []
        frames.append(frame)
        last = max(last, position)
    runs.append(Run(first, last, seek, tuple(frames)))
    return runs
