"""Training: read ``train`` first, then the functions that it calls, from top to bottom.

The loop knows no model, loss or data set by name. Whatever interrupts it, the resumed run does the
same arithmetic as an unbroken one.
"""

from __future__ import annotations

from typing import Any

import torch

from slowfast.datasets.loader import shuffle_dataset
from slowfast.engine.batches import training_errors
from slowfast.engine.figures import plot_validation
from slowfast.engine.fitting import too_large
from slowfast.engine.header import say_training
from slowfast.engine.interrupt import StopRequest
from slowfast.engine.job import Job
from slowfast.engine.persist import resume_or_initialise, save
from slowfast.engine.precise_bn import measurable_batch_norms, recompute_statistics
from slowfast.engine.report import (
    broken_videos,
    failed_in_validation,
    say_epoch,
    say_validation,
    summary,
)
from slowfast.engine.setup import prepare
from slowfast.engine.state import generators_kept
from slowfast.engine.stepper import MicroStep
from slowfast.engine.validate import evaluate
from slowfast.engine.watch import LossError
from slowfast.errors import Interrupted, SlowFastError
from slowfast.models.build import call_model
from slowfast.structures import ModelOutput, VideoBatch
from slowfast.utils import distributed as du
from slowfast.utils.progress import progress_line


def train(cfg: Any) -> dict[str, Any]:
    """Train what ``cfg`` says, on this process or as one rank of several.

    Returns:
        The statistics of the last validation, and ``best_top1_acc`` in percent.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the state was saved, and the same call continues.
        LossError: the loss is no number any more.
        UsageError, DataError: impossible settings; missing or broken data.
    """
    prepare(cfg)
    job = Job(cfg)
    owes_evaluation = resume_or_initialise(job)
    say_training(job)
    with StopRequest(job.device) as stop:
        if owes_evaluation:
            evaluate_epoch(job, job.progress.epoch - 1, stop)
        for epoch in range(job.progress.epoch, job.max_epoch):
            train_epoch(job, epoch, stop)
            finish_epoch(job, epoch, stop)
    return summary(job)


def train_epoch(job: Job, epoch: int, stop: StopRequest) -> None:
    """Train from ``job.progress`` to the end of its epoch; raises Interrupted after saving."""
    meter, progress = job.train_meter, job.progress
    first = progress.iteration
    if first == 0:
        meter.reset()
        job.ranks.broken.clear()
    job.model.train()
    batches = job.batches(epoch, skip=first)
    title = f"epoch {epoch + 1}/{job.max_epoch}"
    with progress_line(
        job.display, job.iters, title, log_period=meter.log_period, start=first
    ) as line:
        meter.iter_tic()
        for iteration in range(first, job.iters):
            batch = next(batches)
            meter.data_toc()
            lr = job.set_lr(epoch, iteration)
            step = train_step(job, batch, iteration)
            job.watch.look(step.loss, batch, f"{title}, iteration {iteration + 1}/{job.iters}")
            record(job, step, batch, lr)
            progress.iteration = iteration + 1
            meter.iter_toc()
            job.log_scalars(meter.log_iter_stats(epoch, iteration), epoch * job.iters + iteration)
            line.advance(len(batch) * du.get_world_size(), loss=job.watch.last, lr=lr)
            stepped = step.grad_norm is not None
            if stepped and progress.iteration < job.iters and stop.agreed():
                job.watch.flush()
                raise Interrupted(stop.message(save(job)))
            meter.iter_tic()
    job.watch.flush()
    progress.epoch, progress.iteration = epoch + 1, 0


def train_step(job: Job, batch: VideoBatch, iteration: int) -> MicroStep:
    """Run one micro-step; an error says which videos it concerns, or which batch would fit."""

    def compute() -> tuple[dict[str, Any], ModelOutput]:
        output = call_model(job.model, batch)
        return job.loss(output, batch.labels), output

    try:
        return job.stepper.micro_step(compute, iteration=iteration, iters=job.iters)
    except torch.OutOfMemoryError as error:
        raise too_large(job.cfg) from error
    except SlowFastError as error:
        if not hasattr(error, "positions"):
            raise
        raise LossError(f"{error}; batch: {job.watch.names(batch.index.tolist())}") from error


def record(job: Job, step: MicroStep, batch: VideoBatch, lr: float) -> None:
    """Hand what was measured to the meter, as tensors: nothing waits for the device here."""
    top1, top5 = training_errors(step.output, batch.labels)
    terms = step.terms if len(step.terms) > 1 else None
    job.train_meter.update_stats(top1, top5, step.loss, lr, step.grad_norm, len(batch), terms)


def finish_epoch(job: Job, epoch: int, stop: StopRequest) -> None:
    """Log, count broken videos, measure batch norms, save and evaluate, as far as it is due.

    A stop that was asked for meanwhile saves first; the evaluation is made up for on resuming.
    """
    say_epoch(job.train_meter.log_epoch_stats(epoch), job.train_meter.total)
    job.epoch_minutes.append(job.train_meter.total / 60)
    broken_videos(job, epoch)
    saving, evaluating = job.due(epoch)
    if job.cfg.BN.USE_PRECISE_STATS and (saving or evaluating):
        measure_batch_norms(job, epoch)
    stopping = stop.agreed()
    if saving or stopping:
        saved = save(job)
    if stopping:
        raise Interrupted(stop.message(saved))
    if evaluating:
        evaluate_epoch(job, epoch, stop)


def measure_batch_norms(job: Job, epoch: int) -> None:
    """Recompute running statistics over BN.NUM_BATCHES_PRECISE training batches."""
    wanted = min(job.cfg.BN.NUM_BATCHES_PRECISE, job.iters)
    if not wanted or not measurable_batch_norms(job.module):
        return
    with generators_kept():
        batches = job.batches(epoch, mixed=False)
        some = (next(batches) for _ in range(wanted))
        recompute_statistics(job.module, some, lambda batch: call_model(job.module, batch))


def evaluate_epoch(job: Job, epoch: int, stop: StopRequest) -> None:
    """Validate, and keep the best weights.

    Validation need not be finished: a signal ends it at once and saves what was trained. No rank
    waits for another then, so the state is put together before.
    """
    state = job.capture()
    shuffle_dataset(job.val_loader, epoch)
    title = f"validation after epoch {epoch + 1}"
    try:
        with (
            generators_kept(),
            stop.immediately(),
            progress_line(job.display, len(job.val_loader), title) as line,
        ):
            job.last_stats = evaluate(job.module, job.val_loader, job.val_meter, line, epoch=epoch)
    except Interrupted:
        raise Interrupted(stop.message(save(job, state))) from None
    failed_in_validation(job.last_stats.pop("failed"))
    say_validation(job)
    job.log_scalars(job.last_stats, (epoch + 1) * job.iters)
    plot_validation(job.writer, job.val_meter, epoch)
    if job.cfg.TRAIN.SAVE_BEST and job.val_meter.improved:
        save(job, best=True)
