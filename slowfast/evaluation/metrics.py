"""Scores of predictions, without state.

Shapes: B samples, V videos, K classes. Percentages are 0 to 100.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from slowfast.utils.logging import get_logger

logger = get_logger(__name__)
_clamped: set[tuple[int, int]] = set()


def clamp_k(k: int, num_classes: int) -> int:
    """Return ``k``, at most the number of classes, and say once per pair that it was lowered.

    >>> clamp_k(1, 4)
    1
    """
    if k <= num_classes:
        return k
    if (k, num_classes) not in _clamped:
        _clamped.add((k, num_classes))
        logger.info(f"top-{k} over {num_classes} classes means top-{num_classes}")
    return num_classes


def topks_correct(preds: Tensor, labels: Tensor, ks: Sequence[int]) -> list[Tensor]:
    """Return for each k how many samples have their label among the k highest scores.

    Args:
        preds: scores B x K.
        labels: int64 B.
        ks: the k's; one above the number of classes counts as that number.

    >>> topks_correct(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]), (1, 5))
    [tensor(1.), tensor(2.)]
    """
    assert preds.shape[0] == labels.shape[0], "predictions and labels differ in number"
    used = [clamp_k(k, preds.shape[1]) for k in ks]
    top = preds.topk(max(used), dim=1).indices
    hit = top.eq(labels.view(-1, 1))
    return [hit[:, :k].any(dim=1).float().sum() for k in used]


def topk_accuracies(preds: Tensor, labels: Tensor, ks: Sequence[int]) -> list[Tensor]:
    """Return the top-k accuracies in percent; arguments as in ``topks_correct``."""
    return [correct / preds.shape[0] * 100.0 for correct in topks_correct(preds, labels, ks)]


def topk_errors(preds: Tensor, labels: Tensor, ks: Sequence[int]) -> list[Tensor]:
    """Return the top-k errors in percent; arguments as in ``topks_correct``."""
    return [
        (1.0 - correct / preds.shape[0]) * 100.0 for correct in topks_correct(preds, labels, ks)
    ]


def class_accuracy(preds: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Return each class's top-1 accuracy in percent, float64 K; NaN for a class without samples."""
    hit = preds.argmax(dim=1).eq(labels).double()
    correct = torch.zeros(num_classes, dtype=torch.float64).index_add_(0, labels.cpu(), hit.cpu())
    total = torch.bincount(labels.cpu(), minlength=num_classes).double()
    return correct / total * 100.0


def mean_average_precision(preds: Tensor, labels: Tensor) -> float:
    """Return the mean over classes of the average precision, in percent.

    Args:
        preds: scores V x K of independent classes, any monotone scale.
        labels: multi-hot V x K. Classes without a positive video are left out, as PySlowFast does.
    """
    from torchmetrics.functional.classification import multilabel_average_precision

    present = labels.bool().any(dim=0)
    if not bool(present.any()):
        return math.nan
    # Only the order of the scores counts. torchmetrics would squash values outside 0..1 by a
    # sigmoid, which makes ties of large logits; ranks keep the order exactly.
    rank = preds.unique(return_inverse=True)[1].double()
    value = multilabel_average_precision(
        rank[:, present] / max(1.0, float(rank.max())),
        labels[:, present].long(),
        num_labels=int(present.sum()),
    )
    return float(value) * 100.0


def one_label_map(probabilities: Tensor, labels: Tensor, *, double_softmax: bool = False) -> float:
    """Return the mean average precision in percent of videos with one label each.

    A class's average precision is the mean, over its videos, of the precision among all videos that
    score at least as high for it. Of videos with equal scores none comes first, so that their order
    in the list does not matter.

    Args:
        probabilities: V x K, comparable between videos (after one softmax).
        labels: int64 V.
        double_softmax: parity: Text4Vis; see ``published_map``. NaN without videos.
    """
    if not len(labels):
        return math.nan
    hot = torch.nn.functional.one_hot(labels, probabilities.shape[1])
    return (published_map if double_softmax else mean_average_precision)(probabilities, hot)


def published_map(probabilities: Tensor, hot: Tensor) -> float:
    """Return the mean average precision in percent as Text4Vis's released script computes it.

    The softmax is taken once more, which changes the order of the videos, and a class without
    videos counts as 0. parity: that softmax is in float32, where small probabilities become equal,
    and equal videos stand in whatever order ``torch.sort`` leaves them: of sharp scores both move
    the figure.

    Args:
        probabilities: V x K.
        hot: one-hot labels V x K.
    """
    order = probabilities.float().softmax(dim=1).sort(dim=0, descending=True).indices
    hit = hot.gather(0, order).double()
    ranks = torch.arange(1, len(hit) + 1, device=hit.device).unsqueeze(1)
    precision = hit.cumsum(dim=0) / ranks
    return float(((precision * hit).sum(dim=0) / hit.sum(dim=0).clamp(min=1)).mean()) * 100.0
