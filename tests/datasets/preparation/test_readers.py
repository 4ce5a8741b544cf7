"""The official annotation files of each data set, and published lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slowfast.datasets.preparation.class_table import ClassTable, load_table
from slowfast.datasets.preparation.entries import Entry
from slowfast.datasets.preparation.official import (
    read_activitynet,
    read_hmdb51,
    read_kinetics,
    read_ssv2,
    read_ucf101,
)
from slowfast.datasets.preparation.proof import check_coverage, drop_repeats, overlaps
from slowfast.datasets.preparation.published import read_published
from slowfast.errors import DataError, UsageError
from slowfast.text.labels import spelling_key
from tests.datasets import miniatures

ALL = ("train", "val", "test")


def table(dataset: str, labels: str = "right") -> ClassTable:
    return load_table(miniatures.LABEL_DB / dataset, labels)


def shown(entries: list[Entry]) -> list[tuple[str, int]]:
    return [(entry.name, entry.label) for entry in entries]


# -- classes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dataset", ["kinetics400", "kinetics600", "ucf101", "hmdb51", "ssv2", "activitynet200"]
)
def test_every_class_is_found_by_each_spelling(dataset) -> None:
    classes = table(dataset)
    for label, folder in enumerate(classes.folders):
        assert classes.find(folder, "x") == label
        assert classes.find(folder.replace(" ", "_").lower(), "x") == label
    assert classes.exchanged() == []


def test_the_published_names_of_hmdb51_are_known_to_be_exchanged() -> None:
    classes = table("hmdb51", "published")
    assert classes.exchanged() == [20, 21, 44, 45]
    assert classes.find("kick", "x") == 20  # videos decide
    assert classes.names[20] == "kick ball"


def test_unknown_classes_and_variants() -> None:
    with pytest.raises(DataError, match=r"x:3: .* no class 'Archry'; nearest: 'Archery'"):
        table("ucf101").find("Archry", "x:3")
    with pytest.raises(UsageError, match="ucf101 has no published variant"):
        table("ucf101", "published")


def test_subsets_of_names_that_the_table_lacks(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text("id,name\n0,Archery\n")
    (tmp_path / "base.txt").write_text("Archery\nFlying\n")
    with pytest.raises(UsageError, match="base.txt: not among the classes of .*: 'Flying'"):
        load_table(tmp_path).subset("base")
    (tmp_path / "classes_published.csv").write_text("id,name\n0,Flying\n1,Archery\n")
    assert load_table(tmp_path, "published").subset("base") == {"Archery": 1, "Flying": 0}
    (tmp_path / "base_published.txt").write_text("Flying\n")
    assert load_table(tmp_path, "published").subset("base") == {"Flying": 0}


def test_a_spelling_that_fits_two_classes_fits_none() -> None:
    classes = ClassTable(("a b", "a-b"), ("a b", "a-b"), Path("c.csv"))
    assert (classes.get("a-b"), classes.get("AB"), spelling_key("A_b!")) == (1, None, "ab")


# -- UCF-101 -----------------------------------------------------------------------------------


def test_ucf101(tmp_path: Path) -> None:
    root = miniatures.ucf101(tmp_path) / "annotations"
    lists = read_ucf101(root, table("ucf101"), ALL).lists
    assert [(name, len(own)) for name, own in lists.items()] == [
        *((f"train_split{i}", 9) for i in (1, 2, 3)),
        *((f"test_split{i}", 3) for i in (1, 2, 3)),
        ("all", 12),
    ]
    assert shown(lists["test_split2"]) == [
        ("ApplyEyeMakeup/v_ApplyEyeMakeup_g02_c01.avi", 0),
        ("Archery/v_Archery_g02_c01.avi", 2),
        ("HandstandPushups/v_HandStandPushups_g02_c01.avi", 36),
    ]
    only = read_ucf101(root / "ucfTrainTestlist", table("ucf101"), ("test",)).lists
    assert list(only) == ["test_split1", "test_split2", "test_split3"]


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("testlist02.txt", None, "testlist02.txt: no such annotation file"),
        ("classInd.txt", "ApplyEyeMakeup 1\n", "classInd.txt:1: 'ApplyEyeMakeup 1', expected"),
        ("testlist01.txt", "v_Archery_g01_c01.avi\n", "testlist01.txt:1: .*expected 'Class/v_"),
        ("testlist01.txt", "Flying/v_Flying_g01_c01.avi\n", "no class 'Flying'"),
        ("trainlist01.txt", "Archery/v_Archery_g01_c01.avi 1", "class number 1 does not belong"),
    ],
)
def test_ucf101_refuses(file, text, words, tmp_path: Path) -> None:
    root = miniatures.ucf101(tmp_path) / "annotations"
    path = root / "ucfTrainTestlist" / file
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_ucf101(root, table("ucf101"), ALL)


def test_no_annotations_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no annotation file classInd.txt or ucfTrainTestlist/"):
        read_ucf101(tmp_path, table("ucf101"), ALL)


# -- HMDB-51 -----------------------------------------------------------------------------------


def test_hmdb51(tmp_path: Path) -> None:
    root = miniatures.hmdb51(tmp_path) / "annotations"
    lists = read_hmdb51(root, table("hmdb51"), ALL).lists
    assert {name: len(own) for name, own in lists.items()} == {
        **{f"train_split{i}": 15 for i in (1, 2, 3)},
        **{f"test_split{i}": 5 for i in (1, 2, 3)},
        "all": 25,
    }
    assert [entry.label for entry in lists["test_split1"]] == [0, 20, 21, 44, 45]
    name = "brush_hair/Some,_Film#_(1)_brush_hair_f_cm_np1_ba_med_3.avi"
    assert lists["test_split3"][0].name == name


def test_hmdb51_labels_follow_the_videos_under_published_names(tmp_path: Path) -> None:
    root = miniatures.hmdb51(tmp_path) / "annotations"
    right = read_hmdb51(root, table("hmdb51"), ALL).lists
    assert read_hmdb51(root, table("hmdb51", "published"), ALL).lists == right


def test_hmdb51_refuses(tmp_path: Path) -> None:
    root = miniatures.hmdb51(tmp_path) / "annotations"
    path = root / "testTrainMulti_7030_splits" / "kick_test_split2.txt"
    path.write_text("a.avi 3\n")
    with pytest.raises(DataError, match=r"kick_test_split2.txt:1: 'a.avi 3', expected a file name"):
        read_hmdb51(root, table("hmdb51"), ALL)
    path.unlink()
    with pytest.raises(DataError, match="kick_test_split2.txt: no such annotation file"):
        read_hmdb51(root, table("hmdb51"), ALL)


# -- Kinetics ----------------------------------------------------------------------------------


def test_kinetics(tmp_path: Path) -> None:
    root = miniatures.kinetics(tmp_path) / "annotations"
    lists = read_kinetics(root, table("kinetics400"), ALL).lists
    assert {name: len(own) for name, own in lists.items()} == {"train": 9, "val": 3}
    assert shown(lists["train"])[4] == ("train/air drumming/-t1_1AbCdE_000010_000020.mp4", 1)
    assert list(read_kinetics(root, table("kinetics400"), ("val",)).lists) == ["val"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("validate.csv", None, "no table of split 'val'"),
        ("kinetics_val.csv", "", "kinetics_val.csv and validate.csv are both of val"),
        ("test.csv", "youtube_id,time_start,time_end\n", "no column 'label'.*held back"),
        ("test.csv", "label,youtube_id,time_start,time_end\nabseiling,x,a,b\n", "must be seconds"),
        ("test.csv", "label,youtube_id,time_start,time_end\nflying,x,1,2\n", "test.csv:2: .*flyin"),
    ],
)
def test_kinetics_refuses(name, text, words, tmp_path: Path) -> None:
    root = miniatures.kinetics(tmp_path) / "annotations"
    if text is None:
        (root / name).unlink()
    else:
        (root / name).write_text(text)
    with pytest.raises(DataError, match=words):
        read_kinetics(root, table("kinetics400"), ALL)


# -- Something-Something V2 --------------------------------------------------------------------


def test_ssv2(tmp_path: Path) -> None:
    root = miniatures.ssv2(tmp_path) / "annotations"
    lists = read_ssv2(root, table("ssv2"), ALL).lists
    names = table("ssv2").names
    assert [names[entry.label] for entry in lists["val"]] == [
        "Holding something next to something",
        "Putting something, something and something on the table",
        "Twisting (wringing) something wet until water comes out",
    ]
    assert [entry.name for entry in lists["val"]] == ["2000.webm", "2010.webm", "2020.webm"]
    assert len(lists["train"]) == 9


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("labels", {"Closing something": "1"}, "'Closing something' has number 1, but 5 in"),
        ("labels", ["Closing something"], "expected {"),
        ("train", [{"id": "1"}], "entry 1: .*expected an id and a template"),
        ("train", [{"id": "1", "template": "Flying [something]"}], "no class 'Flying something'"),
    ],
)
def test_ssv2_refuses(name, content, words, tmp_path: Path) -> None:
    root = miniatures.ssv2(tmp_path) / "annotations"
    path = root / f"something-something-v2-{name}.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=words):
        read_ssv2(root, table("ssv2"), ALL)
    path.write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        read_ssv2(root, table("ssv2"), ALL)
    path.unlink()
    with pytest.raises(
        DataError,
        match=f"no annotation file .* or labels/{'validation' if name == 'val' else name}.json",
    ):
        read_ssv2(root, table("ssv2"), ALL)


# -- ActivityNet -------------------------------------------------------------------------------


def test_activitynet(tmp_path: Path) -> None:
    root = miniatures.activitynet(tmp_path) / "annotations"
    found = read_activitynet(root, table("activitynet200"), ALL)
    sizes = {name: len(own) for name, own in found.lists.items()}
    assert sizes == {"train": 4, "val": 2, "train_segments": 8, "val_segments": 4, "all": 6}
    assert found.lists["train"][0].segment is None
    assert found.lists["train_segments"][1].segment == (0.2, 0.4)
    assert found.notes == []


def test_activitynet_with_odd_videos(tmp_path: Path) -> None:
    def video(*segments: tuple[str, float, float]) -> dict:
        annotations = [{"label": label, "segment": [a, b]} for label, a, b in segments]
        return {"subset": "training", "annotations": annotations}

    both = video(("Archery", 0, 1), ("Applying sunscreen", 1, 2))
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"database": {"x": both, "y": video(("Archery", 3, 3))}}))
    found = read_activitynet(path, table("activitynet200"), ALL)
    assert [entry.label for entry in found.lists["train"]] == [1, 1]
    assert len(found.lists["train_segments"]) == 2
    assert "1 whole videos show several classes" in found.notes[0]
    assert "1 segments end before they begin" in found.notes[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, 'expected JSON with a "database"'),
        ({"database": {"x": {"subset": "training", "annotations": [{"segment": [1]}]}}}, "video x"),
    ],
)
def test_activitynet_refuses(content, words, tmp_path: Path) -> None:
    path = tmp_path / "activity_net.v1-3.min.json"
    with pytest.raises(DataError, match="no annotation file activity_net.v1-3"):
        read_activitynet(tmp_path, table("activitynet200"), ALL)
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=words):
        read_activitynet(tmp_path, table("activitynet200"), ALL)


# -- published lists ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "line", "expected"),
    [
        ("vifi_clip", "v_Archery_g01_c01.avi 2", ("v_Archery_g01_c01.avi", 2, None)),
        ("vifi_clip", "Bank!,_(x)_hit.avi 17", ("Bank!,_(x)_hit.avi", 17, None)),
        ("text4vis", "Archery/v_Archery_g01_c01 60 2", ("Archery/v_Archery_g01_c01", 2, 60)),
        ("text4vis", "abc_000001_000011.mp4 3", ("abc_000001_000011.mp4", 3, None)),
        ("stdd", "Archery/v_Archery_g01_c01.avi,2", ("Archery/v_Archery_g01_c01.avi", 2, None)),
        ("stdd", "val/air drumming/x.mp4,2", ("val/air drumming/x.mp4", 2, None)),
    ],
)
@pytest.mark.parametrize("auto", [True, False])
def test_published_lists_are_read_as_they_are(style, line, expected, auto, tmp_path: Path) -> None:
    path = miniatures.write(tmp_path / "list.txt", f"\ufeff{line}\r\n\r\n{line}")
    entries = read_published(path, "auto" if auto else style, 51)
    assert [(e.name, e.label, e.frames) for e in entries] == [expected, expected]
    assert [e.source for e in entries] == [f"{path}:1", f"{path}:3"]


@pytest.mark.parametrize(
    ("style", "text", "error", "words"),
    [
        ("auto", "", DataError, "the list is empty"),
        ("vifi_clip", "a.avi\n", DataError, ":1: 'a.avi', expected 'file label'"),
        ("vifi_clip", "a b.avi 3\n", DataError, "expected 'file label'"),
        ("stdd", "a.avi,x\n", DataError, "expected 'Class/file,label'"),
        ("vifi_clip", "a.avi 1\nb.avi 7\n", DataError, ":2: label 7, expected 0..4"),
        ("mmaction", "a.avi 1\n", UsageError, "--published-style 'mmaction'; known: auto, vifi"),
    ],
)
def test_published_lists_of_another_form(style, text, error, words, tmp_path: Path) -> None:
    path = miniatures.write(tmp_path / "list.txt", text)
    with pytest.raises(error, match=words):
        read_published(path, style, 5)


# -- checks on what was read -------------------------------------------------------------------


def test_classes_without_any_video_are_an_error_unless_expected(tmp_path: Path) -> None:
    found = read_ucf101(miniatures.ucf101(tmp_path) / "annotations", table("ucf101"), ALL)
    with pytest.raises(DataError, match="98 of 101 classes are in no list: 'ApplyLipstick'"):
        check_coverage(found, table("ucf101"), partial=False)
    assert len(check_coverage(found, table("ucf101"), partial=True)) == 1


def test_repeated_entries_are_dropped_or_only_reported() -> None:
    lists = {"train": [Entry("a", 0, "l:1"), Entry("a", 1, "l:2"), Entry("a", 0, "l:3")]}
    kept, repeats = drop_repeats(lists, keep=False)
    assert kept == {"train": lists["train"][:1]}
    assert repeats == ["l:2: a is listed before with label 0", "l:3: a is listed before"]
    assert drop_repeats(lists, keep=True)[0] == lists


def test_videos_in_training_and_test_are_counted() -> None:
    lists = {"train_split1": ["a", "b"], "test_split1": ["b"], "test_split2": ["a"], "all": ["a"]}
    assert overlaps(lists) == {"train_split1 and test_split1": 1}
    assert overlaps({"train": ["a"], "val": ["a"]}) == {"train and val": 1}
