"""PySlowFast's import path and constructors of the meters of ``slowfast.evaluation``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from slowfast.evaluation import meters
from slowfast.evaluation.measuring import ScalarMeter
from slowfast.evaluation.multiview import ViewEnsemble
from slowfast.evaluation.results import summarize

__all__ = ["ScalarMeter", "TestMeter", "TrainMeter", "ValMeter"]


def TrainMeter(epoch_iters: int, cfg: Any) -> meters.TrainMeter:
    """Return the training meter of ``cfg`` for epochs of ``epoch_iters`` iterations."""
    return meters.TrainMeter.from_cfg(cfg, epoch_iters)


def ValMeter(max_iter: int, cfg: Any) -> meters.ValMeter:
    """Return the validation meter of ``cfg`` for validations of ``max_iter`` iterations."""
    return meters.ValMeter.from_cfg(cfg, max_iter)


class TestMeter(meters.TestMeter):
    """The test meter with PySlowFast's constructor: it adds up whatever the model returned.

    Args:
        num_videos: videos of the list.
        num_clips: views of each.
        num_cls: number of classes.
        overall_iters: iterations of the test.
        multi_label: whether labels are multi-hot.
        ensemble_method: "sum" or "max".
    """

    def __init__(
        self,
        num_videos: int,
        num_clips: int,
        num_cls: int,
        overall_iters: int,
        multi_label: bool = False,
        ensemble_method: str = "sum",
    ) -> None:
        super().__init__(overall_iters, log_period=1)
        self.num_cls = num_cls
        self.ensemble = ViewEnsemble(
            num_videos, num_clips, space="logit", method=ensemble_method, multi_label=multi_label
        )

    def update_stats(  # type: ignore[override]
        self, preds: Tensor, labels: Tensor, clip_ids: Tensor
    ) -> None:
        """Take in scores B x K, labels and clip indices of this rank."""
        super().update_stats(len(preds))
        self.ensemble.update(preds, labels, clip_ids)

    def finalize_metrics(self, ks: Sequence[int] = (1, 5)) -> dict[str, Any]:
        """Log the final line and return its fields; every rank calls it."""
        videos = self.ensemble.gather()
        self.video_preds, self.video_labels = videos.scores, videos.labels
        return self.finalize(summarize(videos, ks=ks))
