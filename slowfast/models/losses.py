"""Losses by name. B batch (of all processes for the contrastive one), K classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.errors import UsageError
from slowfast.structures import ModelOutput
from slowfast.utils.registry import Registry

Reduction = Literal["mean", "sum", "none"]
LossFunction = Callable[[ModelOutput, Tensor], dict[str, Tensor]]


class SoftTargetCrossEntropy(nn.Module):
    """Cross-entropy with soft targets B x K (not normalised), or int64 labels B as one-hot ones.

    Args:
        reduction: over the samples.
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, logits_BK: Tensor, target: Tensor) -> Tensor:
        """Return minus the sum over classes of target times log-probability."""
        if not target.is_floating_point():
            return F.cross_entropy(logits_BK, target, reduction=self.reduction)
        loss_B = -(target * logits_BK.log_softmax(dim=-1)).sum(dim=-1)
        return loss_B if self.reduction == "none" else getattr(loss_B, self.reduction)()


class OSTContrastive(nn.Module):
    """OST's symmetric objective over the batch matrix (paper eq. 14-15 as released).

    The target of a row is the softmax of ``temperature`` times the matrix of equal labels, not a
    normalised indicator. Each direction is KL(target, prediction) summed over the matrix and
    divided by B; they are added without the paper's factor 1/2.

    Args:
        temperature: of the target; not in the paper.
        reduction: of the two directions: "mean" or "sum" give their sum, "none" both.
    """

    def __init__(self, reduction: Reduction = "mean", temperature: float = 10.0) -> None:
        super().__init__()
        self.reduction = reduction
        self.temperature = temperature

    def directions(self, logits_BB: Tensor, labels_B: Tensor) -> dict[str, Tensor]:
        """Return the terms ``video_to_text`` and ``text_to_video``."""
        if labels_B.is_floating_point() or labels_B.ndim != 1:
            raise UsageError(
                "MODEL.LOSS_FUNC ost_contrastive needs class labels, but these are mixed or "
                "smoothed: switch MIXUP.ENABLE and label smoothing off"
            )
        if logits_BB.shape != (len(labels_B), len(labels_B)):
            raise UsageError(
                f"MODEL.LOSS_FUNC ost_contrastive needs the batch's own square of logits, found "
                f"{tuple(logits_BB.shape)} for {len(labels_B)} labels: the model must be in "
                "training mode and have a head that scores texts (OSTHead, CategoryHead)"
            )
        same_BB = (labels_B[:, None] == labels_B[None, :]).to(logits_BB.dtype)
        target_BB = (self.temperature * same_BB).softmax(dim=-1)
        return {
            "video_to_text": _divergence(logits_BB, target_BB),
            "text_to_video": _divergence(logits_BB.mT, target_BB),
        }

    def forward(self, logits_BB: Tensor, labels_B: Tensor) -> Tensor:
        """Return the sum of both directions (or both, unreduced)."""
        terms = torch.stack(list(self.directions(logits_BB, labels_B).values()))
        return terms if self.reduction == "none" else terms.sum()


def _divergence(logits_BB: Tensor, target_BB: Tensor) -> Tensor:
    return F.kl_div(logits_BB.log_softmax(dim=-1), target_BB, reduction="batchmean")


LOSS_REGISTRY = Registry(
    "LOSS",
    contract="obj(cfg) -> loss; loss(output, labels) -> {term: scalar}, their sum counts",
)
_CLASSES: dict[str, type[nn.Module]] = {
    "cross_entropy": nn.CrossEntropyLoss,
    "bce": nn.BCELoss,
    "bce_logit": nn.BCEWithLogitsLoss,
    "soft_cross_entropy": SoftTargetCrossEntropy,
    "mse": nn.MSELoss,
    "ost_contrastive": OSTContrastive,
}
PER_CLASS = ("bce", "bce_logit", "mse")  # their targets have the form of the logits


@LOSS_REGISTRY.register()
def ost_contrastive(cfg: Any) -> LossFunction:
    """Return OST's objective; the labels are those that the model gathered from all processes."""
    loss = OSTContrastive(temperature=cfg.OST.TARGET_TEMPERATURE)

    def compare(output: ModelOutput, labels: Tensor) -> dict[str, Tensor]:
        return loss.directions(output.logits, output.extras.get("labels", labels))

    compare.min_batch = 2  # type: ignore[attr-defined] # a video alone has nothing to differ from
    return compare


def get_loss_func(loss_name: str) -> type[nn.Module]:
    """Return the loss class of that name, to be built with ``reduction=...`` (PySlowFast's way)."""
    if loss_name not in _CLASSES:
        known = sorted({*_CLASSES, *LOSS_REGISTRY.names()})
        raise UsageError(f"MODEL.LOSS_FUNC {loss_name!r}: no such loss; known: {', '.join(known)}")
    return _CLASSES[loss_name]


def build_loss(cfg: Any) -> LossFunction:
    """Return the loss ``MODEL.LOSS_FUNC``: from LOSS_REGISTRY, else from the plain classes.

    A plain class becomes one term with the loss's name, computed from logits and labels.
    """
    name = cfg.MODEL.LOSS_FUNC
    if name in LOSS_REGISTRY:
        return LOSS_REGISTRY.get(name)(cfg)
    function = get_loss_func(name)(reduction="mean")

    def compare(output: ModelOutput, labels: Tensor) -> dict[str, Tensor]:
        if name in PER_CLASS and labels.shape != output.logits.shape:
            raise UsageError(
                f"MODEL.LOSS_FUNC {name} needs a target for each class, found one label for each "
                "video: use cross_entropy, or make such targets with DATA.MULTI_LABEL or "
                "MIXUP.ENABLE"
            )
        return {name: function(output.logits, labels)}

    return compare
