"""Zero-shot accuracy over random halves of the classes, as Text4Vis reports it.

Shapes: V videos, K classes, S classes of a draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slowfast.errors import UsageError
from slowfast.evaluation.metrics import topk_accuracies
from slowfast.evaluation.spread import spread


def draw_half(seed: int, num_classes: int) -> np.ndarray:
    """Return the floor(K / 2) class ids of one draw, in the order of the permutation.

    The draws are those of the released code: numpy's legacy generator, seeded with the number of
    the draw (0, 1, ...), so that they are the same on every machine.

    >>> sorted(draw_half(0, 6).tolist())
    [1, 2, 5]
    """
    generator = np.random.RandomState(seed)
    return generator.permutation(num_classes)[: num_classes // 2]


def half_class(
    scores: Tensor,
    labels: Tensor,
    draws: int,
    ks: Sequence[int] = (1, 5),
    *,
    restrict: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, Any]:
    """Return the accuracies over ``draws`` random halves of the classes, ready for results.json.

    Draw s takes the classes of ``draw_half(s, K)``, keeps the videos with a label among them and
    lets these compete in the columns of the classes that the kept videos have (Text4Vis, half-class
    protocol; nothing is trained again). A drawn class without a video is hence no column.

    Args:
        scores: V x K, anything that grows with the probability of the class.
        labels: int64 V.
        draws: how many, at least 1 (Text4Vis: 10).
        ks: top-k accuracies to report; k above the number of columns counts as that.
        restrict: the V x S scores of a classifier that knows the given columns only (int64 S);
            ``scores[:, columns]`` if left out, which is right where the scores were not put
            together from several softmaxes over all classes.

    Returns:
        ``draws``, ``num_classes`` (of a draw); ``top<k>`` and ``top<k>_std``: mean and population
        deviation over the draws that have videos (NaN if none has); ``runs``: for each draw its
        ``seed``, ``num_classes`` (columns), ``num_videos`` and ``top<k>``.

    Raises:
        UsageError: fewer than 2 classes, or labels that are not one class per video.
    """
    num_classes = scores.shape[1]
    if num_classes < 2 or labels.ndim != 1:
        found = f"{num_classes} class" if num_classes < 2 else "several labels per video"
        raise UsageError(
            f"TEST.HALF_CLASS_DRAWS {draws} halves the classes of videos with one label each; "
            f"found {found}: set it to 0"
        )
    runs = []
    for seed in range(draws):
        kept = torch.isin(labels, torch.from_numpy(draw_half(seed, num_classes)).to(labels))
        columns, targets = labels[kept].unique(return_inverse=True)
        run: dict[str, Any] = {
            "seed": seed,
            "num_classes": len(columns),
            "num_videos": len(targets),
        }
        values = [torch.tensor(math.nan)] * len(ks)
        if len(targets):
            table = scores[:, columns] if restrict is None else restrict(columns)
            values = topk_accuracies(table[kept], targets, ks)
        runs.append({**run, **{f"top{k}": float(value) for k, value in zip(ks, values)}})
    out: dict[str, Any] = {"draws": draws, "num_classes": num_classes // 2}
    for name in (f"top{k}" for k in ks):
        over = [run[name] for run in runs if run["num_videos"]]
        mean, deviation, _, _ = spread(over or [math.nan])
        out |= {name: mean, f"{name}_std": deviation}
    return {**out, "runs": runs}
