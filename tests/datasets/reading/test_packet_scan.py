from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from slowfast.datasets.reading.decoder import VideoReader
from slowfast.datasets.reading.packet_scan import PacketScan, count_is_certain, scan_packets
from slowfast.datasets.reading.seek_plan import PacketTable
from tests.video_files import frame_numbers, sequential, write_video


class Packet(bytes):
    """As much of a PyAV packet as the scan looks at."""

    pts: int | None = 0
    dts: int | None = None
    is_keyframe = is_corrupt = is_discard = False

    @property
    def size(self) -> int:
        return len(self)


def packet(content: bytes = b"x" * 20, **facts) -> Packet:
    made = Packet(content)
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def scan(packets: list[Packet], codec: str = "h264", fails: bool = False) -> PacketScan:
    def demux(stream):
        yield from packets
        if fails:
            raise av.error.InvalidDataError(1, "cut")

    stream = SimpleNamespace(codec_context=SimpleNamespace(name=codec))
    return scan_packets(SimpleNamespace(demux=demux), stream)


def test_packets_become_a_table() -> None:
    found = scan(
        [packet(pts=0, is_keyframe=True), packet(pts=2, dts=1), packet(b""), packet(pts=1)]
    )
    assert (found.damaged, found.hidden) == (False, False)
    assert found.table is not None
    assert found.table.pts.tolist() == [0, 2, 1]
    assert found.table.dts.tolist() == [0, 1, 1]
    assert found.table.frame_pts.tolist() == [0, 1, 2]


def test_what_makes_a_scan_doubtful() -> None:
    assert scan([packet(pts=0), packet(pts=None)]).table is None
    assert scan([]).table is None
    assert scan([packet(is_corrupt=True)]).damaged
    assert scan([packet()], fails=True).damaged


@pytest.mark.parametrize(
    ("codec", "content", "hidden"),
    [
        ("vp8", bytes([0b10110000]) + b"rest", False),
        ("vp8", bytes([0b10100000]) + b"rest", True),
        ("mpeg4", b"12345678", True),
        ("mpeg4", b"123456789", False),
        ("h264", b"1234", False),
    ],
)
def test_pictures_that_are_never_shown(codec: str, content: bytes, hidden: bool) -> None:
    assert scan([packet(content)], codec).hidden is hidden


def certain(
    pts=(0, 2, 1),
    key=(True, False, False),
    shown=(True, True, True),
    damaged=False,
    hidden=False,
    container="mov,mp4",
    reordered=True,
    field_order=1,
) -> bool:
    table = None
    if pts:
        times = np.array(pts)
        table = PacketTable(times, times, np.array(key), np.array(shown))
    context = SimpleNamespace(field_order=field_order, has_b_frames=reordered)
    return count_is_certain(
        PacketScan(table, damaged, hidden),
        SimpleNamespace(format=SimpleNamespace(name=container)),
        SimpleNamespace(codec_context=context),
    )


def test_an_ordinary_stream_is_certain() -> None:
    assert certain()
    assert certain(container="avi", reordered=False)
    assert certain(field_order=0)


@pytest.mark.parametrize(
    "oddity",
    [
        {"pts": ()},
        {"pts": (0, 1, 1)},
        {"pts": (1, 0, 2)},
        {"key": (False, True, False)},
        {"shown": (False, False, False)},
        {"damaged": True},
        {"hidden": True},
        {"container": "avi"},
        {"container": "h264"},
        {"field_order": 2},
    ],
)
def test_every_oddity_calls_for_counting(oddity: dict) -> None:
    assert not certain(**oddity)


@pytest.mark.parametrize("skipped", [1, 5, 14])
def test_an_edit_list_hides_the_first_frames(skipped: int, tmp_path: Path) -> None:
    """A trimmed phone video: the frames before the cut are in the file and are not shown."""
    path = write_video(tmp_path / "trimmed.mp4", 40, b_frames=2)
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 4 + 8 + 4
    start = int.from_bytes(data[place : place + 4], "big")
    data[place : place + 4] = (start + skipped * 512).to_bytes(4, "big")
    path.write_bytes(data)
    expected = sequential(path)
    with VideoReader(path) as reader:
        n = reader.num_frames
        assert n == len(expected)
        assert 40 - skipped - 1 <= n <= 40 - skipped
        frames = reader.read([0, n - 1, n // 2])
        assert np.array_equal(frames, expected[[0, n - 1, n // 2]])
    assert frame_numbers(frames)[0] == 40 - n
