"""Metrics against hand-worked values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slowfast.errors import UsageError
from slowfast.evaluation import metrics, spread

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


def _map_by_the_words(scores: np.ndarray, labels: np.ndarray) -> list[float]:
    """For each video the precision among those that score at least as high for its class."""
    out = []
    for k in sorted(set(labels)):
        precisions = []
        for value in scores[labels == k, k]:
            among = scores[:, k] >= value
            precisions.append((among & (labels == k)).sum() / among.sum())
        out.append(float(np.mean(precisions)))
    return out


@pytest.mark.parametrize("steps", [3, 10, 10**6])  # with few steps many scores are equal
def test_one_label_map_by_the_words_with_and_without_ties(steps: int) -> None:
    rng = np.random.default_rng(steps)
    labels = rng.choice([0, 1, 3, 4], size=50)  # class 2 has no video
    scores = rng.integers(steps, size=(50, 5)) / steps
    found = metrics.one_label_map(torch.from_numpy(scores), torch.from_numpy(labels))
    assert found == pytest.approx(100 * np.mean(_map_by_the_words(scores, labels)), abs=1e-4)
    order = rng.permutation(50)
    again = metrics.one_label_map(torch.from_numpy(scores[order]), torch.from_numpy(labels[order]))
    assert again == pytest.approx(found, abs=1e-4)


def test_one_label_map_by_hand_right_and_as_published() -> None:
    # Class 0: ranks 1 and 3 of 4, so (1/1 + 2/3) / 2; class 1: ranks 1 and 2, 1; class 2: no video.
    scores = torch.tensor(
        [[0.90, 0.05, 0.05], [0.30, 0.20, 0.50], [0.40, 0.45, 0.15], [0.10, 0.60, 0.30]]
    )
    labels = torch.tensor([0, 0, 1, 1])
    expected = 100 * (5 / 6 + 1) / 2
    assert metrics.one_label_map(scores, labels) == pytest.approx(expected, abs=1e-4)
    # A second softmax: rows exp(p) / sum; here the order within the columns stays.
    published = metrics.one_label_map(scores, labels, double_softmax=True)
    assert published == pytest.approx(100 * (5 / 6 + 1 + 0) / 3, abs=1e-4)


def test_a_second_softmax_changes_the_order_between_videos() -> None:
    # Both give class 0 almost the same; the first video's rest is all on one class, whose exp is
    # larger than that of many small ones, so that its class 0 falls behind.
    scores = torch.tensor([[0.50, 0.50, 0.00, 0.00], [0.49, 0.17, 0.17, 0.17]])
    labels = torch.tensor([0, 1])
    once = [_map_by_the_words(scores.numpy(), labels.numpy())[0], 0.5]
    assert once[0] == 1.0
    twice = scores.double().softmax(1).numpy()
    expected = 100 * sum(_map_by_the_words(twice, labels.numpy())) / 4
    found = metrics.one_label_map(scores, labels, double_softmax=True)
    assert found == pytest.approx(expected, abs=1e-4)
    assert _map_by_the_words(twice, labels.numpy())[0] == 0.5


def _map_as_released(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """One class after the other, one video after the other, in float32 and in torch's own order."""
    values = []
    for k, column in enumerate(scores.float().softmax(dim=1).unbind(1)):
        found, precisions = 0, []
        for rank, video in enumerate(torch.sort(column, 0, True)[1].tolist(), start=1):
            if labels[video] == k:
                found += 1
                precisions.append(found / rank)
        values.append(sum(precisions) / max(1, len(precisions)))
    return 100 * sum(values) / len(values)


@pytest.mark.parametrize("scale", [5.0, 100.0])  # at 100 float32 makes many of them equal
@pytest.mark.parametrize("classes_with_videos", [8, 6])
def test_a_second_softmax_is_that_of_the_released_script(
    scale: float, classes_with_videos: int
) -> None:
    generator = torch.Generator().manual_seed(int(scale))
    for _ in range(10):
        labels = torch.randint(classes_with_videos, (60,), generator=generator)
        cosines = 0.12 * torch.randn(60, 8, generator=generator)
        cosines[range(60), labels] += 0.05
        scores = (scale * cosines).softmax(dim=1)
        found = metrics.one_label_map(scores, labels, double_softmax=True)
        assert found == pytest.approx(_map_as_released(scores, labels), abs=1e-4)


def test_one_label_map_of_a_real_size_takes_no_accuracy_from_its_ranks() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(200, size=3000)
    scores = rng.random((3000, 200)) + 0.3 * np.eye(200)[labels]
    found = metrics.one_label_map(torch.from_numpy(scores), torch.from_numpy(labels))
    assert found == pytest.approx(100 * np.mean(_map_by_the_words(scores, labels)), abs=1e-3)


def test_one_label_map_of_nothing_is_nan() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    assert math.isnan(metrics.one_label_map(torch.zeros(0, 3), nothing))
    assert math.isnan(metrics.one_label_map(torch.zeros(0, 3), nothing, double_softmax=True))


@pytest.mark.parametrize(
    ("first", "second", "expected"), [(50.0, 50.0, 50.0), (100.0, 0.0, 0.0), (0.0, 0.0, 0.0)]
)
def test_harmonic_mean(first: float, second: float, expected: float) -> None:
    assert spread.harmonic_mean(first, second) == expected


def test_spread_gives_both_deviations() -> None:
    found = spread.spread([41.0, 44.0, 47.0])
    assert found == (44.0, pytest.approx(6**0.5), 3.0, 3)
    alone = spread.spread([5.0])
    assert alone.population_std == 0.0
    assert math.isnan(alone.sample_std)
    with pytest.raises(UsageError, match="no values"):
        spread.spread([])
