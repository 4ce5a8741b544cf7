"""The files and the lines that a test leaves behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

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

logger = get_logger(__name__)


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
    ids = scores.scored
    if scores.labels.ndim == 1 and len(ids):
        num_classes = scores.scores.shape[1]
        shown = names or [str(k) for k in range(num_classes)]
        matrix = confusion_matrix(scores.scores[ids], scores.labels[ids], num_classes)
        atomic_write(folder / "confusion_matrix.csv", matrix_csv(matrix, shown))
        atomic_write(folder / "per_class.txt", class_table(matrix, shown) + "\n")


def log_result(result: Mapping[str, Any], gflops: float, model: nn.Module) -> None:
    """Log failed videos and PySlowFast's final lines."""
    for line in describe_failures([FailedVideo(**entry) for entry in result["failed"]]):
        logger.warning(line)
    clips, crops = result["num_clips"], result["num_crops"]
    logger.info(f"Finalized testing with {clips} temporal clips and {crops} spatial crops")
    memory = gpu_mem_usage()
    if "top1" in result:
        accuracy = f"_{clips}a{result['top1']:.2f} Top5 Acc: {result['top5']:.2f}"
    else:
        accuracy = f"_{clips}a{result['map']:.2f} Top5 Acc: {result['map']:.2f}"
    logger.info(
        f"_p{params_count(model) / 1e6:.2f}_f{gflops:.2f}{accuracy} "
        f"MEM: {memory:.2f} f: {gflops:.4f}"
    )
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
