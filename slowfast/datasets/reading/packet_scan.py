"""Count the frames of a stream from its packets, without decoding, where that can be relied on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import numpy as np

from slowfast.datasets.reading.seek_plan import PacketTable

# Containers that store a presentation time with every packet. In others (AVI, raw streams) FFmpeg
# guesses the times of a stream with B-frames, and guesses wrong for H.264.
TIMED_FORMATS = {"mov", "mp4", "matroska", "webm", "mpegts", "mpeg", "flv", "asf", "ogg", "nut"}
# An MPEG-4 picture of this size is a placeholder that shows nothing (packed B-frames).
PLACEHOLDER_BYTES = 8
# Metadata that is no UTF-8 does not matter; PyAV has no such option from 19 on.
OPEN: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)
# What PyAV raises on damaged files: FFmpeg's own errors, and its bindings' where a number is off.
UNREADABLE = (av.FFmpegError, IndexError, ValueError, OverflowError)
# FFmpeg's AV_FIELD_UNKNOWN and AV_FIELD_PROGRESSIVE.
PROGRESSIVE = (0, 1)


@dataclass(frozen=True)
class PacketScan:
    """What listing the packets of a stream showed.

    ``table``: the packets with content, None if some have no presentation time; ``damaged``: the
    file ended early or a packet is marked corrupt; ``hidden``: a packet carries a picture that is
    decoded but never shown, other than by an edit list.
    """

    table: PacketTable | None
    damaged: bool
    hidden: bool


def scan_packets(container: Any, stream: Any) -> PacketScan:
    """List the packets of ``stream`` from the container's current position to its end.

    Args:
        container: an open PyAV input container.
        stream: its video stream.
    """
    packets: list[tuple[Any, Any, bool, bool]] = []
    codec = stream.codec_context.name
    damaged = hidden = False
    try:
        for packet in container.demux(stream):
            if packet.size:
                damaged |= packet.is_corrupt
                hidden |= _shows_nothing(codec, packet)
                dts = packet.pts if packet.dts is None else packet.dts
                packets.append((packet.pts, dts, packet.is_keyframe, not packet.is_discard))
    except UNREADABLE:
        damaged = True
    if not packets or any(pts is None for pts, *_ in packets):
        return PacketScan(None, damaged, hidden)
    return PacketScan(PacketTable(*map(np.array, zip(*packets))), damaged, hidden)


def _shows_nothing(codec: str, packet: Any) -> bool:
    if codec == "vp8":
        return not (memoryview(packet)[0] >> 4) & 1
    return codec == "mpeg4" and packet.size <= PLACEHOLDER_BYTES


def count_is_certain(scan: PacketScan, container: Any, stream: Any) -> bool:
    """Say whether each listed packet will come out of the decoder as one frame, in order of pts.

    False for everything out of the ordinary: packets without time stamps or with the same one,
    damage, hidden pictures, streams that do not begin with a key frame or with the first shown
    frame, interlaced streams (two packets may be one frame), and B-frames in a container that does
    not store presentation times. The frames must then be counted by decoding.
    """
    table = scan.table
    if table is None or scan.damaged or scan.hidden:
        return False
    if not table.key[0] or table.pts[0] != table.pts.min():
        return False
    if len(np.unique(table.pts)) != len(table.pts) or not table.shown.any():
        return False
    codec = stream.codec_context
    if int(getattr(codec, "field_order", 0)) not in PROGRESSIVE:
        return False
    timed = TIMED_FORMATS & set(container.format.name.split(","))
    return bool(timed) or not codec.has_b_frames


def reason(error: Exception) -> str:
    """Return FFmpeg's words for an error, in one line without number and path."""
    return str(getattr(error, "strerror", None) or error).splitlines()[0]
