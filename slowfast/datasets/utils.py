"""PySlowFast's helpers that people's data sets call, by their names there."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slowfast.datasets.frames import read_image
from slowfast.datasets.from_config import alpha_of
from slowfast.datasets.transforms import slowfast as transforms
from slowfast.datasets.transforms.draws import LegacyRng
from slowfast.datasets.video import pathways
from slowfast.errors import DataError

__all__ = [
    "get_random_sampling_rate",
    "pack_pathway_output",
    "retry_load_images",
    "spatial_sampling",
    "tensor_normalize",
]


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
        max_scale: greatest short side; equal to ``min_scale`` for a fixed cut.
        crop_size: side of the cut.
        random_horizontal_flip: mirror half of the random cuts.
        inverse_uniform_sampling: draw the reciprocal of the short side evenly.
        aspect_ratio: aspect range of a random resized crop.
        scale: area range of a random resized crop.
        motion_shift: let that crop move over the clip.
    """
    sampling = transforms.SpatialSampling(
        crop_size,
        min_scale,
        max_scale,
        flip=random_horizontal_flip,
        inverse=inverse_uniform_sampling,
        aspect=tuple(aspect_ratio or ()),
        area=tuple(scale or ()),
        motion_shift=motion_shift,
    )
    if spatial_idx == -1:
        return sampling.random(frames, LegacyRng())
    return sampling.crops(frames, [spatial_idx])[0]


def pack_pathway_output(cfg: Any, frames: Tensor) -> list[Tensor]:
    """Return the pathways of a C x T x H x W clip, the slow one first where there are two.

    Two where MODEL.ARCH is in MODEL.MULTI_PATHWAY_ARCH, by SLOWFAST.ALPHA; see
    ``video.pathways``. DATA.REVERSE_INPUT_CHANNEL exchanges the first and the third channel.
    """
    frames = frames.flip(0) if cfg.DATA.REVERSE_INPUT_CHANNEL else frames
    return pathways(frames, alpha_of(cfg))


def get_random_sampling_rate(long_cycle_sampling_rate: int, sampling_rate: int) -> int:
    """Return a rate of ``sampling_rate`` ... ``long_cycle_sampling_rate``, drawn by ``random``.

    A ``long_cycle_sampling_rate`` of 0 or less gives ``sampling_rate`` itself.
    """
    if long_cycle_sampling_rate <= 0:
        return sampling_rate
    return random.randint(sampling_rate, long_cycle_sampling_rate)


def retry_load_images(
    image_paths: Sequence[str], retry: int = 10, backend: str = "pytorch"
) -> Tensor | list[np.ndarray]:
    """Return images as uint8 H x W x 3 in BGR, as PySlowFast does, read by OpenCV.

    Args:
        image_paths: files.
        retry: how often to try, with a second's pause, before giving up.
        backend: "pytorch" stacks them to one tensor; anything else gives a list of arrays.

    Raises:
        DataError: some image still cannot be read.
    """
    for attempt in range(max(1, retry)):
        if attempt:
            time.sleep(1.0)
        read = {path: read_image(path) for path in image_paths}
        bad = [str(path) for path, image in read.items() if image is None]
        if not bad:
            images: list[Any] = [read[path] for path in image_paths]
            return torch.as_tensor(np.stack(images)) if backend == "pytorch" else images
    raise DataError(f"{bad[0]}: cannot be read as an image, nor can {len(bad) - 1} others")
