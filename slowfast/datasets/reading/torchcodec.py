"""The optional torchcodec backend: the same frames as PyAV, read by torchcodec."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from slowfast.errors import DecodeError, UsageError


def load_torchcodec() -> Any:
    """Return the module ``torchcodec.decoders``.

    Raises:
        UsageError: it is not installed, or its libraries do not load (no FFmpeg in the system).
    """
    try:
        return importlib.import_module("torchcodec.decoders")
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise UsageError(
            f"DATA.DECODING_BACKEND is 'torchcodec', which cannot be loaded here ({reason}); "
            "install torchcodec and FFmpeg's shared libraries, or set DATA.DECODING_BACKEND pyav"
        ) from None


def read_frames(path: str, indices: np.ndarray, num_frames: int) -> np.ndarray:
    """Return uint8 T x H x W x 3 for distinct ascending ``indices`` in presentation order.

    Args:
        path: video file.
        indices: frames to read.
        num_frames: how many frames the file's packets promise; torchcodec must agree.

    Raises:
        DecodeError: the file cannot be decoded, or the two libraries count differently.
        UsageError: torchcodec cannot be loaded.
    """
    decoders = load_torchcodec()
    try:
        decoder = decoders.VideoDecoder(
            path, seek_mode="exact", dimension_order="NHWC", num_ffmpeg_threads=1
        )
        found = decoder.metadata.num_frames
        if found != num_frames:
            raise DecodeError(path, f"torchcodec counts {found} frames, PyAV {num_frames}")
        return decoder.get_frames_at(indices=indices.tolist()).data.numpy()
    except (RuntimeError, ValueError, IndexError) as error:
        if isinstance(error, DecodeError):
            raise
        raise DecodeError(path, f"torchcodec: {str(error).strip().splitlines()[0]}") from error
