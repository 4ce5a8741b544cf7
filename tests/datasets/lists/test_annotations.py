from __future__ import annotations

import logging
import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slowfast.datasets.lists import file_lookup
from slowfast.datasets.lists.annotations import PathArray, VideoList, read_list
from slowfast.errors import DataError, UsageError
from slowfast.text import ClassVocabulary


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


RUN = ClassVocabulary(("run",))


def read(tmp_path: Path, text: str | bytes, **options) -> VideoList:
    path = write(tmp_path / "list.csv", text)
    return read_list(path, **{"check_files": False, **options})


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize(
    "text",
    [
        "a/x.mp4 3\nb/y.avi 0\n",
        "a/x.mp4 3\r\nb/y.avi 0\r\n",
        "a/x.mp4,3\nb/y.avi,0",
        "a/x.mp4\t3\nb/y.avi\t0\n",
        "\n  a/x.mp4   3  \n\n\nb/y.avi 0\n\n",
        b"\xef\xbb\xbfa/x.mp4 3\nb/y.avi 0\n",
        "a/x.mp4 12 3\nb/y.avi 77 0\n",
        "a/x.mp4 ignored 3\nb/y.avi too 0\n",
        "a/x.mp4, 3\nb/y.avi, 0\n",
        '[{"filename": "a/x.mp4", "label": [3]}, {"path": "b/y.avi", "label": 0}]',
        '{"a/x.mp4": 3, "b/y.avi": 0}',
    ],
)
def test_every_form_gives_the_same_list(text: str | bytes, tmp_path: Path) -> None:
    videos = read(tmp_path, text)
    assert list(videos.paths) == ["a/x.mp4", "b/y.avi"]
    assert videos.labels.tolist() == [3, 0]
    assert videos.labels.dtype == np.int64
    assert videos.kind == "video"
    assert videos.num_frames is None
    assert len(videos) == 2


@pytest.mark.parametrize("separator", ["|", "::", ",", "\t", " "])
def test_a_given_separator(separator: str, tmp_path: Path) -> None:
    videos = read(tmp_path, f"x.mp4{separator}5\n", separator=separator)
    assert (videos.paths[0], videos.labels[0]) == ("x.mp4", 5)


def test_names_may_hold_what_does_not_separate(tmp_path: Path) -> None:
    odd = "! # & (1) + ; @ [x] ~.avi"
    assert read(tmp_path, f"{odd}\t2\n").paths[0] == odd
    assert read(tmp_path, f"{odd},2\n").paths[0] == odd
    assert read(tmp_path, "a,b;c.avi 2\n").paths[0] == "a,b;c.avi"
    assert read(tmp_path, b"caf\xe9.mp4 2\n").paths[0] == os.fsdecode(b"caf\xe9.mp4")


@pytest.mark.parametrize("name", ["[BHS]_x.avi", "[1]_x.avi", "{a}.avi", "[x", "(Rad)_#1.avi"])
def test_a_list_may_begin_with_a_bracket(tmp_path: Path, name: str) -> None:
    """HMDB-51's file names do; JSON goes on with a quote or another bracket."""
    videos = read(tmp_path, f"{name} 2\nb.avi 1\n")
    assert list(videos.paths) == [name, "b.avi"]


def test_paths_alone_have_label_0_and_it_is_said(tmp_path: Path, caplog) -> None:
    videos = read(tmp_path, "a.mp4\nb.mp4\n")
    assert videos.labels.tolist() == [0, 0]
    assert "no line has a label" in caplog.text


def test_prefix(tmp_path: Path) -> None:
    videos = read(tmp_path, "a.mp4 1\n/abs/b.mp4 2\n", prefix="/data")
    assert list(videos.paths) == ["/data/a.mp4", "/abs/b.mp4"]  # as os.path.join, so PySlowFast


def test_frame_folders(tmp_path: Path) -> None:
    text = "k400/x 250 3\nk400/y.z 7 0\n"
    for kind in ("auto", "frames"):
        videos = read(tmp_path, text, kind=kind)
        assert videos.kind == "frames"
        assert videos.num_frames is not None
        assert videos.num_frames.tolist() == [250, 7]
        assert videos.labels.tolist() == [3, 0]
    assert read(tmp_path, text, kind="video").num_frames is None
    assert read(tmp_path, "x.mp4 250 3\n").kind == "video"


