"""The frame pipeline that ViFi-CLIP and OST were trained with.

Training: short side, multi-scale crop, square, flip, colour jitter, grey, normalise. Testing: short
side and one or three crops. Frames stay uint8 until they are normalised, and OpenCV's bilinear
resize without anti-aliasing is part of what released weights have seen.

Shapes: T frames, H height, W width, S crop side; frames are T x H x W x 3 RGB.
Source: the released code of ViFi-CLIP and OST (one pipeline for both).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torchvision.transforms.functional as TF
from PIL import Image
from torch import Tensor

from slowfast.datasets.transforms.base import TRANSFORM_REGISTRY, Transform, check_sizes
from slowfast.datasets.transforms.draws import Draws, stream
from slowfast.datasets.transforms.slowfast import Box, check_fits, resize
from slowfast.errors import DataError

SCALES = (1.0, 0.875, 0.75, 0.66)
MAX_SCALE_GAP = 1
NEAR = 3


def short_side_for(size: int) -> int:
    """Return the short side that goes with crop side ``size``: 256 for 224.

    >>> short_side_for(224), short_side_for(64)
    (256, 73)
    """
    return int(256 / 224 * size)


def keep_ratio_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Return (height, width) with the short side at ``short_side``, both rounded half up.

    >>> keep_ratio_size(240, 320, 256)
    (256, 341)
    """
    scale = short_side / min(height, width)
    return int(height * scale + 0.5), int(width * scale + 0.5)


def resize_frames(
    frames_THWC: np.ndarray, height: int, width: int, method: str = "opencv"
) -> np.ndarray:
    """Return uint8 frames at another size, bilinear without anti-aliasing.

    Args:
        frames_THWC: uint8.
        height: wanted height.
        width: wanted width.
        method: "opencv" (fixed-point arithmetic) or "torch" (float, rounded).
    """
    if frames_THWC.shape[1:3] == (height, width):
        return frames_THWC
    if method == "opencv":
        return np.stack(
            [
                cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
                for frame in frames_THWC
            ]
        )
    video = torch.from_numpy(np.ascontiguousarray(frames_THWC)).permute(0, 3, 1, 2).float()
    out = resize(video, height, width, method).round_().to(torch.uint8)
    return out.permute(0, 2, 3, 1).contiguous().numpy()


def multi_scale_sizes(height: int, width: int, size: int) -> list[tuple[int, int]]:
    """Return the ten (width, height) pairs that a multi-scale crop draws from.

    Sides are the short side times 1, 0.875, 0.75, 0.66; the two sides of a pair are at most one
    step apart; a side within 2 pixels of ``size`` becomes ``size``.
    """
    sides = [int(min(height, width) * scale) for scale in SCALES]
    sides = [size if abs(side - size) < NEAR else side for side in sides]
    return [
        (w, h)
        for i, h in enumerate(sides)
        for j, w in enumerate(sides)
        if abs(i - j) <= MAX_SCALE_GAP
    ]


def quarter_positions(height: int, width: int, w: int, h: int) -> list[tuple[int, int]]:
    """Return 13 places (left, top) of a w x h crop: four corners, centre, four edges, four between.

    Steps are whole quarters of the rest, so the last crop of an odd rest ends before the border.
    """
    x, y = (width - w) // 4, (height - h) // 4
    steps = [(0, 0), (4, 0), (0, 4), (4, 4), (2, 2)]
    steps += [(0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3)]
    return [(x * i, y * j) for i, j in steps]


def multi_scale_box(height: int, width: int, size: int, rng: Draws, places: int = 5) -> Box:
    """Draw the box of a multi-scale crop: one of ten sizes, then one of the first 5 or 13 places.

    Raises:
        DataError: a side was rounded to ``size`` and no longer fits into the frame.
    """
    source = stream(rng, "python")
    sizes = multi_scale_sizes(height, width, size)
    w, h = sizes[int(source.integers(0, len(sizes)))]
    if w > width or h > height:
        raise DataError(f"frame of {height} x {width} pixels is smaller than the crop of {size}")
    left, top = quarter_positions(height, width, w, h)[int(source.integers(0, places))]
    return Box(top, left, h, w)


def fixed_boxes(height: int, width: int, size: int, indices: Sequence[int]) -> list[Box]:
    """Return the fixed S x S crops ``indices``: 0 first, 1 centre, 2 last along the longer side.

    Offsets are multiples of ``(side - size) // 2``, so the last crop of an odd rest ends one pixel
    before the border, as published.

    Raises:
        DataError: the frame is smaller than the crop.
    """
    check_fits(height, width, size)
    y, x = (height - size) // 2, (width - size) // 2
    if height > width:
        return [Box(y * index, x, size, size) for index in indices]
    return [Box(y, x * index, size, size) for index in indices]


def frame_sides(frames_THWC: np.ndarray) -> tuple[int, int]:
    """Return (height, width) of T x H x W x 3 frames."""
    return frames_THWC.shape[1], frames_THWC.shape[2]


def cut(frames_THWC: np.ndarray, box: Box) -> np.ndarray:
    """Return the frames inside ``box`` (a view)."""
    return frames_THWC[:, box.top : box.top + box.height, box.left : box.left + box.width]


# torchvision's numbers of the four changes
ADJUST = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)


