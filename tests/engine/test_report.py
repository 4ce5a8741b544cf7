import sys
from types import SimpleNamespace as Some

import pytest

from slowfast.config import coerce
from slowfast.engine.report import broken_videos
from slowfast.engine.test import test as run_test
from slowfast.engine.train import train
from slowfast.errors import DataError
from tests.engine.tiny import tiny_cfg


class Repeated:
    """Ten listed videos, five times in an epoch."""

    videos = range(10)

    def __len__(self):
        return 50


def make_job(tmp_path, dataset, count):
    found = {f"{i}.mp4": "no video stream" for i in range(count)}
    return Some(
        ranks=Some(broken_of_all=lambda: found),
        train_loader=Some(dataset=dataset),
        cfg=Some(DATA=Some(MAX_BROKEN=0.2)),
        output_dir=tmp_path,
    )


def test_the_share_of_broken_videos_is_one_of_the_list_and_not_of_a_long_epoch(tmp_path, caplog):
    broken_videos(make_job(tmp_path, Repeated(), 2), 0)
    assert "epoch 1: 2 of 10 videos could not be read" in caplog.text
    with pytest.raises(DataError, match=r"3 of 10 videos .* above DATA.MAX_BROKEN=0.2"):
        broken_videos(make_job(tmp_path, Repeated(), 3), 0)


def test_other_data_sets_are_as_long_as_they_say(tmp_path):
    broken_videos(make_job(tmp_path, range(50), 10), 0)
    with pytest.raises(DataError, match="11 of 50 videos"):
        broken_videos(make_job(tmp_path, range(50), 11), 0)


def test_failed_videos_are_said_once_with_their_reason(tmp_path, capsys):
    opts = ("TEST.ALLOW_RANDOM_WEIGHTS", True, "TEST.ALLOW_FAILED", True, "TRAIN.ENABLE", False)
    run_test(tiny_cfg(tmp_path, *opts, "DATA.PATH_PREFIX", "3"))
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "video3.mp4" in line] == [
        "failed videos: 1 of 5: video3.mp4 (no video stream)"
    ]
    first = next(i for i, line in enumerate(lines) if line.startswith("data: "))
    assert lines[first] == "data:     test TinyClips (10 clips); 3 classes"
    assert lines[first + 1].startswith(
        "model:    TinyNet, tiny, weights random, 0.00 of 0.00 million"
    )
    assert lines[-1] == f"next: ost summarize {tmp_path}"


def test_a_training_alone_names_the_test_as_the_next_command(tmp_path, capsys):
    train(tiny_cfg(tmp_path, "TEST.ENABLE", False))
    *_, trained, after = capsys.readouterr().out.splitlines()
    assert "checkpoint_best.pyth, checkpoint_epoch_00001.pyth" in trained
    assert after == f"next: ost test --cfg {tmp_path}/config.yaml --opts TEST.ENABLE True"


def test_the_confusion_matrix_is_a_picture_where_matplotlib_is_there(tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    opts = ("TEST.ALLOW_RANDOM_WEIGHTS", True, "TRAIN.ENABLE", False)
    run_test(tiny_cfg(tmp_path / "with", *opts))
    assert (tmp_path / "with" / "confusion_matrix.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    coerce.notice.cache_clear()
    for _ in range(2):
        run_test(tiny_cfg(tmp_path / "without", *opts))
    assert not (tmp_path / "without" / "confusion_matrix.png").exists()
    said = "warning: no confusion_matrix.png: pictures need matplotlib, which is not installed"
    assert capsys.readouterr().out.count(said) == 1


def test_several_view_counts_have_one_header_and_one_next_command(tmp_path, capsys):
    opts = ("TEST.ALLOW_RANDOM_WEIGHTS", True, "TRAIN.ENABLE", False)
    run_test(tiny_cfg(tmp_path, *opts, "TEST.NUM_TEMPORAL_CLIPS", "[1, 2]"))
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith(("data", "schedule", "next"))] == [
        "data:     test TinyClips (5 clips); 3 classes",
        "schedule: test of 8 frames x 1 crops x 1 then 2 clips, sum of prob, batch 4",
        f"next: ost summarize {tmp_path}",
    ]
    assert sum(line.startswith("tested 5 of 5 videos") for line in lines) == 2
