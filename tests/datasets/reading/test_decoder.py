from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from slowfast.datasets.reading import decoder
from slowfast.datasets.reading.decoder import VideoReader, resolve_backend
from slowfast.datasets.reading.timeline import Clip
from slowfast.datasets.sampling.dense import Dense, OpenVCLIP
from slowfast.datasets.sampling.rules import RANDOM_CLIP, Timeline
from slowfast.datasets.sampling.segment import Ost
from slowfast.errors import DataError, DecodeError, UsageError
from tests.video_files import (
    frame_number,
    frame_numbers,
    sequential,
    write_audio,
    write_truncated,
    write_video,
)

OPEN_GOP = {"x264-params": "open-gop=1:keyint=12:min-keyint=12"}
REFRESH = {"x264-params": "intra-refresh=1:keyint=12"}
FORMS: dict[str, dict] = {
    "plain.mp4": {},
    "bframes.mp4": {"b_frames": 3},
    "pyramid.mp4": {"b_frames": 3, "options": {"x264-params": "b-pyramid=normal:ref=4"}},
    "opengop.mp4": {"b_frames": 3, "options": OPEN_GOP},
    "opengop.mkv": {"b_frames": 3, "options": OPEN_GOP},
    "refresh.mkv": {"b_frames": 2, "options": REFRESH},
    "long_gop.mp4": {"gop": 250},
    "all_key.mp4": {"gop": 1},
    "short_gop.mp4": {"gop": 3, "b_frames": 2},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4_b.avi": {"codec": "mpeg4", "b_frames": 2},
    "h264_b.avi": {"b_frames": 3},
    "bframes.mkv": {"b_frames": 2},
    "vp8.webm": {"codec": "libvpx", "frames": 24},
    "vp9.webm": {"codec": "libvpx-vp9", "frames": 24},
    "odd.mp4": {"size": (75, 51), "pix_fmt": "yuv444p"},
    "ntsc.mp4": {"rate": Fraction(30000, 1001)},
    "late.mp4": {"pts": range(30, 90), "time_base": Fraction(1, 30)},
    "stream.ts": {"b_frames": 2},
    "program.mpg": {"codec": "mpeg2video", "b_frames": 2, "rate": 25},
    "raw.h264": {"b_frames": 2},
    "with_sound.mp4": {"audio": True, "frames": 30},
    "one.mp4": {"frames": 1},
}


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("videos")
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = write_video(folder / name, **FORMS[name])
        return made[name]

    return get


