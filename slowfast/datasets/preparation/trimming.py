"""Cut segments out of videos into files of their own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av

from slowfast.datasets.reading.packet_scan import OPEN, UNREADABLE, reason
from slowfast.errors import DecodeError
from slowfast.utils.progress import progress_line

CRF = "18"  # visually lossless


class Cut(NamedTuple):
    """A segment of ``source``, in seconds, and the file that it becomes."""

    source: str
    start: float
    end: float
    target: str


def target_name(source: str, start: float, end: float) -> str:
    """Return the file name of a segment; times in hundredths of a second.

    >>> target_name("train/v_abc.mkv", 1.5, 20.26)
    'v_abc_000150_002026.mp4'
    """
    stem = os.path.splitext(os.path.basename(source))[0]
    return f"{stem}_{round(start * 100):06d}_{round(end * 100):06d}.mp4"


def trim_all(cuts: Sequence[Cut], *, workers: int, progress: str = "auto") -> dict[str, str]:
    """Make the files that do not exist yet; return target -> problem of those that failed."""
    todo = [cut for cut in dict.fromkeys(cuts) if not os.path.exists(cut.target)]
    problems: dict[str, str] = {}

    def attempt(cut: Cut) -> str:
        try:
            trim(cut)
        except DecodeError as error:
            return error.reason
        return ""

    # Threads suffice: decoder and encoder release the interpreter lock.
    with (
        progress_line(progress, len(todo), "cutting segments", log_period=100) as line,
        ThreadPoolExecutor(max(1, workers)) as pool,
    ):
        for cut, problem in zip(todo, pool.map(attempt, todo)):
            if problem:
                problems[cut.target] = problem
            line.advance(1)
    return problems


def trim(cut: Cut) -> None:
    """Encode the frames of ``cut`` whose time is in start <= t < end (H.264, no sound).

    Copying packets instead would begin at the key frame before the segment, seconds too early.

    Raises:
        DecodeError: the source cannot be read, or has no frame in the segment.
    """
    target = Path(cut.target)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.tmp")
    try:
        if not _encode_file(cut, beside):
            raise DecodeError(cut.source, f"no frame from {cut.start} to {cut.end} seconds")
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def _encode_file(cut: Cut, path: Path) -> int:
    try:
        with av.open(cut.source, **OPEN) as source:
            return _encode(source, cut, path)
    except UNREADABLE as error:
        raise DecodeError(cut.source, f"cannot be cut ({reason(error)})") from error


def _encode(source: Any, cut: Cut, path: Path) -> int:
    """Write the frames of the segment to ``path`` and return how many there are."""
    stream = source.streams.video[0]
    base = stream.time_base
    first = (stream.start_time or 0) + int(Fraction(cut.start) / base)
    end = (stream.start_time or 0) + int(Fraction(cut.end) / base)
    source.seek(first, stream=stream, backward=True)
    count = 0
    with av.open(str(path), "w", format="mp4") as out:
        sink: Any = None
        for frame in source.decode(stream):
            if frame.pts is None or frame.pts < first:
                continue
            if frame.pts >= end:
                break
            if sink is None:
                sink = _sink(out, stream, frame)
            image = frame.reformat(width=sink.width, height=sink.height, format="yuv420p")
            image.pts, image.time_base = frame.pts - first, base
            out.mux(sink.encode(image))
            count += 1
        if sink is not None:
            out.mux(sink.encode(None))
    return count


def _sink(out: Any, stream: Any, frame: Any) -> Any:
    options = {"crf": CRF, "preset": "veryfast", "threads": "1"}
    sink = out.add_stream("libx264", rate=stream.average_rate or 30, options=options)
    # H.264 with halved colour needs even sides.
    sink.width, sink.height = frame.width // 2 * 2, frame.height // 2 * 2
    sink.pix_fmt = "yuv420p"
    sink.codec_context.time_base = stream.time_base
    if frame.rotation:
        sink.set_display_rotation(frame.rotation)
    return sink
