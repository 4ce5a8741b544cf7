"""Which frames of a video make a clip: integers only, no video is touched here.

`FrameRule` is one rule with its settings: ``rule.clip(timeline, ...)`` gives the frame indices of
one temporal view. `frame_rule` builds it from the options DATA.SAMPLING and DATA.SAMPLING_COMPAT.
`view_of_index` maps a position of the expanded test set to video, clip and crop.

Styles:
    uniform          exact spacing r / F seconds (this project's dense default)
    slowfast_pyav    PySlowFast's PyAV path, stretched spacing included
    openvclip        the same without offset sampling (Open-VCLIP, FROSTER, STDD)
    segment          equal parts of the whole video (this project's segment default)
    ost              OST, ViFi-CLIP, TC-CLIP; several test views are spread deterministically
    ost_random_views the same with test views drawn by the training sampler, as published
    text4vis, text4vis_dense, slowfast_ssv2
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slowfast.datasets.reading.timeline import Clip, Timeline, constant_rate_timeline
from slowfast.datasets.sampling import segment
from slowfast.datasets.sampling.dense import (
    CENTER_CLIP,
    RANDOM_CLIP,
    DenseSettings,
    slowfast_clip,
    uniform_clip,
)
from slowfast.datasets.transforms.draws import Draws, stream
from slowfast.errors import DataError, UsageError
from slowfast.structures import View

__all__ = [
    "CENTER_CLIP",
    "RANDOM_CLIP",
    "Clip",
    "FrameRule",
    "Timeline",
    "constant_rate_timeline",
    "frame_rule",
    "view_of_index",
]

DENSE_STYLES = ("uniform", "slowfast_pyav", "openvclip", "text4vis_dense")
SEGMENT_STYLES = ("segment", "ost", "ost_random_views", "text4vis", "slowfast_ssv2")
ALIASES = {"froster": "openvclip", "stdd": "openvclip", "vifi_clip": "ost", "tc_clip": "ost"}


@dataclass(frozen=True)
class FrameRule:
    """A sampling style with its settings.

    Args:
        style: one of DENSE_STYLES or SEGMENT_STYLES.
        num_frames: T, frames per clip.
        sampling_rate: r, spacing of dense styles in frames at the target rate.
        target_fps: F, the frame rate in which spacing is counted.
        fps_jitter: random dense clips add uniform(0, fps_jitter) to F (DATA.TRAIN_JITTER_FPS).
        use_offset: DATA.USE_OFFSET_SAMPLING.
        corrected: whether DATA.TIMESTAMPS is "corrected".

    >>> rule = FrameRule("openvclip", num_frames=8, sampling_rate=8)
    >>> rule.clip(constant_rate_timeline(300, 30.0), clip=1, num_clips=3).indices.tolist()
    [82, 91, 100, 109, 118, 127, 136, 137]
    """

    style: str
    num_frames: int
    sampling_rate: int = 1
    target_fps: float = 30.0
    fps_jitter: float = 0.0
    use_offset: bool = False
    corrected: bool = True

    def clip(
        self, timeline: Timeline, *, clip: int, num_clips: int = 1, rng: Draws | None = None
    ) -> Clip:
        """Return the frames of one temporal view.

        Args:
            timeline: the video's clock.
            clip: view k of ``num_clips``, or RANDOM_CLIP, or CENTER_CLIP.
            num_clips: K.
            rng: needed for RANDOM_CLIP, and for style ost_random_views with K > 1.

        Raises:
            DataError: the video has no frames.
        """
        assert clip in (RANDOM_CLIP, CENTER_CLIP) or 0 <= clip < num_clips, (clip, num_clips)
        if timeline.num_frames < 1:
            raise DataError("cannot sample frames from a video that has none")
        if self.style in ("uniform", "slowfast_pyav", "openvclip"):
            return self._dense(timeline, clip, num_clips, rng)
        indices = self._whole_video(timeline, clip, num_clips, rng)
        return Clip(indices, float(indices[0]), float(indices[-1]))

    def _dense(self, timeline: Timeline, clip: int, num_clips: int, rng: Draws | None) -> Clip:
        fps = self.target_fps
        if clip == RANDOM_CLIP and self.fps_jitter > 0:
            assert rng is not None, "a random clip needs a generator"
            fps += stream(rng, "python").uniform(0.0, self.fps_jitter)
        settings = DenseSettings(
            self.num_frames, self.sampling_rate, fps, self.use_offset, self.corrected
        )
        if self.style == "uniform":
            return uniform_clip(timeline, settings, clip=clip, num_clips=num_clips, rng=rng)
        forgets = self.style == "openvclip" and clip != CENTER_CLIP
        return slowfast_clip(
            timeline, settings, clip=clip, num_clips=num_clips, rng=rng, ignore_offset=forgets
        )

    def _whole_video(
        self, timeline: Timeline, clip: int, num_clips: int, rng: Draws | None
    ) -> np.ndarray:
        n, t = timeline.num_frames, self.num_frames
        if self.style == "slowfast_ssv2":
            return segment.ssv2_indices(n, t, clip=clip, rng=rng)
        if self.style == "text4vis_dense":
            return segment.text4vis_dense(n, t, clip=clip, num_clips=num_clips, rng=rng)
        if self.style == "text4vis":
            if clip == RANDOM_CLIP:
                return segment.text4vis_train(n, t, rng)
            return segment.text4vis_test(n, t, max(clip, 0), 1 if clip < 0 else num_clips)
        if self.style in ("ost", "ost_random_views"):
            if clip == RANDOM_CLIP or (self.style == "ost_random_views" and num_clips > 1):
                return segment.ost_train(n, t, rng)
            if clip == CENTER_CLIP or num_clips == 1:
                return segment.ost_test(n, t)
        return segment.segment_indices(
            timeline, t, clip=clip, num_clips=num_clips, corrected=self.corrected, rng=rng
        )


def style_name(sampling: str, compat: str) -> str:
    """Return the style that DATA.SAMPLING and DATA.SAMPLING_COMPAT ask for.

    >>> style_name("dense", ""), style_name("segment", ""), style_name("segment", "vifi_clip")
    ('uniform', 'segment', 'ost')

    Raises:
        UsageError: an unknown name, or a style of the other kind.
    """
    groups = {"dense": DENSE_STYLES, "segment": SEGMENT_STYLES}
    if sampling not in groups:
        raise UsageError(f"DATA.SAMPLING is {sampling!r}; known: dense, segment")
    if not compat:
        return groups[sampling][0]
    style = ALIASES.get(compat, compat)
    if style not in DENSE_STYLES + SEGMENT_STYLES:
        known = ", ".join(sorted({*DENSE_STYLES, *SEGMENT_STYLES, *ALIASES}))
        raise UsageError(f"DATA.SAMPLING_COMPAT is {compat!r}; known: {known}")
    if style not in groups[sampling]:
        other = "segment" if sampling == "dense" else "dense"
        raise UsageError(
            f"DATA.SAMPLING_COMPAT {compat!r} needs DATA.SAMPLING {other!r}; it is {sampling!r}"
        )
    return style


def frame_rule(
    sampling: str,
    compat: str = "",
    *,
    num_frames: int,
    sampling_rate: int = 1,
    target_fps: float = 30.0,
    fps_jitter: float = 0.0,
    use_offset: bool = False,
    timestamps: str = "corrected",
) -> FrameRule:
    """Return the rule for DATA.SAMPLING, DATA.SAMPLING_COMPAT and the other DATA options.

    Raises:
        UsageError: unknown names, or numbers that cannot be.
    """
    if timestamps not in ("legacy", "corrected"):
        raise UsageError(f"DATA.TIMESTAMPS is {timestamps!r}; known: legacy, corrected")
    numbers = {
        "DATA.NUM_FRAMES": num_frames,
        "DATA.SAMPLING_RATE": sampling_rate,
        "DATA.TARGET_FPS": target_fps,
    }
    for key, value in numbers.items():
        if value <= 0:
            raise UsageError(f"{key} must be greater than 0; it is {value}")
    style = style_name(sampling, compat)
    if style == "text4vis_dense" and num_frames > segment.TEXT4VIS_WINDOW:
        raise UsageError(
            f"DATA.SAMPLING_COMPAT 'text4vis_dense' takes frames from a window of "
            f"{segment.TEXT4VIS_WINDOW}; DATA.NUM_FRAMES is {num_frames}"
        )
    return FrameRule(
        style,
        num_frames,
        sampling_rate,
        target_fps,
        fps_jitter,
        use_offset,
        timestamps == "corrected",
    )


def view_of_index(index: int, num_clips: int, num_crops: int) -> tuple[int, View]:
    """Return the video and the view that position ``index`` of the expanded test set stands for.

    Views of a video follow each other, crops fastest; a single crop is the centre (crop 1).

    >>> [view_of_index(i, 2, 3) for i in (0, 5, 6)]
    [(0, View(clip=0, crop=0)), (0, View(clip=1, crop=2)), (1, View(clip=0, crop=0))]
    >>> view_of_index(4, 3, 1)
    (1, View(clip=1, crop=1))
    """
    video, view = divmod(index, num_clips * num_crops)
    clip, crop = divmod(view, num_crops)
    return video, View(clip, crop if num_crops > 1 else 1)
