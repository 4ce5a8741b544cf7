"""All protocols end to end on miniature data sets, in one process: a reduced script/rehearse.sh.

Every step is the command that the scripts run; only starting a new Python for each is left out.
"""

import json
import shutil
from pathlib import Path

import pytest

from ost import cli, label_db, miniature, prepare, protocol
from slowfast.errors import DataError, UsageError

ROOT = Path(__file__).resolve().parents[1]
TINY = {
    "CLIP.ARCH": str(ROOT / "tests/assets/tiny_clip.json"),
    "NUM_GPUS": "0",
    "LOG_MODEL_INFO": "False",
    "DATA.NUM_FRAMES": "2",
    "DATA.TRAIN_CROP_SIZE": "32",
    "DATA.TEST_CROP_SIZE": "32",
    "DATA.TEST_SHORT_SIZE": "36",
    "DATA_LOADER.NUM_WORKERS": "0",
    "TRAIN.MIXED_PRECISION": "False",
    "TRAIN.BATCH_SIZE": "2",
    "TRAIN.TOTAL_BATCH_SIZE": "4",
    "SOLVER.MAX_EPOCH": "1",
    "SOLVER.WARMUP_EPOCHS": "0.0",
}
PREPARED = {
    "kinetics400": [],
    "kinetics600": ["--splits", "val"],
    "ucf101": ["--shots", "2", "--seeds", "1", "2"],
    "hmdb51": ["--shots", "2", "--seeds", "1"],
    "ssv2": [],
    "activitynet200": ["--trim"],  # the fixture names its folder
}


def call_here(words) -> int:
    """Run a command of a protocol in this process."""
    assert list(words[1:3]) == ["-m", "ost"]
    return cli.main(words[3:])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with prepared miniatures and weights that stand for the original CLIP."""
    root = tmp_path_factory.mktemp("rehearsal")
    data, clip = root / "data", root / "clip.pt"
    sizes = ["--classes", "2", "--train", "2", "--test", "1"]
    arch = ["--clip", str(clip), "--arch", TINY["CLIP.ARCH"], "--released", str(root / "OST")]
    assert miniature.main([str(data), *PREPARED, *sizes, *arch]) == 0
    for dataset, more in PREPARED.items():
        places = ["--annotations", "annotations", "--videos", "videos", "--out", "lists"]
        places[1::2] = [str(data / dataset / name) for name in places[1::2]]
        more = [*more, str(data / dataset / "segments")] if "--trim" in more else more
        quiet = ["--partial", "--progress", "none", "--workers", "1"]
        assert prepare.main([dataset, *places, *quiet, *more]) == 0
    assert label_db.main(["--released", str(root / "OST"), "--out", str(root / "released")]) == 0
    for dataset in PREPARED:
        shutil.copytree(ROOT / "label_db" / dataset / "descriptors", root / "own" / dataset)
    return root


def rehearse(folder: Path, *words: str, **more: str) -> int:
    """Run a whole protocol; ``more`` options are written with two underscores for the dot."""
    options = {**TINY, **{name.replace("__", "."): value for name, value in more.items()}}
    tiny = [word for pair in options.items() for word in pair]
    places = ["--data-root", str(folder / "data"), "--output", str(folder / "runs")]
    overrides = ["--", *tiny, "CLIP.PRETRAINED", str(folder / "clip.pt")]
    _, request = protocol.parse_request([*words, *places, *overrides])
    steps = protocol.plan(request)
    protocol.check_all(steps)
    return protocol.run_steps(steps, call=call_here)


def results(folder: Path) -> dict[str, dict]:
    """Return all results.json below ``folder``, by their folder's path."""
    return {
        path.parent.relative_to(folder).as_posix(): json.loads(path.read_text())
        for path in sorted(folder.rglob("results.json"))
    }


@pytest.fixture(params=["", "released", "own"], ids=["ours", "released", "own"])
def texts(request, folder):
    """Return the name of a folder of descriptors, empty for ours, and the words that ask for it."""
    name = request.param
    return name, ["--descriptors", str(folder / name)] if name else []


