"""The meters of validation and of the multi-view test, with PySlowFast's fields."""

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
from slowfast.evaluation.metrics import mean_average_precision
from slowfast.utils import distributed as du
from slowfast.utils.logging import get_logger

logger = get_logger(__name__)


class ValMeter(Meter):
    """Statistics of one validation, and the best of all so far.

    Args:
        max_iter: iterations of a validation on this rank.
        max_epoch: epochs of the run.
        log_period: iterations between lines.
        output_dir: folder of ``json_stats.log``.
        num_classes: classes for the mean class accuracy; 0 for none.
        multi_label: labels are multi-hot: mean average precision instead of errors.
        keep_predictions: keep all predictions and labels (for the plots of TensorBoard).
    """

    def __init__(
        self,
        max_iter: int,
        *,
        max_epoch: int,
        log_period: int = 10,
        output_dir: str = "",
        num_classes: int = 0,
        multi_label: bool = False,
        keep_predictions: bool = False,
    ) -> None:
        super().__init__(output_dir)
        self.max_iter, self.max_epoch, self.log_period = max_iter, max_epoch, max(1, log_period)
        self.num_classes, self.multi_label = num_classes, multi_label
        self.keep_predictions = keep_predictions or multi_label
        self.min_top1_err = self.min_top5_err = 100.0
        self.max_map = 0.0
        self.improved = False
        self.reset()

    @classmethod
    def from_cfg(cls, cfg: Any, max_iter: int) -> ValMeter:
        """Return the meter that the options ask for."""
        board = cfg.TENSORBOARD
        figures = board.ENABLE and (board.CONFUSION_MATRIX.ENABLE or board.HISTOGRAM.ENABLE)
        return cls(
            max_iter,
            max_epoch=cfg.SOLVER.MAX_EPOCH,
            log_period=cfg.LOG_PERIOD,
            output_dir=cfg.OUTPUT_DIR,
            num_classes=cfg.MODEL.NUM_CLASSES,
            multi_label=cfg.DATA.MULTI_LABEL,
            keep_predictions=figures,
        )

    def reset(self) -> None:
        """Start a validation; the best values so far stay."""
        self.clock.reset()
        self.videos = 0.0
        self._unread: list[list[Number | None]] = []
        self._unread_sizes: list[int] = []
        self.window: deque[list[float]] = deque(maxlen=self.log_period)
        self.sums = torch.zeros(4, dtype=torch.float64)  # top1_err, top5_err, loss, samples
        self.class_counts = torch.zeros(2, max(1, self.num_classes), dtype=torch.float64)
        self.all_preds: list[Tensor] = []
        self.all_labels: list[Tensor] = []

    def update_stats(
        self,
        top1_err: Number | None,
        top5_err: Number | None,
        mb_size: int,
        loss: Number | None = None,
    ) -> None:
        """Take in one iteration of this rank: errors in percent, samples, loss."""
        self._unread.append([top1_err, top5_err, loss])
        self._unread_sizes.append(mb_size)

    def update_predictions(self, preds: Tensor, labels: Tensor) -> None:
        """Take in scores B x K and labels (int64 B, or multi-hot B x K) of one batch."""
        if self.keep_predictions:
            self.all_preds.append(preds.detach().float().cpu())
            self.all_labels.append(labels.detach().cpu())
        if self.num_classes and labels.ndim == 1:
            labels = labels.detach()
            hit = preds.detach().argmax(dim=1).eq(labels)
            for row, index in enumerate((labels[hit], labels)):
                counted = torch.bincount(index, minlength=self.num_classes)
                self.class_counts[row] += counted[: self.num_classes].cpu()

    def _read(self) -> None:
        if not self._unread:
            return
        table = read_rows(self._unread)
        sizes = torch.tensor(self._unread_sizes, dtype=torch.float64)
        self._unread, self._unread_sizes = [], []
        self.window.extend(table.tolist())
        self.sums[:3] += (table * sizes.unsqueeze(1)).sum(0)
        self.sums[3] += sizes.sum()
        self.videos = float(self.sums[3])

    def log_iter_stats(self, cur_epoch: int, cur_iter: int) -> dict[str, Any] | None:
        """Log this rank's line when the period is over and return its fields, else None."""
        if (cur_iter + 1) % self.log_period:
            return None
        self._read()
        stats = {
            "_type": "val_iter",
            "epoch": f"{cur_epoch + 1}/{self.max_epoch}",
            "iter": f"{cur_iter + 1}/{self.max_iter}",
            "time_diff": self.clock.dt,
            "eta": eta(self.clock.mean() * (self.max_iter - cur_iter - 1)),
            "gpu_mem": gpu_mem(),
        }
        for name, column in zip(("top1_err", "top5_err", "loss"), zip(*self.window)):
            value = statistics.median_low(column)
            if value == value:
                stats[name] = value
        return self.log(stats)

    def log_epoch_stats(self, cur_epoch: int) -> dict[str, Any]:
        """Put the ranks together, log the line and return its fields; every rank calls it."""
        self._read()
        parts = du.all_gather_object((self.sums, self.class_counts))
        sums = torch.stack([part[0] for part in parts]).sum(0)
        counts = torch.stack([part[1] for part in parts]).sum(0)
        stats: dict[str, Any] = {
            "_type": "val_epoch",
            "epoch": f"{cur_epoch + 1}/{self.max_epoch}",
            "time_diff": self.clock.mean(),
            "gpu_mem": gpu_mem(),
            "RAM": ram(),
            "num_videos": int(sums[3]),
        }
        means = (sums[:3] / sums[3]).tolist()  # NaN when nothing could be read
        if means[2] == means[2]:
            stats["loss"] = means[2]
        stats |= self._map_stats() if self.multi_label else self._error_stats(means)
        seen = counts[1] > 0
        if bool(seen.any()):
            stats["mean_class_acc"] = float((counts[0][seen] / counts[1][seen]).mean()) * 100.0
        return self.log(stats)

    def _error_stats(self, means: Sequence[float]) -> dict[str, float]:
        self.improved = means[0] < self.min_top1_err
        self.min_top1_err = min(self.min_top1_err, means[0])
        self.min_top5_err = min(self.min_top5_err, means[1])
        return {
            "top1_err": means[0],
            "top5_err": means[1],
            "min_top1_err": self.min_top1_err,
            "min_top5_err": self.min_top5_err,
        }

    def _map_stats(self) -> dict[str, float]:
        preds, labels = self.gathered_predictions()
        value = mean_average_precision(preds, labels)
        self.improved = value > self.max_map
        self.max_map = max(self.max_map, value)
        return {"map": value}

    def gathered_predictions(self) -> tuple[Tensor, Tensor]:
        """Return kept predictions and labels of all ranks; every rank calls it."""
        parts = du.all_gather_object((self.all_preds, self.all_labels))
        preds = [batch for part in parts for batch in part[0]]
        labels = [batch for part in parts for batch in part[1]]
        if not preds:
            return torch.zeros(0, 1), torch.zeros(0, 1)
        return torch.cat(preds), torch.cat(labels)

    def state_dict(self) -> dict[str, Any]:
        """Return the best values so far."""
        return {
            "min_top1_err": self.min_top1_err,
            "min_top5_err": self.min_top5_err,
            "max_map": self.max_map,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from the best values in ``state``."""
        self.min_top1_err = state["min_top1_err"]
        self.min_top5_err = state["min_top5_err"]
        self.max_map = state["max_map"]


class TestMeter(Meter):
    """Clock and lines of a multi-view test; the scores are the ensemble's (``ViewEnsemble``).

    Args:
        overall_iters: iterations of this rank.
        log_period: iterations between lines (PySlowFast: every one).
        output_dir: folder of ``json_stats.log``.
    """

    __test__ = False  # not for pytest

    def __init__(self, overall_iters: int, *, log_period: int = 1, output_dir: str = "") -> None:
        super().__init__(output_dir)
        self.overall_iters, self.log_period = overall_iters, max(1, log_period)

    @classmethod
    def from_cfg(cls, cfg: Any, overall_iters: int) -> TestMeter:
        """Return the meter that the options ask for."""
        return cls(overall_iters, log_period=cfg.LOG_PERIOD, output_dir=cfg.OUTPUT_DIR)

    def reset(self) -> None:
        """Start a test."""
        self.clock.reset()
        self.videos = 0.0

    def update_stats(self, mb_size: int) -> None:
        """Take in one iteration of ``mb_size`` clips of this rank."""
        self.videos += mb_size

    def log_iter_stats(self, cur_iter: int) -> dict[str, Any] | None:
        """Log the iteration line when the period is over and return its fields, else None."""
        if (cur_iter + 1) % self.log_period and cur_iter + 1 != self.overall_iters:
            return None
        return self.log(
            {
                "split": "test_iter",
                "cur_iter": str(cur_iter + 1),
                "eta": eta(self.clock.mean() * (self.overall_iters - cur_iter - 1)),
                "time_diff": self.clock.dt,
                "clips_per_s": self.rate(),
            }
        )

    def finalize(self, stats: Mapping[str, Any]) -> dict[str, Any]:
        """Log the final line and return it.

        Args:
            stats: what ``results.summarize`` returned.

        ``top<k>_acc`` is text with 2 decimals, as PySlowFast writes it; with several labels per
        video ``map`` and, for scripts that read them, both accuracies hold the mean average
        precision.
        """
        if "map" in stats:
            text = f"{stats['map']:.2f}"
            line = {"map": text, "top1_acc": text, "top5_acc": text}
        else:
            names = [name for name in stats if name.startswith("top")]
            line = {f"{name}_acc": f"{stats[name]:.2f}" for name in names}
            line["mean_class_acc"] = f"{stats['mean_class']:.2f}"
        scored, listed = stats["num_videos_scored"], stats["num_videos_listed"]
        logger.info(f"scored {scored} of {listed} videos")
        warn_slow_data(self.clock)
        return self.log(
            {
                "split": "test_final",
                **line,
                "num_videos_scored": scored,
                "num_videos_listed": listed,
                "videos_per_s": scored / self.clock.total if self.clock.total else 0.0,
            }
        )
