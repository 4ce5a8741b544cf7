"""When and under which name a training is saved, and how it finds its way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slowfast.checkpoint.load import check_values
from slowfast.engine.job import Job
from slowfast.engine.weights import load_starting_weights
from slowfast.errors import UsageError
from slowfast.utils import distributed as du
from slowfast.utils.logging import get_logger

logger = get_logger(__name__)


def save(job: Job, state: dict[str, Any] | None = None, *, best: bool = False) -> str:
    """Save the training where it stands; every rank calls it and the first one writes.

    Args:
        job: the training.
        state: what ``job.capture()`` gave before; by default it is taken now.
        best: as the weights of the best validation so far.

    Returns:
        What an interrupted rank says about the checkpoint; only the first one knows its name.
    """
    state = job.capture() if state is None else state
    path, at = None, job.progress
    if du.is_root_proc():
        within = at.iteration or None
        path = job.checkpointer.save(state, epoch=at.epoch, iteration=within, best=best)
    return f"saved {path or 'by the first rank'}; the same command continues"


def resume_or_initialise(job: Job) -> bool:
    """Continue from the newest readable checkpoint, or start from other weights, or from nothing.

    Returns:
        Whether the epoch before still has to be validated: a checkpoint is written first and the
        validation follows, so that one may have been cut off.

    Raises:
        UsageError: the checkpoint belongs to another model or optimizer; weights do not fit.
    """
    train = job.cfg.TRAIN
    found = job.checkpointer.load_latest() if train.AUTO_RESUME else None
    if found is not None:
        restore(job, found.state, str(found.path))
        job.weights = f"{found.path} (resumed)"
        logger.info(
            f"resumed from {found.path}: epoch {job.progress.epoch + 1}, "
            f"iteration {job.progress.iteration + 1}"
        )
        done = job.progress.epoch
        if job.progress.iteration or done == 0:
            return False
        return done >= job.max_epoch or job.due(done - 1)[1]
    if train.CHECKPOINT_FILE_PATH:
        load_starting_weights(job.cfg, job.module)
        job.weights = train.CHECKPOINT_FILE_PATH
    return False


def restore(job: Job, state: Mapping[str, Any], source: str) -> None:
    """Put ``job`` where ``state`` was captured.

    A file of PySlowFast has no more than weights, optimizer and epoch, one of averaged weights only
    those; what a file lacks starts anew, which is said aloud.
    """
    check_values(source, state["model_state"], job.module.state_dict())
    try:
        job.module.load_state_dict(state["model_state"], strict=True)
        if "optimizer_state" in state:
            job.optimizer.load_state_dict(state["optimizer_state"])
    except (KeyError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"{source} does not continue this training: {' '.join(str(error).split())[:300]}. "
            "Use another OUTPUT_DIR, or TRAIN.AUTO_RESUME False; to start from its weights only, "
            "name it in TRAIN.CHECKPOINT_FILE_PATH"
        ) from error
    job.progress.load_state_dict(
        state.get("progress") or {"epoch": int(state["epoch"]) + 1, "iteration": 0}
    )
    parts: dict[str, Any] = {
        "best": job.val_meter,
        "watch": job.watch,
        "rng_state": job.ranks,
        "scaler_state": job.stepper.scaler,
    }
    if not job.stepper.scaler.is_enabled():
        del parts["scaler_state"]
    if job.progress.iteration:
        parts["meter_state"] = job.train_meter
    missing = [name for name in ("optimizer_state", *parts) if name not in state]
    for name, part in parts.items():
        if name not in missing:
            part.load_state_dict(state[name])
    if job.stepper.carry:
        job.stepper.take_over(state.get("left_over_gradients", {}))
    if missing:
        logger.warning(f"{source} has no {', '.join(missing)}: these start anew")
