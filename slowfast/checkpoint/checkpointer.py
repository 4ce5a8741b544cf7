"""Save and find the state of a training, under PySlowFast's names.

A save is all or nothing: the file is written beside its place, synced, and renamed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

import slowfast
from slowfast.checkpoint.reader import read_content
from slowfast.errors import SlowFastError, UsageError
from slowfast.utils.logging import get_logger

logger = get_logger(__name__)

FORMAT = 1
PLAIN = (str, int, float, bool, bytes, type(None), torch.Size, torch.dtype, torch.device)


class Saved(NamedTuple):
    """A checkpoint that was read: ``state`` is the whole dict of the file."""

    path: Path
    state: dict[str, Any]


class _Found(NamedTuple):
    completed: int
    iteration: int
    path: Path


class Checkpointer:
    """The checkpoints of one job, in ``folder/checkpoints``.

    Names: ``checkpoint_epoch_00002.pyth`` after two epochs, ``checkpoint_epoch_00002_iter_0000010
    .pyth`` ten iterations into the third, ``checkpoint_best.pyth``; ``<task>_`` in front of them.

    Args:
        folder: OUTPUT_DIR.
        task: TASK; several may share a folder.
        keep_last: how many finished epochs to keep; 0 keeps all. The best is never deleted.
    """

    def __init__(self, folder: str | Path, task: str = "", keep_last: int = 0) -> None:
        self.directory = Path(folder) / "checkpoints"
        self.prefix = f"{task}_checkpoint" if task else "checkpoint"
        self.keep_last = keep_last
        numbers = rf"{re.escape(self.prefix)}_epoch_(\d+)(?:_iter_(\d+))?\.pyth"
        self._pattern = re.compile(numbers)

    @property
    def best_path(self) -> Path:
        """Where ``save(best=True)`` writes."""
        return self.directory / f"{self.prefix}_best.pyth"

    def path(self, epoch: int, iteration: int | None = None) -> Path:
        """Return the file of ``epoch`` completed epochs, and ``iteration`` of the next one."""
        within = "" if iteration is None else f"_iter_{iteration:07d}"
        return self.directory / f"{self.prefix}_epoch_{epoch:05d}{within}.pyth"

    def files(self) -> list[Path]:
        """Return the files that a run can go on from, oldest first."""
        return [found.path for found in self._found()]

    def latest(self) -> Path | None:
        """Return the newest of ``files``."""
        files = self.files()
        return files[-1] if files else None

    def save(
        self,
        stateful: Mapping[str, Any],
        *,
        epoch: int,
        iteration: int | None = None,
        best: bool = False,
    ) -> Path:
        """Write a checkpoint and return its path; only one process may call it.

        Args:
            stateful: ``model_state``, ``optimizer_state``, ``cfg`` (text) and whatever else: plain
                values and tensors in dicts and lists, so that it loads with ``weights_only=True``.
            epoch: completed epochs. In the file ``epoch`` is one less, the index of the last
                completed one, as in PySlowFast.
            iteration: iterations done of the epoch after those.
            best: write ``best_path`` instead.

        Raises:
            SlowFastError: the disk is full or refuses; older files are as they were.
        """
        content = {
            "epoch": epoch - 1,
            "iter": iteration or 0,
            **{key: _plain(value, key) for key, value in stateful.items()},
            "versions": {
                "format": FORMAT,
                "slowfast": slowfast.__version__,
                "torch": str(torch.__version__),
            },
        }
        target = self.best_path if best else self.path(epoch, iteration)
        before = self._found()
        for left_by_a_kill in self.directory.glob(f".{self.prefix}_*.tmp"):
            left_by_a_kill.unlink(missing_ok=True)
        write_atomically(content, target)
        if not best:
            self._clear(before, epoch, iteration)
        return target

    def load_latest(self) -> Saved | None:
        """Read the newest checkpoint, or the one before where that is unreadable, and say so.

        Returns:
            None if there is no checkpoint at all.

        Raises:
            UsageError: there are checkpoints and none can be read.
        """
        files = self.files()
        for path in reversed(files):
            try:
                return Saved(path, _read_training(path))
            except UsageError as error:
                logger.error(
                    f"cannot resume from the newest checkpoint, trying the one before: {error}"
                )
        if files:
            raise UsageError(
                f"{self.directory}: none of {len(files)} checkpoints can be read; remove them to "
                "start anew, or set another OUTPUT_DIR"
            )
        return None

    def _found(self) -> list[_Found]:
        if not self.directory.is_dir():
            return []
        found = []
        for path in self.directory.iterdir():
            if match := self._pattern.fullmatch(path.name):
                found.append(_Found(int(match[1]), int(match[2] or -1), path))
        return sorted(found)

    def _clear(self, before: list[_Found], epoch: int, iteration: int | None) -> None:
        """Remove what the new file replaces: files within epochs, and epochs beyond keep_last."""
        new = (epoch, -1 if iteration is None else iteration)
        stale = [f.path for f in before if f.iteration >= 0 and (f.completed, f.iteration) < new]
        if self.keep_last and iteration is None:
            whole = [f.path for f in before if f.iteration < 0 and f.completed < epoch]
            stale += whole[: max(0, len(whole) - (self.keep_last - 1))]
        for path in stale:
            path.unlink(missing_ok=True)


def write_atomically(
    content: Any, target: Path, write: Callable[[Any, BinaryIO], object] = torch.save
) -> None:
    """``write`` to ``target`` so that it appears whole or not at all.

    Raises:
        SlowFastError: the file system refuses, in one line; nothing is left behind.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            write(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except (OSError, RuntimeError) as error:
        raise SlowFastError(_why(error, target)) from error
    finally:
        with suppress(OSError):  # the folder itself may be what is wrong
            temporary.unlink(missing_ok=True)


def _why(error: BaseException, target: Path) -> str:
    """Say why a save failed; torch's writer may hide the system's error behind its own."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    reason = (getattr(cause, "strerror", None) or str(cause or error)).splitlines()[0]
    folder = next(p for p in (target.parent, *target.parent.parents) if p.exists())
    free = shutil.disk_usage(folder).free
    return (
        f"{target}: not saved: {reason} ({free / 1e6:,.0f} MB free); older files are "
        "untouched. Make room, or write elsewhere, and run the same command again"
    )


def _sync_folder(folder: Path) -> None:
    """Make the rename itself outlive a crash, where the system lets folders be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_training(path: Path) -> dict[str, Any]:
    content = read_content(path)
    if not isinstance(content, dict) or "model_state" not in content:
        raise UsageError(f"{path}: holds no model_state, so no training can go on from it")
    return {"epoch": -1, **content}  # averaged weights come without an epoch


def _plain(value: Any, where: str) -> Any:
    """Return ``value`` made of types that load without running code; NumPy's become Python's."""
    if isinstance(value, Mapping):
        return {_plain(k, where): _plain(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, list | tuple | set) and not isinstance(value, torch.Size):
        parts = [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
        return (
            parts if isinstance(value, list) else (set if isinstance(value, set) else tuple)(parts)
        )
    if type(value) in PLAIN:
        return value
    raise AssertionError(f"{where} is a {type(value).__name__}, which cannot be loaded safely")
