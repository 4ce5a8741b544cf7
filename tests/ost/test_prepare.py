"""The whole tool on a miniature of each data set's real layout."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from ost.cli import call
from ost.prepare import build_parser
from slowfast.datasets.lists.annotations import VideoList, read_list
from slowfast.text import load_vocabulary
from tests.datasets import miniatures

LIST = {"ucf101": "test_split1", "hmdb51": "test_split1"}

main = partial(call, "prepare")


def run(root: Path, dataset: str, *extra: str, out: str = "out") -> int:
    """Run the tool on a miniature; its annotations hold only some of the classes."""
    paths = ["--videos", str(root / "videos"), "--out", str(root / out)]
    if "--published" not in extra:
        paths += ["--annotations", str(root / "annotations"), "--partial"]
    return main([dataset, *paths, "--workers", "1", "--progress", "none", *extra])


def sizes(folder: Path) -> dict[str, int]:
    return {path.stem: len(path.read_text().splitlines()) for path in sorted(folder.glob("*.csv"))}


def report(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def listed(root: Path, name: str, dataset: str, subset: str = "", **options) -> VideoList:
    """Read a list that was made, with the classes that its labels are of."""
    folder = miniatures.LABEL_DB / dataset
    classes = load_vocabulary(folder / "classes.csv", subset and folder / f"{subset}.txt")
    options = {"prefix": str(root / "videos"), **options}
    return read_list(root / "out" / f"{name}.csv", classes=classes, **options)


@pytest.mark.parametrize(
    ("dataset", "make", "expected"),
    [
        ("ucf101", miniatures.ucf101,
         {**{f"train_split{i}": 9 for i in (1, 2, 3)}, **{f"test_split{i}": 3 for i in (1, 2, 3)},
          "all": 12, "train": 9, "val": 3, "test": 3, "base_train": 9, "base_val": 3,
          "novel_val": 0}),
        ("hmdb51", miniatures.hmdb51,
         {**{f"train_split{i}": 15 for i in (1, 2, 3)}, **{f"test_split{i}": 5 for i in (1, 2, 3)},
          "all": 25, "train": 15, "val": 5, "test": 5, "base_train": 6, "base_val": 2,
          "novel_val": 3}),
        ("kinetics400", miniatures.kinetics,
         {"train": 9, "val": 3, "base_train": None, "base_val": None, "novel_val": None}),
        ("ssv2", miniatures.ssv2,
         {"train": 9, "val": 3, "base_train": None, "base_val": None, "novel_val": None}),
        ("activitynet200", miniatures.activitynet, {"train": 4, "val": 2, "all": 6}),
    ],
)  # fmt: skip
def test_each_data_set_from_its_official_files(dataset, make, expected, tmp_path: Path) -> None:
    root = make(tmp_path)
    assert run(root, dataset) == 0
    found = sizes(root / "out")
    assert found.keys() == expected.keys()
    if expected["train"] and dataset in ("kinetics400", "ssv2"):
        assert found["base_val"] + found["novel_val"] == found["val"]
    assert all(found[name] == count for name, count in expected.items() if count is not None) or (
        dataset == "ucf101" and found["base_val"] + found["novel_val"] == found["val"]
    )
    name = LIST.get(dataset, "val")
    videos = listed(root, name, dataset)
    assert videos.missing == ()
    assert all(Path(path).is_file() for path in videos.paths)
    facts = report(root / "out")
    assert facts["complete"] is True
    assert facts["lists"][name]["written"] == len(videos)
    assert (
        facts["check"]["checked"] == len(list((root / "videos").rglob("*.*"))) - facts["unlisted"]
    )
    assert len(facts["annotations"]) >= 1
    proven = facts["proof"]["proven"] > 0
    assert proven == (dataset in ("ucf101", "hmdb51", "kinetics400"))


def test_labels_are_those_of_label_db(tmp_path: Path) -> None:
    root = miniatures.hmdb51(tmp_path)
    assert run(root, "hmdb51") == 0
    lines = (root / "out" / "test_split2.csv").read_text().splitlines()
    assert lines[1] == "kick/Some,_Film#_(1)_kick_f_cm_np1_ba_med_2.avi 20"
    videos = read_list(root / "out" / "test_split2.csv", num_classes=51, check_files=False)
    assert videos.labels.tolist() == [0, 20, 21, 44, 45]


@pytest.mark.parametrize("layout", ["{split}/{label}", "{split}", "{label}", ".", "part/{split}"])
def test_kinetics_in_every_layout(layout, tmp_path: Path) -> None:
    root = miniatures.kinetics(tmp_path, layout=layout)
    assert run(root, "kinetics400", "--check", "none") == 0
    videos = listed(root, "val", "kinetics400")
    assert (len(videos), videos.missing) == (3, ())
    assert videos.labels.tolist() == [0, 1, 161]


def test_zero_shot_classes_of_kinetics600_from_the_validation_set_alone(tmp_path: Path) -> None:
    root = miniatures.kinetics(tmp_path, miniatures.ZERO_SHOT_CLASSES)
    (root / "annotations" / "train.csv").unlink()
    assert run(root, "kinetics600") == 3
    assert run(root, "kinetics600", "--splits", "val") == 0
    assert sizes(root / "out") == {
        "val": 3, "zero_shot_split1": 3, "zero_shot_split2": 2, "zero_shot_split3": 2,
    }  # fmt: skip
    videos = listed(root, "zero_shot_split1", "kinetics600", "zero_shot_split1")
    assert videos.labels.tolist() == [0, 1, 2]


def test_missing_and_broken_videos(tmp_path: Path, capsys) -> None:
    root = miniatures.ucf101(tmp_path)
    archery = root / "videos" / "Archery"
    (archery / "v_Archery_g01_c01.avi").unlink()
    (archery / "v_Archery_g02_c01.avi").write_bytes(b"")
    (root / "videos" / "spare").mkdir()
    moved = root / "videos" / "spare" / "v_Archery_g03_c01.avi"
    (archery / moved.name).rename(moved)
    shutil.copy(moved, archery / "v_ApplyEyeMakeup_g01_c01.avi")
    for name in ("a", "b"):
        (root / "videos" / name).mkdir()
        shutil.copy(archery / "v_Archery_g04_c01.avi", root / "videos" / name)
    (archery / "v_Archery_g04_c01.avi").unlink()
    assert run(root, "ucf101", "--check", "full") == 3
    assert "error: 3 listed videos are missing or broken" in capsys.readouterr().err
    facts = report(root / "out")
    assert facts["missing"] == ["Archery/v_Archery_g01_c01.avi"]
    assert facts["broken"] == {"Archery/v_Archery_g02_c01.avi": "empty file (0 bytes)"}
    assert facts["ambiguous"] == {
        "Archery/v_Archery_g04_c01.avi": ["a/v_Archery_g04_c01.avi", "b/v_Archery_g04_c01.avi"]
    }
    assert facts["found"] == {"exact": 9, "by name": 1}
    assert facts["lists"]["all"] == {
        "listed": 12, "written": 9, "official": 13320, "classes": 3, "num_classes": 101,
        "sha256": facts["lists"]["all"]["sha256"],
    }  # fmt: skip
    text = (root / "out" / "report.txt").read_text()
    assert "missing: 1" in text
    assert "v_Archery_g02_c01.avi: empty file" in text
    assert run(root, "ucf101", "--check", "full", "--allow-missing") == 0
    assert report(root / "out")["check"]["remembered"] == 10


def test_a_list_that_lost_a_class_says_so(tmp_path: Path) -> None:
    root = miniatures.kinetics(tmp_path)
    db = root / "label_db" / "kinetics400"
    rows = "".join(f"{i},{name}\n" for i, name in enumerate(miniatures.KINETICS_CLASSES))
    miniatures.write(db / "classes.csv", f"id,name\n{rows}")
    shutil.rmtree(root / "videos" / "val" / "abseiling")
    arguments = ["kinetics400", "--label-db", str(db.parent), "--out", str(root / "out")]
    arguments += [f"--{name}={root / name}" for name in ("annotations", "videos")]
    assert main([*arguments, "--workers", "1", "--progress", "none"]) == 3
    assert report(root / "out")["notes"] == ["val.csv has no video of 1 classes"]
    assert main([*arguments, "--shots", "4", "--progress", "none"]) == 3


def test_few_shots(tmp_path: Path, capsys) -> None:
    root = miniatures.ucf101(tmp_path)
    assert run(root, "ucf101", "--shots", "1", "2", "--seeds", "4", "9") == 0
    folder = root / "out"
    names = {f"train_{k}shot_seed{s}" for k in (1, 2) for s in (4, 9)}
    assert names <= set(sizes(folder))
    train = set((folder / "train.csv").read_text().splitlines())
    for name in names:
        lines = (folder / f"{name}.csv").read_text().splitlines()
        assert set(lines) <= train
        drawn = ["ApplyEyeMakeup", "Archery", "HandstandPushups"]
        assert Counter(line.split()[1] for line in lines) == dict.fromkeys(drawn, int(name[6]))
    assert (
        build_parser().parse_args(["ucf101", "--videos", "v", "--out", "o", "--shots"]).shots == []
    )
    assert run(root, "ucf101", "--shots", out="other") == 3  # there is no class with 4 videos
    assert "fewer than 4 training videos" in capsys.readouterr().err
    assert sizes(root / "other") == {}


# -- published lists ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "form"),
    [
        ("vifi_clip", "{file} {label}"),
        ("text4vis", "{folder}/{stem} 12 {label}"),
        ("stdd", "{folder}/{file},{label}"),
    ],
)
def test_published_lists(style, form, tmp_path: Path) -> None:
    root = miniatures.ucf101(tmp_path)
    lines = [
        form.format(file=path.name, stem=path.stem, folder=path.parent.name, label=label)
        for label, folder in ((0, "ApplyEyeMakeup"), (2, "Archery"), (36, "HandstandPushups"))
        for path in sorted((root / "videos" / folder).iterdir())
    ]
    path = miniatures.write(root / "val1.txt", "\r\n".join(lines))
    arguments = ["--published", str(path), "--published-style", style]
    assert run(root, "ucf101", *arguments) == 0
    videos = listed(root, "val1", "ucf101")
    assert videos.missing == ()
    assert videos.labels.tolist() == [0] * 4 + [2] * 4 + [36] * 4
    assert report(root / "out")["proof"]["proven"] == 12


def test_published_lists_in_another_order_are_refused(tmp_path: Path, capsys) -> None:
    root = miniatures.ucf101(tmp_path)
    path = miniatures.write(root / "l.txt", "v_Archery_g01_c01.avi 3\nv_Archery_g02_c01.avi 2\n")
    assert run(root, "ucf101", "--published", str(path)) == 3
    assert "v_Archery_g01_c01.avi has label 3 ('BabyCrawling')" in capsys.readouterr().err
    assert not (root / "out" / "l.csv").exists()


def test_published_names_of_hmdb51(tmp_path: Path, capsys) -> None:
    root = miniatures.hmdb51(tmp_path)
    videos = [(name, path.name) for name in ("kick", "kick_ball", "sword", "sword_exercise")
              for path in sorted((root / "videos" / name).iterdir())]  # fmt: skip
    labels = {"kick": 20, "kick_ball": 21, "sword": 44, "sword_exercise": 45}
    path = root / "val1.txt"
    path.write_text("".join(f"{file} {labels[name]}\n" for name, file in videos))
    arguments = ["--published", str(path), "--labels", "published"]
    assert run(root, "hmdb51", *arguments) == 0
    assert "published names are exchanged for 4 classes" in capsys.readouterr().out
    # Base classes: the last 26 names; sword is 19, sword exercise 20.
    subset = [f"{file} {labels[name] - 25}\n" for name, file in videos if "sword" in name]
    path.write_text("".join(subset))
    assert run(root, "hmdb51", *arguments, "--subset", "base", "--name", "base_val") == 0
    assert sizes(root / "out") == {"base_val": 10, "val1": 20}
    facts = report(root / "out")
    assert facts["lists"]["base_val"]["num_classes"] == 26
    assert facts["proof"]["proven"] == 10


def test_official_annotations_prove_a_published_list(tmp_path: Path, capsys) -> None:
    root = miniatures.ssv2(tmp_path)
    names = miniatures.load_table(miniatures.LABEL_DB / "ssv2").names
    label = names.index("Holding something next to something")
    arguments = ["--annotations", str(root / "annotations")]
    path = miniatures.write(root / "few.txt", f"1000.webm {label}\n1001.webm {label}\n")
    assert run(root, "ssv2", "--published", str(path), *arguments) == 0
    assert report(root / "out")["proof"]["proven"] == 2
    path.write_text(f"1000.webm {label + 1}\n")
    assert run(root, "ssv2", "--published", str(path), *arguments) == 3
    assert "its official annotation says 'Holding something next to" in capsys.readouterr().err


def test_lists_of_frame_folders(tmp_path: Path) -> None:
    for name, count in (("v_Archery_g01_c01", 3), ("v_Archery_g02_c01", 2)):
        folder = tmp_path / "videos" / "Archery" / name
        folder.mkdir(parents=True)
        for i in range(count):
            cv2.imwrite(str(folder / f"image_{i + 1:04d}.jpg"), np.zeros((8, 8, 3), np.uint8))
    lines = "Archery/v_Archery_g01_c01 3 2\nArchery/v_Archery_g02_c01 3 2\n"
    path = miniatures.write(tmp_path / "l.txt", lines)
    assert run(tmp_path, "ucf101", "--published", str(path)) == 3
    assert (tmp_path / "out" / "l.csv").read_text() == "Archery/v_Archery_g01_c01 3 Archery\n"
    reason = report(tmp_path / "out")["broken"]["Archery/v_Archery_g02_c01"]
    assert reason == "3 images are listed, 2 are there"
    miniatures.add_video(tmp_path / "videos" / "v_Archery_g03_c01.avi")
    path.write_text(lines + "Archery/v_Archery_g03_c01 3 2\n")
    assert run(tmp_path, "ucf101", "--published", str(path)) == 3


# -- ActivityNet's segments --------------------------------------------------------------------


def test_segments_of_activitynet(tmp_path: Path) -> None:
    root = miniatures.activitynet(tmp_path)
    (root / "videos" / "v_trArc1.mp4").write_bytes(b"")
    folder = root / "videos" / "segments"
    assert run(root, "activitynet200", "--trim", str(folder), "--allow-missing") == 0
    assert sizes(root / "out") == {"all": 5, "train": 3, "train_segments": 6, "val": 2}
    videos = listed(root, "train_segments", "activitynet200")
    assert videos.missing == ()
    assert videos.paths[1].endswith("videos/segments/v_trApp0_000020_000040.mp4")
    assert videos.labels.tolist() == [0, 0, 0, 0, 1, 1]
    elsewhere = tmp_path / "elsewhere"
    extra = ["--trim", str(elsewhere), "--trim-splits", "val", "--allow-missing"]
    assert run(root, "activitynet200", *extra) == 0
    first = (root / "out" / "val_segments.csv").read_text().split()[0]
    assert first == str(elsewhere / "v_vaApp0_000000_000020.mp4")


def test_short_segments_are_left_out_on_request_and_counted(tmp_path: Path) -> None:
    root = miniatures.activitynet(tmp_path)
    path = root / "annotations" / "activity_net.v1-3.min.json"
    table = json.loads(path.read_text())
    table["database"]["trApp0"]["annotations"][1]["segment"] = [0.2, 0.35]
    path.write_text(json.dumps(table))
    extra = ["--trim", str(tmp_path / "cut"), "--trim-shortest", "0.19"]
    assert run(root, "activitynet200", *extra) == 0
    assert sizes(root / "out")["train_segments"] == 7
    notes = report(root / "out")["notes"]
    assert "1 of 8 segments are shorter than 0.19 s (--trim-shortest) and left out" in notes


# -- mistakes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "--annotations (the official files) or --published LIST is needed"),
        (["--annotations", "gone"], 3, "gone: no such annotation file or folder"),
        (["--annotations", ".", "--subset", "base"], 2, "--subset and --name belong to --publishe"),
        (["--annotations", ".", "--trim", "x"], 2, "only ActivityNet's official annotation"),
        (["--annotations", ".", "--labels", "published"], 2, "has no published variant"),
        (["--published", "gone.txt"], 3, "gone.txt: no such annotation file"),
        (["--published", "l.txt", "--subset", "bass"], 2, "no such subset"),
        (["--published", "l.txt"], 3, "videos: no such folder of videos"),
    ],
)
def test_mistakes_are_one_line(arguments, code, words, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "l.txt").write_text("a.avi 0\n")
    assert main(["ucf101", "--videos", "videos", "--out", "out", *arguments]) == code
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_classes_that_no_annotation_has_are_refused(tmp_path: Path, capsys) -> None:
    root = miniatures.ucf101(tmp_path)
    arguments = ["--annotations", str(root / "annotations"), "--videos", str(root / "videos")]
    assert main(["ucf101", *arguments, "--out", str(root / "out")]) == 3
    assert "98 of 101 classes are in no list" in capsys.readouterr().err
