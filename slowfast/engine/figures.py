"""When TensorBoard's figures are drawn: after a validation, after a test, from a saved table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slowfast.datasets.from_config import class_names
from slowfast.evaluation.meters import ValMeter
from slowfast.evaluation.multiview import VideoScores
from slowfast.utils import distributed as du
from slowfast.visualization.tensorboard_vis import TensorboardWriter


def open_writer(cfg: Any, class_names: Sequence[str] = ()) -> TensorboardWriter | None:
    """Return the job's writer on the first rank if TENSORBOARD.ENABLE is on, else None."""
    if not cfg.TENSORBOARD.ENABLE or not du.is_root_proc():
        return None
    return TensorboardWriter(cfg, class_names)


def plot_validation(writer: TensorboardWriter | None, meter: ValMeter, step: int) -> None:
    """Draw what a validation predicted; every rank calls it, the one with a writer draws."""
    if not meter.keep_predictions or meter.multi_label:
        return
    preds, labels = meter.gathered_predictions()
    if writer is not None and len(preds):
        writer.plot_eval(preds, labels, global_step=step)


def plot_scores(writer: TensorboardWriter | None, scores: VideoScores, num_clips: int) -> None:
    """Draw what a test predicted, with the number of temporal clips as step."""
    preds, labels = scores.of_scored()
    if writer is None or labels.ndim != 1 or not len(labels):
        return
    writer.plot_eval(preds, labels, global_step=num_clips)
    writer.flush()


def visualise(cfg: Any) -> None:
    """Draw from TENSORBOARD.PREDICTIONS_PATH, without model and data; raises UsageError."""
    writer = open_writer(cfg, class_names(cfg))
    if writer is not None:
        writer.plot_saved(cfg.TENSORBOARD.PREDICTIONS_PATH)
        writer.close()
