"""PySlowFast's names for ``slowfast.datasets.transforms.slowfast``, for people's files.

Draws come from the global generators, and results are (images, boxes) as there; boxes belong to
detection, which is out of scope, and are always None.
"""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image
from torch import Tensor

from slowfast.datasets.transforms import slowfast as transforms
from slowfast.datasets.transforms.draws import LegacyRng
from slowfast.datasets.transforms.rand_augment import rand_augment_transform
from slowfast.datasets.transforms.random_erasing import RandomErasing

__all__ = [
    "RandomErasing",
    "create_random_augment",
    "horizontal_flip",
    "rand_augment_transform",
    "random_crop",
    "random_resized_crop",
    "random_resized_crop_with_shift",
    "random_short_side_scale_jitter",
    "uniform_crop",
]


def random_short_side_scale_jitter(
    images: Tensor,
    min_size: int,
    max_size: int,
    boxes: None = None,
    inverse_uniform_sampling: bool = False,
) -> tuple[Tensor, None]:
    """Return ``images`` (..., H, W) with a short side drawn from [min_size, max_size]."""
    size = transforms.draw_short_side(LegacyRng(), min_size, max_size, inverse_uniform_sampling)
    return transforms.scale_short_side(images, size), None


def random_crop(images: Tensor, size: int, boxes: None = None) -> tuple[Tensor, None]:
    """Return a random S x S cut of ``images``."""
    box = transforms.random_crop_box(*transforms.sides(images), size, LegacyRng())
    return transforms.crop(images, box), None


def horizontal_flip(prob: float, images: Tensor, boxes: None = None) -> tuple[Tensor, None]:
    """Return ``images`` mirrored with probability ``prob``."""
    return transforms.horizontal_flip(images, LegacyRng(), prob), None


def uniform_crop(
    images: Tensor,
    size: int,
    spatial_idx: int,
    boxes: None = None,
    scale_size: int | None = None,
) -> tuple[Tensor, None]:
    """Return crop 0, 1 or 2 along the longer side, after scaling the short side if asked."""
    scaled = transforms.scale_short_side(images, scale_size) if scale_size else images
    return transforms.uniform_crop(scaled, size, spatial_idx), None


def random_resized_crop(
    images: Tensor,
    target_height: int,
    target_width: int,
    scale: tuple[float, float] = (0.8, 1.0),
    ratio: tuple[float, float] = (3.0 / 4.0, 4.0 / 3.0),
) -> Tensor:
    """Return a random box of ``images`` resized to a square."""
    assert target_height == target_width, "only square crops"
    return transforms.random_resized_crop(images, target_height, scale, ratio, LegacyRng())


def random_resized_crop_with_shift(
    images: Tensor,
    target_height: int,
    target_width: int,
    scale: tuple[float, float] = (0.8, 1.0),
    ratio: tuple[float, float] = (3.0 / 4.0, 4.0 / 3.0),
) -> Tensor:
    """Return a box of C x T x H x W ``images`` that moves, resized to a square."""
    assert target_height == target_width, "only square crops"
    return transforms.random_resized_crop_with_shift(
        images, target_height, scale, ratio, LegacyRng()
    )


def create_random_augment(
    input_size: int | tuple[int, int],
    auto_augment: str = "",
    interpolation: str = "bilinear",
) -> Callable[[list[Image.Image]], list[Image.Image]]:
    """Return a RandAugment of lists of images, all changed alike.

    Args:
        input_size: accepted, not needed: translations are relative to the images.
        auto_augment: such as ``rand-m7-n4-mstd0.5-inc1``.
        interpolation: bilinear, bicubic, or ``random`` for one of the two.

    Raises:
        UsageError: another kind of ``auto_augment``, or unknown interpolation.
    """
    return rand_augment_transform(auto_augment, {"interpolation": interpolation})
