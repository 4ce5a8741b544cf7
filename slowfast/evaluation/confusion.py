"""Confusion matrix, the pairs that are confused most, and the per-class table.

Shapes: V videos, K classes.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Confusion(NamedTuple):
    """How many videos of class ``true`` were taken for ``predicted``, and the share of its own."""

    true: str
    predicted: str
    videos: int
    share: float


def confusion_matrix(preds: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Return counts K x K, int64; row = true class, column = predicted class.

    Args:
        preds: scores V x K, or predicted classes V.
        labels: int64 V.

    >>> confusion_matrix(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2)
    tensor([[1, 1],
            [0, 1]])
    """
    predicted = preds.argmax(dim=1) if preds.ndim == 2 else preds
    pair = labels.long().cpu() * num_classes + predicted.long().cpu()
    return torch.bincount(pair, minlength=num_classes**2).view(num_classes, num_classes)


def normalize_rows(matrix: Tensor) -> Tensor:
    """Return each row divided by its sum, float64; rows of classes without videos stay 0."""
    return matrix.double() / matrix.sum(dim=1, keepdim=True).clamp(min=1)


def worst_pairs(matrix: Tensor, names: Sequence[str], limit: int = 20) -> list[Confusion]:
    """Return the most frequent confusions, by count and then by share of the true class."""
    share = normalize_rows(matrix)
    wrong = [
        Confusion(names[i], names[j], int(matrix[i, j]), float(share[i, j]))
        for i, j in matrix.nonzero().tolist()
        if i != j
    ]
    return sorted(wrong, key=lambda c: (-c.videos, -c.share, c.true, c.predicted))[:limit]


def matrix_csv(matrix: Tensor, names: Sequence[str]) -> str:
    """Return the counts as CSV text with the class names as header and first column."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["true \\ predicted", *names])
    writer.writerows([name, *row] for name, row in zip(names, matrix.tolist()))
    return out.getvalue()


def class_table(matrix: Tensor, names: Sequence[str], worst: int = 0) -> str:
    """Return a header and lines of accuracy, right and all videos, class; worst classes first.

    ``worst``: how many classes; 0 = all. Classes without videos come last, with a dash.
    """
    total = matrix.sum(dim=1).tolist()
    correct = matrix.diagonal().tolist()

    def accuracy(k: int) -> float:
        return 100.0 * correct[k] / total[k] if total[k] else math.inf

    order = sorted(range(len(names)), key=lambda k: (accuracy(k), names[k]))
    lines = ["     %  right/videos  class"]
    for k in order[: worst or None]:
        shown = f"{accuracy(k):6.2f}" if total[k] else "     -"
        lines.append(f"{shown}  {correct[k]:>5}/{total[k]:<6}  {names[k]}")
    return "\n".join(lines)
