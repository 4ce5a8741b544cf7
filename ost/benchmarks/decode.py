"""decode: frames of one file at given positions, against three other ways to get them.

Every contender opens the file anew, uses one thread, and returns uint8 RGB frames.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from ost.benchmarks.clips import make_clips
from ost.benchmarks.core import Report, Settings, importable, race
from slowfast.datasets.reading.decoder import VideoReader
from slowfast.datasets.sampling.dense import Dense
from slowfast.datasets.sampling.rules import CENTER_CLIP, FrameRule
from slowfast.datasets.sampling.segment import Segment

Reader = Callable[[str, np.ndarray], np.ndarray]
# Older PyAV does not have the option.
ONE_THREAD: dict[str, Any] = (
    {"threads": 1} if "threads" in (VideoReformatter.reformat.__doc__ or "") else {}
)
SEEK_MARGIN = 1024  # ticks that PySlowFast seeks ahead of its window


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    add = parser.add_argument
    add("files", nargs="*", help="videos; without any, clips are generated")
    add("--frames", type=int, nargs="+", default=[8, 32], help="frames of a clip")
    add("--span", type=int, default=64, help="frames that a dense clip spans")
    add("--gops", type=int, nargs="+", default=[12, 30, 250], help="key frame distances")
    add("--seconds", type=float, default=10.0, help="length of a generated clip")
    add("--size", type=int, nargs=2, default=[320, 240], help="its width and height")


def read_ours(path: str, indices: np.ndarray) -> np.ndarray:
    """Open, list the packets, read."""
    with VideoReader(path) as reader:
        return reader.read(indices)


def read_window(path: str, indices: np.ndarray, *, reuse: bool = False) -> np.ndarray:
    """PySlowFast's way: seek to the window, convert every frame of it, then pick.

    Its window reaches from the first to the last wanted frame and one beyond; it takes frame
    positions for ticks by the average frame length, as here.

    Args:
        path: the video.
        indices: ascending.
        reuse: convert all frames with one converter on one thread, which is faster than
            PySlowFast's line: that makes a converter for each frame, and current PyAV threads for
            each converter.
    """
    converter = VideoReformatter()
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        ticks = (stream.duration or 0) / max(1, stream.frames)
        first, last = int(indices[0] * ticks), int(indices[-1] * ticks)
        container.seek(max(first - SEEK_MARGIN, 0), stream=stream, backward=True)
        kept = []
        for frame in container.decode(stream):
            time = frame.pts or 0
            if time < first:
                continue
            kept.append(frame)
            if time > last:
                break
        if reuse:
            kept = [converter.reformat(frame, format="rgb24", **ONE_THREAD) for frame in kept]
        else:
            kept = [frame.to_rgb() for frame in kept]
        window = np.stack([frame.to_ndarray() for frame in kept])
    return window[(indices - indices[0]).clip(0, len(window) - 1)]


def read_decord(path: str, indices: np.ndarray) -> np.ndarray:
    """Read with decord's own picking and seeking."""
    decord = importlib.import_module("decord")
    reader = decord.VideoReader(path, num_threads=1)
    return reader.get_batch(indices.tolist()).asnumpy()


def read_torchcodec(path: str, indices: np.ndarray, *, seek_mode: str = "exact") -> np.ndarray:
    """Read with torchcodec; "exact" lists the packets first, as ours does."""
    decoders = importlib.import_module("torchcodec.decoders")
    decoder = decoders.VideoDecoder(
        path, seek_mode=seek_mode, dimension_order="NHWC", num_ffmpeg_threads=1
    )
    return decoder.get_frames_at(indices=indices.tolist()).data.numpy()


def contenders(report: Report) -> dict[str, Reader]:
    """Return the ways to read that work here; ours first."""
    found: dict[str, Reader] = {"ours": read_ours, "PySlowFast's way": read_window}
    found["its window, one converter"] = partial(read_window, reuse=True)
    if importable(report, "decord"):
        found["decord"] = read_decord
    if importable(report, "torchcodec.decoders"):
        found["torchcodec (exact)"] = read_torchcodec
        # It then computes positions from the stated frame rate.
        found["torchcodec (approximate)"] = partial(read_torchcodec, seek_mode="approximate")
    return found


def rules(frames: int, span: int) -> dict[str, FrameRule]:
    """Return the two usual ways to choose frames: a dense clip, and one frame of each part."""
    dense = Dense(num_frames=frames, sampling_rate=max(1, span // frames))
    return {"dense": dense, "segment": Segment(num_frames=frames)}


def difference(frames: np.ndarray, expected: np.ndarray) -> str:
    """Say how far frames are from ours."""
    if frames.shape != expected.shape:
        return f"shape {frames.shape}"
    gap = np.abs(frames.astype(np.int16) - expected).max(axis=(1, 2, 3))
    return "same frames" if not gap.any() else f"{int((gap > 2).sum())} frames differ by > 2"


def run(args: argparse.Namespace, settings: Settings) -> Report:
    """Measure every file, number of frames and rule."""
    shown = {"repeats": settings.repeats, "span": args.span}
    if not args.files:
        shown |= {"clip": f"{args.seconds:g} s, {args.size[0]}x{args.size[1]}, H.264"}
    report = Report("decode", shown)
    readers = contenders(report)
    with tempfile.TemporaryDirectory() as folder:
        clips = {Path(name).name: Path(name) for name in args.files} or make_clips(
            Path(folder), args.gops, seconds=args.seconds, size=tuple(args.size)
        )
        for name, path in clips.items():
            with VideoReader(path) as reader:
                timeline = reader.timeline
            for frames in args.frames:
                for kind, rule in rules(frames, args.span).items():
                    indices = rule.clip(timeline, clip=CENTER_CLIP).indices
                    case = f"{name}, {frames} frames, {kind}"
                    _measure(report, settings, readers, case, str(path), indices)
    for other in list(readers)[1:]:
        report.summarize(other, goal=1 if other.startswith(("decord", "torchcodec")) else 3)
    return report


def _measure(
    report: Report,
    settings: Settings,
    readers: dict[str, Reader],
    case: str,
    path: str,
    indices: np.ndarray,
) -> None:
    expected = read_ours(path, indices)
    notes = {name: difference(read(path, indices), expected) for name, read in readers.items()}
    notes["ours"] = ""
    calls = {name: partial(read, path, indices) for name, read in readers.items()}
    report.add(case, race(calls, settings), items=1, unit="clips", notes=notes)
