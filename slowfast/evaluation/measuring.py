"""The parts of the meters: running values, the clock of a loop, and what all meters share."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from slowfast.utils import distributed as du
from slowfast.utils.logging import get_logger, log_json_stats
from slowfast.utils.misc import cpu_mem_usage, gpu_mem_usage

if TYPE_CHECKING:
    from typing_extensions import Self

SLOW_DATA = 0.3
LONG_ENOUGH = 10.0
Number = float | Tensor
logger = get_logger(__name__)


class ScalarMeter:
    """Median and mean of the last ``window_size`` values, and the mean of all."""

    def __init__(self, window_size: int) -> None:
        self.deque: deque[float] = deque(maxlen=max(1, window_size))
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.deque.clear()
        self.total, self.count = 0.0, 0

    def add_value(self, value: float) -> None:
        """Take in one value."""
        self.deque.append(value)
        self.total += value
        self.count += 1

    def get_win_median(self) -> float:
        """Return the median over the window (of an even number: the mean of the middle two)."""
        return float(np.median(self.deque))

    def get_win_avg(self) -> float:
        """Return the mean over the window."""
        return float(np.mean(self.deque))

    def get_global_avg(self) -> float:
        """Return the mean of all values since the last reset."""
        return self.total / self.count


class Averages:
    """Named numbers of a loop's iterations: medians of the last ones, means of all by samples.

    ``add`` takes 0-d tensors as they come; ``read`` fetches what was added since, in one transfer,
    so that measuring does not make the loop wait for the device.

    Args:
        window: iterations of the medians.
    """

    def __init__(self, window: int) -> None:
        self.window: deque[dict[str, float]] = deque(maxlen=window)
        self.last: dict[str, float] = {}
        self.sums: dict[str, float] = {}
        self.samples: dict[str, int] = {}
        self.videos = 0
        self._unread: list[tuple[dict[str, Number], int]] = []

    def add(self, numbers: Mapping[str, Number | None], size: int) -> None:
        """Take in one iteration of this rank with ``size`` samples; None is not measured."""
        self._unread.append(({k: v for k, v in numbers.items() if v is not None}, size))

    def read(self, *, together: bool) -> None:
        """Bring in what was added since the last call.

        ``together``: as the mean over ranks, weighted by their samples; every rank calls it at the
        same iteration then.
        """
        values = iter(_floats([value for row, _ in self._unread for value in row.values()]))
        rows = [({name: next(values) for name in row}, size) for row, size in self._unread]
        if not rows:
            return
        self._unread = []
        for same in zip(*(du.all_gather_object(rows) if together else [rows]), strict=True):
            row = {}
            for name in dict.fromkeys(name for found, _ in same for name in found):
                parts = [(found[name], size) for found, size in same if name in found]
                total, size = sum(v * n for v, n in parts), sum(n for _, n in parts)
                row[name] = total / size
                self.sums[name] = self.sums.get(name, 0.0) + total
                self.samples[name] = self.samples.get(name, 0) + size
            self.videos += sum(size for _, size in same)
            self.window.append(row)
            self.last.update(row)

    def medians(self) -> dict[str, float]:
        """Return the median of each number over the window."""
        names = dict.fromkeys(name for row in self.window for name in row)
        return {n: float(np.median([row[n] for row in self.window if n in row])) for n in names}

    def means(self) -> dict[str, float]:
        """Return the mean of each number over all samples."""
        return {name: total / self.samples[name] for name, total in self.sums.items()}

    def of_all_ranks(self) -> Averages:
        """Return sums over ranks that were read apart; every rank calls it."""
        found = Averages(1)
        for part in du.all_gather_object((self.sums, self.samples, self.videos)):
            for name, total in part[0].items():
                found.sums[name] = found.sums.get(name, 0.0) + total
                found.samples[name] = found.samples.get(name, 0) + part[1][name]
            found.videos += part[2]
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return everything that was read, in plain types."""
        names = ("last", "sums", "samples", "videos")
        return {"window": list(self.window), **{name: getattr(self, name) for name in names}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``."""
        self.window.extend(state["window"])
        self.last, self.sums = dict(state["last"]), dict(state["sums"])
        self.samples, self.videos = dict(state["samples"]), state["videos"]


def _floats(values: Sequence[Number]) -> list[float]:
    """Return numbers and 0-d tensors as floats, with one transfer for all on a device."""
    on_device = [v.detach().double() for v in values if isinstance(v, Tensor) and v.is_cuda]
    moved = iter(torch.stack(on_device).tolist() if on_device else ())
    return [next(moved) if isinstance(v, Tensor) and v.is_cuda else float(v) for v in values]


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
    """A loop's clock and its averages, which all meters share.

    ``dt``, ``dt_data`` and ``dt_net`` are the seconds of the last iteration: all of it, the wait
    for data, the rest; ``total``, ``total_data`` and ``count`` are those of all since the reset.

    Args:
        iters: iterations of a pass over the data on this rank.
        max_epoch: passes of the run, for ``epoch`` and ``eta``.
        log_period: iterations between lines, and window of their medians.
        output_dir: folder of ``json_stats.log``; empty for none.
    """

    seconds: Callable[[], float] = staticmethod(time.perf_counter)

    def __init__(
        self, iters: int, *, max_epoch: int = 1, log_period: int = 10, output_dir: str = ""
    ) -> None:
        self.iters, self.max_epoch = iters, max_epoch
        self.log_period, self.output_dir = max(1, log_period), output_dir
        self.reset()

    @classmethod
    def from_cfg(cls, cfg: Any, iters: int, **further: Any) -> Self:
        """Return the meter that the options ask for; ``further`` are a kind's own arguments."""
        period, folder = cfg.LOG_PERIOD, cfg.OUTPUT_DIR
        epochs = cfg.SOLVER.MAX_EPOCH
        return cls(iters, max_epoch=epochs, log_period=period, output_dir=folder, **further)

    def reset(self) -> None:
        """Start a pass over the data."""
        self.dt = self.dt_data = self.dt_net = 0.0
        self.total = self.total_data = 0.0
        self.count = 0
        self.averages = Averages(self.log_period)
        self.iter_tic()

    def iter_tic(self) -> None:
        """Start an iteration, before the batch is asked for."""
        self.start = self.arrived = self.seconds()

    def data_toc(self) -> None:
        """Note that the batch is here."""
        self.arrived = self.seconds()

    def iter_toc(self) -> None:
        """End the iteration."""
        now = self.seconds()
        self.dt, self.dt_data = now - self.start, self.arrived - self.start
        self.dt_net = now - self.arrived
        self.total += self.dt
        self.total_data += self.dt_data
        self.count += 1

    def mean(self) -> float:
        """Return the mean seconds of an iteration (0 before the first)."""
        return self.total / self.count if self.count else 0.0

    def eta(self, iterations: int) -> str:
        """Return how long ``iterations`` more will take."""
        return eta(self.mean() * iterations)

    def data_share(self) -> float:
        """Return the share of the time that was spent waiting for data."""
        return self.total_data / self.total if self.total else 0.0

    def rate(self) -> float:
        """Return videos per second, the wait for data included."""
        return self.averages.videos / self.total if self.total else 0.0

    def log(self, stats: dict[str, Any]) -> dict[str, Any]:
        """Write one statistics line and return its fields."""
        log_json_stats(stats, self.output_dir)
        return stats

    def warn_slow_data(self) -> None:
        """Warn when more than 30 % of a time that is worth a warning went into waiting for data."""
        share = self.data_share()
        if share > SLOW_DATA and self.total >= LONG_ENOUGH:
            logger.warning(
                f"{share:.0%} of the time was spent waiting for data: raise "
                "DATA_LOADER.NUM_WORKERS, or store smaller videos (dt_data of the lines above)"
            )
