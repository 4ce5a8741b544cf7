"""PySlowFast's checkpoint functions, for extension files that call them (``cu``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from slowfast.checkpoint.checkpointer import Checkpointer
from slowfast.checkpoint.load import load_weights
from slowfast.checkpoint.reader import read_checkpoint
from slowfast.errors import UsageError
from slowfast.utils.misc import is_due


def make_checkpoint_dir(path_to_job: str) -> str:
    """Make and return the checkpoint folder of a job."""
    folder = Checkpointer(path_to_job).directory
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def get_path_to_checkpoint(path_to_job: str, epoch: int, task: str = "") -> str:
    """Return the file of ``epoch`` completed epochs."""
    return str(Checkpointer(path_to_job, task).path(epoch))


def has_checkpoint(path_to_job: str, task: str = "") -> bool:
    """Return whether a training can go on from this folder."""
    return Checkpointer(path_to_job, task).latest() is not None


def get_last_checkpoint(path_to_job: str, task: str = "") -> str:
    """Return the newest file; raises UsageError if there is none."""
    newest = Checkpointer(path_to_job, task).latest()
    if newest is None:
        raise UsageError(f"{path_to_job}: holds no checkpoints")
    return str(newest)


def save_checkpoint(
    path_to_job: str,
    model: nn.Module,
    optimizer: Optimizer,
    epoch: int,
    cfg: Any,
    scaler: Any = None,
) -> str:
    """Save after the epoch of index ``epoch`` and return the path."""
    state = {
        "model_state": getattr(model, "module", model).state_dict(),
        "optimizer_state": optimizer.state_dict(),
        "cfg": cfg.dump(),
    }
    if scaler is not None:
        state["scaler_state"] = scaler.state_dict()
    return str(Checkpointer(path_to_job).save(state, epoch=epoch + 1))


def is_checkpoint_epoch(cfg: Any, cur_epoch: int, multigrid_schedule: None = None) -> bool:
    """Return whether the epoch of index ``cur_epoch`` is saved: every CHECKPOINT_PERIOD, the last.

    ``multigrid_schedule`` is PySlowFast's third argument; only None is known here.

    Raises:
        UsageError: a multigrid schedule.
    """
    if multigrid_schedule is not None:
        raise UsageError("multigrid schedules are out of scope: give is_checkpoint_epoch no third")
    return is_due(cur_epoch, cfg.TRAIN.CHECKPOINT_PERIOD, cfg.SOLVER.MAX_EPOCH)


def load_train_checkpoint(
    cfg: Any, model: nn.Module, optimizer: Optimizer, scaler: Any = None
) -> int:
    """Return the index of the epoch to begin with, after loading what the config says.

    With TRAIN.AUTO_RESUME the newest checkpoint of OUTPUT_DIR, whole (one within an epoch begins
    that epoch again); else the weights, and nothing else, of TRAIN.CHECKPOINT_FILE_PATH; else
    nothing, 0.

    Raises:
        UsageError: a file does not fit the model, or has no state to go on from.
    """
    train = cfg.TRAIN
    if train.AUTO_RESUME and has_checkpoint(cfg.OUTPUT_DIR, cfg.TASK):
        newest = get_last_checkpoint(cfg.OUTPUT_DIR, cfg.TASK)
        load_weights(model, newest)
        return _restore(newest, optimizer, scaler) + 1
    if train.CHECKPOINT_FILE_PATH:
        load_weights(
            model,
            train.CHECKPOINT_FILE_PATH,
            kind=train.CHECKPOINT_TYPE,
            pretrained=bool(cfg.CLIP.PRETRAINED),
            clear_name_patterns=train.CHECKPOINT_CLEAR_NAME_PATTERN,
            inflate=train.CHECKPOINT_INFLATE,
        )
    return 0


def load_checkpoint(  # noqa: PLR0913 - PySlowFast's signature
    path_to_checkpoint: str,
    model: nn.Module,
    data_parallel: bool = True,
    optimizer: Optimizer | None = None,
    scaler: Any = None,
    inflation: bool = False,
    convert_from_caffe2: bool = False,
    epoch_reset: bool = False,
    clear_name_pattern: Sequence[str] = (),
    image_init: bool = False,
) -> int:
    """Load what fits into ``model`` and, unless ``epoch_reset``, the optimizer's state.

    Keys that do not fit are warned of; a file with fewer than half of the model's tensors is
    refused. ``data_parallel`` changes nothing: wrapped models are recognised.

    Returns:
        The index of the last epoch in the file, or -1 if it has none or ``epoch_reset``.

    Raises:
        UsageError: the file does not fit; Caffe2 or image initialisation is asked for.
    """
    if convert_from_caffe2 or image_init:
        raise UsageError(f"{path_to_checkpoint}: Caffe2 and image_init files are out of scope")
    load_weights(
        model,
        path_to_checkpoint,
        strict=False,
        clear_name_patterns=clear_name_pattern,
        inflate=inflation,
    )
    return -1 if epoch_reset else _restore(path_to_checkpoint, optimizer, scaler)


def _restore(path: str, optimizer: Optimizer | None, scaler: Any) -> int:
    """Load the states beside the weights; returns the epoch's index, or -1 without one."""
    extra = read_checkpoint(path).extra
    if "epoch" not in extra:
        return -1
    for part, name in ((optimizer, "optimizer_state"), (scaler, "scaler_state")):
        if part is not None and name not in extra:
            raise UsageError(f"{path}: has an epoch but no {name} to go on from")
        if part is not None:
            part.load_state_dict(extra[name])
    return int(extra["epoch"])


def load_test_checkpoint(cfg: Any, model: nn.Module) -> None:
    """Load TEST.CHECKPOINT_FILE_PATH, else the newest of OUTPUT_DIR, strictly.

    Raises:
        UsageError: there is neither, or it does not fit.
    """
    path = cfg.TEST.CHECKPOINT_FILE_PATH or get_last_checkpoint(cfg.OUTPUT_DIR, cfg.TASK)
    load_weights(model, Path(path), strict=not cfg.TEST.ALLOW_MISSING_KEYS)
