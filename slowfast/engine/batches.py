"""What every loop does with a batch: bring it into our form, score it, measure it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from slowfast.evaluation.metrics import topk_errors
from slowfast.structures import ModelOutput, VideoBatch


def as_batch(item: VideoBatch | Sequence[Any]) -> VideoBatch:
    """Return a loader's item as a VideoBatch: PySlowFast's five-tuple, or a VideoBatch itself."""
    if isinstance(item, VideoBatch):
        return item
    inputs, labels, index, time, meta = item
    pathways = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    return VideoBatch(pathways, labels, torch.as_tensor(index), time, dict(meta or {}))


def as_logits(scores: Tensor, *, multi_label: bool = False) -> Tensor:
    """Return scores B x K as logits, whether a model's evaluation gives logits or probabilities.

    PySlowFast's classifiers apply their activation in evaluation. Rows that are a distribution
    become their logarithm, whose softmax is the row again; with several labels per video, values
    that all lie in 0..1 become their logit.

    >>> as_logits(torch.tensor([[2.0, -1.0]]))
    tensor([[ 2., -1.]])
    >>> as_logits(torch.tensor([[0.75, 0.25]])).softmax(dim=1)
    tensor([[0.7500, 0.2500]])
    """
    scores = scores.float()
    if not len(scores) or not bool(((scores >= 0) & (scores <= 1)).all()):
        return scores
    if multi_label:
        return torch.logit(scores, eps=1e-7)
    return scores.log() if _sum_to_one(scores) else scores


def evaluation_loss(logits: Tensor, labels: Tensor, *, multi_label: bool = False) -> Tensor:
    """Return the mean cross-entropy over all classes, the loss that every model has in evaluation.

    The training objective may be another one (a contrastive one has no meaning outside its batch).

    Args:
        logits: B x K, from ``as_logits``.
        labels: int64 B, or multi-hot B x K.
        multi_label: whether labels are multi-hot: binary cross-entropy.
    """
    if multi_label:
        return F.binary_cross_entropy_with_logits(logits, labels.float())
    return F.cross_entropy(logits, labels)


def training_errors(output: ModelOutput, labels: Tensor) -> Sequence[Tensor | None]:
    """Return top-1 and top-5 error in percent of a training batch, None where there are none.

    Mixed labels (float B x K) hold two classes; by PySlowFast's rule the score of the second is
    added to the first's, which then counts as the label. Where the model names the labels of its
    columns (``extras["labels"]``) they are no classes, and multi-hot labels have no top-k either.
    """
    scores = output.logits
    if "labels" in output.extras or scores.ndim != 2:
        return None, None
    if labels.is_floating_point():
        if not _sum_to_one(labels):
            return None, None
        scores, labels = _unmix(scores, labels)
    return topk_errors(scores.float(), labels, (1, 5))


def _sum_to_one(rows: Tensor) -> bool:
    sums = rows.sum(dim=1)
    return torch.allclose(sums, torch.ones_like(sums), atol=1e-4)


def _unmix(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    first, second = labels.topk(2, dim=1).indices.unbind(1)
    rows = torch.arange(len(scores), device=scores.device)
    scores = scores.clone()
    scores[rows, first] += scores[rows, second]
    scores[rows, second] = 0.0
    return scores, first
