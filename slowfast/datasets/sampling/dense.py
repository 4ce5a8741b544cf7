"""Dense sampling: T frames at a given spacing from one window of the video.

Symbols: n frames, f their rate, F target rate, r sampling rate, T frames per clip, k of K clips.
Sources: PySlowFast's PyAV decoder (facebookresearch/SlowFast at 287ec00) and its copy in Open-VCLIP
(also in FROSTER and STDD); the exact style is this project's own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from slowfast.datasets.reading.timeline import Clip, Timeline, nearest_frames
from slowfast.datasets.transforms.draws import Draws, stream

RANDOM_CLIP = -1
CENTER_CLIP = -2


class DenseSettings(NamedTuple):
    """What dense sampling is told by the configuration.

    ``num_frames`` T, ``sampling_rate`` r, ``target_fps`` F, ``use_offset``
    DATA.USE_OFFSET_SAMPLING, ``corrected`` whether DATA.TIMESTAMPS is "corrected".
    """

    num_frames: int
    sampling_rate: int = 1
    target_fps: float = 30.0
    use_offset: bool = False
    corrected: bool = True


def exact_start(
    slack: float, clip: int, num_clips: int, *, use_offset: bool, rng: Draws | None
) -> float:
    """Return where clip ``clip`` of ``num_clips`` starts when the start may move by ``slack``.

    Args:
        slack: room for the start, in frames or seconds (>= 0).
        clip: 0 .. num_clips - 1, RANDOM_CLIP or CENTER_CLIP.
        use_offset: True spreads the clips so that the first starts at the start and the last ends
            at the end (one clip: the centre); False leaves slack / num_clips at the end, as
            PySlowFast does by default.

    >>> [exact_start(9.0, k, 3, use_offset=True, rng=None) for k in range(3)]
    [0.0, 4.5, 9.0]
    >>> [exact_start(9.0, k, 3, use_offset=False, rng=None) for k in range(3)]
    [0.0, 3.0, 6.0]
    """
    if clip == RANDOM_CLIP:
        assert rng is not None, "a random clip needs a generator"
        return float(rng.uniform(0.0, slack))
    if clip == CENTER_CLIP or (use_offset and num_clips == 1):
        return slack / 2
    if use_offset:
        return slack * clip / (num_clips - 1)
    return slack * clip / num_clips


def published_start(
    slack: float, clip: int, num_clips: int, *, use_offset: bool, rng: Draws | None
) -> float:
    """Return where PySlowFast's decoder starts; differs from `exact_start` in its floors.

    Random starts come from Python's generator, as published.

    >>> [published_start(244, k, 3, use_offset=False, rng=None) for k in range(3)]
    [0.0, 81.33333333333333, 162.66666666666666]
    >>> [published_start(245, k, 3, use_offset=True, rng=None) for k in range(3)]
    [0.0, 122.0, 244.0]
    """
    if clip == RANDOM_CLIP:
        assert rng is not None, "a random clip needs a generator"
        return float(stream(rng, "python").uniform(0, slack))
    if clip == CENTER_CLIP or (use_offset and num_clips == 1):
        return float(math.floor(slack / 2))
    if use_offset:
        return float(clip * math.floor(slack / (num_clips - 1)))
    return slack * clip / num_clips


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


def decoded_length(fps: float, settings: DenseSettings) -> float:
    """Return how many frames PySlowFast decodes for a clip of T frames (a whole number).

    >>> decoded_length(30.0, DenseSettings(8, 8))
    56.0
    """
    # parity: the order of the operations decides the last digit
    length = settings.sampling_rate * (settings.num_frames - 1) / settings.target_fps * fps
    return float(max(1, math.ceil(length)))


def sampled_length(fps: float, settings: DenseSettings) -> float:
    """Return over how many frames PySlowFast spreads the T frames: not the same, not rounded.

    >>> sampled_length(30.0, DenseSettings(8, 8))
    64.0
    """
    return max(1.0, settings.sampling_rate * settings.num_frames / settings.target_fps * fps)


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


def slowfast_clip(
    timeline: Timeline,
    settings: DenseSettings,
    *,
    clip: int,
    num_clips: int,
    rng: Draws | None,
    ignore_offset: bool = False,
) -> Clip:
    """Return the frames that PySlowFast's PyAV path delivers, to the last digit.

    With ``settings.corrected`` time is counted from the first frame, and variable rate goes by time
    stamps; the published code counts from zero, and so loses the beginning of files whose first
    pts is later, and takes every rate for constant.

    Args:
        timeline: its stated frame count, rate and duration matter here as well as its pts.
        settings: T, r, F, offset, corrected.
        clip, num_clips: k of K; RANDOM_CLIP and CENTER_CLIP are allowed for k.
        rng: generator for RANDOM_CLIP.
        ignore_offset: Open-VCLIP's copy forgets the offset when the duration is known.
    """
    fps, n = timeline.fps or timeline.rate, timeline.num_frames
    spread = sampled_length(fps, settings)
    if timeline.duration is None or timeline.pts is None:
        return _slowfast_full(n, spread, settings, clip=clip, num_clips=num_clips, rng=rng)
    declared = timeline.declared_frames or n
    length = decoded_length(fps, settings)
    start = published_start(
        max(declared - length, 0),
        clip,
        num_clips,
        use_offset=settings.use_offset and not ignore_offset,
        rng=rng,
    )
    end = start + length - 1
    pts = timeline.pts - timeline.pts[0] if settings.corrected else timeline.pts
    first, last = kept_frames(pts, declared, timeline.duration, start, end)
    # parity: spread over r T frames although only r (T - 1) were decoded: stretched, then clamped
    picked = linspace_float32(0, spread - 1, settings.num_frames)
    if settings.corrected and timeline.variable_rate:
        targets = pts[first] + picked * (timeline.duration / declared)
        return Clip(nearest_frames(pts, targets).clip(first, last), start, end)
    return Clip(first + picked.clip(0, last - first).astype(np.int64), start, end)


def _slowfast_full(
    n: int,
    spread: float,
    settings: DenseSettings,
    *,
    clip: int,
    num_clips: int,
    rng: Draws | None,
) -> Clip:
    """Return PySlowFast's clip of a video without duration (mkv, webm), which it decodes whole."""
    slack = max(n - spread, 0)
    start = published_start(slack, clip, num_clips, use_offset=settings.use_offset, rng=rng)
    end = start + spread - 1
    picked = linspace_float32(start, end, settings.num_frames).clip(0, n - 1)
    return Clip(picked.astype(np.int64), start, end)