def test_zero_shot(folder, capsys, texts) -> None:
    assert rehearse(folder, "zero_shot", "OST", "kinetics400", *texts[1]) == 0
    found = results(folder / "runs/ost/zero_shot" / texts[0])
    found = {name: found[name] for name in found if name.count("/") == 1}  # of these texts
    assert list(found) == [
        f"{dataset}/split{i}" for dataset in ("hmdb51", "kinetics600", "ucf101") for i in (1, 2, 3)
    ]
    for name, result in found.items():
        assert (result["num_videos_scored"], result["failed"]) == (2, []), name
        assert result["protocol"] == "zero_shot"
        assert result["split"] == name[-1]
        files = {Path(result["options"][f"TEXT.{kind}"]) for kind in ("SPATIAL", "TEMPORAL")}
        assert {(texts[0] or "label_db") in file.parts for file in files} == {True}
        # The original CLIP has its share in every test, of the weights of the one training.
        assert result["weights"].endswith(f"x 0.8 + {folder / 'clip.pt'} x 0.2")
        assert "kinetics400/checkpoints/checkpoint_epoch_00001.pyth" in result["weights"]
    table = capsys.readouterr().out
    for word in ("zero_shot", "ucf101", "hmdb51", "kinetics600", "6 of 6"):
        assert word in table


def test_few_shot(folder, capsys, texts) -> None:
    assert rehearse(folder, "few_shot", "OST", "hmdb51", "2", *texts[1]) == 0
    (result,) = results(folder / "runs/ost/few_shot" / texts[0] / "hmdb51").values()
    assert (result["split"], result["num_videos_scored"]) == ("2shot_seed1", 2)
    assert " x " not in result["weights"]  # no share of the original CLIP
    assert "few_shot" in capsys.readouterr().out


def test_base_to_novel(folder, capsys, texts) -> None:
    assert rehearse(folder, "base_to_novel", "OST", "ucf101", "2", "1", "2", *texts[1]) == 0
    found = results(folder / "runs/ost/base_to_novel" / texts[0] / "ucf101")
    assert list(found) == [
        f"2shot_seed{seed}/{part}" for seed in (1, 2) for part in ("base", "novel")
    ]
    for name, result in found.items():
        part = name.split("/")[1]
        assert result["subset"] == f"label_db/ucf101/{part}.txt"
        assert f"{name.split('/')[0]}/base/checkpoints" in result["weights"]
        assert len(result["per_class"]) == {"base": 51, "novel": 50}[part]
    table = capsys.readouterr().out
    assert "HM" in table
    assert "ucf101" in table


def test_fully_supervised(folder, capsys, texts) -> None:
    assert rehearse(folder, "fully_supervised", "OST", "ssv2", *texts[1]) == 0
    (result,) = results(folder / "runs/ost/fully_supervised" / texts[0] / "ssv2").values()
    assert result["num_videos_scored"] == 2
    assert "ssv2" in capsys.readouterr().out
    # A second call finds everything done.
    assert rehearse(folder, "fully_supervised", "OST", "ssv2", *texts[1]) == 0
    assert "done before" in capsys.readouterr().out


# ---- the other methods ----


def test_vanilla_clip_is_tested_in_every_protocol_and_never_trained(folder, capsys) -> None:
    for words in (
        ("zero_shot", "CLIP", "kinetics400"),
        ("few_shot", "CLIP", "hmdb51"),
        ("base_to_novel", "CLIP", "ucf101"),
        ("fully_supervised", "CLIP", "ssv2"),
    ):
        assert rehearse(folder, *words) == 0
    found = results(folder / "runs/clip")
    splits = [f"zero_shot/{d}/split{i}" for d in ("hmdb51", "kinetics600", "ucf101") for i in "123"]
    assert list(found) == [
        "base_to_novel/ucf101/base",
        "base_to_novel/ucf101/novel",
        "few_shot/hmdb51/0shot",
        "fully_supervised/ssv2",
        *splits,
    ]
    assert {result["weights"] for result in found.values()} == {str(folder / "clip.pt")}
    assert not list((folder / "runs/clip").rglob("*.pyth"))
    assert found["few_shot/hmdb51/0shot"]["shots"] == 0
    table = capsys.readouterr().out
    assert "vanilla CLIP" in table
    assert "HM" in table


