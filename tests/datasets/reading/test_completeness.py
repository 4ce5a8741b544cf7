"""Whether a file is whole: clean files of every container are, cut ones and holes are not."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from slowfast.datasets.preparation.verifying import check_video
from slowfast.datasets.reading.decoder import VideoReader
from tests.video_files import write_truncated, write_video

GOP = 10


def damage(path: Path) -> str:
    with VideoReader(path) as reader:
        return reader.find_damage()


def seconds(words: str) -> list[float]:
    """Return how many seconds are missing, and of how many."""
    assert words.startswith("damaged: "), words
    return [float(words.split()[1]), float(words.split()[4])]


CLEAN: dict[str, dict[str, Any]] = {
    "plain.mp4": {},
    "b_frames.mp4": {"b_frames": 2},
    "sound_ends_first.mp4": {"frames": 90, "audio": True},
    "sound_ends_last.mkv": {"frames": 15, "audio": True},
    "plain.mov": {"b_frames": 2},
    "plain.mkv": {"b_frames": 2},
    "plain.webm": {"codec": "libvpx", "options": {"cpu-used": "8"}},
    "plain.avi": {"codec": "mpeg4"},
    "b_frames.avi": {"b_frames": 2},
    "recording.mkv": {"frames": 20, "pts": [*range(10), *range(300, 310)]},
    "recording.mp4": {"frames": 20, "pts": [*range(10), *range(300, 310)]},
    "slides.mkv": {"frames": 3, "pts": [0, 5, 10], "rate": 1, "time_base": Fraction(1, 1)},
    "one.mkv": {"frames": 1},
    "stream.ts": {"codec": "mpeg2video", "rate": 25},
}


@pytest.mark.parametrize("name", CLEAN)
def test_whole_files_are_whole(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / name, **CLEAN[name])
    assert damage(path) == ""
    assert check_video(str(path)).problem == ""


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cut.mkv", {}),
        ("cut.mkv", {"audio": True, "b_frames": 2}),
        ("cut.webm", {"codec": "libvpx", "options": {"cpu-used": "8"}}),
        ("cut.avi", {"codec": "mpeg4"}),
    ],
)
def test_half_a_file_lacks_about_half_of_what_it_states(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    whole = write_video(tmp_path / f"whole_{name}", 150, gop=GOP, **options)
    data = whole.read_bytes()
    cut = tmp_path / name
    cut.write_bytes(data[: len(data) // 2])
    missing, stated = seconds(damage(cut))
    assert stated == pytest.approx(5.0, abs=0.1)
    assert 1.5 < missing < 4.5
    assert check_video(str(cut)).problem == damage(cut)
    assert check_video(str(cut), quick=True).problem == ""


def without_own_length(source: Path, target: Path) -> Path:
    """Blank the tag of the video's own length, which only some writers of Matroska set."""
    target.write_bytes(source.read_bytes().replace(b"DURATION", b"DURATIOX"))
    with av.open(str(target)) as container:
        assert "DURATION" not in container.streams.video[0].metadata
    return target


def test_without_a_length_of_the_video_that_of_the_file_counts(tmp_path: Path) -> None:
    # The sound lasts 1 s, the pictures 0.5 s: the file is whole all the same.
    short = write_video(tmp_path / "short.mkv", 15, audio=True)
    assert damage(without_own_length(short, tmp_path / "whole.mkv")) == ""
    whole = without_own_length(
        write_video(tmp_path / "w.mkv", 150, audio=True, gop=GOP), tmp_path / "long.mkv"
    )
    assert damage(whole) == ""
    data = whole.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) // 2])
    assert 1.5 < seconds(damage(cut))[0] < 3.5


def with_hole(path: Path, size: int) -> Path:
    """Overwrite ``size`` bytes in the middle with zeros."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + size] = bytes(size)
    path.write_bytes(data)
    return path


def test_a_hole_in_the_middle(tmp_path: Path) -> None:
    path = write_video(tmp_path / "hole.mkv", 150, gop=GOP)
    with_hole(path, path.stat().st_size // 5)
    with VideoReader(path) as reader:
        lost = 150 - reader.count_decodable()
    missing, stated = seconds(damage(path))
    assert lost > 10
    assert missing == pytest.approx(lost / 30, abs=0.1)
    assert stated == pytest.approx(5.0, abs=0.05)


def test_up_to_a_twentieth_may_be_missing(tmp_path: Path) -> None:
    assert damage(write_truncated(tmp_path / "a.mp4", 0.99)) == ""
    missing, stated = seconds(damage(write_truncated(tmp_path / "b.mp4", 0.7)))
    assert stated == pytest.approx(4.0, abs=0.01)
    assert missing > 0.2


def test_an_edit_list_shortens_what_is_stated(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", 120, b_frames=2)
    part = tmp_path / "part.mp4"
    with av.open(str(whole)) as source, av.open(str(part), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            # The first second is decoded, not shown: the muxer writes an edit list for it.
            if packet.pts is not None:
                shift = int(1 / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = stream
                target.mux(packet)
    with av.open(str(part)) as container:
        assert any(packet.is_discard for packet in container.demux(video=0))
    assert damage(part) == ""


def test_real_videos_are_whole_and_half_of_one_is_not(
    parity: Callable[[str], Path], tmp_path: Path
) -> None:
    assert damage(parity("../data/videos/nasa_13013.mp4")) == ""
    whole = parity("../data/videos/flipping_a_pancake.mkv")
    assert damage(whole) == ""
    data = whole.read_bytes()
    half = tmp_path / "half.mkv"
    half.write_bytes(data[: len(data) // 2])
    missing, stated = seconds(check_video(str(half)).problem)
    assert stated == pytest.approx(10.33, abs=0.01)
    assert missing > 3