@pytest.mark.parametrize("name", FORMS)
def test_frames_are_bit_identical_to_sequential_decoding(name: str, make) -> None:
    path = make(name)
    expected = sequential(path)
    n = len(expected)
    assert frame_numbers(expected) == list(range(n))
    rng = np.random.default_rng(0)
    choices = [[0], [n - 1], [n // 2, 0, n // 2], list(range(n))]
    choices += [rng.integers(0, n, size=size).tolist() for size in (1, 2, 4, 8, 4, 2)]
    for seek_cost in (0, decoder.SEEK_COST):
        with VideoReader(path, seek_cost=seek_cost) as reader:
            assert reader.num_frames == n
            for indices in choices:
                frames = reader.read(indices)
                assert frames.dtype == np.uint8
                assert np.array_equal(frames, expected[indices]), indices


@pytest.mark.parametrize("name", ["bframes.mp4", "opengop.mkv", "h264_b.avi"])
def test_threads_change_nothing(name: str, make) -> None:
    with VideoReader(make(name), multi_thread=True) as reader:
        assert frame_numbers(reader.read([50, 3, 31, 3])) == [50, 3, 31, 3]


def test_sparse_reads_decode_few_frames(make, monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[int] = []
    decoded: list[int] = []
    convert, run = VideoReader._image, VideoReader._decode_run
    monkeypatch.setattr(
        VideoReader, "_image", lambda self, *a: converted.append(1) or convert(self, *a)
    )

    def counted(self, *arguments):
        for frame in run(self, *arguments):
            decoded.append(1)
            yield frame

    monkeypatch.setattr(VideoReader, "_decode_run", counted)
    with VideoReader(make("bframes.mp4")) as reader:
        reader.read([13, 37, 13])
    assert len(converted) == 2
    assert len(decoded) <= 12


def test_what_the_container_states(make) -> None:
    with VideoReader(make("ntsc.mp4")) as reader:
        stated = reader.timeline
    assert stated.declared_frames == 60
    assert stated.fps == pytest.approx(29.97, abs=0.001)
    assert stated.duration is not None
    assert stated.duration * stated.tick == pytest.approx(60 / stated.fps)
    with VideoReader(make("bframes.mkv")) as reader:
        assert reader.timeline.duration is None
        assert reader.timeline.declared_frames == 0
        assert reader.timeline.rate == 30.0


def test_time_stamps(make) -> None:
    with VideoReader(make("late.mp4")) as reader:
        timeline = reader.timeline
    assert timeline.pts is not None
    assert timeline.pts[0] * timeline.tick == pytest.approx(1.0)
    assert not timeline.variable_rate
    with VideoReader(make("raw.h264")) as reader:
        assert reader.timeline.pts is None


def test_variable_rate_is_seen(tmp_path: Path) -> None:
    pts = [i * 2 for i in range(10)] + [20 + i for i in range(20)]
    path = write_video(tmp_path / "vfr.mp4", 30, pts=pts, time_base=Fraction(1, 60))
    with VideoReader(path) as reader:
        assert reader.timeline.variable_rate
        rule = Dense(4, 10, 60.0)  # 10 / 60 s apart: stamps 0, 10, 20, 30
        clip = rule.clip(reader.timeline, clip=0)
        assert frame_numbers(reader.read(clip.indices)) == [0, 5, 10, 20]


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (-90, 3), (180, 2), (270, 3)])
def test_rotation_is_honoured(rotation: int, turns: int, tmp_path: Path) -> None:
    path = write_video(tmp_path / "turned.mp4", 4, rotation=rotation)
    stored = sequential(path)
    with VideoReader(path) as reader:
        frames = reader.read([2, 3])
    assert frames.shape == ((2, 64, 48, 3) if turns % 2 else (2, 48, 64, 3))
    assert np.array_equal(frames[0], np.rot90(stored[2], turns))
    assert frame_number(np.rot90(frames[1], -turns)) == 3


def test_a_phone_held_upright_is_turned_clockwise(tmp_path: Path) -> None:
    # The matrix (0, 1, -1, 0) of the file format sends x, y to -y, x: top left goes to top right.
    path = write_video(tmp_path / "phone.mp4", [0b100000000000] * 2, rotation=-90)
    raw = path.read_bytes()
    place = raw.index(b"tkhd") + 4 + 40
    matrix = [
        int.from_bytes(raw[place + 4 * i : place + 4 * i + 4], "big", signed=True)
        for i in (0, 1, 3, 4)
    ]
    assert matrix == [0, 65536, -65536, 0]
    with VideoReader(path) as reader:
        frame = reader.read([0])[0]
    assert frame[:16, -16:].mean() > 180
    assert frame[:16, :16].mean() < 80


def test_names_that_ffmpeg_would_take_for_something_else(tmp_path: Path) -> None:
    for name in ("a:b.mp4", "50% #1 & [x] ~(y).mp4", "ü %03d.mp4", "concat:x.mp4"):
        path = write_video(tmp_path / "plain.mp4", 3).rename(tmp_path / name)
        with VideoReader(path) as reader:
            assert reader.num_frames == 3


def test_broken_files_are_named_with_their_reason(tmp_path: Path) -> None:
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "text.mp4").write_text("this is no video\n" * 40)
    (tmp_path / "words.mp4").write_text("1\n00:00:01,000 --> 00:00:02,000\nhello\n\n" * 3)
    write_audio(tmp_path / "sound.mp4")
    whole = write_video(tmp_path / "whole.mp4", 30)
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:600])
    reasons = {
        "absent.mp4": "no such file",
        "zero.mp4": r"empty file \(0 bytes\)",
        "text.mp4": "not a video",
        "words.mp4": r"no video stream \(found: subtitle\)",
        "sound.mp4": r"no video stream \(found: audio\)",
        "cut.mp4": "not a video",
        ".": "a folder and no video",
    }
    for name, reason in reasons.items():
        path = tmp_path / name
        with pytest.raises(DecodeError, match=reason) as caught:
            VideoReader(path)
        assert caught.value.path == str(path)
        assert isinstance(caught.value, DataError)


