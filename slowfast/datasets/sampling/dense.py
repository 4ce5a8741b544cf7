"""Dense sampling: T frames at a given spacing from one window of the video.

Symbols: n frames, f their rate, F target rate, r sampling rate, T frames per clip, k of K clips.
Sources: PySlowFast's PyAV decoder (facebookresearch/SlowFast at 287ec00) and its copy in Open-VCLIP
(also in FROSTER and STDD); the exact rule is this project's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from slowfast.datasets.reading.timeline import Clip, Timeline, nearest_frames
from slowfast.datasets.sampling.rules import (
    CENTER_CLIP,
    FRAME_RULE_REGISTRY,
    RANDOM_CLIP,
    FrameRule,
)
from slowfast.datasets.transforms.draws import Draws, stream


def window_start(
    slack: float,
    clip: int,
    num_clips: int,
    *,
    use_offset: bool,
    rng: Draws | None,
    whole: bool = False,
) -> float:
    """Return where clip ``clip`` of ``num_clips`` starts when the start may move by ``slack``.

    Args:
        slack: room for the start, in frames or seconds (>= 0).
        clip: 0 .. num_clips - 1, RANDOM_CLIP or CENTER_CLIP.
        num_clips: K.
        use_offset: True spreads the clips so that the first starts at the start and the last ends
            at the end (one clip: the centre); False leaves slack / num_clips at the end, as
            PySlowFast does by default.
        rng: for RANDOM_CLIP; from Python's generator, as published.
        whole: PySlowFast's floors.

    >>> [window_start(9.0, k, 3, use_offset=True, rng=None) for k in range(3)]
    [0.0, 4.5, 9.0]
    >>> [window_start(9.0, k, 3, use_offset=False, rng=None) for k in range(3)]
    [0.0, 3.0, 6.0]
    >>> [window_start(245, k, 3, use_offset=True, rng=None, whole=True) for k in range(3)]
    [0.0, 122.0, 244.0]
    """
    if clip == RANDOM_CLIP:
        assert rng is not None, "a random clip needs a generator"
        return float(stream(rng, "python").uniform(0.0, slack))
    if clip == CENTER_CLIP or (use_offset and num_clips == 1):
        return float(math.floor(slack / 2)) if whole else slack / 2
    if use_offset and whole:
        return float(clip * math.floor(slack / (num_clips - 1)))
    return slack * clip / (num_clips - 1 if use_offset else num_clips)


def linspace_float32(start: float, end: float, steps: int) -> np.ndarray:
    """Return ``steps`` float32 values from start to end, rounded as torch's linspace rounds them.

    >>> linspace_float32(0, 63, 8).tolist()
    [0.0, 9.0, 18.0, 27.0, 36.0, 45.0, 54.0, 63.0]
    """
    first, last = np.float32(start), np.float32(end)
    if steps == 1:
        return np.array([first], dtype=np.float32)
    step = np.float64((last - first) / np.float32(steps - 1))
    order = np.arange(steps)
    # parity: torch multiplies and adds with one rounding, from the nearer end
    rising = np.float64(first) + step * order
    falling = np.float64(last) - step * (steps - 1 - order)
    return np.where(order < steps // 2, rising, falling).astype(np.float32)


def kept_frames(
    pts: np.ndarray, declared_frames: int, duration: int, start: float, end: float
) -> tuple[int, int]:
    """Return first and last frame that PySlowFast keeps of the window [start, end] in frames.

    The window becomes ticks at the average frame length (duration / declared frames), truncated;
    frames before it are dropped, and one frame behind it is kept.

    >>> kept_frames(np.arange(300) * 512, 300, 153600, 81.25, 136.25)
    (82, 137)
    """
    ticks = duration / declared_frames
    first = int(np.searchsorted(pts, int(start * ticks)))
    behind = int(np.searchsorted(pts, int(end * ticks), side="right"))
    last = len(pts) - 1
    return min(first, last), min(max(behind, first), last)


@FRAME_RULE_REGISTRY.register(names=["dense", "uniform"])
@dataclass(frozen=True)
class Dense(FrameRule):
    """T frames exactly r / F seconds apart: no stretch, no clamp unless the video is short.

    A video shorter than the clip repeats its last frame. Positions are rounded to the nearest
    frame, halves up. With ``corrected`` a video of variable rate is sampled in time (nearest frame
    to each target time), not in frame numbers.

    >>> from slowfast.datasets.reading.timeline import constant_rate_timeline
    >>> rule, video = Dense(8, 8, use_offset=True), constant_rate_timeline(300, 30.0)
    >>> rule.clip(video, clip=2, num_clips=3).indices.tolist()
    [243, 251, 259, 267, 275, 283, 291, 299]
    """

    kind: ClassVar[str] = "dense"

    def window(self, timeline: Timeline, clip: int, clips: int, rng: Draws | None) -> Clip:
        """Return the clip at the target rate, jittered if it is random and DATA says so."""
        rule = self
        if clip == RANDOM_CLIP and self.fps_jitter > 0:
            assert rng is not None, "a random clip needs a generator"
            jitter = stream(rng, "python").uniform(0.0, self.fps_jitter)
            rule = replace(self, target_fps=self.target_fps + jitter)
        return rule.spread(timeline, clip, clips, rng)

    def spread(self, timeline: Timeline, clip: int, clips: int, rng: Draws | None) -> Clip:
        """Return the clip at ``target_fps``."""
        n, order = timeline.num_frames, np.arange(self.num_frames)
        step, offset = self.sampling_rate / self.target_fps, self.use_offset
        if self.corrected and timeline.variable_rate:
            assert timeline.pts is not None
            times = (timeline.pts - timeline.pts[0]) * timeline.tick
            slack = max(float(times[-1]) - step * (len(order) - 1), 0.0)
            begin = window_start(slack, clip, clips, use_offset=offset, rng=rng)
            indices = nearest_frames(times, begin + step * order)
            return Clip(indices, float(indices[0]), float(indices[-1]))
        step *= timeline.rate if self.corrected else timeline.fps or 1.0
        slack = max(n - 1 - step * (len(order) - 1), 0.0)
        positions = step * order + window_start(slack, clip, clips, use_offset=offset, rng=rng)
        indices = np.floor(positions + 0.5).clip(0, n - 1).astype(np.int64)
        return Clip(indices, float(positions[0]), float(positions[-1]))


@FRAME_RULE_REGISTRY.register(names=["slowfast_pyav"])
@dataclass(frozen=True)
class SlowFastPyav(Dense):
    """The frames that PySlowFast's PyAV path delivers, to the last digit.

    With ``corrected`` time is counted from the first frame, and variable rate goes by time stamps;
    the published code counts from zero, and so loses the beginning of files whose first pts is
    later, and takes every rate for constant. A timeline's stated frame count, rate and duration
    matter here as well as its pts.
    """

    forgets_offset: ClassVar[bool] = False

    def spread(self, timeline: Timeline, clip: int, clips: int, rng: Draws | None) -> Clip:
        """Return the clip at ``target_fps``."""
        fps, n, t = timeline.fps or timeline.rate, timeline.num_frames, self.num_frames
        # parity: the order of the operations decides the last digit
        spread = max(1.0, self.sampling_rate * t / self.target_fps * fps)
        if timeline.duration is None or timeline.pts is None:
            return self._whole(n, spread, clip, clips, rng)
        length = float(max(1, math.ceil(self.sampling_rate * (t - 1) / self.target_fps * fps)))
        declared = timeline.declared_frames or n
        offset = self.use_offset and not (self.forgets_offset and clip != CENTER_CLIP)
        slack = max(declared - length, 0)
        start = window_start(slack, clip, clips, use_offset=offset, rng=rng, whole=True)
        end = start + length - 1
        pts = timeline.pts - timeline.pts[0] if self.corrected else timeline.pts
        first, last = kept_frames(pts, declared, timeline.duration, start, end)
        # parity: spread over r T frames although only r (T - 1) were decoded: stretched, clamped
        picked = linspace_float32(0, spread - 1, t)
        if self.corrected and timeline.variable_rate:
            targets = pts[first] + picked * (timeline.duration / declared)
            return Clip(nearest_frames(pts, targets).clip(first, last), start, end)
        return Clip(first + picked.clip(0, last - first).astype(np.int64), start, end)

    def _whole(self, n: int, spread: float, clip: int, clips: int, rng: Draws | None) -> Clip:
        """Return the clip of a video without duration (mkv, webm), which is decoded whole."""
        slack, offset = max(n - spread, 0), self.use_offset
        start = window_start(slack, clip, clips, use_offset=offset, rng=rng, whole=True)
        end = start + spread - 1
        picked = linspace_float32(start, end, self.num_frames).clip(0, n - 1)
        return Clip(picked.astype(np.int64), start, end)


@FRAME_RULE_REGISTRY.register(names=["openvclip", "froster", "stdd"])
@dataclass(frozen=True)
class OpenVCLIP(SlowFastPyav):
    """Open-VCLIP's copy, which forgets the offset when the duration is known."""

    forgets_offset: ClassVar[bool] = True
