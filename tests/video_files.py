"""Writes small video files whose pixels carry the number of each frame, and reads it back.

Frame i holds i as 12 bits, most significant first, in a grid of 4 x 3 blocks of 16 x 16 pixels
(bright = 1). The blocks survive compression, so a test sees *which* frame was decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS, COLUMNS, ROWS, BLOCK = 12, 4, 3, 16
WIDTH, HEIGHT = COLUMNS * BLOCK, ROWS * BLOCK


def numbered_frame(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Return a uint8 H x W x 3 frame that carries ``number``; beyond the grid it is grey."""
    frame = np.full((height, width, 3), 90, dtype=np.uint8)
    for bit in range(BITS):
        row, column = divmod(bit, COLUMNS)
        bright = number >> (BITS - 1 - bit) & 1
        y, x = row * BLOCK, column * BLOCK
        frame[y : y + BLOCK, x : x + BLOCK] = 220 if bright else 30
    return frame


def frame_number(frame: np.ndarray) -> int:
    """Return the number that an upright H x W x 3 frame carries."""
    number = 0
    for bit in range(BITS):
        row, column = divmod(bit, COLUMNS)
        y, x = row * BLOCK + 4, column * BLOCK + 4
        number = number << 1 | int(frame[y : y + 8, x : x + 8].mean() > 128)
    return number


def frame_numbers(frames: np.ndarray) -> list[int]:
    """Return the numbers of T x H x W x 3 frames."""
    return [frame_number(frame) for frame in frames]


def write_video(
    path: Path,
    frames: int | Sequence[int] = 60,
    *,
    codec: str = "libx264",
    rate: int | Fraction = 30,
    gop: int = 12,
    b_frames: int = 0,
    options: dict[str, str] | None = None,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    rotation: int = 0,
    audio: bool = False,
    pix_fmt: str = "yuv420p",
) -> Path:
    """Write a numbered video and return its path.

    Args:
        path: its suffix chooses the container.
        frames: how many, or their numbers.
        codec, rate, gop, b_frames, options, pix_fmt: of the encoder.
        pts: presentation times in ``time_base`` (default: frame i at i / rate).
        size: width and height.
        rotation: display rotation in degrees, counter-clockwise.
        audio: add a silent audio stream in front of the video stream.
    """
    numbers = range(frames) if isinstance(frames, int) else frames
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000, layout="mono") if audio else None
        stream = container.add_stream(codec, rate=rate, options=_options(codec, options or {}))
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = b_frames
        stream.codec_context.time_base = time_base or 1 / Fraction(rate)
        if rotation:
            stream.set_display_rotation(rotation)
        if sound:
            _write_silence(container, sound)
        for i, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number, *size), format="rgb24")
            frame.pts = i if pts is None else pts[i]
            frame.time_base = time_base or 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _options(codec: str, options: dict[str, str]) -> dict[str, str]:
    defaults = {"libx264": {"preset": "veryfast", "crf": "20", "sc_threshold": "0", "threads": "1"}}
    return {**defaults.get(codec, {}), **options}


def _write_silence(container: av.container.OutputContainer, stream: av.AudioStream) -> None:
    for i in range(8):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1000), np.float32), "fltp", "mono")
        frame.sample_rate, frame.time_base, frame.pts = 8000, Fraction(1, 8000), i * 1000
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_audio(path: Path) -> Path:
    """Write a file that holds sound only."""
    with av.open(str(path), "w") as container:
        _write_silence(container, container.add_stream("aac", rate=8000, layout="mono"))
    return path


def write_truncated(path: Path, share: float, *, frames: int = 120) -> Path:
    """Write the first ``share`` of an mp4 whose index is at its front, so that it still opens."""
    whole = path.with_name(f"whole_{path.name}")
    with av.open(str(whole), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=30, options=_options("libx264", {}))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = 12
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered_frame(i), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = whole.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def sequential(path: Path) -> np.ndarray:
    """Return every frame as plain decoding gives it, uint8 T x H x W x 3: the tests' oracle."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
