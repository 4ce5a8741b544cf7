"""Miniatures: layout, names, codecs, and that the official readers take them."""

import csv
import json
from pathlib import Path

import av
import pytest

from slowfast.datasets.demo_actions import miniature
from slowfast.datasets.demo_actions.miniature import (
    FRAMES,
    LAYOUTS,
    Class,
    Sizes,
    choose_classes,
    make_miniature,
    square_clip,
)
from slowfast.datasets.reading.decoder import VideoReader
from slowfast.errors import UsageError
from slowfast.utils.rng import generator

LABEL_DB = Path(__file__).resolve().parents[3] / "label_db"
SIZES = Sizes(classes=2, train=2, test=1)


def files(folder: Path, inside: str = "videos") -> list[str]:
    root = folder / inside
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def make(folder, dataset, sizes=SIZES) -> int:
    return make_miniature(folder, dataset, label_db=LABEL_DB, sizes=sizes)


def test_ucf101(tmp_path) -> None:
    assert make(tmp_path, "ucf101") == 6
    assert files(tmp_path)[0] == "PlayingViolin/v_PlayingViolin_g01_c01.avi"
    lists = tmp_path / "annotations" / "ucfTrainTestlist"
    assert (lists / "classInd.txt").read_text() == "67 PlayingViolin\n95 Typing\n"
    tested = [(lists / f"testlist0{i}.txt").read_text().splitlines() for i in (1, 2, 3)]
    assert len({name for names in tested for name in names}) == 6
    train = (lists / "trainlist02.txt").read_text().splitlines()
    assert len(train) == 4
    assert train[0] == "PlayingViolin/v_PlayingViolin_g01_c01.avi 67"
    assert not {row.split()[0] for row in train} & set(tested[1])


def test_ucf101_spells_one_class_in_two_ways(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(
        miniature, "choose_classes", lambda *_: [Class(36, "HandstandPushups", "HandstandPushups")]
    )
    make(tmp_path, "ucf101")
    assert files(tmp_path)[0] == "HandstandPushups/v_HandStandPushups_g01_c01.avi"


def test_hmdb51(tmp_path) -> None:
    make(tmp_path, "hmdb51")
    first = "brush_hair/#1_Clip_(take)_0_brush_hair_f_cm_np1_fr_med_0.avi"
    assert first in files(tmp_path)
    lists = tmp_path / "annotations" / "testTrainMulti_7030_splits"
    rows = (lists / "brush_hair_test_split1.txt").read_text().splitlines()
    assert sorted(row.split()[-1] for row in rows) == ["1", "1", "2"]


@pytest.mark.parametrize(
    ("dataset", "splits"), [("kinetics400", ["train", "val"]), ("kinetics600", ["val"])]
)
def test_kinetics(tmp_path, dataset, splits) -> None:
    make(tmp_path, dataset)
    assert files(tmp_path, "annotations") == [f"{split}.csv" for split in splits]
    with (tmp_path / "annotations" / "val.csv").open() as file:
        (row, *others) = csv.DictReader(file)
    start, end = int(row["time_start"]), int(row["time_end"])
    name = f"val/{row['label']}/{row['youtube_id']}_{start:06d}_{end:06d}.mp4"
    assert name in files(tmp_path)
    assert len(row["youtube_id"]) == 11
    assert len(others) == 1


def test_ssv2(tmp_path) -> None:
    make(tmp_path, "ssv2")
    assert files(tmp_path) == [f"{i}.webm" for i in range(1, 7)]
    rows = json.loads((tmp_path / "annotations/labels/validation.json").read_text())
    labels = json.loads((tmp_path / "annotations/labels/labels.json").read_text())
    assert [row["id"] for row in rows] == ["5", "6"]
    assert "[something]" in rows[1]["template"]
    assert all(row["template"].replace("[", "").replace("]", "") in labels for row in rows)


def test_activitynet(tmp_path) -> None:
    make(tmp_path, "activitynet200")
    content = json.loads((tmp_path / "annotations/activity_net.v1-3.min.json").read_text())
    subsets = [facts["subset"] for facts in content["database"].values()]
    assert (subsets.count("training"), subsets.count("validation")) == (4, 2)
    assert set(files(tmp_path)) == {f"v_{video}.mp4" for video in content["database"]}


@pytest.mark.parametrize(
    ("dataset", "codec"), [("ucf101", "mpeg4"), ("kinetics400", "h264"), ("ssv2", "vp8")]
)
def test_videos_have_the_codec_of_the_real_ones_and_decode(tmp_path, dataset, codec) -> None:
    make(tmp_path, dataset)
    path = str(tmp_path / "videos" / files(tmp_path)[0])
    with av.open(path) as container:
        assert container.streams.video[0].codec_context.name == codec
    with VideoReader(path) as reader:
        assert reader.num_frames == FRAMES
        assert reader.read([0, FRAMES - 1]).shape == (2, 48, 64, 3)


@pytest.mark.parametrize("dataset", ["kinetics400", "ucf101", "hmdb51", "ssv2"])
def test_half_of_the_classes_are_novel(dataset) -> None:
    names = {own.name for own in choose_classes(LABEL_DB / dataset, 4)}
    novel = set((LABEL_DB / dataset / "novel.txt").read_text().splitlines())
    assert len(names & novel) == 2


def test_zero_shot_classes_are_in_every_split() -> None:
    for own in choose_classes(LABEL_DB / "kinetics600", 4):
        for path in (LABEL_DB / "kinetics600").glob("zero_shot_split?.txt"):
            assert own.name in path.read_text().splitlines()


def test_clips_of_a_class_differ_but_not_from_one_call_to_the_next() -> None:
    one, other = (square_clip(3, generator(0, 3, i)) for i in (0, 1))
    assert (one != other).any()
    assert (one == square_clip(3, generator(0, 3, 0))).all()


def test_mistakes() -> None:
    with pytest.raises(UsageError, match=r"'imagenet'; miniatures are known of: kinetics400"):
        make_miniature("x", "imagenet", label_db=LABEL_DB)
    with pytest.raises(UsageError, match="1 or more"):
        make_miniature("x", "ucf101", label_db=LABEL_DB, sizes=Sizes(classes=0))
    assert set(LAYOUTS) <= {path.name for path in LABEL_DB.iterdir()}
