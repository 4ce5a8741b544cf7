"""Figures of a confusion matrix and of what each class is taken for.

Shapes: K classes, M shown classes. matplotlib is imported when a figure is drawn, and no window or
global state of it is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from slowfast.errors import UsageError

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
            "pictures need matplotlib, which is not installed: pip install matplotlib "
            "(TensorBoard's are switched off by TENSORBOARD.CONFUSION_MATRIX.ENABLE and "
            "TENSORBOARD.HISTOGRAM.ENABLE)"
        ) from error
    return Figure(figsize=size, **options)


def plot_confusion_matrix(shares: Tensor, names: Sequence[str], title: str = "") -> Figure:
    """Return a figure of a confusion matrix.

    Args:
        shares: M x M, each row the shares of one true class; see ``confusion.normalize_rows``.
        names: names of the classes. Above 60 classes they would be unreadable and are left out.
        title: heading.
    """
    figure = new_figure(layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0.0, vmax=1.0)
    axes.set(xlabel="predicted class", ylabel="true class", title=title)
    if len(names) <= READABLE:
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
    if len(names) <= PRINTED:
        for (i, j), value in np.ndenumerate(shares.numpy()):
            ink = "white" if value > 0.5 else "black"
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", color=ink)
    return figure


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
