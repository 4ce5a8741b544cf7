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


def ost_train(n: int, num_frames: int, rng: Draws | None) -> np.ndarray:
    """Return OST's training frames: random within segments of floor(n / T) frames.

    The last n - T floor(n / T) frames are never drawn; a video shorter than T gives fixed frames,
    rounded half to even.

    >>> ost_train(5, 8, None).tolist()
    [0, 1, 1, 2, 2, 3, 4, 4]
    """
    length = n // num_frames
    order = np.arange(num_frames)
    if length == 0:
        return np.around(order * (n / num_frames)).astype(np.int64) % n
    drawn = _integers(rng, length, num_frames)
    return (order * length + drawn).astype(np.int64) % n


def ost_test(n: int, num_frames: int) -> np.ndarray:
    """Return OST's single test view: the centre of each segment, in floating point as published.

    >>> ost_test(20, 8).tolist()
    [1, 3, 6, 8, 11, 13, 16, 18]
    """
    length = n / num_frames
    return (np.arange(num_frames) * length + length / 2.0).astype(np.int64) % n


def text4vis_train(n: int, num_frames: int, rng: Draws | None) -> np.ndarray:
    """Return Text4Vis' training frames.

    One random frame of [floor(i n / T), floor((i + 1) n / T)); with n <= T every frame once and
    T - n random repeats, sorted.
    """
    if n <= num_frames:
        repeats = _integers(rng, n, num_frames - n)
        return np.sort(np.concatenate([np.arange(n), repeats])).astype(np.int64)
    ticks = [i * n // num_frames for i in range(num_frames + 1)]
    drawn = [low + int(_integers(rng, high - low)) for low, high in zip(ticks, ticks[1:])]
    return np.array(drawn, dtype=np.int64)


def text4vis_test(n: int, num_frames: int, clip: int, num_clips: int) -> np.ndarray:
    """Return Text4Vis' frames of test clip k of K: the first frame of each segment, shifted.

    The shifts are K whole numbers evenly spaced from 0 to n / T - 1. With n < T they may be -1 and
    wrap around to the last frame, as published (NumPy >= 1.20).

    >>> text4vis_test(20, 8, 0, 1).tolist()
    [0, 2, 5, 7, 10, 12, 15, 17]
    """
    tick = n / num_frames
    start = int(np.floor(np.linspace(0, tick - 1, num_clips)[clip]))
    return np.array([int(start + tick * i) % n for i in range(num_frames)], dtype=np.int64)


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
    """OST, ViFi-CLIP, TC-CLIP; several test views are spread deterministically."""

    draws_views: ClassVar[bool] = False

    def indices(self, timeline: Timeline, clip: int, clips: int, rng: Draws | None) -> np.ndarray:
        """Return T frame numbers."""
        if clip == RANDOM_CLIP or (self.draws_views and clips > 1):
            return ost_train(timeline.num_frames, self.num_frames, rng)
        if clip == CENTER_CLIP or clips == 1:
            return ost_test(timeline.num_frames, self.num_frames)
        return super().indices(timeline, clip, clips, rng)


@FRAME_RULE_REGISTRY.register(names=["ost_random_views"])
@dataclass(frozen=True)
class OstRandomViews(Ost):
    """The same with test views drawn by the training sampler, as published."""

    draws_views: ClassVar[bool] = True


@FRAME_RULE_REGISTRY.register(names=["text4vis"])
@dataclass(frozen=True)
class Text4VisSegment(Segment):
    """Text4Vis: random in training, the first frame of each segment in a test."""

    def indices(self, timeline: Timeline, clip: int, clips: int, rng: Draws | None) -> np.ndarray:
        """Return T frame numbers."""
        n, t = timeline.num_frames, self.num_frames
        if clip == RANDOM_CLIP:
            return text4vis_train(n, t, rng)
        return text4vis_test(n, t, max(clip, 0), 1 if clip < 0 else clips)


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
