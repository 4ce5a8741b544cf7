"""What training and test say at their end, and the files that a test leaves behind."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from slowfast.config.coerce import notice
from slowfast.engine.job import Job
from slowfast.errors import DataError, UsageError
from slowfast.evaluation.confusion import class_table, confusion_matrix, matrix_csv, worst_pairs
from slowfast.evaluation.multiview import FailedVideo, VideoScores, describe_failures
from slowfast.evaluation.results import (
    atomic_write,
    write_json,
    write_predictions,
    write_scores,
)
from slowfast.utils import distributed as du
from slowfast.utils.logging import get_logger, say
from slowfast.utils.misc import gpu_mem_usage, params_count
from slowfast.utils.progress import describe
from slowfast.visualization.confusion_plot import plot_confusion_matrix, png_of

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
    say_trained(job)
    return {**job.last_stats, "best_top1_acc": best, "best_top5_acc": best5, "summary": text}


def say_epoch(stats: Mapping[str, Any], seconds: float) -> None:
    """Say how an epoch of training went, from its statistics line; on the first rank."""
    if not du.is_root_proc():
        return
    numbers = {name: stats[name] for name in ("loss", "top1_err", "lr") if name in stats}
    took = f"{stats['videos_per_s']:.1f} videos/s, {seconds:.0f} s"
    say(f"epoch {stats['epoch']}: {describe(numbers)}  {took}")


def say_validation(job: Job) -> None:
    """Say what a validation found; on the first rank."""
    stats = job.last_stats
    if not du.is_root_proc():
        return
    found = f"mAP {stats['map']:.2f}" if "map" in stats else accuracies(stats)
    best = " (best so far)" * job.val_meter.improved
    say(f"epoch {stats['epoch']}: validation {found} of {stats['num_videos']} videos{best}")


def accuracies(stats: Mapping[str, Any]) -> str:
    """Return both accuracies of a validation's statistics.

    >>> accuracies({"top1_err": 25.0, "top5_err": 0.0})
    'top-1 75.00, top-5 100.00'
    """
    return f"top-1 {100.0 - stats['top1_err']:.2f}, top-5 {100.0 - stats['top5_err']:.2f}"


def say_trained(job: Job) -> None:
    """Say what a training left behind and, where no test follows, what to do next."""
    if not du.is_root_proc():
        return
    folder = job.output_dir
    files = sorted(path.name for path in (folder / "checkpoints").glob("*.pyth"))
    say(f"trained: {folder}/checkpoints has {', '.join(files[-SHOWN:])}")
    if not job.cfg.TEST.ENABLE:
        say(f"next: ost test --cfg {folder}/config.yaml --opts TEST.ENABLE True")


def say_result(
    result: Mapping[str, Any], scores: VideoScores, folder: Path, files: Sequence[str]
) -> None:
    """Say what a test found and what it left behind; on the first rank.

    Args:
        result: content of ``results.json``.
        scores: what it was made of.
        folder: where it was written.
        files: what was written there.
    """
    if not du.is_root_proc():
        return
    named = {"top1": "top-1", "top5": "top-5", "mean_class": "mean class", "map": "mAP"}
    found = ", ".join(f"{name} {result[k]:.2f}" for k, name in named.items() if k in result)
    scored, listed = result["num_videos_scored"], result["num_videos_listed"]
    say(f"tested {scored} of {listed} videos, {result['views']} views: {found}")
    for line in (*describe_measures(result), *describe_confusion(result, scores)):
        say(line)
    if failed := result["failed"]:
        shown = ", ".join(f"{video['path']} ({video['reason']})" for video in failed[:SHOWN])
        say(f"failed videos: {len(failed)} of {listed}: {shown}{', ...' * (len(failed) > SHOWN)}")
    say(f"written to {folder}: {', '.join(files)}")


def describe_confusion(result: Mapping[str, Any], scores: VideoScores) -> list[str]:
    """Return a line of the worst classes and one of the most confused; none without mistakes."""
    known = {name: v for name, v in result.get("per_class", {}).items() if not math.isnan(v)}
    worst = [name for name in sorted(known, key=lambda name: known[name]) if known[name] < 100.0]
    if not worst:
        return []
    matrix = confusion_matrix(*scores.of_scored(), result["num_classes"])
    pairs = worst_pairs(matrix, list(result["per_class"]), SHOWN)
    return [
        "worst classes: " + ", ".join(f"{name} {known[name]:.1f}" for name in worst[:SHOWN]),
        "most confused: " + ", ".join(f"{p.true} -> {p.predicted} ({p.videos})" for p in pairs),
    ]


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
) -> list[str]:
    """Write the files of one test into ``folder``, on the first rank only; return their names.

    ``results.json``; ``predictions.jsonl`` with TEST.SAVE_PREDICTIONS; TEST.SAVE_RESULTS_PATH; for
    one label per video ``per_class.txt``, ``confusion_matrix.csv`` and, with matplotlib, the same
    as ``confusion_matrix.png``.

    Args:
        folder: where to.
        cfg: reads TEST.
        result: content of ``results.json``.
        scores: of all listed videos.
        names: class names by id, or empty.
        paths: of the videos by id, or empty.
    """
    if not du.is_root_proc():
        return []
    written = [write_json(folder / "results.json", result)]
    if cfg.TEST.SAVE_PREDICTIONS:
        written.append(write_predictions(folder / "predictions.jsonl", scores, paths, names))
    if cfg.TEST.SAVE_RESULTS_PATH:
        written.append(write_scores(folder / cfg.TEST.SAVE_RESULTS_PATH, scores))
    preds, labels = scores.of_scored()
    if labels.ndim == 1 and len(labels):
        num_classes = preds.shape[1]
        shown = names or [str(k) for k in range(num_classes)]
        matrix = confusion_matrix(preds, labels, num_classes)
        files: dict[str, str | bytes] = {
            "per_class.txt": class_table(matrix, shown) + "\n",
            "confusion_matrix.csv": matrix_csv(matrix, shown),
            **matrix_picture(matrix, shown, str(result["dataset"])),
        }
        written += [atomic_write(folder / name, content) for name, content in files.items()]
    return [path.relative_to(folder).as_posix() for path in written]


def matrix_picture(matrix: Tensor, names: Sequence[str], title: str) -> dict[str, bytes]:
    """Return ``confusion_matrix.png`` by its name, or nothing and a notice without matplotlib."""
    try:
        return {"confusion_matrix.png": png_of(plot_confusion_matrix(matrix, names, title))}
    except UsageError as error:
        notice(f"no confusion_matrix.png: {error}")
        return {}


def log_result(result: Mapping[str, Any], gflops: float, model: nn.Module) -> None:
    """Log failed videos and PySlowFast's final lines."""
    for line in describe_failures([FailedVideo(**entry) for entry in result["failed"]]):
        logger.warning(line, extra={"shown": False})  # ``say_result`` says it
    clips, crops = result["num_clips"], result["num_crops"]
    logger.info(f"Finalized testing with {clips} temporal clips and {crops} spatial crops")
    top1, top5 = (result.get(name, result.get("map")) for name in ("top1", "top5"))
    scores = f"_{clips}a{top1:.2f} Top5 Acc: {top5:.2f}"
    logger.info(final_line(model, gflops, scores))


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