def test_labels_may_be_names(tmp_path: Path) -> None:
    videos = read(
        tmp_path, "a.mp4,brush hair\nb.mp4,1\n", classes=ClassVocabulary(("brush hair", "run"))
    )
    assert videos.labels.tolist() == [0, 1]


def test_class_names_may_hold_blanks_and_be_spelled_as_folders(tmp_path: Path) -> None:
    own = ClassVocabulary(("brush hair", "run, fast"), ("Brush_Hair", "RunFast"))
    text = "a b.mp4\trun, fast\nc.mp4\tbrush hair\nd.mp4\tbrushHair\n"
    videos = read(tmp_path, text, classes=own)
    assert videos.labels.tolist() == [1, 0, 0]
    assert videos.class_names == own.names
    with pytest.raises(DataError, match="list.csv:1: the label is 'run, fast', expected an int"):
        read(tmp_path, text)
    named = read(tmp_path, text, any_names=True)
    assert [named.class_names[label] for label in named.labels] == [
        "run, fast",
        "brush hair",
        "brushHair",
    ]
    assert read(tmp_path, "a.mp4 3\n", any_names=True).class_names == ()


NUMBERED = "v/jump/a.mp4 0\nv/run/deep/b.mp4 1\nv/run/c.mp4 1\nv/fly/d.mp4 2\n"


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (("jump", "run", "sit"), ()),
        (("a jump", "a run", "jump"), ("Jump", "run_", "sit")),  # folders, where they are known
        (("sit", "stand", "lie"), ()),
        (("run", "fall", "sit"), ()),  # one folder only is named so: it may be anything
    ],
)
def test_numbers_that_agree_with_the_class_folders_or_cannot_be_compared(
    names: tuple[str, ...], folders: tuple[str, ...], tmp_path: Path
) -> None:
    videos = read(tmp_path, NUMBERED, classes=ClassVocabulary(names, folders))
    assert videos.labels.tolist() == [0, 1, 1, 2]


