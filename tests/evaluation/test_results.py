"""The files that a run leaves behind."""

from __future__ import annotations

import errno
import json
import os
import pickle
import stat
from pathlib import Path

import pytest
import torch

from slowfast import __version__
from slowfast.errors import SlowFastError, UsageError
from slowfast.evaluation import results
from slowfast.evaluation.multiview import FailedVideo, VideoScores

NAMES = ("run", "jump", "swim")


@pytest.fixture
def videos() -> VideoScores:
    scores = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.0, 0.0, 0.0], [0.5, 0.4, 0.1]])
    labels = torch.tensor([0, 1, -1, 0])
    failed = [FailedVideo(2, "lost.mp4", 2, "empty file")]
    return VideoScores(scores, labels, torch.tensor([2, 2, 0, 2]), 2, failed)


def test_summary(videos: VideoScores) -> None:
    found = results.summarize(videos, NAMES, ks=(1, 2))
    assert found["top1"] == pytest.approx(200 / 3)
    assert found["top2"] == 100.0
    assert (found["num_videos_scored"], found["num_videos_listed"]) == (3, 4)
    assert found["mean_class"] == 50.0
    plain = results.to_plain(found)
    assert plain["per_class"] == {"run": 100.0, "jump": 0.0, "swim": None}
    assert plain["failed"] == [{"video": 2, "path": "lost.mp4", "label": 2, "reason": "empty file"}]


def test_summary_of_nothing(videos: VideoScores, tmp_path: Path) -> None:
    empty = VideoScores(torch.zeros(2, 0), torch.tensor([-1, -1]), torch.tensor([0, 0]), 2, [])
    found = results.to_plain(results.summarize(empty, NAMES))
    assert found["top1"] is None
    assert found["num_videos_scored"] == 0
    lines = results.write_predictions(tmp_path / "p.jsonl", empty, class_names=NAMES).read_text()
    assert [json.loads(line)["failed"] for line in lines.splitlines()] == [
        "no view was delivered"
    ] * 2


def test_class_names_must_fit(videos: VideoScores) -> None:
    with pytest.raises(UsageError, match="2 class names for scores of 3 classes"):
        results.summarize(videos, NAMES[:2])


def test_predictions_name_every_listed_video(videos: VideoScores, tmp_path: Path) -> None:
    path = results.write_predictions(
        tmp_path / "predictions.jsonl", videos, ["a", "b", "c", "d"], NAMES
    )
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["id"] for row in rows] == [0, 1, 2, 3]
    assert rows[0] == {
        "id": 0,
        "path": "a",
        "label": 0,
        "label_name": "run",
        "top": ["run", "jump", "swim"],
        "scores": [0.7, 0.2, 0.1],
    }
    assert rows[2]["failed"] == "empty file"
    assert rows[2]["path"] == "lost.mp4"
    assert rows[2]["label"] == 2
    assert "top" not in rows[2]


def test_multi_hot_labels(tmp_path: Path) -> None:
    labels = torch.tensor([[1, 0, 1], [0, 1, 0]])
    videos = VideoScores(torch.rand(2, 3), labels, torch.tensor([1, 1]), 1)
    assert set(results.summarize(videos)) >= {"map", "num_videos_scored"}
    path = results.write_predictions(tmp_path / "p.jsonl", videos, top_k=1)
    assert [json.loads(line)["label"] for line in path.read_text().splitlines()] == [[0, 2], [1]]


@pytest.mark.parametrize("name", ["scores.npz", "scores.pt"])
def test_scores_return_as_they_were(videos: VideoScores, tmp_path: Path, name: str) -> None:
    scores, labels = results.read_scores(results.write_scores(tmp_path / name, videos))
    assert torch.equal(scores, videos.scores)
    assert torch.equal(labels, videos.labels)


def test_the_pickle_is_pyslowfasts(videos: VideoScores, tmp_path: Path) -> None:
    path = results.write_scores(tmp_path / "out.pkl", videos)
    scores, labels = pickle.loads(path.read_bytes())
    assert torch.equal(scores, videos.scores)
    assert torch.equal(labels, videos.labels)


class _Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("name", ["bomb.npz", "bomb.pt", "bomb.pkl"])
def test_reading_scores_runs_no_code(tmp_path: Path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(UsageError, match=name):
        results.read_scores(name)
    assert not Path("exploded").exists()


def test_reading_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.npz: expected a score file"):
        results.read_scores(tmp_path / "none.npz")


def test_json_has_no_nan_and_knows_tensors(tmp_path: Path) -> None:
    data = {"a": float("nan"), "b": torch.tensor([1, 2]), 3: (Path("x"), float("inf"), True)}
    path = results.write_json(tmp_path / "deep" / "x.json", data)
    assert json.loads(path.read_text()) == {"a": None, "b": [1, 2], "3": ["x", None, True]}


def test_writing_replaces_whole_files_with_ordinary_rights(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    results.atomic_write(path, "old")
    results.atomic_write(path, "new")
    assert path.read_text() == "new"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path: Path, monkeypatch) -> None:
    path = results.atomic_write(tmp_path / "x.txt", "old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SlowFastError, match=r"cannot write .*x\.txt: No space left on device"):
        results.atomic_write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_impossible_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SlowFastError, match="cannot write"):
        results.atomic_write(tmp_path / "file" / "x", "")


def test_environment() -> None:
    facts = results.environment_facts()
    assert facts["versions"]["slowfast"] == __version__
    assert facts["versions"]["torch"]
    assert facts["machine"]["cpus"] >= 1
    json.dumps(facts)
