"""Pictures of transport plans: which descriptor each frame of a video is matched with.

Shapes: T frames, N descriptors, H W image. matplotlib is imported when a picture is drawn.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slowfast.errors import UsageError
from slowfast.evaluation.results import atomic_write
from slowfast.visualization.confusion_plot import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _FAINT = "#22303c", "#7b8794"
_TINTS = {"spatial": "#0f766e", "temporal": "#b45309"}
# Inches: frame column, descriptor column, map row, gap.
_CELL, _TEXT_WIDTH, _ROW, _PAD = 1.0, 3.8, 0.44, 0.05


class PlanPanel(NamedTuple):
    """One kind of descriptors: its name, its N texts and the plan, T x N with sum 1."""

    kind: str
    descriptors: Sequence[str]
    plan_TN: NDArray[np.floating[Any]]


def frame_shares(plan_TN: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return how each frame's mass is shared among the descriptors: rows of T x N sum to 1.

    >>> frame_shares(np.array([[0.3, 0.1], [0.0, 0.6]])).round(6).tolist()
    [[0.75, 0.25], [0.0, 1.0]]
    """
    return plan_TN / plan_TN.sum(axis=1, keepdims=True)


def draw_transport_plans(
    frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    panels: Sequence[PlanPanel],
    *,
    title: str,
    subtitle: str = "",
    seconds: Sequence[float] = (),
) -> Figure:
    """Draw the frames of a video with its transport plans below them, one column a frame.

    Args:
        frames: T images H x W x 3, RGB.
        panels: the plans, one map each.
        title: what was recognised.
        subtitle: a line below it.
        seconds: the frames' times, written below them.

    Returns:
        a matplotlib figure that belongs to no window and no global state.

    Raises:
        UsageError: matplotlib is not installed, or shapes do not fit each other.
    """
    _check(len(frames), panels)
    num_frames = len(frames)
    tallest = max(frame.shape[0] / frame.shape[1] for frame in frames)
    heights = [(_CELL - 2 * _PAD) * min(1.0, tallest)]
    heights += [_ROW * len(panel.descriptors) for panel in panels]
    above, between, below, right = 0.92, 0.52, 0.62, 0.25
    width = _TEXT_WIDTH + num_frames * _CELL + right
    height = above + sum(heights) + between * len(panels) + below
    figure = new_figure((width, height), facecolor="white", dpi=110)
    figure.text(0.2 / width, 1 - 0.36 / height, title, size=16, weight="bold", color=_INK)
    figure.text(0.2 / width, 1 - 0.66 / height, subtitle, size=9.5, color=_FAINT)
    grid = figure.add_gridspec(
        len(heights), num_frames, height_ratios=heights, wspace=0,
        hspace=between / (sum(heights) / len(heights)),
        left=_TEXT_WIDTH / width, right=1 - right / width,
        bottom=below / height, top=1 - above / height,
    )  # fmt: skip
    for t, frame in enumerate(frames):
        seconds_shown = f"{seconds[t]:.1f} s" if len(seconds) else ""
        _draw_frame(figure.add_subplot(grid[0, t]), frame, seconds_shown)
    brightest = max(float(frame_shares(panel.plan_TN).max()) for panel in panels)
    for row, panel in enumerate(panels, start=1):
        _draw_map(figure.add_subplot(grid[row, :]), panel, brightest)
    note = (
        "Each column is a frame: how its mass is shared among the descriptors (in per cent). "
        f"Even shares would be {100 / len(panels[0].descriptors):.0f}."
    )
    figure.text(0.2 / width, 0.24 / height, note, size=8.5, color=_FAINT)
    return figure


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG (or what the ending of ``path`` says), atomically."""
    path = Path(path)
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:] or "png")
    return atomic_write(path, picture.getvalue())


def _check(num_frames: int, panels: Sequence[PlanPanel]) -> None:
    if not num_frames or not panels:
        raise UsageError(f"nothing to draw: {num_frames} frames, {len(panels)} plans")
    for panel in panels:
        expected = (num_frames, len(panel.descriptors))
        if panel.plan_TN.shape != expected:
            raise UsageError(
                f"{panel.kind} plan has shape {panel.plan_TN.shape}, expected {expected}: "
                "frames x descriptors"
            )


def _draw_frame(axes: Axes, frame: NDArray[np.uint8], below: str) -> None:
    """Draw a frame above its column of the maps, with some words below it."""
    axes.imshow(frame, interpolation="nearest")
    length = frame.shape[1]
    margin = length * _PAD / (_CELL - 2 * _PAD)
    axes.set(xlim=(-0.5 - margin, length - 0.5 + margin), xticks=[], yticks=[], anchor="S")
    axes.spines[:].set_visible(False)
    axes.annotate(
        below, (0.5, 0), (0, -12), xycoords="axes fraction", textcoords="offset points",
        size=8, color=_FAINT, ha="center",
    )  # fmt: skip


def _draw_map(axes: Axes, panel: PlanPanel, brightest: float) -> None:
    """Draw one plan as a map with a row for each descriptor and the shares written in it."""
    from matplotlib.colors import LinearSegmentedColormap

    tint = _TINTS.get(panel.kind, _INK)
    colours = LinearSegmentedColormap.from_list(panel.kind, ["#f8fafb", tint])
    share_NT = frame_shares(panel.plan_TN).T
    axes.imshow(share_NT, cmap=colours, vmin=0, vmax=brightest, aspect="auto")
    num_descriptors, num_frames = share_NT.shape
    axes.set_xticks(np.arange(num_frames + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(num_descriptors + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2.5)
    axes.tick_params(which="both", length=0)
    axes.set_xticks([])
    labels = [textwrap.fill(text, 50) for text in panel.descriptors]
    axes.set_yticks(range(num_descriptors), labels, size=9, color=_INK)
    axes.spines[:].set_visible(False)
    heading = f"{panel.kind} descriptors".replace("spatial", "spatio")
    axes.set_title(heading, loc="left", size=9.5, weight="bold", color=tint, pad=5)
    for (n, t), share in np.ndenumerate(share_NT):
        ink = "white" if share > 0.55 * brightest else _INK
        axes.text(t, n, f"{100 * share:.0f}", ha="center", va="center", size=8.5, color=ink)
