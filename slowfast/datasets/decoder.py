"""PySlowFast's decoding functions over ``slowfast.datasets.reading``, for people's data sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slowfast.datasets.reading.decoder import VideoReader
from slowfast.datasets.sampling.dense import SlowFastPyav, window_start
from slowfast.datasets.transforms.draws import LegacyRng
from slowfast.errors import DecodeError
from slowfast.utils.logging import get_logger

logger = get_logger(__name__)


def get_start_end_idx(
    video_size: float,
    clip_size: float,
    clip_idx: int,
    num_clips_uniform: int,
    use_offset: bool = False,
) -> tuple[float, float]:
    """Return the first and the last frame of clip ``clip_idx``, as real numbers.

    Args:
        video_size: frames of the video.
        clip_size: frames that the clip spans.
        clip_idx: k of ``num_clips_uniform``, or -1 for a random start, by Python's ``random``.
        num_clips_uniform: K.
        use_offset: spread the clips up to the end of the video.
    """
    slack, rng = max(video_size - clip_size, 0), LegacyRng()
    start = window_start(
        slack, clip_idx, num_clips_uniform, use_offset=use_offset, rng=rng, whole=True
    )
    return start, start + clip_size - 1


def decode(  # noqa: PLR0913 - PySlowFast's signature
    container: Any,
    sampling_rate: int | Sequence[int],
    num_frames: int | Sequence[int],
    clip_idx: int = -1,
    num_clips_uniform: int = 10,
    video_meta: Any = None,
    target_fps: float = 30,
    backend: str = "pyav",
    max_spatial_scale: int = 0,
    use_offset: bool = False,
    num_clips: int = 0,
    **_: Any,
) -> Any:
    """Return the frames of one clip by PySlowFast's rule, and close the container.

    Args:
        container: of ``video_container.get_video_container``.
        sampling_rate: spacing of the frames at ``target_fps``.
        num_frames: T. One-element lists of both ask for the newer form of the result.
        clip_idx: k, or -1 for a random clip.
        num_clips_uniform: K.
        video_meta: accepted, not needed.
        target_fps: the frame rate in which spacing is counted.
        backend: accepted; PyAV decodes.
        max_spatial_scale: accepted; frames come at full size, which the transforms scale.
        use_offset: DATA.USE_OFFSET_SAMPLING.
        num_clips: older name of ``num_clips_uniform``.

    Returns:
        uint8 T x H x W x 3, or None with a warning where the video cannot be decoded. In the newer
        form: a list with these frames, the clip's first frame, last frame and 0 as a 1 x 3 array,
        and None (no time difference); or None three times.
    """
    newer = not isinstance(num_frames, int)
    (t,), (rate,) = np.atleast_1d(num_frames), np.atleast_1d(sampling_rate)
    path = container.name
    container.close()
    rule = SlowFastPyav(int(t), int(rate), target_fps, use_offset=use_offset)
    clips = num_clips or num_clips_uniform
    try:
        with VideoReader(path) as reader:
            (clip,), (frames,) = reader.read_clips(
                lambda line: [rule.clip(line, clip=clip_idx, num_clips=clips, rng=LegacyRng())]
            )
    except DecodeError as error:
        logger.warning(f"{error}")
        return (None, None, None) if newer else None
    frames_THWC: Tensor = torch.from_numpy(frames)
    if not newer:
        return frames_THWC
    return [frames_THWC], np.array([[clip.start, clip.end, 0.0]]), None