def test_a_file_that_may_not_be_read_is_no_broken_video(tmp_path: Path, monkeypatch) -> None:
    path = write_video(tmp_path / "whole.mp4", 5)

    def refuse(url, **options):
        raise av.error.PermissionError(13, "Permission denied", url)

    monkeypatch.setattr(av, "open", refuse)  # as root every file may be read
    with pytest.raises(DecodeError, match=r"whole\.mp4: cannot be read \(Permission denied\)"):
        VideoReader(path)


@pytest.mark.parametrize("share", [0.7, 0.9, 0.99])
def test_a_truncated_file_yields_what_can_be_decoded_and_nothing_twice(
    share: float, tmp_path: Path
) -> None:
    path = write_truncated(tmp_path / "cut.mp4", share)
    with VideoReader(path) as reader:
        n = reader.num_frames
        numbers = frame_numbers(reader.read(range(n)))
        assert reader.timeline.declared_frames == 120 > n > 30
    assert numbers == sorted(set(numbers))
    assert numbers[: n - 4] == list(range(n - 4))


def test_a_file_cut_to_its_head_is_beyond_use(tmp_path: Path) -> None:
    path = write_truncated(tmp_path / "head.mp4", 0.45)
    with VideoReader(path) as reader, pytest.raises(DecodeError, match="not a single frame"):
        _ = reader.num_frames


def test_a_wrong_count_is_noticed_and_frames_are_chosen_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_truncated(tmp_path / "cut.mp4", 0.9)
    monkeypatch.setattr(decoder, "count_is_certain", lambda *_: True)  # trust the packets
    seen: list[int] = []

    def last_frames(timeline: Timeline) -> list[Clip]:
        seen.append(timeline.num_frames)
        last = np.arange(timeline.num_frames - 3, timeline.num_frames)
        return [Clip(last, 0.0, 0.0), Clip(last[:1], 0.0, 0.0)]

    with VideoReader(path) as reader:
        clips, frames = reader.read_clips(last_frames)
    assert len(seen) == 2
    assert seen[0] > seen[1]
    assert clips[0].indices.max() == seen[1] - 1
    assert len(set(frame_numbers(frames[0]))) == 3
    assert np.array_equal(frames[1][0], frames[0][0])
    assert "frames are listed" in caplog.text


def test_read_reports_a_wrong_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_truncated(tmp_path / "cut.mp4", 0.9)
    monkeypatch.setattr(decoder, "count_is_certain", lambda *_: True)
    with VideoReader(path) as reader:
        promised = reader.num_frames
        with pytest.raises(decoder.FrameCountError, match=f"{promised} frames are listed"):
            reader.read(range(promised))
        assert reader.num_frames < promised
        assert len(reader.read([reader.num_frames - 1])) == 1


@pytest.mark.parametrize("name", ["bframes.mp4", "bframes.mkv", "mpeg4.avi", "stream.ts"])
def test_damage_anywhere_gives_frames_or_a_decode_error(name: str, make, tmp_path: Path) -> None:
    whole = make(name).read_bytes()
    rng = np.random.default_rng(len(name))
    rule = Ost(4)
    for attempt in range(25):
        data = bytearray(whole)
        if attempt % 2:
            start = int(rng.integers(len(data)))
            del data[start : start + int(rng.integers(1, 2000))]
        for place in rng.integers(0, len(data), size=int(rng.integers(1, 40))):
            data[place] = rng.integers(256)
        path = tmp_path / name
        path.write_bytes(data)
        with suppress(DecodeError), VideoReader(path) as reader:
            clips, frames = reader.read_clips(lambda t: [rule.clip(t, clip=0)])
            assert len(frames[0]) == len(clips[0].indices) == 4


