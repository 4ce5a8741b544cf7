"""PySlowFast's helpers that people's data sets call, by their names there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from slowfast.datasets.transforms import slowfast as transforms
from slowfast.datasets.transforms.draws import LegacyRng

__all__ = ["pack_pathway_output", "spatial_sampling", "tensor_normalize"]


def tensor_normalize(tensor: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return ``(tensor - mean) / std`` over the last axis; uint8 is brought to [0, 1] first."""
    return transforms.normalize(tensor, mean, std)


def spatial_sampling(  # noqa: PLR0913 - PySlowFast's signature
    frames: Tensor,
    spatial_idx: int = -1,
    min_scale: int = 256,
    max_scale: int = 320,
    crop_size: int = 224,
    random_horizontal_flip: bool = True,
    inverse_uniform_sampling: bool = False,
    aspect_ratio: Sequence[float] | None = None,
    scale: Sequence[float] | None = None,
    motion_shift: bool = False,
) -> Tensor:
    """Return a square cut of C x T x H x W frames; random draws come from the global generators.

    Args:
        frames: normalised clip.
        spatial_idx: -1 for a random cut, else 0, 1, 2 along the longer side.
        min_scale: least short side.
        max_scale: greatest short side.
        crop_size: side of the cut.
        random_horizontal_flip: mirror half of the random cuts.
        inverse_uniform_sampling: draw the reciprocal of the short side evenly.
        aspect_ratio: aspect range of a random resized crop.
        scale: area range of a random resized crop.
        motion_shift: let that crop move over the clip.
    """
    return transforms.spatial_sampling(
        frames,
        spatial_idx,
        min_scale,
        max_scale,
        crop_size,
        rng=LegacyRng(),
        flip=random_horizontal_flip,
        inverse=inverse_uniform_sampling,
        aspect=tuple(aspect_ratio or ()),
        area=tuple(scale or ()),
        motion_shift=motion_shift,
    )


def pack_pathway_output(cfg: Any, frames: Tensor) -> list[Tensor]:
    """Return the list of pathways of one clip: always one, with the channels swapped if asked."""
    return [frames.flip(0) if cfg.DATA.REVERSE_INPUT_CHANNEL else frames]
