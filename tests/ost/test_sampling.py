from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from ost.cli import call
from tests.video_files import write_video

main = partial(call, "sampling")


def test_an_imaginary_video(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "--length 300 --fps 30 --frames 8 --rate 8 --clips 3 --compat openvclip"
    assert main(arguments.split()) == 0
    out = capsys.readouterr().out
    assert "300 frames (stated: 300), 30.000 fps, constant rate, duration 10.00 s" in out
    assert "82 91 100 109 118 127 136 137" in out
    assert out.count("clip ") == 3


def test_without_duration_the_other_published_path_is_taken(capsys) -> None:
    main(["--length", "300", "--compat", "openvclip", "--clips", "3", "--offset", "--no-duration"])
    out = capsys.readouterr().out
    assert "duration not stated" in out
    assert "118 127 136 145 154 163 172 181" in out


def test_a_file_and_random_clips(capsys, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 40, rate=15)
    arguments = [str(path), "--sampling", "segment", "--frames", "4", "--random", "2"]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert "40 frames (stated: 40), 15.000 fps" in first
    assert "5 15 25 35" in first
    assert first.count("random ") == 2
    main(arguments)
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "name a video, or give --length"),
        (["--length", "9", "--compat", "slow"], 2, "DATA.SAMPLING_COMPAT is 'slow'"),
        (["nope.mp4"], 3, "nope.mp4: no such file"),
    ],
)
def test_mistakes_are_one_line(arguments, code, words, capsys) -> None:
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
