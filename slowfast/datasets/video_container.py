"""PySlowFast's way to open a video, for people's data sets."""

from __future__ import annotations

from typing import Any

import av

from slowfast.datasets.reading.decoder import resolve_backend


def get_video_container(
    path_to_vid: str, multi_thread_decode: bool = False, backend: str = "pyav"
) -> Any:
    """Return the PyAV container of a video file, to read from or for ``decoder.decode``.

    Args:
        path_to_vid: the file.
        multi_thread_decode: let FFmpeg choose its threads.
        backend: DATA.DECODING_BACKEND; PySlowFast's ``torchvision`` gives a container, too.

    Raises:
        UsageError: unknown backend.
        av.FFmpegError: the file cannot be opened.
    """
    resolve_backend(backend)
    container = av.open(path_to_vid)
    if multi_thread_decode:
        container.streams.video[0].thread_type = "AUTO"
    return container
