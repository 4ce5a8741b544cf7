"""Predictions on single files: the same scores as the multi-view test, errors by file."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from ost.cli import call
from slowfast.config import load_cfg
from slowfast.engine.predict import predict
from slowfast.engine.test import test as run_test
from slowfast.errors import UsageError
from slowfast.models import build_model
from tests.video_files import write_video

NAMES = ("opening a door", "closing a door", "petting a cat")

main = partial(call, "predict")


@pytest.fixture
def opts(tmp_path: Path) -> list[Any]:
    (tmp_path / "mine.txt").write_text("\n".join(NAMES) + "\n")
    values = {
        "MODEL.MODEL_NAME": "ViFiCLIP",
        "MODEL.LOSS_FUNC": "cross_entropy",
        "TEXT.TEMPLATES": "vifi_clip",
        "TEXT.CLASSES": str(tmp_path / "mine.txt"),
        "TEXT.SUBSET": "",
        "TEST.NUM_ENSEMBLE_VIEWS": 2,
        "TEST.NUM_SPATIAL_CROPS": 3,
        "TEST.BATCH_SIZE": 4,
        "TEST.ALLOW_RANDOM_WEIGHTS": True,
        "TEST.ENABLE": True,
        "DATA.TEST_SHORT_SIZE": 32,
        "OUTPUT_DIR": str(tmp_path / "run"),
        "LOG.PROGRESS": "none",
        "DATA_LOADER.NUM_WORKERS": 0,
    }
    return [x for pair in values.items() for x in pair]


def config(opts: list[Any], *more: Any) -> Any:
    return load_cfg("configs/demo/ost.yaml", [*opts, *more])


@pytest.mark.parametrize("space", ["prob", "feature"])
def test_predictions_are_the_scores_of_the_multi_view_test(
    tmp_path: Path, opts: list[Any], space: str
) -> None:
    opts = [*opts, "TEST.ENSEMBLE_SPACE", space]
    videos = [write_video(tmp_path / f"{n}.mp4", n) for n in (20, 45)]
    (tmp_path / "test.csv").write_text("".join(f"{v} 0\n" for v in videos))
    cfg = config(opts, "DATA.PATH_TO_DATA_DIR", str(tmp_path), "DATA.TEST_FILE", "test.csv")
    torch.manual_seed(cfg.RNG_SEED)
    model = build_model(cfg)
    torch.save({"model_state": model.state_dict()}, tmp_path / "w.pyth")
    found = list(predict(cfg, model, [str(v) for v in videos], topk=3))
    assert [p.path for p in found] == [str(v) for v in videos]
    assert all(sum(p.scores) == pytest.approx(1, abs=1e-5) for p in found)
    run_test(
        config(opts, *cfg_data(tmp_path), "TEST.CHECKPOINT_FILE_PATH", str(tmp_path / "w.pyth"))
    )
    lines = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    for line, prediction in zip(map(json.loads, lines), found, strict=True):
        assert line["top"] == list(prediction.labels)
        assert line["scores"] == pytest.approx(prediction.scores, abs=1e-5)


def cfg_data(folder: Path) -> list[str]:
    return ["DATA.PATH_TO_DATA_DIR", str(folder), "DATA.TEST_FILE", "test.csv"]


def test_a_broken_file_is_reported_and_the_next_one_scored(tmp_path: Path, opts: list[Any]) -> None:
    broken, good = tmp_path / "text.mp4", write_video(tmp_path / "good.mp4", 20)
    broken.write_text("no video")
    cfg = config(opts)
    bad, fine = predict(cfg, build_model(cfg), [str(broken), str(good)])
    assert bad.labels == ()
    assert bad.error
    assert len(fine.labels) == 3
    assert not fine.error


def test_a_model_without_class_names_is_refused(opts: list[Any]) -> None:
    model = torch.nn.Linear(2, 2)
    with pytest.raises(UsageError, match="class names"):
        next(predict(config(opts, "TEXT.CLASSES", ""), model, ["a.mp4"]))


def test_names_of_another_number_of_classes_are_refused(tmp_path: Path, opts: list[Any]) -> None:
    class Seven(torch.nn.Module):
        """A network without texts, of seven classes, under a list of three."""

        def __init__(self) -> None:
            super().__init__()
            self.scores = torch.nn.Parameter(torch.zeros(7))

        def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
            return self.scores.expand(len(inputs[0]), 7)

    video = str(write_video(tmp_path / "good.mp4", 20))
    with pytest.raises(UsageError, match="3 class names for scores of 7 classes"):
        next(predict(config(opts), Seven(), [video]))


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_line(
    tmp_path: Path, opts: list[Any], as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_video(tmp_path / "good.mp4", 20)
    flags = ["--json"] if as_json else []
    text = [str(x) for x in opts]
    code = main(["--cfg", "configs/demo/ost.yaml", *flags, str(video), "--opts", *text])
    printed = capsys.readouterr()
    out = printed.out.splitlines()[-1]
    assert code == 0
    (line,) = [line for line in printed.err.splitlines() if line.startswith("testing")]
    assert line == (
        "testing ViFiCLIP, weights random (TEST.ALLOW_RANDOM_WEIGHTS: the figures mean nothing); "
        f"3 classes of {tmp_path}/mine.txt; descriptors none; 6 frames x 2 clips x 3 crops; cpu, "
        "float32"
    )
    labels = json.loads(out)["labels"] if as_json else out
    assert all(name in labels for name in NAMES)


def test_a_recipe_without_its_tuned_weights_labels_nothing(
    tmp_path: Path, opts: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """OST's recipes mix a fifth of the original CLIP into weights that must be named."""
    torch.save({"model_state": build_model(config(opts)).state_dict()}, tmp_path / "clip.pyth")
    text = [*map(str, opts), "TEST.CLIP_RATIO", "0.2"]
    text += ["CLIP.PRETRAINED", str(tmp_path / "clip.pyth")]
    video = str(write_video(tmp_path / "good.mp4", 20))
    words = ["--cfg", "configs/demo/ost.yaml", video, "--opts", *text]
    assert main(words) == 2
    printed = capsys.readouterr()
    assert "no tuned weights to mix with" in printed.err
    assert printed.out == ""
    assert main([*words, "TEST.CHECKPOINT_FILE_PATH", str(tmp_path / "clip.pyth")]) == 0
    assert "(TEST.CHECKPOINT_FILE_PATH, slowfast format, CLIP share 0.2" in capsys.readouterr().err
    assert main([*words, "TEST.CLIP_RATIO", "0"]) == 0
    assert "clip.pyth (CLIP.PRETRAINED, tuned on no video); 3 cl" in capsys.readouterr().err


