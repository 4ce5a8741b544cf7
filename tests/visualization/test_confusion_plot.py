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
    shares = torch.tensor([[0.75, 0.25], [0.0, 1.0]])
    figure = confusion_plot.plot_confusion_matrix(shares, ["run", "jump"], "title")
    assert _ticks(figure) == ["run", "jump"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.75", "0.25", "0.00", "1.00"]
    assert figure.axes[0].get_title() == "title"


def test_a_large_matrix_has_neither() -> None:
    figure = confusion_plot.plot_confusion_matrix(
        torch.eye(100), [f"class {i}" for i in range(100)]
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
    with pytest.raises(UsageError, match=r"pip install matplotlib .*switched off by TENSORBOARD"):
        confusion_plot.new_figure()