def test_numbers_of_other_classes_than_the_folders_are_refused(tmp_path: Path) -> None:
    other = ClassVocabulary(("run", "jump", "sit", "fly"))
    words = (
        "list.csv: 4 of 4 numbers count other classes .*: v/jump/a.mp4 is listed as 'run', its"
        " folder says 'jump'; v/run/deep/b.mp4 .*; v/run/c.mp4 [^;]*'run'. Set TEXT.CLASSES"
    )
    with pytest.raises(DataError, match=words):
        read(tmp_path, NUMBERED, classes=other)
    # One line is enough, and names are believed.
    with pytest.raises(DataError, match="1 of 3 numbers"):
        read(tmp_path, "jump/a.mp4 1\nrun/b.mp4 0\nrun/c.mp4 1\n", classes=other)
    assert read(tmp_path, "jump/a.mp4 run\nrun/b.mp4 jump\n", classes=other).labels.tolist() == [
        0,
        1,
    ]
    # Lists without labels are for predictions.
    assert read(tmp_path, "jump/a.mp4\nrun/b.mp4\n", classes=other).labels.tolist() == [0, 0]
    # A video of several classes lies in the folder of one of them.
    several = "jump/a.mp4 1\njump/a.mp4 2\nrun/b.mp4 0\n"
    assert read(tmp_path, several, classes=other).labels.tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", {}, "list.csv: the list is empty; expected lines like"),
        ("\n \n", {}, "the list is empty"),
        ("[]", {}, "the list is empty"),
        ("a.mp4 1\nb.mp4\n", {}, r"list.csv:2: 1 fields .* blank, expected 2 as in other lines"),
        ("a.mp4 1\nmy b.mp4 x y 1\n", {}, r"list.csv:2: 5 fields"),
        ("my own a.bin 1\n", {}, "list.csv:1: 4 fields .*another one, such as a tab"),
        ("a.mp4,1\n", {"separator": "\t"}, r"PATH_LABEL_SEPARATOR ',' \(comma\) the list can be"),
        ("a b.mp4\t1\n", {"separator": ","}, r"'\\t' \(tab\) the list can be read"),
        (
            "a.mp4 1\nb.mp4 run\n",
            {},
            "list.csv:2: the label is 'run', expected an integer .names",
        ),
        ("a.mp4 1\n\nb.mp4 1.5\n", {}, "list.csv:3: the label is '1.5'"),
        ("a.mp4 rum\n", {"classes": RUN}, "an integer or a class name; nearest class: 'run'"),
        ("a.mp4 1\nb.mp4 4\n", {"num_classes": 4}, r"list.csv:2: label 4 is outside 0..3"),
        ("a.mp4 9\nb.mp4 4\n", {"num_classes": 4}, "label 9 .*, as are 1 others"),
        ("a.mp4 -1\n", {}, "list.csv:1: label -1 is outside 0 and above"),
        (",1\nb.mp4,2\n", {}, "list.csv:1: the path is empty"),
        ("a.mp4 1\n", {"kind": "frames"}, "needs three: folder, number of frames, label"),
        ("a 5 1\nb x 1\n", {"kind": "frames"}, "list.csv:2: the number of frames is 'x'"),
        ("[1", {}, "list.csv:1: not valid JSON"),
        ('[{"filename": "a.mp4"}]', {}, "entry 1 is .*, expected"),
        ('[{"filename": "a.mp4", "label": [1, 2]}]', {}, "entry 1 is"),
        ('["a.mp4"]', {}, "entry 1 is 'a.mp4'"),
    ],
)
def test_errors_name_file_and_line(text: str, options: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read(tmp_path, text, **options)
    assert "\n" not in str(caught.value)


def test_missing_lists_and_wrong_kinds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nope.csv: no such list of videos; check DATA.PATH"):
        read_list(tmp_path / "nope.csv")
    with pytest.raises(UsageError, match="DATA.LIST_FORMAT is 'tar'; known: auto, video, frames"):
        read(tmp_path, "a.mp4 1\n", kind="tar")


def test_files_that_are_there_are_left_alone(tmp_path: Path, caplog) -> None:
    touch(tmp_path / "v/a.mp4", tmp_path / "v/b.mp4")
    videos = read(tmp_path, "a.mp4 1\nb.mp4 0\n", prefix=str(tmp_path / "v"), check_files=True)
    assert videos.missing == ()
    assert not caplog.records


def test_a_file_of_another_entry_does_not_stand_for_an_absent_one(tmp_path: Path, caplog) -> None:
    touch(tmp_path / "jump" / "0001", tmp_path / "run" / "0002", tmp_path / "deep" / "run" / "0003")
    text = "run/0001 12 0\njump/0001 12 1\nrun/0002 12 0\nrun/0003 12 0\n"
    videos = read(tmp_path, text, prefix=str(tmp_path), check_files=True)
    assert [os.path.relpath(path, tmp_path) for path in videos.paths] == [
        "run/0001", "jump/0001", "run/0002", "deep/run/0003"]  # fmt: skip
    assert videos.missing == (0,)
    assert "1 of 4 listed files are missing: " in caplog.text


def test_one_file_is_not_found_for_two_labels(tmp_path: Path) -> None:
    touch(tmp_path / "deep" / "0001", tmp_path / "0002")
    text = "run/0001 12 0\n{}/0001 12 {}\n0002 12 1\n"
    with pytest.raises(DataError, match=r"run/0001 and .*jump/0001 do not exist, and one file of"):
        read(tmp_path, text.format("jump", 1), prefix=str(tmp_path), check_files=True)
    for same in (("jump", 0), ("run", 1)):  # one video in two folders; a video of two labels
        videos = read(tmp_path, text.format(*same), prefix=str(tmp_path), check_files=True)
        assert videos.paths[0] == videos.paths[1] == str(tmp_path / "deep" / "0001")


def test_absent_files_are_found_by_name_and_counted(tmp_path: Path, caplog) -> None:
    touch(tmp_path / "v/deep/er/a.mp4", tmp_path / "v/b.mp4")
    with caplog.at_level(logging.INFO):
        videos = read(
            tmp_path, "train/a.mp4 1\nb.mp4 0\n", prefix=str(tmp_path / "v"), check_files=True
        )
    assert list(videos.paths) == [str(tmp_path / "v/deep/er/a.mp4"), str(tmp_path / "v/b.mp4")]
    assert "1 of 2 files are not where they are listed and were found by name" in caplog.text


def test_the_closest_of_several_files_is_taken_or_none(tmp_path: Path) -> None:
    touch(tmp_path / "v/run/1.mp4", tmp_path / "v/jump/1.mp4", tmp_path / "v/2.mp4")
    root = str(tmp_path / "v")
    videos = read(tmp_path, "val/run/1.mp4 0\n", root=root, check_files=True)
    assert videos.paths[0].endswith("v/run/1.mp4")
    with pytest.raises(DataError, match="val/1.mp4 does not exist, and 2 files of that name do"):
        read(tmp_path, "val/1.mp4 0\n2.mp4 0\n", root=root, check_files=True)


def test_missing_files_are_reported_once(tmp_path: Path, caplog) -> None:
    touch(tmp_path / "a.mp4")
    text = "a.mp4 0\n" + "".join(f"gone{i}.mp4 0\n" for i in range(5))
    videos = read(tmp_path, text, prefix=str(tmp_path), check_files=True)
    assert videos.missing == (1, 2, 3, 4, 5)
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "5 of 6 listed files are missing" in warnings[0]
    assert warnings[0].endswith("gone2.mp4, ...")
    with pytest.raises(DataError, match="none of the 1 listed files exists.*DATA.PATH_PREFIX"):
        read(tmp_path, "gone.mp4 0\n", prefix=str(tmp_path), check_files=True)


def test_links_in_a_circle_do_not_trap_the_search(tmp_path: Path) -> None:
    touch(tmp_path / "v/x/a.mp4")
    (tmp_path / "v/x/again").symlink_to(tmp_path / "v")
    (tmp_path / "v/linked").symlink_to(tmp_path / "far")
    touch(tmp_path / "far/b.mp4")
    videos = read(tmp_path, "a.mp4 0\nb.mp4 0\n", root=str(tmp_path / "v"), check_files=True)
    assert videos.paths[1].endswith("v/linked/b.mp4")


def test_repeats_are_said_once_and_kept(tmp_path: Path, caplog) -> None:
    videos = read(tmp_path, "a.mp4 0\nb.mp4 0\na.mp4 0\na.mp4 1\n")
    assert len(videos) == 4
    assert "1 paths are listed more than once, first a.mp4" in caplog.text


def test_trees_of_class_folders(tmp_path: Path) -> None:
    touch(
        tmp_path / "run/b.MP4",
        tmp_path / "run/a.avi",
        tmp_path / "jump/deep/c.webm",
        tmp_path / "jump/notes.txt",
        tmp_path / "readme.md",
    )
    videos = read_list(tmp_path)
    names = [os.path.relpath(path, tmp_path) for path in videos.paths]
    assert names == ["jump/deep/c.webm", "run/a.avi", "run/b.MP4"]
    assert videos.labels.tolist() == [0, 1, 1]
    given = read_list(tmp_path, classes=ClassVocabulary(("run", "sit", "jump")))
    assert given.labels.tolist() == [2, 0, 0]
    with pytest.raises(DataError, match="folder 'jump' is not among the class names"):
        read_list(tmp_path, classes=ClassVocabulary(("run",)))
    with pytest.raises(DataError, match="label 1 is outside 0..0"):
        read_list(tmp_path, num_classes=1)
    with pytest.raises(DataError, match="frame folders need a list"):
        read_list(tmp_path, kind="frames")
    (tmp_path / "empty/class").mkdir(parents=True)
    with pytest.raises(DataError, match="no videos; expected class folders"):
        read_list(tmp_path / "empty")


def test_a_list_of_kinetics_size_asks_the_disk_once_for_each_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\n".join(f"train/class {i % 400}/v_{i:08d}.mp4,{i % 400}" for i in range(240_000))
    path = write(tmp_path / "train.csv", text)
    asked: list[str] = []

    def listing(folder: str) -> set[str]:
        asked.append(folder)
        return {f"v_{i:08d}.mp4" for i in range(int(folder.split()[-1]), 240_000, 400)}

    monkeypatch.setattr(file_lookup, "_names", listing)
    start = time.process_time()
    videos = read_list(path, num_classes=400)
    assert time.process_time() - start < 6  # about 1.2; a guard against work per line
    assert len(asked) == 400
    assert len(videos) == 240_000
    assert len(pickle.dumps(videos)) < 20e6


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)))
def test_path_array_equals_a_list(paths: list[str]) -> None:
    array = PathArray(paths)
    assert list(array) == paths
    assert len(array) == len(paths)
    assert list(pickle.loads(pickle.dumps(array))) == paths
    with pytest.raises(IndexError):
        array[len(paths)]


