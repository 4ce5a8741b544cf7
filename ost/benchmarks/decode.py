"""decode: frames of one file at given positions, against three other ways to get them.

Every contender opens the file anew, uses one thread, and returns uint8 RGB frames.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import numpy as np

from ost.benchmarks.clips import make_clips
from ost.benchmarks.core import Report, Settings, importable, race
from slowfast.datasets.reading.decoder import VideoReader
from slowfast.datasets.sampling.rules import CENTER_CLIP, find_rule

Reader = Callable[[str, np.ndarray], np.ndarray]
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


def read_window(path: str, indices: np.ndarray) -> np.ndarray:
    """PySlowFast's way: seek to the window, convert every frame of it, then pick.

    Its window reaches from the first to the last wanted frame and one beyond; it takes frame
    positions for ticks by the average frame length, as here.
    """
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
        window = np.stack([frame.to_rgb().to_ndarray() for frame in kept])
    return window[(indices - indices[0]).clip(0, len(window) - 1)]


def read_decord(path: str, indices: np.ndarray) -> np.ndarray:
    """Read with decord's own picking and seeking."""
    decord = importlib.import_module("decord")
    reader = decord.VideoReader(path, num_threads=1)
    return reader.get_batch(indices.tolist()).asnumpy()


def read_torchcodec(path: str, indices: np.ndarray) -> np.ndarray:
    """Read with torchcodec, which lists the packets first, as ours does."""
    decoders = importlib.import_module("torchcodec.decoders")
    decoder = decoders.VideoDecoder(path, dimension_order="NHWC", num_ffmpeg_threads=1)
    return decoder.get_frames_at(indices=indices.tolist()).data.numpy()


def contenders(report: Report) -> dict[str, Reader]:
    """Return the ways to read that work here; ours first."""
    found: dict[str, Reader] = {"ours": read_ours, "PySlowFast's way": read_window}
    if importable(report, "decord"):
        found["decord"] = read_decord
    if importable(report, "torchcodec.decoders"):
        found["torchcodec (exact)"] = read_torchcodec
    return found


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
        cases = itertools.product(clips.items(), args.frames, ("dense", "segment"))
        for (name, path), frames, kind in cases:
            rate = {"sampling_rate": max(1, args.span // frames)} if kind == "dense" else {}
            with VideoReader(path) as reader:
                rule = find_rule(kind, "")(num_frames=frames, **rate)
                indices = rule.clip(reader.timeline, clip=CENTER_CLIP).indices
            calls = {way: partial(read, str(path), indices) for way, read in readers.items()}
            expected = calls["ours"]()
            notes = {way: difference(call(), expected) for way, call in calls.items()}
            found = race(calls, settings)
            report.add(
                f"{name}, {frames} frames, {kind}", found, (1, "clips"), notes | {"ours": ""}
            )
    for other in list(readers)[1:]:
        report.summarize(other, goal=1 if other.startswith(("decord", "torchcodec")) else 3)
    return report