def test_vifi_clip(folder) -> None:
    for words in (
        ("zero_shot", "ViFiCLIP", "kinetics400_image"),
        ("few_shot", "ViFiCLIP", "hmdb51", "2"),
        ("base_to_novel", "ViFiCLIP", "ucf101", "2", "1"),
        ("fully_supervised", "ViFiCLIP", "ssv2"),
    ):
        assert rehearse(folder, *words) == 0
    found = results(folder / "runs/vificlip")
    assert len(found) == 9 + 1 + 2 + 1
    tuned = {
        name for name, result in found.items() if result["options"].get("CLIP.TRAINABLE") == "image"
    }
    assert tuned == {name for name in found if name.startswith("zero_shot/kinetics400_image/")}
    assert all(result["clip_ratio"] == 0 for result in found.values())
    assert all(result["num_videos_scored"] == 2 for name, result in found.items()
               if "base_to_novel" not in name)  # fmt: skip


def test_text4vis(folder, capsys) -> None:
    short = {"TRAIN__EPOCH_SIZE": "8"}  # twice the list of 4 videos
    for words in (
        ("zero_shot", "Text4Vis", "kinetics400"),
        ("few_shot", "Text4Vis", "hmdb51", "2"),
        ("base_to_novel", "Text4Vis", "ucf101", "2", "1"),
        ("fully_supervised", "Text4Vis", "activitynet200"),
    ):
        assert rehearse(folder, *words, **(short if words[0] == "few_shot" else {})) == 0
    table = capsys.readouterr().out
    found = results(folder / "runs/text4vis")
    tested = {name.removeprefix("zero_shot/") for name in found if name.startswith("zero_shot/")}
    assert tested == {
        *(f"{name}/all" for name in ("ucf101", "hmdb51", "activitynet200")),
        *(f"kinetics600/split{i}" for i in (1, 2, 3)),
    }
    for name in ("ucf101", "hmdb51", "activitynet200"):
        result = found[f"zero_shot/{name}/all"]
        assert result["num_videos_scored"] == 6, name  # training videos, too
        assert len(result["half_class"]["runs"]) == 10
    assert (found["few_shot/hmdb51/2shot_seed1"]["shots"], "HM" in table) == (2, True)
    supervised = found["fully_supervised/activitynet200"]
    assert (supervised["train_list"], supervised["map_of"]) == ("train_segments.csv", "softmax")


def test_ost_on_text4vis(folder, capsys) -> None:
    for leaf in ("kinetics400_b32_f8", "ssv2_b16_f8_contrastive"):
        assert rehearse(folder, "fully_supervised", "OSTText4Vis", leaf) == 0
    found = results(folder / "runs/osttext4vis/fully_supervised")
    assert list(found) == ["kinetics400_b32_f8", "ssv2_b16_f8_contrastive"]
    assert {result["num_videos_scored"] for result in found.values()} == {2}
    assert "OST on Text4Vis" in capsys.readouterr().out


# ---- what a later step would miss ----


@pytest.mark.parametrize(
    ("broken", "text", "message"),
    [
        ("data/hmdb51/lists/test_split3.csv", None, "hmdb51, split 3.*no such list of videos"),
        ("data/ucf101/lists/test_split1.csv", "x.avi 101\n", "ucf101, split 1.*label 101 is out"),
        ("own/ucf101/spatial_4.json", '{"0": ["a", "b", "c", "d"]}', "ucf101, split 1.*spatial"),
        ("clip.pyth", "no weights", "--weights|clip.pyth"),
    ],
)
def test_every_file_is_opened_before_the_first_step(
    folder, tmp_path, broken, text, message
) -> None:
    """A protocol of ten epochs does not find out at their end."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("runs", "videos", "annotations"))
    for dataset in PREPARED:
        (copy / "data" / dataset / "videos").symlink_to(folder / "data" / dataset / "videos")
    if text is None:
        (copy / broken).unlink()
    else:
        (copy / broken).write_text(text)
    more = ["--weights", str(copy / broken)] if broken.endswith("pyth") else []
    with pytest.raises((UsageError, DataError), match=message) as error:
        rehearse(copy, "zero_shot", "OST", "kinetics400", "--descriptors", str(copy / "own"), *more)
    assert "\n" not in str(error.value)
    assert not (copy / "runs").exists()


def test_a_method_without_descriptors_takes_none(folder) -> None:
    words = ["few_shot", "CLIP", "hmdb51", "--descriptors", str(folder / "own")]
    with pytest.raises(
        UsageError, match="CLIP reads no descriptors: leave --descriptors and OST.N out"
    ):
        rehearse(folder, *words)
