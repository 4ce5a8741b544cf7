"""SIGINT and SIGTERM as a polite request: finish the optimizer step, save, leave with 130."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist

from slowfast.errors import Interrupted
from slowfast.utils import distributed as du
from slowfast.utils.logging import get_logger

SIGNALS = (signal.SIGINT, signal.SIGTERM)
logger = get_logger(__name__)


class StopRequest:
    """Listen for SIGINT and SIGTERM while the ``with`` block runs.

    The first signal sets a flag that the training loop looks at between optimizer steps; inside
    ``immediately`` it raises Interrupted on the spot. A second signal does what it would have done
    without us, so that a hung run can be ended. Forked loading processes, which inherit the
    handlers, pass over the first signal (see also ``datasets.loader.WorkerInit``): a Ctrl-C or a
    queue's SIGTERM reaches the whole process group, and the batch in flight is still wanted.

    Args:
        device: where the ranks agree about the flag (NCCL has no CPU collectives).
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.received: int | None = None
        self._owner = os.getpid()
        self._immediate = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        # Python allows handlers in the main thread only; elsewhere there is nothing to listen to.
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self._restore()
            os.kill(os.getpid(), number)
            return
        self.received = number
        if os.getpid() != self._owner:
            return
        if self._immediate:
            raise Interrupted(self.message())
        logger.warning(f"{signal.Signals(number).name}: saving after this step, then leaving")

    def message(self, where: str = "") -> str:
        """Return the line that the run ends with; ``where`` says what was saved."""
        name = signal.Signals(self.received).name if self.received is not None else "another rank"
        return f"interrupted by {name}" + (f"; {where}" if where else "")

    def agreed(self) -> bool:
        """Return whether any rank was asked to stop; with several ranks, all must call it."""
        if du.get_world_size() == 1:
            return self.received is not None
        flag = torch.tensor(float(self.received is not None), device=self.device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag.item())

    @contextmanager
    def immediately(self) -> Iterator[None]:
        """Raise Interrupted as soon as a signal comes, for work that need not be finished."""
        if self.received is not None:
            raise Interrupted(self.message())
        self._immediate = True
        try:
            yield
        finally:
            self._immediate = False
