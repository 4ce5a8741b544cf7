"""PySlowFast's way from decoded frames to a tensor: normalise, scale, crop, flip.

Shapes: C channels, T frames, H height, W width, S crop side. Every function works on any leading
axes; ``video_CTHW`` is what PySlowFast calls ``frames``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from slowfast.datasets.transforms.base import TRANSFORM_REGISTRY, Transform, check_sizes
from slowfast.datasets.transforms.draws import Draws, stream
from slowfast.datasets.transforms.rand_augment import build_rand_augment
from slowfast.datasets.transforms.random_erasing import RandomErasing
from slowfast.errors import DataError, UsageError


def sides(video: Tensor) -> tuple[int, int]:
    """Return (height, width) of ``video`` (..., H, W)."""
    return video.shape[-2], video.shape[-1]


class Box(NamedTuple):
    """A crop: top, left, height and width in pixels."""

    top: int
    left: int
    height: int
    width: int


def normalize(video: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return ``(video - mean) / std`` per channel, in float32.

    Args:
        video: channels last; uint8 is brought to [0, 1] first, float is taken as it is.
        mean: one value a channel, in units of [0, 1].
        std: one value a channel, in units of [0, 1].
    """
    video = video.float().div_(255.0) if video.dtype == torch.uint8 else video.clone()
    return video.sub_(torch.tensor(mean)).div_(torch.tensor(std))