def uniform_clip(
    timeline: Timeline,
    settings: DenseSettings,
    *,
    clip: int,
    num_clips: int,
    rng: Draws | None,
) -> Clip:
    """Return T frames exactly r / F seconds apart: no stretch, no clamp unless the video is short.

    A video shorter than the clip repeats its last frame. Positions are rounded to the nearest
    frame, halves up. With ``settings.corrected`` a video of variable rate is sampled in time
    (nearest frame to each target time), not in frame numbers. Arguments as in `slowfast_clip`.

    >>> from slowfast.datasets.reading.timeline import constant_rate_timeline
    >>> video = constant_rate_timeline(300, 30.0)
    >>> settings = DenseSettings(num_frames=8, sampling_rate=8, use_offset=True)
    >>> uniform_clip(video, settings, clip=2, num_clips=3, rng=None).indices.tolist()
    [243, 251, 259, 267, 275, 283, 291, 299]
    """
    n, order = timeline.num_frames, np.arange(settings.num_frames)
    step = settings.sampling_rate / settings.target_fps
    offset = settings.use_offset
    if settings.corrected and timeline.variable_rate:
        assert timeline.pts is not None
        times = (timeline.pts - timeline.pts[0]) * timeline.tick
        slack = max(float(times[-1]) - step * (len(order) - 1), 0.0)
        begin = exact_start(slack, clip, num_clips, use_offset=offset, rng=rng)
        indices = nearest_frames(times, begin + step * order)
        return Clip(indices, float(indices[0]), float(indices[-1]))
    step *= timeline.rate if settings.corrected else timeline.fps or 1.0
    slack = max(n - 1 - step * (len(order) - 1), 0.0)
    positions = step * order + exact_start(slack, clip, num_clips, use_offset=offset, rng=rng)
    indices = np.floor(positions + 0.5).clip(0, n - 1).astype(np.int64)
    return Clip(indices, float(positions[0]), float(positions[-1]))
