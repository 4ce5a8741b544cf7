"""open_clip's own preprocessing of an image, frame by frame.

Every tower of open_clip was trained on images of one size, resized in one way and normalised with
one pair of statistics; these come from ``CLIP.ARCH`` and ``CLIP.PRETRAINED``. A fixed crop is
exactly open_clip's transform for evaluation. Training, which open_clip does on single images, takes
the random crops of the clip pipeline with the same size and statistics.

Shapes: T frames, H W pixels; frames are T x H x W x 3 RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from slowfast.config.arch import read_preprocessing
from slowfast.datasets.transforms.base import TRANSFORM_REGISTRY, Transform
from slowfast.datasets.transforms.clip import ClipTransform, short_side_for
from slowfast.datasets.transforms.draws import Draws
from slowfast.errors import UsageError

if TYPE_CHECKING:
    from open_clip.transform import PreprocessCfg


@TRANSFORM_REGISTRY.register(names=["open_clip"])
@dataclass(frozen=True)
class OpenClipTransform(Transform):
    """Fixed crops as open_clip evaluates images, random ones as the clip pipeline trains.

    Attributes:
        preprocessing: of the arch and its weights.
        training: makes the random crops; None where none are wanted.
        num_crops: 1 for open_clip's own view; 2 or 3 along the longer side, which only a resize of
            the shortest side leaves.

    Raises:
        UsageError: several crops of frames that are squashed or padded to the tower's size.
    """

    preprocessing: PreprocessCfg
    training: ClipTransform | None = None
    num_crops: int = 1
    _image: Any = field(init=False, repr=False, compare=False)

    @classmethod
    def from_cfg(cls, cfg: Any, split: str) -> OpenClipTransform:
        """Return the chain for ``split``: sizes and statistics are the tower's, not those of DATA.

        Raises:
            UsageError: training on frames that are no squares.
        """
        facts = read_preprocessing(cfg.CLIP.ARCH, cfg.CLIP.PRETRAINED)
        height, width = facts.size
        if split != "train":
            return cls(facts, num_crops=cfg.TEST.NUM_SPATIAL_CROPS if split == "test" else 1)
        if width != height:
            raise UsageError(
                f"DATA.TRANSFORMS open_clip trains on squares, and CLIP.ARCH {cfg.CLIP.ARCH} takes"
                f" {height}x{width} pixels"
            )
        like_clip, short = ClipTransform.from_cfg(cfg, split), short_side_for(height)
        return cls(
            facts,
            replace(like_clip, size=height, short_side=short, mean=facts.mean, std=facts.std),
        )

    def __post_init__(self) -> None:
        from open_clip.transform import image_transform_v2

        facts = self.preprocessing
        if self.num_crops > 1 and (facts.resize_mode != "shortest" or len(set(facts.size)) > 1):
            raise UsageError(
                f"TEST.NUM_SPATIAL_CROPS {self.num_crops}: open_clip fits the whole frame into "
                f"{facts.size[0]}x{facts.size[1]} pixels for this CLIP.ARCH (resize mode "
                f"{facts.resize_mode}), so that there is one crop: set it to 1"
            )
        try:
            image = image_transform_v2(facts, is_train=False)
        except AssertionError:
            raise UsageError(
                f"CLIP.ARCH: open_clip knows no preprocessing with interpolation "
                f"{facts.interpolation} and resize mode {facts.resize_mode}"
            ) from None
        object.__setattr__(self, "_image", image)

    def random(self, frames_THWC: np.ndarray, rng: Draws) -> Tensor:
        """Return a random float 3 x T x S x S cut of uint8 frames."""
        assert self.training is not None, "built for evaluation"
        return self.training.random(frames_THWC, rng)

    def crops(self, frames_THWC: np.ndarray, indices: Sequence[int]) -> list[Tensor]:
        """Return the fixed crops ``indices`` (0, 1, 2), each float 3 x T x S x S.

        Crop 1 is the centre, open_clip's own view.
        """
        images = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames_THWC]
        if list(indices) == [1]:
            return [torch.stack([self._image(image) for image in images], dim=1)]
        resize, centre, *rest = self._image.transforms
        resized = [resize(image) for image in images]
        return [
            torch.stack([self._finish(image, index, centre, rest) for image in resized], dim=1)
            for index in indices
        ]

    def _finish(self, image: Image.Image, index: int, centre: Any, rest: list[Any]) -> Tensor:
        side, (width, height) = self.preprocessing.size[0], image.size
        value: Any
        if index == 1:
            value = centre(image)
        else:
            left, top = (width - side) * index // 2, (height - side) * index // 2
            value = image.crop((left, top, left + side, top + side))
        for step in rest:
            value = step(value)
        return value