@dataclass(frozen=True)
class ColorJitter:
    """Random brightness, contrast, saturation and hue, as torchvision's class of this name.

    Attributes:
        probability: that a clip is changed.
        per_frame: parity: draw the amounts anew for each frame, as published (colours flicker);
            otherwise once for the clip.
        brightness: factors are drawn from 1 - this ... 1 + this.
        contrast: as brightness.
        saturation: as brightness.
        hue: shift is drawn from -this ... this, in turns.
    """

    probability: float = 0.8
    per_frame: bool = True
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1

    def draw(self, rng: Draws) -> list[tuple[int, float]]:
        """Draw (number in ADJUST, amount), in order, for one frame or one clip."""
        source = stream(rng, "torch")
        order = source.permutation(4)
        spreads = (self.brightness, self.contrast, self.saturation)
        amounts = [float(source.uniform(1 - spread, 1 + spread)) for spread in spreads]
        amounts.append(float(source.uniform(-self.hue, self.hue)))
        return [(int(kind), amounts[kind]) for kind in order]

    def __call__(self, frames_THWC: np.ndarray, rng: Draws) -> np.ndarray:
        """Return the changed uint8 frames, or the given ones."""
        if stream(rng, "python").random() >= self.probability:
            return frames_THWC
        drawn = self.draw(rng)
        out = np.empty_like(frames_THWC)
        for t, frame in enumerate(frames_THWC):
            if t and self.per_frame:
                drawn = self.draw(rng)
            image = Image.fromarray(np.ascontiguousarray(frame))
            for kind, amount in drawn:
                image = ADJUST[kind](image, amount)
            out[t] = image
        return out


def gray_scale(frames_THWC: np.ndarray, rng: Draws, probability: float) -> np.ndarray:
    """Return the frames in three equal channels with this probability, all or none of a clip."""
    if stream(rng, "python").random() >= probability:
        return frames_THWC
    gray = np.stack([np.asarray(Image.fromarray(frame).convert("L")) for frame in frames_THWC])
    return np.repeat(gray[..., None], 3, axis=-1)


@TRANSFORM_REGISTRY.register(names=["clip"])
@dataclass(frozen=True)
class ClipTransform(Transform):
    """The whole chain, from uint8 frames to float crops.

    Attributes:
        size: S.
        short_side: short side before cropping.
        mean: RGB, in units of [0, 1].
        std: RGB, in units of [0, 1].
        flip: mirror with probability 0.5 in training.
        jitter: colour jitter in training; None for none.
        gray: probability of grey clips in training.
        method: "opencv" or "torch" resize.
    """

    size: int
    short_side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool = True
    jitter: ColorJitter | None = None
    gray: float = 0.0
    method: str = "opencv"

    @classmethod
    def from_cfg(cls, cfg: Any, split: str) -> ClipTransform:
        """Return the chain for ``split`` (train, val or test).

        Raises:
            UsageError: a crop that does not fit.
        """
        data, aug = cfg.DATA, cfg.AUG
        size = data.TEST_CROP_SIZE if split == "test" else data.TRAIN_CROP_SIZE
        short = short_side_for(size)
        if split == "test":
            short = data.TEST_SHORT_SIZE or (size if cfg.TEST.NUM_SPATIAL_CROPS > 1 else short)
            check_sizes("DATA.TEST_SHORT_SIZE", short, "DATA.TEST_CROP_SIZE", size)
        jitter = ColorJitter(aug.CLIP_COLOR_JITTER, aug.COLOR_JITTER_PER_FRAME)
        return ClipTransform(
            size,
            short,
            tuple(data.MEAN),
            tuple(data.STD),
            flip=data.RANDOM_FLIP,
            jitter=jitter if split == "train" and aug.CLIP_COLOR_JITTER > 0 else None,
            gray=aug.CLIP_GRAY_SCALE if split == "train" else 0.0,
            method=data.RESIZE,
        )

    def _scaled(self, frames_THWC: np.ndarray) -> np.ndarray:
        height, width = keep_ratio_size(*frame_sides(frames_THWC), self.short_side)
        return resize_frames(frames_THWC, height, width, self.method)

    def _tensor(self, frames_THWC: np.ndarray) -> Tensor:
        video = torch.from_numpy(np.ascontiguousarray(frames_THWC)).permute(3, 0, 1, 2)
        mean = torch.tensor(self.mean).view(3, 1, 1, 1) * 255.0
        std = torch.tensor(self.std).view(3, 1, 1, 1) * 255.0
        return video.to(torch.float32, memory_format=torch.contiguous_format).sub_(mean).div_(std)

    def augment(self, frames_THWC: np.ndarray, rng: Draws) -> np.ndarray:
        """Return uint8 T x S x S x 3: everything of training but the normalisation."""
        frames = self._scaled(frames_THWC)
        frames = cut(frames, multi_scale_box(*frame_sides(frames), self.size, rng))
        frames = resize_frames(frames, self.size, self.size, self.method)
        if self.flip and rng.random() < 0.5:
            frames = frames[:, :, ::-1]
        if self.jitter is not None:
            frames = self.jitter(frames, rng)
        if self.gray > 0:
            frames = gray_scale(np.ascontiguousarray(frames), rng, self.gray)
        return frames

    def random(self, frames_THWC: np.ndarray, rng: Draws) -> Tensor:
        """Return a random float 3 x T x S x S cut of uint8 T x H x W x 3 frames."""
        return self._tensor(self.augment(frames_THWC, rng))

    def crops(self, frames_THWC: np.ndarray, indices: Sequence[int]) -> list[Tensor]:
        """Return the fixed crops ``indices`` (0, 1, 2), each float 3 x T x S x S."""
        frames = self._scaled(frames_THWC)
        boxes = fixed_boxes(*frame_sides(frames), self.size, indices)
        return [self._tensor(cut(frames, box)) for box in boxes]
