"""Which frames of a video make a clip: integers only, no video is touched here.

A frame rule is a registered class that reads its settings from the DATA options. DATA.SAMPLING
names one: ``dense`` or ``segment``, which are this project's own, or an extension's.
DATA.SAMPLING_COMPAT names a published rule of that kind instead; `dense` and `segment` hold them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from slowfast.datasets.build import find
from slowfast.datasets.reading.timeline import Clip, Timeline
from slowfast.datasets.transforms.draws import Draws
from slowfast.errors import DataError, UsageError
from slowfast.utils.registry import Registry

RANDOM_CLIP = -1
CENTER_CLIP = -2

FRAME_RULE_REGISTRY = Registry(
    "FRAME_RULE",
    contract="subclass of FrameRule with indices(timeline, clip, clips, rng) -> num_frames whole "
    "numbers of 0 ... timeline.num_frames - 1 for view clip of clips",
)


@dataclass(frozen=True)
class FrameRule:
    """A frame rule with its settings; a subclass says by ``indices`` which frames it takes.

    Args:
        num_frames: T, frames per clip.
        sampling_rate: r, spacing of dense rules in frames at the target rate.
        target_fps: F, the frame rate in which spacing is counted.
        fps_jitter: random dense clips add uniform(0, fps_jitter) to F (DATA.TRAIN_JITTER_FPS).
        use_offset: DATA.USE_OFFSET_SAMPLING.
        corrected: whether DATA.TIMESTAMPS is "corrected".

    Raises:
        UsageError: numbers that cannot be.

    >>> from slowfast.datasets.reading.timeline import constant_rate_timeline
    >>> rule = find_rule("dense", "openvclip")(num_frames=8, sampling_rate=8)
    >>> rule.clip(constant_rate_timeline(300, 30.0), clip=1, num_clips=3).indices.tolist()
    [82, 91, 100, 109, 118, 127, 136, 137]
    """

    kind: ClassVar[str] = ""  # of a published rule: the DATA.SAMPLING that it belongs to

    num_frames: int
    sampling_rate: int = 1
    target_fps: float = 30.0
    fps_jitter: float = 0.0
    use_offset: bool = False
    corrected: bool = True

    def __post_init__(self) -> None:
        for name in ("num_frames", "sampling_rate", "target_fps"):
            if (value := getattr(self, name)) <= 0:
                raise UsageError(f"DATA.{name.upper()} must be greater than 0; it is {value}")

    @classmethod
    def from_cfg(cls, cfg: Any, split: str) -> FrameRule:
        """Return the rule for ``split`` (train, val or test)."""
        data = cfg.DATA
        return cls(
            num_frames=data.NUM_FRAMES,
            sampling_rate=data.SAMPLING_RATE,
            target_fps=data.TARGET_FPS,
            fps_jitter=data.TRAIN_JITTER_FPS if split == "train" else 0.0,
            use_offset=data.USE_OFFSET_SAMPLING,
            corrected=data.TIMESTAMPS == "corrected",
        )

    def clip(
        self, timeline: Timeline, *, clip: int, num_clips: int = 1, rng: Draws | None = None
    ) -> Clip:
        """Return the frames of one temporal view.

        Args:
            timeline: the video's clock.
            clip: view k of ``num_clips``, or RANDOM_CLIP, or CENTER_CLIP.
            num_clips: K.
            rng: needed for RANDOM_CLIP, and by a rule that draws its test views.

        Raises:
            DataError: the video has no frames.
            UsageError: the rule gives other than T frames of the video.
        """
        assert clip in (RANDOM_CLIP, CENTER_CLIP) or 0 <= clip < num_clips, (clip, num_clips)
        if timeline.num_frames < 1:
            raise DataError("cannot sample frames from a video that has none")
        chosen = self.window(timeline, clip, num_clips, rng)
        indices, n = chosen.indices, timeline.num_frames
        if indices.shape != (self.num_frames,) or indices.min() < 0 or indices.max() >= n:
            raise UsageError(
                f"FRAME_RULE {type(self).__name__} took frames {indices.tolist()} of a video of {n}"
                f" for {self.num_frames}; expected: {FRAME_RULE_REGISTRY.contract}"
            )
        return chosen

    def window(self, timeline: Timeline, clip: int, clips: int, rng: Draws | None) -> Clip:
        """Return the frames with the times at which the clip starts and ends, in frames."""
        taken = self.indices(timeline, clip, clips, rng)
        indices = np.asarray(taken, dtype=np.int64)
        return Clip(indices, float(indices[0]), float(indices[-1]))

    def indices(self, timeline: Timeline, clip: int, clips: int, rng: Draws | None) -> np.ndarray:
        """Return T frame numbers, from 0, of view ``clip`` of ``clips``; see the method clip."""
        raise UsageError(
            f"FRAME_RULE {type(self).__name__} has no indices; expected:"
            f" {FRAME_RULE_REGISTRY.contract}"
        )


def find_rule(sampling: str, compat: str = "") -> type[FrameRule]:
    """Return the rule that DATA.SAMPLING and DATA.SAMPLING_COMPAT ask for.

    >>> find_rule("dense").__name__, find_rule("segment", "vifi_clip").__name__
    ('Dense', 'Ost')

    Raises:
        UsageError: an unknown name, a class that is no frame rule, or a rule of the other kind.
    """
    key = "DATA.SAMPLING_COMPAT" if compat else "DATA.SAMPLING"
    rule: type[FrameRule] = find(FRAME_RULE_REGISTRY, compat or sampling, key, FrameRule)
    if compat and rule.kind != sampling:
        raise UsageError(f"{key} {compat!r} needs DATA.SAMPLING {rule.kind!r}; it is {sampling!r}")
    return rule