def test_what_macos_and_jupyter_leave_is_neither_a_video_nor_a_class(tmp_path):
    for name in (
        *("run/a.mp4", "run/._a.mp4", "jump/a.mp4", "jump/.ipynb_checkpoints/a-checkpoint.mp4"),
        *("__MACOSX/run/._a.mp4", ".ipynb_checkpoints/a-checkpoint.mp4"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    videos = read_list(tmp_path)
    assert videos.class_names == ("jump", "run")
    assert list(videos.paths) == [str(tmp_path / "jump/a.mp4"), str(tmp_path / "run/a.mp4")]


def test_linked_folders_of_a_class_are_followed_once(tmp_path):
    for name in ("tree/run/a.mp4", "tree/jump/a.mp4", "disk/b.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "tree/jump/more").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/round").symlink_to(tmp_path / "tree/jump")
    videos = read_list(tmp_path / "tree")
    names = [os.path.relpath(path, tmp_path / "tree") for path in videos.paths]
    assert names == ["jump/a.mp4", "jump/more/b.mp4", "run/a.mp4"]
    assert videos.labels.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("content", "names", "said"),
    [
        (b"drinking (31).mp4 0\nlecture (2).mp4 1\n", ["drinking (31).mp4", "lecture (2).mp4"], ""),
        (b'"running, fast.mp4",0\n"clip.mp4",1\n', ["running, fast.mp4", "clip.mp4"], ""),
        (b'"my clip.mp4" 0\nb.mp4 1\n', ["my clip.mp4", "b.mp4"], ""),
        (b"path,label\na.mp4,0\nb.mp4,1\n", ["a.mp4", "b.mp4"], "taken for a header"),
        (b"sub\\a.mp4 0\nsub\\b.mp4 1\n", ["sub/a.mp4", "sub/b.mp4"], "those of Windows"),
        (b"a.mp4,0.0\nb.mp4,1.0\n", ["a.mp4", "b.mp4"], ""),
        ("a.mp4 0\r\nb.mp4 1\r\n".encode("utf-16"), ["a.mp4", "b.mp4"], "read as UTF-16"),
    ],
)
def test_forms_that_spreadsheets_and_other_systems_write(tmp_path, caplog, content, names, said):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "list.csv").write_bytes(content)
    videos = read_list(tmp_path / "list.csv", prefix=str(tmp_path))
    assert [os.path.relpath(path, tmp_path) for path in videos.paths] == names
    assert videos.labels.tolist() == [0, 1]
    assert videos.missing == ()
    assert said in caplog.text


def test_a_list_that_only_begins_as_utf_16_is_refused(tmp_path):
    (tmp_path / "list.csv").write_bytes(b"\xff\xfea")
    with pytest.raises(DataError, match=r"list\.csv: announces UTF-16, but is not"):
        read_list(tmp_path / "list.csv")


def test_a_label_that_is_no_whole_number_is_still_refused(tmp_path):
    (tmp_path / "list.csv").write_text("a.mp4,0.5\nb.mp4,1\n")
    with pytest.raises(DataError, match=r"list\.csv:1: the label is '0\.5', expected an integer"):
        read_list(tmp_path / "list.csv")
