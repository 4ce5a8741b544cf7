"""TensorBoard during training and test: which figures a run leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from slowfast.engine import figures
from slowfast.engine.run import run
from slowfast.evaluation.meters import ValMeter
from slowfast.evaluation.multiview import VideoScores
from slowfast.evaluation.results import write_scores
from slowfast.utils import distributed as du
from slowfast.utils import logging as slog
from slowfast.visualization.tensorboard_vis import TensorboardWriter
from tests.distributed import run_two_processes
from tests.engine.tiny import tiny_cfg

pytest.importorskip("matplotlib")
ON = ("TENSORBOARD.ENABLE", "True", "TENSORBOARD.LOG_DIR", "tb")


@pytest.fixture(autouse=True)
def _no_handlers_left():
    yield
    slog.reset_logging()


def tags(folder: Path) -> dict[str, list[str]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, list[str]] = {"scalars": [], "images": []}
    for file in sorted(folder.glob("events.*")):
        events = EventAccumulator(str(file))
        events.Reload()
        for kind, names in found.items():
            names += events.Tags()[kind]
    return found


def test_a_run_leaves_curves_figures_and_wrong_clips(tmp_path: Path) -> None:
    cfg = tiny_cfg(
        tmp_path,
        *ON,
        *("TENSORBOARD.CONFUSION_MATRIX.ENABLE", "True"),
        *("TENSORBOARD.HISTOGRAM.ENABLE", "True", "TENSORBOARD.HISTOGRAM.TOPK", "2"),
        *("TENSORBOARD.WRONG_PRED_VIS.ENABLE", "True"),
        *("SOLVER.MAX_EPOCH", "1", "SOLVER.BASE_LR", "1e-9"),
    )
    run(cfg)
    found = tags(tmp_path / "tb")
    assert {"Train/loss", "Train/lr", "Train/Top1_err", "Val/Top1_err"} <= set(found["scalars"])
    # once for the validation, once for the test
    assert found["images"].count("Confusion Matrix") == 2
    assert found["images"].count("Top 2 predictions by classes/0") == 2
    wrong = "Incorrectly classified videos./Video 0, Pathway 0: "
    assert any(tag.startswith(wrong) for tag in found["images"])
    assert len((tmp_path / "tb" / "confusion.csv").read_text().splitlines()) == 4


def test_scalars_alone_keep_no_predictions(tmp_path: Path) -> None:
    cfg = tiny_cfg(tmp_path, *ON)
    assert not ValMeter.from_cfg(cfg, 1).keep_predictions
    assert figures.open_writer(tiny_cfg(tmp_path)) is None


def test_a_saved_table_is_drawn_without_a_model(tmp_path: Path) -> None:
    scores, labels = torch.eye(3), torch.tensor([0, 1, 1])
    table = write_scores(
        tmp_path / "scores.npz", VideoScores(scores, labels, torch.ones(3, dtype=torch.int64), 1)
    )
    cfg = tiny_cfg(
        tmp_path,
        *ON,
        *("TRAIN.ENABLE", "False", "TEST.ENABLE", "False"),
        *("TENSORBOARD.CONFUSION_MATRIX.ENABLE", "True"),
        *("TENSORBOARD.PREDICTIONS_PATH", str(table)),
    )
    assert run(cfg) == {"visualise": None}
    assert tags(tmp_path / "tb")["images"] == ["Confusion Matrix"]


def test_failed_videos_are_not_drawn(tmp_path: Path) -> None:
    class Plotter:
        drawn: list[torch.Tensor] = []

        def plot_eval(self, preds, labels, global_step):
            self.drawn.append(labels)

        def flush(self):
            pass

    counts = torch.tensor([1, 0, 1])
    videos = VideoScores(torch.eye(3), torch.tensor([0, -1, 2]), counts, 1)
    figures.plot_scores(Plotter(), videos, 3)
    assert [labels.tolist() for labels in Plotter.drawn] == [[0, 2]]
    figures.plot_scores(None, videos, 3)


def _validate(folder: str) -> list[str]:
    meter = ValMeter(1, max_epoch=1, keep_predictions=True)
    rank = du.get_rank()
    meter.update_predictions(torch.eye(2)[rank : rank + 1], torch.tensor([rank]))
    cfg = tiny_cfg(folder, *ON, "TENSORBOARD.CONFUSION_MATRIX.ENABLE", "True")
    writer = figures.open_writer(cfg)
    assert (writer is None) == (rank == 1)
    figures.plot_validation(writer, meter, 0)
    if isinstance(writer, TensorboardWriter):
        writer.close()
        return (writer.log_dir / "confusion.csv").read_text().splitlines()
    return []


def test_one_rank_draws_for_all(tmp_path: Path) -> None:
    first, second = run_two_processes(_validate, str(tmp_path))
    assert first[1:] == ["0,1,0", "1,0,1"]
    assert second == []
