"""Segment sampling: the whole video is cut into T parts and one frame is taken from each.

Symbols: n frames of the video, T frames per clip, k of K clips. All indices count from 0.
Sources: tomchen-ctj/OST, muzairkhattak/ViFi-CLIP, naver-ai/tc-clip (one sampler, from mmaction2),
whwu95/Text4Vis, and PySlowFast's frame-folder data set; `Segment` is this project's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from slowfast.datasets.reading.timeline import Timeline, shown_frames
from slowfast.datasets.sampling.rules import (
    CENTER_CLIP,
    FRAME_RULE_REGISTRY,
    RANDOM_CLIP,
    FrameRule,
)
from slowfast.datasets.transforms.draws import Draws, stream
from slowfast.errors import UsageError

TEXT4VIS_WINDOW = 128


def _integers(rng: Draws | None, high: int, size: int | None = None) -> Any:
    """Draw from [0, high) in one call, from a Generator or from NumPy's legacy generator."""
    assert rng is not None, "random frames need a generator"
    source: Any = rng
    draw = getattr(source, "integers", None) or source.randint
    return draw(0, high, size=size)


@FRAME_RULE_REGISTRY.register(names=["segment"])
@dataclass(frozen=True)
class Segment(FrameRule):
    """One frame of each of T equal parts of the whole video.

    Training (RANDOM_CLIP): a uniform point of each part, so that every frame can be drawn. Testing:
    view k of K takes the middle of the k-th share of each part; one view therefore takes each
    part's centre. Fewer frames than T repeat. With ``corrected`` the parts of a video of variable
    rate are equal in time.

    >>> [Segment(4).clip(Timeline(16, 30.0), clip=k, num_clips=2).indices.tolist() for k in (0, 1)]
    [[1, 5, 9, 13], [3, 7, 11, 15]]
    """

    kind: ClassVar[str] = "segment"

    def indices(self, timeline: Timeline, clip: int, clips: int, rng: Draws | None) -> np.ndarray:
        """Return T frame numbers."""
        n, t, order = timeline.num_frames, self.num_frames, np.arange(self.num_frames)
        in_time = self.corrected and timeline.variable_rate
        # where a view looks inside each part, as a fraction
        above, below = (1, 2) if clip == CENTER_CLIP else (2 * clip + 1, 2 * clips)
        if clip == RANDOM_CLIP:
            assert rng is not None, "random frames need a generator"
            inside = np.array([float(rng.uniform(0.0, 1.0)) for _ in range(t)])
        elif in_time:
            inside = np.divide(above, below)
        else:
            return ((below * order + above) * n) // (below * t)
        if in_time:
            assert timeline.pts is not None
            first, last = float(timeline.pts[0]), float(timeline.pts[-1])
            span = (last - first) * n / (n - 1)
            return shown_frames(timeline.pts, first + (order + inside) / t * span)
        return np.floor((order + inside) * n / t).astype(np.int64).clip(0, n - 1)


