from __future__ import annotations

import pytest

from slowfast.engine.facts import describe_test, digest_of_videos, name_of_data, shots_of
from slowfast.models import build_model
from tests.engine.tiny import tiny_cfg


@pytest.mark.parametrize(
    ("name", "shots"),
    [
        ("splits/train1_few_shot_8.txt", 8),
        ("base_train_16shot_seed3.csv", 16),
        ("train-4-shot.csv", 4),
        ("16shot/train.csv", None),
        ("train.csv", None),
        ("", None),
    ],
)
def test_shots_are_read_from_the_name_of_the_list(name, shots):
    assert shots_of(name) == shots


def test_the_same_videos_have_the_same_digest():
    one = digest_of_videos(["train/a.mp4", "test/b.mp4"])
    assert one == digest_of_videos(["b.webm", "a.webm"])
    assert one != digest_of_videos(["a.mp4"])
    assert len(one) == 12
    assert digest_of_videos([]) == ""
    assert digest_of_videos(["bad\udcff.avi"])  # a name that is no UTF-8


def test_the_data_set_is_named_by_the_folder_of_its_classes(tmp_path):
    cfg = tiny_cfg(tmp_path).clone()
    cfg.defrost()
    model = build_model(cfg)
    assert describe_test(cfg, model, [])["dataset"] == "TinyClips"
    cfg.TEXT.CLASSES = "label_db/hmdb51/classes_published.csv"
    cfg.DATA.TRAIN_FILE, cfg.DATA.TEST_FILE = "train_2shot_seed5.csv", "val1.txt"
    facts = describe_test(cfg, model, ["a.avi"])
    assert facts["dataset"] == "hmdb51"
    assert (facts["shots"], facts["test_list"], facts["seed"]) == (2, "val1.txt", 1)
    assert facts["test_videos"] == digest_of_videos(["a.avi"])


@pytest.mark.parametrize(
    ("dataset", "classes", "listed", "name"),
    [
        ("TinyClips", "", "", "TinyClips"),
        ("TinyClips", "mine/classes.csv", "", "TinyClips"),
        ("TinyClips", "label_db/ucf101/classes.csv", "", "ucf101"),
        ("kinetics", "mine.txt", "", "gestures"),  # and not the name of the reader
        ("kinetics", "signs/annotations/mine.txt", "", "signs"),
        ("kinetics", "", "clips", "clips"),  # class folders
        ("kinetics", "", "clips/test", "clips"),
        ("kinetics", "", "lists/test.csv", "gestures"),
    ],
)
def test_the_data_have_a_true_name(tmp_path, monkeypatch, dataset, classes, listed, name):
    folder = tmp_path / "gestures"
    (folder / "clips" / "test").mkdir(parents=True)
    monkeypatch.chdir(folder)
    cfg = tiny_cfg(tmp_path, "TEST.DATASET", dataset).clone()
    cfg.defrost()
    cfg.TEXT.CLASSES, cfg.DATA.TEST_FILE = classes, listed
    assert name_of_data(cfg) == name


def test_a_foreign_model_has_no_parts_to_name(tmp_path):
    cfg = tiny_cfg(tmp_path, "MODEL.HEAD_NAME", "ResNetBasicHead")  # PySlowFast's option
    model = build_model(cfg)
    model.options = {"anything": 1}  # a name that means nothing to it
    facts = describe_test(cfg, model, [])
    assert (facts["encoder"], facts["head"], facts["loss"]) == ("", "", "cross_entropy")
    assert facts["variant"] == []
    assert facts["arch"] == "tiny"
    assert facts["optimizer"] == "adamw"
    names = ("BASE_LR", "WEIGHT_DECAY", "BETAS", "EPSILON")
    assert set(facts["options"]) == {f"SOLVER.{name}" for name in names}