def test_frames_without_a_way_to_rgb_are_a_decode_error(make, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("no path between colour spaces")

    with VideoReader(make("plain.mp4")) as reader:
        monkeypatch.setattr(reader, "_converter", SimpleNamespace(reformat=refuse))
        with pytest.raises(DecodeError, match="no RGB from yuv420p: no path"):
            reader.read([0])


def test_all_views_share_one_pass(make) -> None:
    rule = Dense(4, 4, use_offset=True)
    rng = np.random.default_rng(0)

    def choose(timeline: Timeline) -> list[Clip]:
        fixed = [rule.clip(timeline, clip=k, num_clips=3) for k in range(3)]
        return [*fixed, rule.clip(timeline, clip=RANDOM_CLIP, rng=rng)]

    with VideoReader(make("bframes.mp4")) as reader:
        clips, frames = reader.read_clips(choose)
    for clip, stack in zip(clips, frames):
        assert frame_numbers(stack) == clip.indices.tolist()


def test_indices_outside_the_video_are_our_own_bug(make) -> None:
    with VideoReader(make("plain.mp4")) as reader:
        for wrong in ([60], [-1], []):
            with pytest.raises(AssertionError):
                reader.read(wrong)


def test_files_are_closed(make) -> None:
    with VideoReader(make("plain.mp4")) as reader:
        container = reader._container
        with pytest.raises(AssertionError):
            reader.read([1000])
    with pytest.raises(AssertionError, match="not open"):
        next(container.demux())


def test_frames_of_changing_size_are_refused(tmp_path: Path) -> None:
    small = write_video(tmp_path / "small.ts", 12, codec="mpeg2video", rate=25)
    large = write_video(tmp_path / "large.ts", 12, codec="mpeg2video", rate=25, size=(96, 64))
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    with VideoReader(both) as reader, pytest.raises(DecodeError, match="frame size changes"):
        reader.read(range(reader.num_frames))


def test_backends(caplog: pytest.LogCaptureFixture) -> None:
    assert resolve_backend("pyav") == "pyav"
    with caplog.at_level("INFO"):
        assert resolve_backend("torchvision") == "pyav"
    assert "pyav is used" in caplog.text
    with pytest.raises(UsageError, match="'decord'; known: pyav, torchcodec, torchvision"):
        resolve_backend("decord")


def published_walk(path: Path, start: float, end: float) -> list[int]:
    """PySlowFast's own way through a file: seek, decode, drop, keep one more. Frame numbers."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        ticks = stream.duration / stream.frames
        first, last = int(start * ticks), int(end * ticks)
        container.seek(max(first - 1024, 0), any_frame=False, backward=True, stream=stream)
        kept: dict[int, int] = {}
        for frame in container.decode(video=0):
            if frame.pts < first:
                continue
            kept[frame.pts] = frame_number(frame.to_ndarray(format="rgb24"))
            if frame.pts > last:
                break
    return [kept[pts] for pts in sorted(kept)]


@pytest.mark.parity
@pytest.mark.parametrize(
    "name",
    [
        "h264_30fps_300f.mp4",
        "h264_bframes_25fps_250f.mp4",
        "h264_2997fps_120f.mp4",
        "h264_15fps_40f.mp4",
        "h264_30fps_5f.mp4",
        "mpeg4_25fps_160f.avi",
        "h264_30fps_60f_start1s.mp4",
        "h264_vfr_90f.mp4",
    ],
)
def test_published_frames_of_real_files(name: str, parity) -> None:
    path = parity(f"slowfast/videos/{name}")
    for frames, rate, clips in ((8, 8, 3), (4, 16, 2), (16, 2, 4)):
        rule = OpenVCLIP(frames, rate, corrected=False)
        for k in range(clips):
            with VideoReader(path) as reader:
                clip = rule.clip(reader.timeline, clip=k, num_clips=clips)
                ours = frame_numbers(reader.read(clip.indices))
                fps = reader.timeline.fps
            kept = published_walk(path, clip.start, clip.end)
            spread = max(1.0, rate * frames / 30 * fps) - 1
            picked = np.linspace(0, spread, frames, dtype=np.float32).clip(0, len(kept) - 1)
            assert ours == [kept[i] for i in picked.astype(int)]


@pytest.mark.parity
def test_recorded_broken_and_endless_files(parity) -> None:
    for name in ("broken_truncated.mp4", "broken_empty.mp4"):
        with pytest.raises(DecodeError):
            VideoReader(parity(f"slowfast/videos/{name}"))
    with VideoReader(parity("slowfast/videos/h264_30fps_90f.mkv")) as reader:
        assert reader.timeline.duration is None
        assert reader.num_frames == 90


@pytest.mark.parametrize("name", ["nasa_13013.mp4", "flipping_a_pancake.mkv"])
def test_downloaded_videos(name: str, parity) -> None:
    path = parity(f"../data/videos/{name}")
    expected = sequential(path)
    with VideoReader(path) as reader:
        assert reader.num_frames == len(expected)
        wanted = np.random.default_rng(1).integers(0, len(expected), size=8)
        assert np.array_equal(reader.read(wanted), expected[wanted])
