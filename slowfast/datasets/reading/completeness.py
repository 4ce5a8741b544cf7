"""Whether a file holds as much video as its container states: found from packets, not decoded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
import av.logging
import numpy as np

from slowfast.datasets.reading.packet_scan import UNREADABLE

TOLERATED_SHARE = 0.05
LONG_STEP = 1.5  # a gap is longer than this many usual distances between frames
LENGTH_TAG = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")


def find_damage(container: Any, stream: Any) -> str:
    """Return how much of a video's stated length is missing, in words; empty for a whole file.

    Lengths are compared, since stated numbers of frames are wrong in many whole files (edit lists,
    copied statistics). A gap between frames counts only where FFmpeg complained of the container:
    screen recordings have gaps, too. A format that states no length of its own is never damaged.

    Args:
        container: an open PyAV input container, at its beginning.
        stream: its video stream.
    """
    stated_end, own = _stated_end(container, stream)
    if not stated_end:
        return ""
    with _errors_logged() as errors:
        streams = _packet_times(container)
    times = streams.get(stream.index, np.zeros((1, 2)))
    steps = np.diff(np.unique(times[:, 0]))
    complained = any(name == container.format.name for _, name, _ in errors)
    if own:
        end = _end(times, complained)
    else:  # sound may begin before 0, by what its coder needs to start
        end = max(_end(of, complained) - min(0.0, of.min()) for of in [times, *streams.values()])
    missing = max(0.0, stated_end - end)
    if complained and len(steps):
        usual = float(np.median(steps))
        missing += float((steps[steps > LONG_STEP * usual] - usual).sum())
    if missing <= TOLERATED_SHARE * stated_end:
        return ""
    return f"damaged: {missing:.2f} of the {stated_end:.2f} s that the container states are missing"


def _stated_end(container: Any, stream: Any) -> tuple[float, bool]:
    """Return the second in which the video or the file ends, and whether it is the video's own.

    FFmpeg guesses a length for formats that state none; 0.0 stands for these.
    """
    formats = container.format.name.split(",")
    if "mov" in formats and stream.duration:
        begin = max(0, stream.start_time or 0)
        return float((begin + stream.duration) * stream.time_base), True
    if "avi" in formats and stream.frames and stream.average_rate:
        # of a constant rate by design; FFmpeg shortens the length where bytes are missing
        return float(stream.frames / stream.average_rate), True
    if "matroska" not in formats or not container.duration:
        return 0.0, False
    seconds = container.duration / av.time_base
    if match := LENGTH_TAG.fullmatch(stream.metadata.get("DURATION", "")):
        hours, minutes, rest = map(float, match.groups())
        own = 3600 * hours + 60 * minutes + rest
        return min(own, seconds), True
    return seconds, False


def _packet_times(container: Any) -> dict[int, np.ndarray]:
    """Return by stream the seconds in which its packets begin and end, P x 2."""
    times: dict[int, list[tuple[float, float]]] = {}
    try:
        for packet in container.demux():
            stamp = packet.dts if packet.pts is None else packet.pts
            if packet.size and stamp is not None:
                span = (stamp, stamp + (packet.duration or 0))
                own = times.setdefault(packet.stream.index, [])
                own.append((float(span[0] * packet.time_base), float(span[1] * packet.time_base)))
    except UNREADABLE:
        pass  # what comes behind is missing
    return {index: np.array(own) for index, own in times.items()}


def _end(times: np.ndarray, complained: bool) -> float:
    """Return the second in which a stream ends.

    Nothing says how long the last picture of a slide show lasts: in a file without complaints as
    long as the longest.
    """
    starts, ends = np.unique(times[:, 0]), times[:, 1]
    longest = 0.0 if complained else np.diff(starts).max(initial=0.0)
    return float(max(ends.max(), starts[-1] + longest))


@contextmanager
def _errors_logged() -> Iterator[list[tuple[int, str, str]]]:
    """Collect what FFmpeg logs as errors in this thread: level, part of FFmpeg, message."""
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture(local=True) as logs:
            yield logs
    finally:
        av.logging.set_level(before[0])
        av.logging.set_skip_repeated(before[1])
