"""Random erasing of a box through a clip.

Source: Zhong et al., "Random Erasing Data Augmentation" (2020), in the form that PySlowFast uses
for clips: one box for all frames.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from slowfast.datasets.transforms.draws import Draws, LegacyRng, standard_normal, stream
from slowfast.errors import UsageError

MODES = ("const", "rand", "pixel")
_TRIES = 100


class RandomErasing:
    """Overwrite random boxes of a normalised clip.

    Args:
        probability: that a clip is changed at all.
        min_area: least share of the frame, divided by the number of boxes.
        max_area: greatest share of the frame, divided by the number of boxes.
        min_aspect: least aspect; the greatest is its reciprocal.
        mode: ``const`` writes zeros, ``rand`` one normal colour a frame, ``pixel`` fresh normal
            noise for each frame, pixel and channel.
        min_count: fewest boxes.
        max_count: most boxes (0: as ``min_count``).
        num_splits: parity: with s > 1 the first T // s frames stay clean, a leftover of image
            batches; PySlowFast passes the box count here. 0 changes all frames.
        device: accepted for PySlowFast's callers; the clip's device is used.
    """

    def __init__(  # noqa: PLR0913 - PySlowFast's signature
        self,
        probability: float = 0.5,
        min_area: float = 0.02,
        max_area: float = 1 / 3,
        min_aspect: float = 0.3,
        mode: str = "const",
        min_count: int = 1,
        max_count: int = 0,
        num_splits: int = 0,
        device: str = "cpu",
    ) -> None:
        if mode not in MODES:
            raise UsageError(f"AUG.RE_MODE is {mode!r}; known: {', '.join(MODES)}")
        if not 0.0 <= probability <= 1.0:
            raise UsageError(f"AUG.RE_PROB is {probability}: expected a number in [0, 1]")
        self.probability = probability
        self.area = (min_area, max_area)
        self.log_aspect = (math.log(min_aspect), -math.log(min_aspect))
        self.mode = mode
        self.count = (min_count, max(min_count, max_count))
        self.num_splits = num_splits

    def boxes(self, height: int, width: int, rng: Draws) -> list[tuple[int, int, int, int]]:
        """Draw the boxes of one clip as (top, left, height, width); empty when it stays clean."""
        source = stream(rng, "python")
        if source.random() > self.probability:
            return []
        low, high = self.count
        count = low if low == high else int(source.integers(low, high + 1))
        drawn = (self._box(height, width, count, source) for _ in range(count))
        return [box for box in drawn if box is not None]

    def _box(
        self, height: int, width: int, count: int, source: Draws
    ) -> tuple[int, int, int, int] | None:
        for _ in range(_TRIES):
            area = source.uniform(*self.area) * height * width / count
            aspect = math.exp(source.uniform(*self.log_aspect))
            h = int(round(math.sqrt(area * aspect)))
            w = int(round(math.sqrt(area / aspect)))
            if h < height and w < width:
                top = int(source.integers(0, height - h + 1))
                return top, int(source.integers(0, width - w + 1)), h, w
        return None

    def _patch(self, channels: int, height: int, width: int, rng: Draws) -> Tensor:
        if self.mode == "pixel":
            return standard_normal(rng, (channels, height, width))
        if self.mode == "rand":
            return standard_normal(rng, (channels, 1, 1))
        return torch.zeros(channels, 1, 1)

    def __call__(self, video_TCHW: Tensor, rng: Draws | None = None) -> Tensor:
        """Return ``video_TCHW`` with the boxes overwritten (a copy when anything changes).

        ``rng`` None draws from the global generators, as PySlowFast's class does.
        """
        rng = LegacyRng() if rng is None else rng
        frames, channels, height, width = video_TCHW.shape
        boxes = self.boxes(height, width, rng)
        if not boxes:
            return video_TCHW
        out = video_TCHW.clone()
        first = frames // self.num_splits if self.num_splits > 1 else 0
        for top, left, h, w in boxes:
            for frame in out[first:]:
                frame[:, top : top + h, left : left + w] = self._patch(channels, h, w, rng)
        return out
