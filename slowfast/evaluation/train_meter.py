"""The meter of a training epoch, with PySlowFast's fields."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from slowfast.evaluation.measuring import (
    Meter,
    Number,
    eta,
    gpu_mem,
    ram,
    read_rows,
    warn_slow_data,
)
from slowfast.utils import distributed as du


class TrainMeter(Meter):
    """Statistics of one training epoch.

    Args:
        epoch_iters: iterations of an epoch.
        max_epoch: epochs of the run, for ``epoch`` and ``eta``.
        log_period: iterations between iteration lines, and window of their medians.
        output_dir: folder of ``json_stats.log``; empty for none.
    """

    COLUMNS = ("top1_err", "top5_err", "loss", "grad_norm")

    def __init__(
        self, epoch_iters: int, *, max_epoch: int, log_period: int = 10, output_dir: str = ""
    ) -> None:
        super().__init__(output_dir)
        self.epoch_iters, self.max_epoch = epoch_iters, max_epoch
        self.log_period = max(1, log_period)
        self.reset()

    @classmethod
    def from_cfg(cls, cfg: Any, epoch_iters: int) -> TrainMeter:
        """Return the meter that the options ask for."""
        return cls(
            epoch_iters,
            max_epoch=cfg.SOLVER.MAX_EPOCH,
            log_period=cfg.LOG_PERIOD,
            output_dir=cfg.OUTPUT_DIR,
        )

    def reset(self) -> None:
        """Start an epoch."""
        self.clock.reset()
        self.videos = 0.0
        self.lr = 0.0
        self.names: list[str] = list(self.COLUMNS)
        self._unread: list[list[Number | None]] = []
        self._unread_sizes: list[int] = []
        self.window: deque[list[float]] = deque(maxlen=self.log_period)
        self.sums: dict[str, float] = {}
        self.weights: dict[str, float] = {}

    def update_stats(
        self,
        top1_err: Number | None,
        top5_err: Number | None,
        loss: Number,
        lr: float,
        grad_norm: Number | None,
        mb_size: int,
        multi_loss: Sequence[Number] | Mapping[str, Number] | None = None,
    ) -> None:
        """Take in one iteration of this rank.

        Args:
            top1_err: error in percent, or None where a loss has no classes.
            top5_err: the same for the first five.
            loss: the loss that was minimised.
            lr: learning rate of the step.
            grad_norm: gradient norm before clipping, or None.
            mb_size: samples of this rank's batch.
            multi_loss: further terms, logged as ``loss_<number or name>``.
        """
        terms = multi_loss or {}
        named = terms if isinstance(terms, Mapping) else {str(i): v for i, v in enumerate(terms)}
        names = [*self.COLUMNS, *(f"loss_{name}" for name in named)]
        if names != self.names:
            self.read()
            self.window.clear()
            self.names = names
        self._unread.append([top1_err, top5_err, loss, grad_norm, *named.values()])
        self._unread_sizes.append(mb_size)
        self.lr = lr

    def read(self) -> None:
        """Bring in what was measured since the last call; every rank calls it at the same time.

        Values are averaged over ranks, weighted by their samples.
        """
        if not self._unread:
            return
        table = read_rows(self._unread)
        sizes = torch.tensor(self._unread_sizes, dtype=torch.float64).unsqueeze(1)
        self._unread, self._unread_sizes = [], []
        summed = torch.cat([table * sizes, sizes], dim=1)
        total = sum(du.all_gather_object(summed))
        assert isinstance(total, Tensor)
        weights = total[:, -1]
        means = total[:, :-1] / weights.unsqueeze(1)
        self.window.extend(means.tolist())
        self.videos += float(weights.sum())
        for name, column in zip(self.names, means.unbind(1)):
            known = torch.ones_like(column) if name == "loss" else (~column.isnan()).double()
            value = (column if name == "loss" else column.nan_to_num()) * weights
            self.sums[name] = self.sums.get(name, 0.0) + float(value.sum())
            self.weights[name] = self.weights.get(name, 0.0) + float((known * weights).sum())

    def _medians(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, column in zip(self.names, zip(*self.window)):
            known = [v for v in column if v == v or name == "loss"]
            if known:
                found[name] = known[-1] if name == "grad_norm" else statistics.median_low(known)
        return found

    def log_iter_stats(self, cur_epoch: int, cur_iter: int) -> dict[str, Any] | None:
        """Log the iteration line when the period is over and return its fields, else None.

        ``cur_epoch`` and ``cur_iter`` count from 0. Every rank calls it after ``iter_toc``.
        """
        if (cur_iter + 1) % self.log_period:
            return None
        self.read()
        left = (self.max_epoch - cur_epoch) * self.epoch_iters - (cur_iter + 1)
        return self.log(
            {
                "_type": "train_iter_",
                "epoch": f"{cur_epoch + 1}/{self.max_epoch}",
                "iter": f"{cur_iter + 1}/{self.epoch_iters}",
                "dt": self.clock.dt,
                "dt_data": self.clock.dt_data,
                "dt_net": self.clock.dt_net,
                "eta": eta(self.clock.mean() * left),
                "lr": self.lr,
                "gpu_mem": gpu_mem(),
                "videos_per_s": self.rate(),
                **self._medians(),
            }
        )

    def log_epoch_stats(self, cur_epoch: int) -> dict[str, Any]:
        """Log the epoch line, warn when the loader is the bottleneck, and return the fields.

        ``dt``, ``dt_data`` and ``dt_net`` are means over the epoch. Every rank calls it.
        """
        self.read()
        means = {
            name: self.sums[name] / self.weights[name] for name in self.sums if self.weights[name]
        }
        left = (self.max_epoch - (cur_epoch + 1)) * self.epoch_iters
        dt, share = self.clock.mean(), self.clock.data_share()
        stats = {
            "_type": "train_epoch",
            "epoch": f"{cur_epoch + 1}/{self.max_epoch}",
            "dt": dt,
            "dt_data": dt * share,
            "dt_net": dt * (1 - share),
            "eta": eta(dt * left),
            "lr": self.lr,
            "gpu_mem": gpu_mem(),
            "RAM": ram(),
            "videos_per_s": self.rate(),
            **means,
        }
        warn_slow_data(self.clock)
        return self.log(stats)

    def state_dict(self) -> dict[str, Any]:
        """Return the state in the middle of an epoch, in plain types; every rank calls it."""
        self.read()
        return {
            "names": list(self.names),
            "window": [list(row) for row in self.window],
            "sums": dict(self.sums),
            "weights": dict(self.weights),
            "videos": self.videos,
            "time": [self.clock.total, self.clock.total_data, self.clock.count],
            "lr": self.lr,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``."""
        self.reset()
        self.names = list(state["names"])
        self.window.extend(list(row) for row in state["window"])
        self.sums, self.weights = dict(state["sums"]), dict(state["weights"])
        self.videos, self.lr = state["videos"], state["lr"]
        self.clock.total, self.clock.total_data, self.clock.count = state["time"]