def short_side_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Return (height, width) with the short side at ``size``, the long one rounded down.

    >>> short_side_size(256, 340, 224)
    (224, 297)
    """
    if width < height:
        return math.floor(height / width * size), size
    return size, math.floor(width / height * size)


def resize(video: Tensor, height: int, width: int, method: str = "torch") -> Tensor:
    """Return float ``video`` (..., H, W) at another size, bilinear without anti-aliasing.

    Args:
        video: float, any leading axes.
        height: wanted height.
        width: wanted width.
        method: "torch" (half-pixel centres) or "opencv" (the same rule in OpenCV's arithmetic).

    Raises:
        UsageError: unknown ``method``.
    """
    if tuple(video.shape[-2:]) == (height, width):
        return video
    flat = video.reshape(-1, 1, *video.shape[-2:])
    if method == "torch":
        out = F.interpolate(flat, size=(height, width), mode="bilinear", align_corners=False)
    elif method == "opencv":
        planes = [
            cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
            for plane in flat[:, 0].contiguous().numpy()
        ]
        out = torch.from_numpy(np.stack(planes))
    else:
        raise UsageError(f"DATA.RESIZE is {method!r}; known: torch, opencv")
    return out.reshape(*video.shape[:-2], height, width)


def scale_short_side(video: Tensor, size: int, method: str = "torch") -> Tensor:
    """Return ``video`` (..., H, W) with its short side at ``size``, unchanged if it already is."""
    if min(video.shape[-2:]) == size:
        return video
    return resize(video, *short_side_size(*sides(video), size), method)


def draw_short_side(rng: Draws, low: float, high: float, inverse: bool = False) -> int:
    """Draw a short side from [low, high]; ``inverse`` draws its reciprocal uniformly."""
    if inverse:
        return int(round(1.0 / rng.uniform(1.0 / high, 1.0 / low)))
    return int(round(rng.uniform(low, high)))


def crop(video: Tensor, box: Box) -> Tensor:
    """Return the part of ``video`` (..., H, W) inside ``box`` (a view)."""
    return video[..., box.top : box.top + box.height, box.left : box.left + box.width]


def check_fits(height: int, width: int, size: int) -> None:
    """Refuse a crop that is larger than the frame; raises DataError."""
    if min(height, width) < size:
        raise DataError(
            f"frame of {height} x {width} pixels is smaller than the crop of {size};"
            " raise the short side (DATA.TRAIN_JITTER_SCALES, DATA.TEST_SHORT_SIZE)"
            " or lower the crop size"
        )


def random_crop_box(height: int, width: int, size: int, rng: Draws) -> Box:
    """Draw a square box; y first, then x, and no draw along a side that already fits.

    parity: the last offset (height - size) itself is never drawn, as in PySlowFast.

    Raises:
        DataError: the frame is smaller than the crop.
    """
    check_fits(height, width, size)
    top = int(rng.integers(0, height - size)) if height > size else 0
    left = int(rng.integers(0, width - size)) if width > size else 0
    return Box(top, left, size, size)


def uniform_crop_box(height: int, width: int, size: int, index: int) -> Box:
    """Return crop ``index`` (0, 1, 2) of three along the longer side; 1 is the centre.

    >>> uniform_crop_box(256, 341, 256, 1)
    Box(top=0, left=43, height=256, width=256)

    Raises:
        DataError: the frame is smaller than the crop.
    """
    assert index in (0, 1, 2), index
    check_fits(height, width, size)
    top = math.ceil((height - size) / 2)
    left = math.ceil((width - size) / 2)
    if height > width:
        top = (0, top, height - size)[index]
    else:
        left = (0, left, width - size)[index]
    return Box(top, left, size, size)


def uniform_crop(video: Tensor, size: int, index: int) -> Tensor:
    """Return crop ``index`` (see ``uniform_crop_box``) of ``video`` (..., H, W)."""
    return crop(video, uniform_crop_box(*sides(video), size, index))


def horizontal_flip(video: Tensor, rng: Draws, probability: float = 0.5) -> Tensor:
    """Return ``video`` mirrored left to right with this probability."""
    return video.flip(-1) if rng.uniform(0.0, 1.0) < probability else video


def resized_crop_box(
    height: int, width: int, area: Sequence[float], aspect: Sequence[float], rng: Draws
) -> Box:
    """Draw the box of a random resized crop, or the centre box after ten misses.

    Args:
        height: of the frame.
        width: of the frame.
        area: range of the box's share of the frame, drawn uniformly.
        aspect: range of width over height, drawn log-uniformly.
        rng: the boxes come from Python's stream in the published code.
    """
    boxes = stream(rng, "python")
    for _ in range(10):
        target = boxes.uniform(area[0], area[1]) * height * width
        ratio = math.exp(boxes.uniform(math.log(aspect[0]), math.log(aspect[1])))
        w = int(round(math.sqrt(target * ratio)))
        h = int(round(math.sqrt(target / ratio)))
        rng.uniform(0.0, 1.0)  # parity: PySlowFast draws once a try for a swap that it never makes
        if 0 < w <= width and 0 < h <= height:
            top = int(boxes.integers(0, height - h + 1))
            return Box(top, int(boxes.integers(0, width - w + 1)), h, w)
    return _central_box(height, width, min(aspect), max(aspect))


def _central_box(height: int, width: int, low: float, high: float) -> Box:
    """Return the largest centred box whose aspect (width over height) is within [low, high]."""
    w, h = width, height
    if width / height < low:
        h = int(round(width / low))
    elif width / height > high:
        w = int(round(height * high))
    return Box((height - h) // 2, (width - w) // 2, h, w)


def random_resized_crop(
    video: Tensor,
    size: int,
    area: Sequence[float],
    aspect: Sequence[float],
    rng: Draws,
    method: str = "torch",
) -> Tensor:
    """Return one random box of ``video`` (..., H, W) resized to S x S."""
    box = resized_crop_box(*sides(video), area, aspect, rng)
    return resize(crop(video, box), size, size, method)


def random_resized_crop_with_shift(
    video_CTHW: Tensor,
    size: int,
    area: Sequence[float],
    aspect: Sequence[float],
    rng: Draws,
    method: str = "torch",
) -> Tensor:
    """Return C x T x S x S cut by a box that moves linearly from one random box to another."""
    first = resized_crop_box(*sides(video_CTHW), area, aspect, rng)
    last = resized_crop_box(*sides(video_CTHW), area, aspect, rng)
    # float32 steps and truncation, as torch.linspace gives them to the published code
    paths = [
        [int(v) for v in torch.linspace(a, b, steps=video_CTHW.shape[1]).tolist()]
        for a, b in zip(first, last)
    ]
    frames = [
        resize(crop(video_CTHW[:, t], Box(*box)), size, size, method)
        for t, box in enumerate(zip(*paths))
    ]
    return torch.stack(frames, dim=1)


@dataclass(frozen=True)
class SpatialSampling:
    """How a normalised clip becomes a square one (PySlowFast's spatial sampling).

    Attributes:
        crop_size: S.
        min_scale: lower end of the short side, inclusive.
        max_scale: upper end of the short side.
        flip: mirror with probability 0.5 (random crops only).
        inverse: draw the reciprocal of the short side uniformly.
        area: area range of a random resized crop; with ``aspect`` it replaces scale and crop.
        aspect: aspect range of a random resized crop.
        motion_shift: move the box linearly over the clip.
        method: "torch" or "opencv".
    """

    crop_size: int
    min_scale: int
    max_scale: int
    flip: bool = True
    inverse: bool = False
    area: tuple[float, ...] = ()
    aspect: tuple[float, ...] = ()
    motion_shift: bool = False
    method: str = "torch"

    def __post_init__(self) -> None:
        if bool(self.area) != bool(self.aspect):
            raise UsageError(
                "DATA.TRAIN_JITTER_SCALES_RELATIVE and DATA.TRAIN_JITTER_ASPECT_RELATIVE belong"
                f" together; set both or none (found {list(self.area)} and {list(self.aspect)})"
            )
        for name, pair in (("SCALES", self.area), ("ASPECT", self.aspect)):
            if pair and not (len(pair) == 2 and 0 < pair[0] <= pair[1]):
                raise UsageError(
                    f"DATA.TRAIN_JITTER_{name}_RELATIVE: expected [low, high] above 0,"
                    f" found {list(pair)}"
                )
        if not 0 < self.min_scale <= self.max_scale:
            raise UsageError(
                "DATA.TRAIN_JITTER_SCALES: expected [low, high] above 0,"
                f" found [{self.min_scale}, {self.max_scale}]"
            )

    @classmethod
    def from_cfg(cls, cfg: Any, split: str) -> SpatialSampling:
        """Return the spatial part for ``split``; validation is central but for VAL.PROTOCOL legacy.

        Raises:
            UsageError: a crop that does not fit.
        """
        data = cfg.DATA
        low, high = data.TRAIN_JITTER_SCALES
        if split == "test":
            size, short, key = data.TEST_CROP_SIZE, data.TEST_SHORT_SIZE, "DATA.TEST_SHORT_SIZE"
            if not short and cfg.TEST.NUM_SPATIAL_CROPS > 1:
                short = size
            elif not short:
                short, key = low, "DATA.TRAIN_JITTER_SCALES[0]"
            check_sizes(key, short, "DATA.TEST_CROP_SIZE", size)
            return cls(size, short, short, flip=False, method=data.RESIZE)
        size, train = data.TRAIN_CROP_SIZE, split == "train"
        if not (train and data.TRAIN_JITTER_SCALES_RELATIVE):
            check_sizes("DATA.TRAIN_JITTER_SCALES", low, "DATA.TRAIN_CROP_SIZE", size)
        return cls(
            size,
            low,
            high if train or cfg.VAL.PROTOCOL == "legacy" else low,
            flip=data.RANDOM_FLIP,
            inverse=data.INV_UNIFORM_SAMPLE,
            area=tuple(data.TRAIN_JITTER_SCALES_RELATIVE) if train else (),
            aspect=tuple(data.TRAIN_JITTER_ASPECT_RELATIVE) if train else (),
            motion_shift=data.TRAIN_JITTER_MOTION_SHIFT and train,
            method=data.RESIZE,
        )

    def random(self, video_CTHW: Tensor, rng: Draws) -> Tensor:
        """Return a random C x T x S x S cut; draws: size, y, x, flip."""
        if self.area:
            cut = random_resized_crop_with_shift if self.motion_shift else random_resized_crop
            video = cut(video_CTHW, self.crop_size, self.area, self.aspect, rng, self.method)
        else:
            side = draw_short_side(rng, self.min_scale, self.max_scale, self.inverse)
            video = scale_short_side(video_CTHW, side, self.method)
            video = crop(video, random_crop_box(*sides(video), self.crop_size, rng))
        return horizontal_flip(video, rng) if self.flip else video

    def crops(self, video_CTHW: Tensor, indices: Sequence[int]) -> list[Tensor]:
        """Return the deterministic crops ``indices``; the clip is scaled once for all of them."""
        assert self.min_scale == self.max_scale, "a deterministic crop has one scale"
        video = scale_short_side(video_CTHW, self.min_scale, self.method)
        return [uniform_crop(video, self.crop_size, index) for index in indices]


@TRANSFORM_REGISTRY.register(names=["slowfast"])
@dataclass(frozen=True)
class SlowFastTransform(Transform):
    """PySlowFast's whole chain, from uint8 frames to float crops.

    RandAugment (at the original size), normalise, scale and crop, random erasing, in this order.

    Attributes:
        sampling: the spatial part.
        mean: RGB, in units of [0, 1].
        std: RGB, in units of [0, 1].
        rand_augment: applied to random clips only.
        erasing: applied to random clips only.
    """

    sampling: SpatialSampling
    mean: tuple[float, ...]
    std: tuple[float, ...]
    rand_augment: Callable[[np.ndarray, Draws], np.ndarray] | None = None
    erasing: RandomErasing | None = None

    @classmethod
    def from_cfg(cls, cfg: Any, split: str) -> SlowFastTransform:
        """Return the chain for ``split`` (train, val or test)."""
        data, aug = cfg.DATA, cfg.AUG
        erasing = RandomErasing(aug.RE_PROB, mode=aug.RE_MODE, max_count=aug.RE_COUNT)
        return cls(
            SpatialSampling.from_cfg(cfg, split),
            tuple(data.MEAN),
            tuple(data.STD),
            build_rand_augment(cfg, split),
            erasing if split == "train" and aug.ENABLE and aug.RE_PROB > 0 else None,
        )

    def _normalised(self, frames_THWC: np.ndarray) -> Tensor:
        return normalize(torch.from_numpy(frames_THWC), self.mean, self.std).permute(3, 0, 1, 2)

    def random(self, frames_THWC: np.ndarray, rng: Draws) -> Tensor:
        """Return a random float C x T x S x S cut of uint8 T x H x W x 3 frames."""
        if self.rand_augment is not None:
            frames_THWC = self.rand_augment(frames_THWC, rng)
        video_CTHW = self.sampling.random(self._normalised(frames_THWC), rng)
        if self.erasing is not None:
            video_CTHW = self.erasing(video_CTHW.transpose(0, 1), rng).transpose(0, 1)
        return video_CTHW.contiguous()

    def crops(self, frames_THWC: np.ndarray, indices: Sequence[int]) -> list[Tensor]:
        """Return the fixed crops ``indices`` (0, 1, 2), each float C x T x S x S."""
        crops = self.sampling.crops(self._normalised(frames_THWC), indices)
        return [cut.contiguous() for cut in crops]
