"""Figures of confusion: what is drawn, judged by the figure's own elements."""

from __future__ import annotations

import sys

import pytest
import torch

from slowfast.errors import UsageError
from slowfast.visualization import confusion_plot

pytest.importorskip("matplotlib")


def _ticks(figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_a_small_matrix_has_names_and_numbers() -> None:
    counts = torch.tensor([[3, 1], [0, 2]])
    figure = confusion_plot.plot_confusion_matrix(counts, ["run", "jump"], "title")
    assert _ticks(figure) == ["run  3/4", "jump  2/2"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["3", "1", "0", "2"]
    assert figure.axes[0].get_title() == "title\n83.3 % right: 5 of 6 videos"
    assert figure.axes[0].images[0].get_array().tolist() == [[0.75, 0.25], [0.0, 1.0]]


def test_the_diagonal_is_framed() -> None:
    figure = confusion_plot.plot_confusion_matrix(torch.eye(3, dtype=torch.int64), list("abc"))
    for line in figure.axes[0].lines:
        assert line.get_xydata().tolist() == [[edge, edge] for edge in (-0.5, 0.5, 1.5, 2.5)]
    assert [line.get_drawstyle() for line in figure.axes[0].lines] == ["steps-pre", "steps-post"]


def test_a_part_of_the_classes_keeps_its_figures() -> None:
    counts = torch.tensor([[3, 0, 1], [0, 2, 0], [1, 1, 2]])
    figure = confusion_plot.plot_confusion_matrix(counts, ["a", "b", "c"], shown=[2, 0])
    assert _ticks(figure) == ["c  2/4", "a  3/4"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["2", "1", "1", "3"]
    assert figure.axes[0].get_title() == "62.5 % right: 5 of 8 videos"


def test_a_png_is_one() -> None:
    figure = confusion_plot.plot_confusion_matrix(torch.eye(2, dtype=torch.int64), ["a", "b"])
    assert confusion_plot.png_of(figure).startswith(b"\x89PNG")


def test_a_large_matrix_has_neither() -> None:
    figure = confusion_plot.plot_confusion_matrix(
        torch.eye(100, dtype=torch.int64), [f"class {i}" for i in range(100)]
    )
    assert not any(name.startswith("class") for name in _ticks(figure))
    assert len(figure.axes[0].texts) == 0


def test_a_histogram_shows_the_most_frequent_first() -> None:
    shares = torch.tensor([0.1, 0.7, 0.2])
    figure = confusion_plot.plot_histogram(shares, ["a", "b", "c"], k=2, title="b")
    assert _ticks(figure) == ["b", "c"]
    assert [round(bar.get_width(), 3) for bar in figure.axes[0].patches] == [0.7, 0.2]
    assert len(confusion_plot.plot_histogram(shares, ["a", "b", "c"], k=9).axes[0].patches) == 3


def test_without_matplotlib_it_says_what_to_do(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        UsageError, match=r"pip install matplotlib, .*extra report .*switched off by TENSORBOARD"
    ):
        confusion_plot.new_figure()
