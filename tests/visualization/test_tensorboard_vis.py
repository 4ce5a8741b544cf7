"""The event files, read back by TensorBoard's own reader."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from slowfast.config import get_cfg
from slowfast.errors import UsageError
from slowfast.evaluation.multiview import VideoScores
from slowfast.evaluation.results import write_scores
from slowfast.visualization.tensorboard_vis import (
    ClassNames,
    PlotOptions,
    TensorboardWriter,
    encode_gif,
    stretch,
)

PREDS = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
LABELS = torch.tensor([0, 1, 1, 2])


def read(folder: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    return events


def test_scalars_by_tag(tmp_path: Path) -> None:
    writer = TensorboardWriter(tmp_path)
    writer.add_scalars({"Train/loss": torch.tensor(0.5)}, global_step=7)
    writer.close()
    events = read(tmp_path)
    assert events.Tags()["scalars"] == ["Train/loss"]
    (point,) = events.Scalars("Train/loss")
    assert (point.step, point.value) == (7, 0.5)


def test_figures_and_files_of_an_evaluation(tmp_path: Path, caplog) -> None:
    pytest.importorskip("matplotlib")
    writer = TensorboardWriter(
        tmp_path,
        classes=ClassNames(["run", "jump", "swim"], {"dry": [0, 1]}),
        matrix=PlotOptions(True, subset=[0, 2]),
        histogram=PlotOptions(True, subset=[1], top_k=2),
    )
    with caplog.at_level("INFO", logger="slowfast"):
        writer.plot_eval(PREDS, LABELS, global_step=3)
    writer.close()
    assert set(read(tmp_path).Tags()["images"]) == {
        "Confusion Matrix",
        "Confusion Matrix Subset",
        "Confusion Matrices Grouped by Parent Classes/dry",
        "Top 2 predictions by classes/jump",
    }
    assert (tmp_path / "confusion.csv").read_text().splitlines()[2] == "jump,1,1,0"
    assert "1  jump -> run" in caplog.text


def test_nothing_is_drawn_unless_asked(tmp_path: Path) -> None:
    writer = TensorboardWriter(tmp_path)
    writer.plot_eval(PREDS, LABELS)
    writer.close()
    assert not (tmp_path / "confusion.csv").exists()
    assert read(tmp_path).Tags()["images"] == []


def test_plots_from_a_saved_table(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    videos = VideoScores(PREDS, LABELS, torch.ones(4, dtype=torch.int64), 1)
    path = write_scores(tmp_path / "scores.npz", videos)
    writer = TensorboardWriter(tmp_path / "tb", matrix=PlotOptions(True))
    writer.plot_saved(path)
    writer.close()
    assert (tmp_path / "tb" / "confusion.csv").read_text().splitlines()[2] == "1,1,1,0"


def test_wrong_clips_become_moving_images(tmp_path: Path) -> None:
    names = ClassNames(["run", "jump", "swim"])
    writer = TensorboardWriter(tmp_path, classes=names, wrong=PlotOptions(True))
    clips = torch.randn(4, 3, 5, 8, 12)
    writer.add_wrong_predictions([clips], PREDS, LABELS)
    writer.close()
    events = read(tmp_path)
    (tag,) = events.Tags()["images"]
    assert tag == "Incorrectly classified videos./Video 0, Pathway 0: jump (taken for run)"
    (image,) = events.Images(tag)
    assert (image.width, image.height) == (12, 8)
    assert Image.open(io.BytesIO(image.encoded_image_string)).n_frames == 5


@pytest.mark.parametrize("wrong", [PlotOptions(False), PlotOptions(True, [0, 2])])
def test_wrong_clips_can_be_left_out(tmp_path: Path, wrong: PlotOptions) -> None:
    writer = TensorboardWriter(tmp_path, wrong=wrong)
    writer.add_wrong_predictions([torch.randn(4, 3, 2, 4, 4)], PREDS, LABELS)
    writer.close()
    assert read(tmp_path).Tags()["images"] == []


def test_a_gif_shows_the_clips_colors() -> None:
    clip = torch.zeros(3, 2, 4, 6)
    clip[0, 0] = 1.0  # first frame red, second black
    image = Image.open(io.BytesIO(encode_gif(clip, fps=4)))
    assert image.info["duration"] == 250
    assert image.convert("RGB").getpixel((2, 2)) == (255, 0, 0)
    image.seek(1)
    assert image.convert("RGB").getpixel((2, 2)) == (0, 0, 0)


def test_stretch() -> None:
    assert stretch(torch.tensor([-2.0, 0.0, 2.0])).tolist() == [0.0, 0.5, 1.0]
    assert stretch(torch.full((2,), 3.0)).tolist() == [0.0, 0.0]


def test_options_come_from_the_config(tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text('{"run": 0, "jump": 1}')
    (tmp_path / "parents.json").write_text('{"all": ["jump"]}')
    (tmp_path / "subset.txt").write_text("jump\n")
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(tmp_path / "out")
    cfg.TRAIN.DATASET = "kinetics"
    options = cfg.TENSORBOARD
    options.CLASS_NAMES_PATH = str(tmp_path / "names.json")
    options.CATEGORIES_PATH = str(tmp_path / "parents.json")
    options.CONFUSION_MATRIX.ENABLE = True
    options.HISTOGRAM.SUBSET_PATH = str(tmp_path / "subset.txt")
    options.WRONG_PRED_VIS.ENABLE = True
    writer = TensorboardWriter(cfg)
    writer.close()
    assert writer.log_dir == tmp_path / "out" / "runs-kinetics"
    assert writer.classes == ClassNames(["run", "jump"], {"all": [1]})
    assert (writer.matrix.enable, writer.matrix.subset) == (True, None)
    assert (writer.histogram.enable, writer.histogram.subset) == (False, [1])
    assert (writer.wrong.enable, writer.wrong.subset) == (True, None)


def test_names_may_be_given_and_the_folder_named(tmp_path: Path) -> None:
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(tmp_path)
    cfg.TENSORBOARD.LOG_DIR = "tb"
    writer = TensorboardWriter(cfg, class_names=("a", "b"))
    writer.close()
    assert writer.log_dir == tmp_path / "tb"
    assert list(writer.classes.names) == ["a", "b"]


@pytest.mark.parametrize(
    "key", ["CATEGORIES_PATH", "CONFUSION_MATRIX.SUBSET_PATH", "WRONG_PRED_VIS.SUBSET_PATH"]
)
def test_classes_by_name_need_names_from_either_option(tmp_path: Path, key: str) -> None:
    chosen = tmp_path / "chosen.txt"
    chosen.write_text('{"all": ["b"]}' if key == "CATEGORIES_PATH" else "b\n")
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(tmp_path)
    cfg.merge_from_list([f"TENSORBOARD.{key}", str(chosen)])
    with pytest.raises(UsageError, match=f"TENSORBOARD.{key} {chosen} .*CLASS_NAMES_PATH"):
        TensorboardWriter(cfg)
    writer = TensorboardWriter(cfg, class_names=("a", "b"))
    writer.close()
    assert [1] in (writer.classes.parents.get("all"), writer.matrix.subset, writer.wrong.subset)
    with pytest.raises(UsageError, match=f"{chosen}: 'b' is no class of TEXT.CLASSES"):
        TensorboardWriter(cfg, class_names=("a", "c"))
