"""The meters of training, validation and the multi-view test, with PySlowFast's fields.

Errors are percentages, times seconds. Iteration lines hold medians of the last log period, epoch
lines means over all samples; ``grad_norm`` is that of the last step in both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from slowfast.evaluation.measuring import Meter, Number, gpu_mem, ram
from slowfast.evaluation.metrics import mean_average_precision
from slowfast.utils import distributed as du
from slowfast.utils.logging import get_logger

if TYPE_CHECKING:
    from typing_extensions import Self

logger = get_logger(__name__)


class TrainMeter(Meter):
    """Statistics of one training epoch; arguments as in ``Meter``."""

    def reset(self) -> None:
        """Start an epoch."""
        super().reset()
        self.lr = 0.0

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
            grad_norm: gradient norm before clipping, or None without an optimizer step.
            mb_size: samples of this rank's batch.
            multi_loss: further terms, logged as ``loss_<number or name>``.
        """
        terms = multi_loss or {}
        named = terms.items() if isinstance(terms, Mapping) else enumerate(terms)
        measured = {"top1_err": top1_err, "top5_err": top5_err, "loss": loss}
        further = {f"loss_{name}": value for name, value in named}
        self.averages.add({**measured, "grad_norm": grad_norm, **further}, mb_size)
        self.lr = lr

    def log_iter_stats(self, cur_epoch: int, cur_iter: int) -> dict[str, Any] | None:
        """Log the iteration line when the period is over and return its fields, else None.

        ``cur_epoch`` and ``cur_iter`` count from 0. Every rank calls it after ``iter_toc``.
        """
        if (cur_iter + 1) % self.log_period:
            return None
        self.averages.read(together=True)
        left = (self.max_epoch - cur_epoch) * self.iters - (cur_iter + 1)
        times = {"dt": self.dt, "dt_data": self.dt_data, "dt_net": self.dt_net}
        place = {"epoch": f"{cur_epoch + 1}/{self.max_epoch}"}
        place["iter"] = f"{cur_iter + 1}/{self.iters}"
        return self._log("train_iter_", {**place, **times}, left, self.averages.medians())

    def log_epoch_stats(self, cur_epoch: int) -> dict[str, Any]:
        """Log the epoch line, warn when the loader is the bottleneck, and return the fields.

        ``dt``, ``dt_data`` and ``dt_net`` are means over the epoch. Every rank calls it.
        """
        self.averages.read(together=True)
        left = (self.max_epoch - (cur_epoch + 1)) * self.iters
        dt, share = self.mean(), self.data_share()
        times = {"dt": dt, "dt_data": dt * share, "dt_net": dt * (1 - share), "RAM": ram()}
        place = {"epoch": f"{cur_epoch + 1}/{self.max_epoch}"}
        self.warn_slow_data()
        return self._log("train_epoch", {**place, **times}, left, self.averages.means())

    def _log(
        self, kind: str, fields: Mapping[str, Any], left: int, numbers: Mapping[str, float]
    ) -> dict[str, Any]:
        norm = {name: v for name, v in self.averages.last.items() if name == "grad_norm"}
        return self.log(
            {
                "_type": kind,
                **fields,
                "eta": self.eta(left),
                "lr": self.lr,
                "gpu_mem": gpu_mem(),
                "videos_per_s": self.rate(),
                **numbers,
                **norm,
            }
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the state in the middle of an epoch, in plain types; every rank calls it."""
        self.averages.read(together=True)
        time = [self.total, self.total_data, self.count]
        return {"averages": self.averages.state_dict(), "time": time, "lr": self.lr}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``."""
        self.reset()
        self.averages.load_state_dict(state["averages"])
        self.total, self.total_data, self.count = state["time"]
        self.lr = state["lr"]


class ValMeter(Meter):
    """Statistics of one validation, and the best of all so far; further arguments as in ``Meter``.

    Args:
        iters: iterations of a validation on this rank.
        num_classes: classes for the mean class accuracy; 0 for none.
        multi_label: labels are multi-hot: mean average precision instead of errors.
        keep_predictions: keep all predictions and labels (for the plots of TensorBoard).
    """

    def __init__(
        self,
        iters: int,
        *,
        num_classes: int = 0,
        multi_label: bool = False,
        keep_predictions: bool = False,
        **common: Any,
    ) -> None:
        self.num_classes, self.multi_label = num_classes, multi_label
        self.keep_predictions = keep_predictions or multi_label
        self.min_top1_err = self.min_top5_err = 100.0
        self.max_map = 0.0
        self.improved = False
        super().__init__(iters, **common)

    @classmethod
    def from_cfg(cls, cfg: Any, iters: int, **further: Any) -> Self:
        """Return the meter that the options ask for."""
        board = cfg.TENSORBOARD
        figures = board.ENABLE and (board.CONFUSION_MATRIX.ENABLE or board.HISTOGRAM.ENABLE)
        own = {"num_classes": cfg.MODEL.NUM_CLASSES, "multi_label": cfg.DATA.MULTI_LABEL}
        return super().from_cfg(cfg, iters, keep_predictions=figures, **own, **further)

    def reset(self) -> None:
        """Start a validation; the best values so far stay."""
        super().reset()
        self.class_counts = torch.zeros(2, self.num_classes, dtype=torch.int64)  # right, all
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
        self.averages.add({"top1_err": top1_err, "top5_err": top5_err, "loss": loss}, mb_size)

    def update_predictions(self, preds: Tensor, labels: Tensor) -> None:
        """Take in scores B x K and labels (int64 B, or multi-hot B x K) of one batch."""
        preds, labels = preds.detach(), labels.detach()
        if self.keep_predictions:
            self.all_preds.append(preds.float().cpu())
            self.all_labels.append(labels.cpu())
        if self.num_classes and labels.ndim == 1:
            hit = preds.argmax(dim=1).eq(labels)
            for row, index in enumerate((labels[hit], labels)):
                counted = torch.bincount(index, minlength=self.num_classes)
                self.class_counts[row] += counted[: self.num_classes].cpu()

    def log_iter_stats(self, cur_epoch: int, cur_iter: int) -> dict[str, Any] | None:
        """Log this rank's line when the period is over and return its fields, else None."""
        if (cur_iter + 1) % self.log_period:
            return None
        self.averages.read(together=False)
        return self.log(
            {
                "_type": "val_iter",
                "epoch": f"{cur_epoch + 1}/{self.max_epoch}",
                "iter": f"{cur_iter + 1}/{self.iters}",
                "time_diff": self.dt,
                "eta": self.eta(self.iters - cur_iter - 1),
                "gpu_mem": gpu_mem(),
                **self.averages.medians(),
            }
        )

    def log_epoch_stats(self, cur_epoch: int) -> dict[str, Any]:
        """Put the ranks together, log the line and return its fields; every rank calls it."""
        self.averages.read(together=False)
        averages = self.averages.of_all_ranks()
        right, seen = torch.stack(du.all_gather_object(self.class_counts)).sum(0).double()
        means = averages.means()
        stats: dict[str, Any] = {
            "_type": "val_epoch",
            "epoch": f"{cur_epoch + 1}/{self.max_epoch}",
            "time_diff": self.mean(),
            "gpu_mem": gpu_mem(),
            "RAM": ram(),
            "num_videos": averages.videos,
            **{name: value for name, value in means.items() if name == "loss"},
            **(self._map_stats() if self.multi_label else self._error_stats(means)),
        }
        if bool(seen.any()):
            stats["mean_class_acc"] = float((right / seen).nanmean()) * 100.0
        return self.log(stats)

    def _error_stats(self, means: Mapping[str, float]) -> dict[str, float]:
        top1, top5 = (means.get(name, math.nan) for name in ("top1_err", "top5_err"))
        self.improved = top1 < self.min_top1_err
        self.min_top1_err = min(self.min_top1_err, top1)
        self.min_top5_err = min(self.min_top5_err, top5)
        best = {"min_top1_err": self.min_top1_err, "min_top5_err": self.min_top5_err}
        return {"top1_err": top1, "top5_err": top5, **best}

    def _map_stats(self) -> dict[str, float]:
        value = mean_average_precision(*self.gathered_predictions())
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
        return {name: getattr(self, name) for name in ("min_top1_err", "min_top5_err", "max_map")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from the best values in ``state``."""
        for name in self.state_dict():
            setattr(self, name, state[name])


class TestMeter(Meter):
    """Clock and lines of a multi-view test; the scores are the ensemble's (``ViewEnsemble``)."""

    __test__ = False  # not for pytest

    def update_stats(self, mb_size: int) -> None:
        """Take in one iteration of ``mb_size`` clips of this rank."""
        self.averages.videos += mb_size

    def log_iter_stats(self, cur_iter: int) -> dict[str, Any] | None:
        """Log the iteration line when the period is over and return its fields, else None."""
        if (cur_iter + 1) % self.log_period and cur_iter + 1 != self.iters:
            return None
        return self.log(
            {
                "split": "test_iter",
                "cur_iter": str(cur_iter + 1),
                "eta": self.eta(self.iters - cur_iter - 1),
                "time_diff": self.dt,
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
            line = dict.fromkeys(("map", "top1_acc", "top5_acc"), f"{stats['map']:.2f}")
        else:
            line = {f"{k}_acc": f"{v:.2f}" for k, v in stats.items() if k.startswith("top")}
            line["mean_class_acc"] = f"{stats['mean_class']:.2f}"
        scored, listed = stats["num_videos_scored"], stats["num_videos_listed"]
        logger.info(f"scored {scored} of {listed} videos")
        self.warn_slow_data()
        return self.log(
            {
                "split": "test_final",
                **line,
                "num_videos_scored": scored,
                "num_videos_listed": listed,
                "videos_per_s": scored / self.total if self.total else 0.0,
            }
        )