def test_half_a_video_is_labelled_with_a_warning(
    tmp_path: Path, opts: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_video(tmp_path / "whole.mkv", 90).read_bytes()
    (tmp_path / "half.mkv").write_bytes(whole[: len(whole) // 2])
    words = ["--json", str(tmp_path / "half.mkv"), str(tmp_path / "whole.mkv")]
    assert main(["--cfg", "configs/demo/ost.yaml", *words, "--opts", *map(str, opts)]) == 0
    out, err = capsys.readouterr()
    half, fine = map(json.loads, out.splitlines()[-2:])
    assert half["warning"].startswith("damaged: ")
    assert half["warning"].endswith(" of the 3.00 s that the container states are missing")
    assert f"warning: {half['path']}: {half['warning']}\n" in err
    assert len(half["labels"]) == len(fine["labels"]) == 3
    assert fine["warning"] == ""


def test_one_class_alone_is_said_to_mean_nothing(
    tmp_path: Path,
    opts: list[Any],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "mine.txt").write_text("petting a cat\n")
    video = str(write_video(tmp_path / "good.mp4", 20))
    assert main(["--cfg", "configs/demo/ost.yaml", video, "--opts", *map(str, opts)]) == 0
    assert "petting a cat 1.000" in capsys.readouterr().out
    said = "one class only, 'petting a cat': scores are relative to the list"
    assert caplog.text.count(said) == 1
    (tmp_path / "test.csv").write_text(f"{video} 0\n")
    run_test(config(opts, *cfg_data(tmp_path)))
    assert caplog.text.count(said) == 2


def test_exit_codes(tmp_path: Path, opts: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    text = [str(x) for x in opts]
    absent = str(tmp_path / "absent.mp4")
    assert main(["--cfg", "configs/demo/ost.yaml", absent, "--opts", *text]) == 3
    assert "absent.mp4" in capsys.readouterr().err
    assert main(["--cfg", "absent.yaml", absent]) == 2
    assert capsys.readouterr().err.count("\n") == 1