@FRAME_RULE_REGISTRY.register(names=["ost", "vifi_clip", "tc_clip"])
@dataclass(frozen=True)
class Ost(Segment):
    """OST, ViFi-CLIP, TC-CLIP: segments of floor(n / T) frames in training, of n / T in a test.

    The last n - T floor(n / T) frames are never drawn; a video shorter than T gives fixed frames,
    rounded half to even. A single test view takes the centre of each segment, in floating point as
    published; several are spread deterministically, as those of Segment.

    >>> rule = Ost(8)
    >>> rule.clip(Timeline(5, 30.0), clip=RANDOM_CLIP).indices.tolist()
    [0, 1, 1, 2, 2, 3, 4, 4]
    >>> rule.clip(Timeline(20, 30.0), clip=0).indices.tolist()
    [1, 3, 6, 8, 11, 13, 16, 18]
    """

    draws_views: ClassVar[bool] = False

    def indices(self, timeline: Timeline, clip: int, clips: int, rng: Draws | None) -> np.ndarray:
        """Return T frame numbers."""
        n, t, order = timeline.num_frames, self.num_frames, np.arange(self.num_frames)
        if clip == RANDOM_CLIP or (self.draws_views and clips > 1):
            if n < t:
                return np.around(order * (n / t)).astype(np.int64) % n
            return (order * (n // t) + _integers(rng, n // t, t)) % n
        if clip == CENTER_CLIP or clips == 1:
            length = n / t
            return (order * length + length / 2.0).astype(np.int64) % n
        return super().indices(timeline, clip, clips, rng)


@FRAME_RULE_REGISTRY.register(names=["ost_random_views"])
@dataclass(frozen=True)
class OstRandomViews(Ost):
    """The same with test views drawn by the training sampler, as published."""

    draws_views: ClassVar[bool] = True


@FRAME_RULE_REGISTRY.register(names=["text4vis"])
@dataclass(frozen=True)
class Text4VisSegment(Segment):
    """Text4Vis: a random frame of each segment in training, its first one in a test.

    Segment i is [floor(i n / T), floor((i + 1) n / T)) in training; with n <= T every frame comes
    once and T - n random repeats, sorted. The test clips k of K are shifted by whole numbers evenly
    spaced from 0 to n / T - 1. With n < T they may be -1 and wrap around to the last frame, as
    published (NumPy >= 1.20).

    >>> Text4VisSegment(8).clip(Timeline(20, 30.0), clip=0).indices.tolist()
    [0, 2, 5, 7, 10, 12, 15, 17]
    """

    def indices(self, timeline: Timeline, clip: int, clips: int, rng: Draws | None) -> np.ndarray:
        """Return T frame numbers."""
        n, t = timeline.num_frames, self.num_frames
        if clip == RANDOM_CLIP and n <= t:
            return np.sort(np.concatenate([np.arange(n), _integers(rng, n, t - n)]))
        if clip == RANDOM_CLIP:
            ticks = [i * n // t for i in range(t + 1)]
            return np.array([a + int(_integers(rng, b - a)) for a, b in zip(ticks, ticks[1:])])
        tick, k, views = n / t, max(clip, 0), 1 if clip < 0 else clips
        start = int(np.floor(np.linspace(0, tick - 1, views)[k]))
        return np.array([int(start + tick * i) % n for i in range(t)])


@FRAME_RULE_REGISTRY.register(names=["text4vis_dense"])
@dataclass(frozen=True)
class Text4VisDense(FrameRule):
    """Text4Vis' dense frames: every (128 // T)-th frame of a window of 128, wrapping around.

    One test clip divides by zero in the published code; here it is the central window.

    >>> Text4VisDense(4).clip(Timeline(200, 30.0), clip=1, num_clips=3).indices.tolist()
    [36, 68, 100, 132]
    """

    kind: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_frames > TEXT4VIS_WINDOW:
            raise UsageError(
                f"DATA.SAMPLING_COMPAT 'text4vis_dense' takes frames from a window of "
                f"{TEXT4VIS_WINDOW}; DATA.NUM_FRAMES is {self.num_frames}"
            )

    def indices(self, timeline: Timeline, clip: int, clips: int, rng: Draws | None) -> np.ndarray:
        """Return T frame numbers."""
        slack = max(0, timeline.num_frames - TEXT4VIS_WINDOW)
        if clip == RANDOM_CLIP:
            start = int(_integers(rng, slack)) if slack else 0
        elif clip == CENTER_CLIP or clips == 1:
            start = slack // 2
        else:
            start = clip * (slack // (clips - 1))
        stride = TEXT4VIS_WINDOW // self.num_frames
        return (start + np.arange(self.num_frames) * stride) % timeline.num_frames


@FRAME_RULE_REGISTRY.register(names=["slowfast_ssv2"])
@dataclass(frozen=True)
class SlowFastSsv2(Segment):
    """The frames of PySlowFast's frame-folder data set; every test view is the same.

    Segment i runs from round((n - 1) / T i) to round((n - 1) / T (i + 1)), both included and
    rounded half to even: training draws one of it (Python's generator), testing takes its middle.

    >>> SlowFastSsv2(8).clip(Timeline(20, 30.0), clip=0).indices.tolist()
    [1, 3, 6, 8, 11, 13, 15, 18]
    """

    def indices(self, timeline: Timeline, clip: int, clips: int, rng: Draws | None) -> np.ndarray:
        """Return T frame numbers."""
        t = self.num_frames
        edges = np.round((timeline.num_frames - 1) / t * np.arange(t + 1)).astype(np.int64)
        if clip != RANDOM_CLIP:
            return (edges[:-1] + edges[1:]) // 2
        assert rng is not None, "random frames need a generator"
        source = stream(rng, "python")
        return np.array([source.integers(int(a), int(b) + 1) for a, b in zip(edges, edges[1:])])
