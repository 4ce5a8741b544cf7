"""What frame sampling needs to know of a video, and how its clock behaves; no reading here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Clip(NamedTuple):
    """The frames of one temporal view.

    ``indices``: int64, T entries, counted in presentation order from 0; ``start`` and ``end``:
    first and last position of the clip in frames, real-valued as PySlowFast reports them.
    """

    indices: np.ndarray
    start: float
    end: float


@dataclass(frozen=True)
class Timeline:
    """The clock of one video.

    Args:
        num_frames: frames that decoding yields.
        fps: average frame rate as the container states it (0 = unknown).
        pts: presentation time of each frame in ticks, ascending (None = not known).
        tick: seconds per tick.
        declared_frames: frame count stated by the container (0 = none); only the published
            PySlowFast rule looks at it.
        duration: stream duration in ticks as stated (None = not stated, as in mkv and webm).
    """

    num_frames: int
    fps: float
    pts: np.ndarray | None = None
    tick: float = 1.0
    declared_frames: int = 0
    duration: int | None = None

    @property
    def variable_rate(self) -> bool:
        """Whether some frame is more than half a frame away from an even grid in time."""
        if self.pts is None or self.num_frames < 3:
            return False
        grid = np.linspace(float(self.pts[0]), float(self.pts[-1]), self.num_frames)
        step = (float(self.pts[-1]) - float(self.pts[0])) / (self.num_frames - 1)
        return bool(np.abs(self.pts - grid).max() > 0.5 * step)

    @property
    def rate(self) -> float:
        """Frames per second: the stated rate unless the time stamps contradict it.

        The stated one is exact where stamps are rounded (milliseconds in mkv), so it is kept as
        long as it is less than half a frame off over the whole video.
        """
        if self.pts is None or self.num_frames < 2:
            return self.fps or 1.0
        span = (float(self.pts[-1]) - float(self.pts[0])) * self.tick
        if span <= 0:
            return self.fps or 1.0
        if self.fps and abs(self.fps * span - (self.num_frames - 1)) < 0.5:
            return self.fps
        return (self.num_frames - 1) / span


def constant_rate_timeline(
    num_frames: int, fps: float, *, pts_per_frame: int = 1000, duration_known: bool = True
) -> Timeline:
    """Return the timeline of an imaginary video of constant rate whose frame i has pts i * step."""
    return Timeline(
        num_frames=num_frames,
        fps=fps,
        pts=np.arange(num_frames, dtype=np.int64) * pts_per_frame,
        tick=1.0 / (fps * pts_per_frame),
        declared_frames=num_frames,
        duration=num_frames * pts_per_frame if duration_known else None,
    )


def nearest_frames(pts: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return for each target time the index of the frame nearest to it (the earlier one of two).

    Args:
        pts: ascending times, n entries.
        targets: times in the same unit.

    >>> nearest_frames(np.array([0, 10, 100]), np.array([4.0, 5.0, 6.0, 80.0, 500.0]))
    array([0, 0, 1, 2, 2])
    """
    after = np.searchsorted(pts, targets).clip(1, max(len(pts) - 1, 1))
    if len(pts) == 1:
        return np.zeros(len(targets), dtype=np.int64)
    before = after - 1
    return np.where(targets - pts[before] <= pts[after] - targets, before, after).astype(np.int64)


def shown_frames(pts: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return for each target time the index of the frame that is on screen then.

    >>> shown_frames(np.array([0, 10, 100]), np.array([-5.0, 0.0, 9.9, 10.0, 99.0, 500.0]))
    array([0, 0, 0, 1, 1, 2])
    """
    return (np.searchsorted(pts, targets, side="right") - 1).clip(0, len(pts) - 1).astype(np.int64)
