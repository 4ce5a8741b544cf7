"""What training and test say at their end, and the files that a test leaves behind."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from slowfast.engine.job import Job
from slowfast.errors import DataError
from slowfast.evaluation.confusion import class_table, confusion_matrix, matrix_csv
from slowfast.evaluation.multiview import FailedVideo, VideoScores, describe_failures
from slowfast.evaluation.results import (
    atomic_write,
    write_json,
    write_predictions,
    write_scores,
)
from slowfast.utils import distributed as du
from slowfast.utils.logging import get_logger
from slowfast.utils.misc import gpu_mem_usage, params_count

SHOWN = 5
logger = get_logger(__name__)


def broken_videos(job: Job, epoch: int) -> None:
    """Say which videos of the epoch could not be read and list them in ``broken_videos.txt``.

    Each was replaced by another video in training. Every rank calls it.

    Raises:
        DataError: they are more than DATA.MAX_BROKEN of the listed videos.
    """
    found = job.ranks.broken_of_all()
    if not found:
        return
    dataset: Any = job.train_loader.dataset
    # of the list, not of an epoch that goes through it several times
    listed, limit = len(getattr(dataset, "videos", dataset)), job.cfg.DATA.MAX_BROKEN
    path = job.output_dir / "broken_videos.txt"
    if du.is_root_proc():
        lines = [f"{video}\t{reason}" for video, reason in found.items()]
        atomic_write(path, "\n".join(lines) + "\n")
    shown = ", ".join(list(found)[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
    line = (
        f"epoch {epoch + 1}: {len(found)} of {listed} videos could not be read and were replaced: "
        f"{shown} (all in {path})"
    )
    if len(found) > limit * listed:
        raise DataError(f"{line}; that is above DATA.MAX_BROKEN={limit:g}")
    logger.warning(line)


def failed_in_validation(failed: list[tuple[int, str, int, str]]) -> None:
    """Say which videos of all ranks could not be validated; every rank calls it."""
    found = [entry for part in du.all_gather_object(failed) for entry in part]
    if found:
        shown = ", ".join(f"{path} ({reason})" for _, path, _, reason in found[:SHOWN])
        logger.warning(f"{len(found)} videos could not be read and were not validated: {shown}")


def summary(job: Job) -> dict[str, Any]:
    """Log PySlowFast's final line and return the last validation's statistics and the best."""
    best = 100.0 - job.val_meter.min_top1_err
    best5 = 100.0 - job.val_meter.min_top5_err
    minutes = statistics.median(job.epoch_minutes) if job.epoch_minutes else 0.0
    scores = f" _t{minutes:.2f}_m{gpu_mem_usage():.2f} _a{best:.2f} Top5 Acc: {best5:.2f}"
    text = final_line(job.module, job.gflops, scores)
    logger.info(f"training done: {text}")
    return {**job.last_stats, "best_top1_acc": best, "best_top5_acc": best5, "summary": text}


def final_line(model: nn.Module, gflops: float, scores: str) -> str:
    """Return the line of figures that PySlowFast's phases end with."""
    size = f"_p{params_count(model) / 1e6:.2f}_f{gflops:.2f}"
    return f"{size}{scores} MEM: {gpu_mem_usage():.2f} f: {gflops:.4f}"


def write_result(
    folder: Path,
    cfg: Any,
    result: Mapping[str, Any],
    scores: VideoScores,
    names: Sequence[str],
    paths: Sequence[str],
) -> None:
    """Write the files of one test into ``folder``, on the first rank only.

    ``results.json``; ``predictions.jsonl`` with TEST.SAVE_PREDICTIONS; TEST.SAVE_RESULTS_PATH; for
    one label per video ``confusion_matrix.csv`` and ``per_class.txt``.

    Args:
        folder: where to.
        cfg: reads TEST.
        result: content of ``results.json``.
        scores: of all listed videos.
        names: class names by id, or empty.
        paths: of the videos by id, or empty.
    """
    if not du.is_root_proc():
        return
    write_json(folder / "results.json", result)
    if cfg.TEST.SAVE_PREDICTIONS:
        write_predictions(folder / "predictions.jsonl", scores, paths, names)
    if cfg.TEST.SAVE_RESULTS_PATH:
        write_scores(folder / cfg.TEST.SAVE_RESULTS_PATH, scores)
    preds, labels = scores.of_scored()
    if labels.ndim == 1 and len(labels):
        num_classes = preds.shape[1]
        shown = names or [str(k) for k in range(num_classes)]
        matrix = confusion_matrix(preds, labels, num_classes)
        atomic_write(folder / "confusion_matrix.csv", matrix_csv(matrix, shown))
        atomic_write(folder / "per_class.txt", class_table(matrix, shown) + "\n")


def log_result(result: Mapping[str, Any], gflops: float, model: nn.Module) -> None:
    """Log failed videos and PySlowFast's final lines."""
    for line in describe_failures([FailedVideo(**entry) for entry in result["failed"]]):
        logger.warning(line)
    clips, crops = result["num_clips"], result["num_crops"]
    logger.info(f"Finalized testing with {clips} temporal clips and {crops} spatial crops")
    top1, top5 = (result.get(name, result.get("map")) for name in ("top1", "top5"))
    scores = f"_{clips}a{top1:.2f} Top5 Acc: {top5:.2f}"
    logger.info(final_line(model, gflops, scores))
    for line in describe_measures(result):
        logger.info(line)


def describe_measures(result: Mapping[str, Any]) -> list[str]:
    """Return a line for each measure of a result beside its accuracies over all classes."""
    lines = []
    if "map_of" in result:
        lines.append(f"mAP {result['map']:.2f} (of {result['map_of'].replace('_', ' ')})")
    if half := result.get("half_class"):
        values = ", ".join(
            f"top-{k} {half[f'top{k}']:.2f} ± {half[f'top{k}_std']:.2f}" for k in (1, 5)
        )
        lines.append(
            f"half-class: {values} (mean ± population deviation over {half['draws']} draws of "
            f"{half['num_classes']} of {result['num_classes']} classes)"
        )
    return lines
