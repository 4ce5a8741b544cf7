from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from slowfast.datasets.reading.decoder import VideoReader, resolve_backend
from slowfast.errors import DecodeError, UsageError
from tests.video_files import frame_numbers, sequential, write_video


class StandIn:
    """As much of torchcodec's VideoDecoder as we use, over plain PyAV."""

    count_off_by = 0

    def __init__(self, path, *, seek_mode, dimension_order, num_ffmpeg_threads) -> None:
        assert (seek_mode, dimension_order, num_ffmpeg_threads) == ("exact", "NHWC", 1)
        self._frames = torch.from_numpy(sequential(Path(path)))
        count = len(self._frames) + self.count_off_by
        self.metadata = types.SimpleNamespace(num_frames=count)

    def get_frames_at(self, indices):
        if not indices:
            raise RuntimeError("no indices\nand a long C++ trace")
        return types.SimpleNamespace(data=self._frames[indices])


@pytest.fixture
def torchcodec(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    module = types.ModuleType("torchcodec.decoders")
    module.VideoDecoder = StandIn
    monkeypatch.setitem(sys.modules, "torchcodec", types.ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", module)
    return StandIn


def test_frames_come_from_torchcodec(torchcodec, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 30, b_frames=2)
    assert resolve_backend("torchcodec") == "torchcodec"
    with VideoReader(path, backend="torchcodec") as other, VideoReader(path) as ours:
        frames = other.read([20, 3, 3])
        assert frame_numbers(frames) == [20, 3, 3]
        assert np.array_equal(frames, ours.read([20, 3, 3]))


def test_a_different_count_is_an_error(torchcodec, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(StandIn, "count_off_by", 1)
    path = write_video(tmp_path / "a.mp4", 10)
    with (
        VideoReader(path, backend="torchcodec") as reader,
        pytest.raises(DecodeError, match="torchcodec counts 11 frames, PyAV 10"),
    ):
        reader.read([0])


def test_its_errors_become_one_line(torchcodec, tmp_path: Path, monkeypatch) -> None:
    def fail(self, indices):
        raise RuntimeError("could not push packet\nlong trace")

    monkeypatch.setattr(StandIn, "get_frames_at", fail)
    path = write_video(tmp_path / "a.mp4", 10)
    with (
        VideoReader(path, backend="torchcodec") as reader,
        pytest.raises(DecodeError, match="torchcodec: could not push packet$"),
    ):
        reader.read([0])


def test_asked_for_and_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec", None)
    with pytest.raises(UsageError, match="DECODING_BACKEND is 'torchcodec'.*set .* pyav"):
        resolve_backend("torchcodec")
