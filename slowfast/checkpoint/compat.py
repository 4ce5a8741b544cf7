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
    extra = read_checkpoint(path_to_checkpoint).extra
    if epoch_reset or "epoch" not in extra:
        return -1
    for part, name in ((optimizer, "optimizer_state"), (scaler, "scaler_state")):
        if part is not None and name not in extra:
            raise UsageError(f"{path_to_checkpoint}: has an epoch but no {name} to go on from")
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
