"""The command line that makes the demo data."""

from functools import partial
from pathlib import Path

import av

from ost.cli import call

main = partial(call, "demo-data")


def test_it_makes_videos_and_lists_and_leaves_them_alone(tmp_path, capsys) -> None:
    words = ["--out", str(tmp_path / "demo"), "--train", "0", "--test-seen", "0"]
    words += ["--test-unseen", "1", "--workers", "1"]
    assert main(words) == 0
    assert "16 of 16 videos" in capsys.readouterr().out
    lines = (tmp_path / "demo" / "test_unseen.csv").read_text().splitlines()
    names = Path("label_db/demo_actions/unseen.txt").read_text().splitlines()
    assert [line.split("\t")[1] for line in lines] == names
    with av.open(str(tmp_path / "demo" / lines[0].split()[0])) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    assert main(words) == 0
    assert " of 16 videos" not in capsys.readouterr().out


def test_a_folder_of_something_else_is_refused(tmp_path, capsys) -> None:
    (tmp_path / "mine.txt").touch()
    assert main(["--out", str(tmp_path)]) == 3
    assert capsys.readouterr().err.startswith("error: ")


def test_texts_alone(tmp_path) -> None:
    assert main(["--texts", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "classes.csv",
        "descriptors",
        "seen.txt",
        "unseen.txt",
    ]
