"""The parts of the meters: running values, the clock of a loop, and what all meters share."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from slowfast.utils.logging import get_logger, log_json_stats
from slowfast.utils.misc import cpu_mem_usage, gpu_mem_usage

SLOW_DATA = 0.3
LONG_ENOUGH = 10.0
Number = float | Tensor
logger = get_logger(__name__)


class ScalarMeter:
    """Median and mean of the last ``window_size`` values, and the mean of all."""

    def __init__(self, window_size: int) -> None:
        self.window: deque[float] = deque(maxlen=max(1, window_size))
        self.total = 0.0
        self.count = 0

    def reset(self) -> None:
        """Forget everything."""
        self.window.clear()
        self.total, self.count = 0.0, 0

    def add_value(self, value: float) -> None:
        """Take in one value."""
        self.window.append(value)
        self.total += value
        self.count += 1

    def get_win_median(self) -> float:
        """Return the median over the window (of an even number: the lower middle one, as torch)."""
        return statistics.median_low(self.window)

    def get_win_avg(self) -> float:
        """Return the mean over the window."""
        return statistics.fmean(self.window)

    def get_global_avg(self) -> float:
        """Return the mean of all values since the last reset."""
        return self.total / self.count


class IterationClock:
    """Seconds of the last iteration (all, data, network) and of all since the reset.

    ``clock`` is a function that returns seconds, for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget all iterations and start one now."""
        self.dt = self.dt_data = self.dt_net = 0.0
        self.total = self.total_data = 0.0
        self.count = 0
        self.tic()

    def tic(self) -> None:
        """Start an iteration: what follows is waiting for data."""
        self.start = self.arrived = self.clock()

    def data(self) -> None:
        """Note that the batch has arrived."""
        self.arrived = self.clock()

    def toc(self) -> None:
        """End the iteration."""
        now = self.clock()
        self.dt, self.dt_data, self.dt_net = (
            now - self.start,
            self.arrived - self.start,
            now - self.arrived,
        )
        self.total += self.dt
        self.total_data += self.dt_data
        self.count += 1

    def mean(self) -> float:
        """Return the mean seconds of an iteration (0 before the first)."""
        return self.total / self.count if self.count else 0.0

    def data_share(self) -> float:
        """Return the share of the time that was spent waiting for data."""
        return self.total_data / self.total if self.total else 0.0


def eta(seconds: float) -> str:
    """Return whole seconds as "h:mm:ss", with days in front where needed.

    >>> eta(3725.4)
    '1:02:05'
    """
    return str(timedelta(seconds=int(seconds)))


def gpu_mem() -> str:
    """Return the peak of device memory as in PySlowFast's lines, such as "1.50G"."""
    return f"{gpu_mem_usage():.2f}G"


def ram() -> str:
    """Return used and total memory of the machine, such as "12.00/31.00G"."""
    used, total = cpu_mem_usage()
    return f"{used:.2f}/{total:.2f}G"


class Meter:
    """Clock and output folder, which all meters share."""

    def __init__(self, output_dir: str = "") -> None:
        self.output_dir = output_dir
        self.clock = IterationClock()
        self.videos = 0.0

    def iter_tic(self) -> None:
        """Start an iteration, before the batch is asked for."""
        self.clock.tic()

    def data_toc(self) -> None:
        """Note that the batch is here."""
        self.clock.data()

    def iter_toc(self) -> None:
        """End the iteration."""
        self.clock.toc()

    def rate(self) -> float:
        """Return videos per second, the wait for data included."""
        return self.videos / self.clock.total if self.clock.total else 0.0

    def log(self, stats: dict[str, Any]) -> dict[str, Any]:
        """Write one statistics line and return its fields."""
        log_json_stats(stats, self.output_dir)
        return stats


def _column(value: Number | None) -> Tensor:
    if value is None:
        return torch.tensor(torch.nan, dtype=torch.float64)
    return torch.as_tensor(value).detach().double().reshape(())


def read_rows(rows: list[list[Number | None]]) -> Tensor:
    """Return numbers and 0-d tensors as one float64 table on the CPU: one transfer per device."""
    flat = [value for row in rows for value in row]
    on_device = [value for value in flat if isinstance(value, Tensor) and value.is_cuda]
    moved = iter(torch.stack([v.detach().double() for v in on_device]).cpu() if on_device else ())
    read = [next(moved) if isinstance(v, Tensor) and v.is_cuda else _column(v) for v in flat]
    return torch.stack(read).view(len(rows), -1)


def warn_slow_data(clock: IterationClock) -> None:
    """Warn when more than 30 % of a time that is worth a warning went into waiting for data."""
    share = clock.data_share()
    if share > SLOW_DATA and clock.total >= LONG_ENOUGH:
        logger.warning(
            f"{share:.0%} of the time was spent waiting for data: raise DATA_LOADER.NUM_WORKERS, "
            "or store smaller videos (dt_data of the lines above)"
        )
