"""Stop a run whose loss is no number any more, or jumps."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from slowfast.errors import SlowFastError
from slowfast.structures import VideoBatch

NAMED_VIDEOS = 16
WINDOW = 5


class LossError(SlowFastError):
    """The training loss became NaN or infinite, or exploded (exit code 1)."""


class _Pending(NamedTuple):
    loss: Tensor
    ready: torch.cuda.Event | None
    where: str
    ids: Tensor


class LossWatch:
    """Look at every micro-step's loss without making the host wait for the device.

    On a CUDA device a loss is copied in the background and looked at one step later, so nothing
    waits; ``flush`` looks at the last one before anything is saved. On the CPU it is looked at
    once.

    Args:
        name_of: returns what to call the clip with an index, such as its path.
        explosion_factor: stop when the loss exceeds this multiple of the mean of the 5 before it
            (TRAIN.KILL_LOSS_EXPLOSION_FACTOR); 0 turns this off.
    """

    def __init__(
        self, name_of: Callable[[int], str] = str, *, explosion_factor: float = 0.0
    ) -> None:
        self.name_of = name_of
        self.explosion_factor = explosion_factor
        self.recent: deque[float] = deque(maxlen=WINDOW)
        self._pending: _Pending | None = None

    def look(self, loss: Tensor, batch: VideoBatch, where: str) -> None:
        """Note the loss of ``batch``; raises LossError for this step's or the step before's.

        Args:
            loss: scalar without gradient.
            batch: what it was computed on.
            where: epoch and iteration in words.
        """
        self.flush()
        ready = None
        if loss.is_cuda:
            loss = torch.empty((), dtype=loss.dtype, pin_memory=True).copy_(loss, non_blocking=True)
            ready = torch.cuda.Event()
            ready.record()
        self._pending = _Pending(loss, ready, where, batch.index)
        if ready is None:
            self.flush()

    def flush(self) -> None:
        """Look at the loss that is still under way; raises LossError."""
        if self._pending is None:
            return
        pending, self._pending = self._pending, None
        if pending.ready is not None:
            pending.ready.synchronize()
        loss = float(pending.loss)
        if not math.isfinite(loss):
            self._stop(f"the loss is {loss}", pending)
        if self.explosion_factor > 0 and len(self.recent) == WINDOW:
            mean = sum(self.recent) / WINDOW
            if loss > self.explosion_factor * mean:
                self._stop(
                    f"the loss jumped from {mean:.6g} (mean of {WINDOW} steps) to {loss:.6g}, "
                    f"above TRAIN.KILL_LOSS_EXPLOSION_FACTOR={self.explosion_factor:g}",
                    pending,
                )
        self.recent.append(loss)

    def _stop(self, what: str, pending: _Pending) -> None:
        videos = self.names(pending.ids.tolist())
        raise LossError(
            f"{what} at {pending.where}; batch: {videos}; nothing was saved since the last "
            "checkpoint. Look at these videos, or lower SOLVER.BASE_LR, or clip gradients "
            "(SOLVER.CLIP_GRAD_L2NORM)"
        )

    def names(self, ids: list[int]) -> str:
        """Return the videos of a batch in words, at most 16 of them."""
        shown = [self.name_of(index) for index in ids[:NAMED_VIDEOS]]
        more = f" and {len(ids) - NAMED_VIDEOS} more" if len(ids) > NAMED_VIDEOS else ""
        return ", ".join(shown) + more

    @property
    def last(self) -> float:
        """The newest loss that was looked at (NaN before the first)."""
        return self.recent[-1] if self.recent else float("nan")

    def state_dict(self) -> dict[str, Any]:
        """Return the losses that the explosion check compares with."""
        return {"recent": list(self.recent)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken."""
        self.recent = deque(state["recent"], maxlen=WINDOW)
