"""Metrics against hand-worked values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slowfast.errors import UsageError
from slowfast.evaluation import metrics

SCORES = torch.tensor([[0.1, 0.5, 0.4], [0.8, 0.1, 0.1], [0.3, 0.3, 0.4], [0.2, 0.7, 0.1]])
LABELS = torch.tensor([2, 0, 0, 1])


def test_topk_by_hand() -> None:
    top1, top2 = metrics.topks_correct(SCORES, LABELS, (1, 2))
    assert (float(top1), float(top2)) == (2.0, 4.0)
    assert [float(v) for v in metrics.topk_accuracies(SCORES, LABELS, (1, 2))] == [50.0, 100.0]
    assert [float(v) for v in metrics.topk_errors(SCORES, LABELS, (1, 2))] == [50.0, 0.0]


def test_k_above_the_number_of_classes_is_clamped_and_said_once(caplog) -> None:
    metrics._clamped.clear()
    with caplog.at_level("INFO", logger="slowfast"):
        assert float(metrics.topk_accuracies(SCORES, LABELS, (1, 5))[1]) == 100.0
        metrics.topk_accuracies(SCORES, LABELS, (1, 5))
    assert caplog.text.count("top-5 over 3 classes means top-3") == 1


def test_class_accuracy_leaves_absent_classes_open() -> None:
    found = metrics.class_accuracy(SCORES, torch.tensor([1, 0, 0, 1]), 3)
    assert found[:2].tolist() == [50.0, 100.0]
    assert math.isnan(found[2])
    assert metrics.mean_class_accuracy(SCORES, torch.tensor([1, 0, 0, 1]), 3) == 75.0


@given(st.integers(1, 30), st.integers(1, 9), st.integers(0, 2**31))
def test_topk_equals_a_count_of_better_scores(samples: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.permuted(np.tile(np.arange(classes), (samples, 1)), axis=1))
    labels = torch.from_numpy(rng.integers(classes, size=samples))
    better = (scores > scores.gather(1, labels[:, None])).sum(1)
    for k, correct in enumerate(metrics.topks_correct(scores, labels, range(1, 8)), start=1):
        assert int(correct) == int((better < min(k, classes)).sum())


def _average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    order = np.argsort(-scores, kind="stable")
    hits = truth[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float((precision * hits).sum() / hits.sum())


def test_mean_average_precision_by_hand_and_for_any_scale() -> None:
    rng = np.random.default_rng(0)
    scores, truth = rng.normal(size=(20, 4)), rng.integers(2, size=(20, 4))
    truth[:, 2] = 0  # never true: left out
    present = (0, 1, 3)
    expected = 100 * np.mean([_average_precision(scores[:, k], truth[:, k]) for k in present])
    for scale in (1.0, 1e4):  # a sigmoid would saturate at the second
        found = metrics.mean_average_precision(
            torch.from_numpy(scores * scale), torch.from_numpy(truth)
        )
        assert found == pytest.approx(expected, abs=1e-4)


def test_mean_average_precision_without_any_positive_is_nan() -> None:
    assert math.isnan(metrics.mean_average_precision(torch.rand(3, 2), torch.zeros(3, 2)))


@pytest.mark.parametrize(
    ("first", "second", "expected"), [(50.0, 50.0, 50.0), (100.0, 0.0, 0.0), (0.0, 0.0, 0.0)]
)
def test_harmonic_mean(first: float, second: float, expected: float) -> None:
    assert metrics.harmonic_mean(first, second) == expected


def test_spread_gives_both_deviations() -> None:
    found = metrics.spread([41.0, 44.0, 47.0])
    assert found == (44.0, pytest.approx(6**0.5), 3.0, 3)
    alone = metrics.spread([5.0])
    assert alone.population_std == 0.0
    assert math.isnan(alone.sample_std)
    with pytest.raises(UsageError, match="no values"):
        metrics.spread([])
