"""H.264 clips made for the benchmarks: about ten seconds of 240p at 30 frames a second."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from slowfast.utils.rng import generator

FPS = 30


def scene(num_frames: int, width: int, height: int, *, seed: int) -> np.ndarray:
    """Return uint8 T x H x W x 3: a textured ground under a moving camera, a block, some noise."""
    rng = generator(seed)
    margin = 64
    coarse = rng.random((height // 8 + 17, width // 8 + 17, 3), dtype=np.float32)
    ground = coarse.repeat(8, axis=0).repeat(8, axis=1)
    ground = ground[: height + 2 * margin, : width + 2 * margin] * 200 + 20
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    for t in range(num_frames):
        dy, dx = (int(margin * (1 + 0.9 * np.sin(t / period))) for period in (23.0, 41.0))
        picture = ground[dy : dy + height, dx : dx + width].copy()
        top, left = (t * 2) % (height // 2), (t * 3) % (width // 2)
        picture[top : top + height // 4, left : left + width // 4] = (230, 60, 30)
        picture += 4 * rng.standard_normal((height, width, 1), dtype=np.float32)
        frames[t] = picture.clip(0, 255)
    return frames


def write_clip(
    path: Path, frames_THWC: np.ndarray, *, gop: int, b_frames: int = 2, preset: str = "medium"
) -> Path:
    """Write frames as H.264 with a key frame at least every ``gop`` frames; returns ``path``."""
    height, width = frames_THWC.shape[1:3]
    options = {"preset": preset, "crf": "23", "threads": "1", "sc_threshold": "0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = b_frames
        for picture in frames_THWC:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def make_clips(
    folder: Path, gops: list[int], *, seconds: float, size: tuple[int, int]
) -> dict[str, Path]:
    """Write one clip for each distance of key frames; returns their names and paths."""
    found = {}
    for number, gop in enumerate(gops):
        frames = scene(max(2, round(seconds * FPS)), *size, seed=number)
        found[f"gop {gop}"] = write_clip(folder / f"gop{gop}.mp4", frames, gop=gop)
    return found
