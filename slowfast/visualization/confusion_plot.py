"""Figures of a confusion matrix and of what each class is taken for.

Shapes: K classes, M shown classes, row = true class. matplotlib is imported when a figure is drawn,
and no window or global state of it is touched.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from slowfast.errors import UsageError
from slowfast.evaluation.confusion import normalize_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READABLE = 60
PRINTED = 12


def new_figure(size: tuple[float, float] = (8, 8), **options: Any) -> Figure:
    """Return an empty figure of ``size`` inches that belongs to no window and no global state.

    Raises UsageError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            "pictures need matplotlib, which is not installed: pip install matplotlib, or this "
            "package with its extra report "
            "(TensorBoard's are switched off by TENSORBOARD.CONFUSION_MATRIX.ENABLE and "
            "TENSORBOARD.HISTOGRAM.ENABLE)"
        ) from error
    return Figure(figsize=size, **options)


def plot_confusion_matrix(
    counts: Tensor, names: Sequence[str], title: str = "", shown: Sequence[int] | None = None
) -> Figure:
    """Return a figure of a confusion matrix: colours are shares of the true class.

    The diagonal is framed, and the heading says how many videos lie on it. Up to 60 classes are
    named, with their right and all videos; up to 12 have their counts in the cells.

    Args:
        counts: K x K videos; see ``confusion_matrix``.
        names: names of all K classes.
        title: heading.
        shown: the M classes to show; all by default. Figures count all videos of theirs.
    """
    ids = torch.arange(len(names)) if shown is None else torch.as_tensor(shown, dtype=torch.int64)
    videos, right = counts.sum(dim=1)[ids], counts.diagonal()[ids]
    total, hits, number = int(videos.sum()), int(right.sum()), len(ids)
    part, shares = counts[ids][:, ids], normalize_rows(counts)[ids][:, ids]
    side = min(20.0, max(6.0, 0.25 * number + 2.0))
    figure = new_figure((side, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0.0, vmax=1.0)
    accuracy = f"{100.0 * hits / max(total, 1):.1f} % right: {hits} of {total} videos"
    axes.set(xlabel="predicted class", ylabel="true class", title=f"{title}\n{accuracy}".strip())
    edges = np.arange(number + 1) - 0.5
    for steps in ("steps-pre", "steps-post"):
        axes.plot(edges, edges, drawstyle=steps, color="#d62728", linewidth=min(1.5, 60 / number))
    if number <= READABLE:
        own = [names[i] for i in ids.tolist()]
        rows = [f"{n}  {r}/{v}" for n, r, v in zip(own, right.tolist(), videos.tolist())]
        axes.set_xticks(range(number), own, rotation=90)
        axes.set_yticks(range(number), rows)
    if number <= PRINTED:
        for (i, j), value in np.ndenumerate(part.numpy()):
            ink = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, str(value), ha="center", va="center", color=ink)
    return figure


def png_of(figure: Figure) -> bytes:
    """Return a figure as a PNG file's content."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def plot_histogram(shares: Tensor, names: Sequence[str], k: int = 10, title: str = "") -> Figure:
    """Return a bar chart of the ``k`` classes that one true class is most often taken for.

    Args:
        shares: K, the shares of the predicted classes.
        names: names of the K classes.
        k: bars; at most K.
        title: heading.
    """
    values, classes = shares.topk(min(k, len(names)))
    figure = new_figure(layout="constrained")
    axes = figure.add_subplot()
    axes.barh([names[c] for c in classes.tolist()], values.tolist(), color="#4878a8")
    axes.invert_yaxis()
    axes.set(xlim=(0.0, 1.0), xlabel="share of the class's videos", title=title)
    return figure
