from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from ost.cli import call
from slowfast.config import get_cfg
from slowfast.datasets.from_config import video_list
from slowfast.datasets.lists.annotations import read_list
from slowfast.datasets.preparation.verifying import check_video
from slowfast.errors import DataError
from tests.video_files import write_truncated, write_video

main = partial(call, "check")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    write_video(root / "good.mp4", 30)
    write_video(root / "short.mp4", 3)
    (root / "zero.mp4").touch()
    (root / "text.mp4").write_text("no video " * 100)
    names = ["good.mp4 1", "zero.mp4 0", "short.mp4 2", "text.mp4 0", "gone.mp4 0"]
    (root / "list.csv").write_text("\n".join(names))
    return root


@pytest.mark.parametrize("extra", [[], ["--quick"], ["--workers", "2"]])
def test_bad_videos_are_named_and_good_ones_listed(extra, folder: Path, tmp_path, capsys) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.txt"
    arguments = [str(folder / "list.csv"), "--prefix", str(folder), "--workers", "1", *extra]
    assert main([*arguments, "--good", str(good), "--bad", str(bad)]) == 3
    out = capsys.readouterr().out
    assert "zero.mp4: empty file (0 bytes)" in out
    assert "2 of 5 videos are good, 3 bad; 3 to 30 frames" in out
    assert len(bad.read_text().splitlines()) == 3
    clean = read_list(good)
    assert [Path(path).name for path in clean.paths] == ["good.mp4", "short.mp4"]
    assert clean.labels.tolist() == [1, 2]
    assert main([str(good), "--workers", "1"]) == 0


def test_a_list_of_class_folders_holds_for_classes_in_any_order(tmp_path: Path) -> None:
    for name in ("jump/a.mp4", "run up/b.mp4", "run up/c.mp4"):
        (tmp_path / "v" / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(tmp_path / "v" / name, 6)
    good, again = tmp_path / "all.csv", tmp_path / "again.csv"
    assert main([str(tmp_path / "v"), "--good", str(good), "--workers", "1"]) == 0
    names = [line.split("\t")[1] for line in good.read_text().splitlines()]
    assert names == ["jump", "run up", "run up"]
    assert main([str(good), "--good", str(again), "--workers", "1"]) == 0
    assert again.read_text() == good.read_text()
    classes, cfg = tmp_path / "mine.txt", get_cfg()
    classes.write_text("run up\nfly\njump\n")
    keys = ["DATA.PATH_TO_DATA_DIR", str(tmp_path), "TEXT.CLASSES", str(classes)]
    cfg.merge_from_list([*keys, *("DATA.TRAIN_FILE", "all.csv", "DATA.TEST_FILE", "numbers.csv")])
    assert video_list(cfg, "train").labels.tolist() == [2, 0, 0]
    numbers = good.read_text().replace("\tjump", "\t0").replace("\trun up", "\t1")
    (tmp_path / "numbers.csv").write_text(numbers)
    with pytest.raises(DataError, match="numbers.csv: 3 of 3 numbers count other classes"):
        video_list(cfg, "test")
    classes.write_text("jump\nrun up\n")
    assert video_list(cfg, "test").labels.tolist() == [0, 1, 1]


def test_short_videos_can_be_refused(folder: Path) -> None:
    assert check_video(str(folder / "short.mp4"), min_frames=8).problem == "only 3 frames"
    assert check_video(str(folder / "good.mp4"), min_frames=8).frames == 30


def test_a_file_that_lost_its_tail_is_damaged_and_counted_right(tmp_path: Path, capsys) -> None:
    path = write_truncated(tmp_path / "cut.mp4", 0.9)
    verdict = check_video(str(path))
    assert verdict.problem == "damaged: 0.87 of the 4.00 s that the container states are missing"
    assert verdict.frames == pytest.approx((4 - 0.87) * 30, abs=1)
    (tmp_path / "l.csv").write_text("cut.mp4 0\n")
    assert main([str(tmp_path / "l.csv"), "--prefix", str(tmp_path)]) == 3
    assert f"bad: {path}: damaged: 0.87 of the 4.00 s" in capsys.readouterr().out


def test_damage_that_only_decoding_shows(folder: Path, monkeypatch) -> None:
    from slowfast.datasets.reading.decoder import VideoReader

    monkeypatch.setattr(VideoReader, "count_decodable", lambda self: 20)
    verdict = check_video(str(folder / "good.mp4"))
    assert verdict.problem == "30 frames are listed, 20 can be decoded"


@pytest.mark.parametrize(
    ("name", "text", "arguments", "code", "words"),
    [
        ("none.csv", None, [], 3, "no such list of videos"),
        ("frames.csv", "a 10 0\n", [], 2, "lists frame folders"),
        ("l.csv", "a.mp4 0\n", ["--good", "l.csv"], 2, "would overwrite the list"),
    ],
)
def test_mistakes_are_one_line(
    name, text, arguments, code, words, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / name).write_text(text)
        (tmp_path / "a").touch()
    assert main([name, *arguments]) == code
    assert words in capsys.readouterr().err


def test_ctrl_c_is_one_line_whatever_the_processes(folder: Path, tmp_path) -> None:
    listed = tmp_path / "long.csv"
    listed.write_text("gone.mp4 0\n" + "good.mp4 1\n" * 5000)
    words = ["check", str(listed), "--prefix", str(folder), "--workers", "2"]
    command = subprocess.Popen(
        [sys.executable, "-u", "-m", "ost", *words],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert command.stdout is not None
    assert "gone.mp4: no such file" in command.stdout.readline()  # they are at work
    os.killpg(command.pid, signal.SIGINT)  # as a terminal does
    error = command.communicate(timeout=60)[1]
    assert command.returncode == 130
    assert error.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in error
