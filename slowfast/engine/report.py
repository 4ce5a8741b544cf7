"""What a training says at the end of an epoch and at its own end."""

from __future__ import annotations

import statistics
from typing import Any

from slowfast.engine.job import Job
from slowfast.errors import DataError
from slowfast.evaluation.results import atomic_write
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
    found = job.broken.of_all_ranks()
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
    memory = gpu_mem_usage()
    minutes = statistics.median(job.epoch_minutes) if job.epoch_minutes else 0.0
    text = (
        f"_p{params_count(job.module) / 1e6:.2f}_f{job.gflops:.2f} _t{minutes:.2f}_m{memory:.2f} "
        f"_a{best:.2f} Top5 Acc: {best5:.2f} MEM: {memory:.2f} f: {job.gflops:.4f}"
    )
    logger.info(f"training done: {text}")
    return {**job.last_stats, "best_top1_acc": best, "best_top5_acc": best5, "summary": text}
