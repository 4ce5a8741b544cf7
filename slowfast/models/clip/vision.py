"""Frames through CLIP's image tower. B batch, T frames, D joint dimension, C H W image."""

from __future__ import annotations

from torch import Tensor, nn

from slowfast.errors import UsageError


def encode_frames(visual: nn.Module, video_BCTHW: Tensor) -> Tensor:
    """Return the un-normalised feature of every frame, B x T x D.

    Args:
        visual: an image tower of open_clip.
        video_BCTHW: normalised frames B x 3 x T x H x W; a batch of images B x 3 x H x W is a
            batch of videos of one frame.

    Raises:
        UsageError: the frames' size is not the tower's.
    """
    if video_BCTHW.ndim == 4:
        video_BCTHW = video_BCTHW.unsqueeze(2)
    size = getattr(visual, "image_size", None)
    found = tuple(video_BCTHW.shape[-2:])
    if size is not None and found != _pair(size):
        raise UsageError(
            f"frames of {found[0]}x{found[1]} pixels, but the image tower takes "
            f"{_pair(size)[0]}x{_pair(size)[1]}: set DATA.TRAIN_CROP_SIZE and DATA.TEST_CROP_SIZE, "
            "or another CLIP.ARCH"
        )
    batch, frames = video_BCTHW.shape[0], video_BCTHW.shape[2]
    features = visual(video_BCTHW.transpose(1, 2).flatten(0, 1))
    return features.unflatten(0, (batch, frames))


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
