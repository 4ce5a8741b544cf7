"""Half-class accuracies against hand-worked values and a loop that follows the words."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from slowfast.errors import UsageError
from slowfast.evaluation.half_class import draw_half, half_class
from slowfast.evaluation.multiview import ViewEnsemble
from slowfast.evaluation.results import to_plain


@pytest.mark.parametrize(("num_classes", "half"), [(101, 50), (51, 25), (200, 100), (7, 3)])
def test_draws_are_those_of_the_seeded_legacy_generator(num_classes, half):
    for seed in range(10):
        np.random.seed(seed)  # noqa: NPY002
        expected = np.random.permutation(num_classes)[:half]  # noqa: NPY002
        assert draw_half(seed, num_classes).tolist() == expected.tolist()


def test_by_hand():
    # Draws over 4 classes: seed 0 gives {2, 3}, seed 1 {3, 2}, seed 2 {2, 3}, seed 3 {3, 1}.
    assert [set(draw_half(s, 4).tolist()) for s in range(4)] == [{2, 3}, {2, 3}, {2, 3}, {1, 3}]
    scores = torch.tensor(
        [
            [9.0, 0.0, 2.0, 1.0],  # of 2: class 0 would win, but is in no draw
            [0.0, 3.0, 2.0, 1.0],  # of 3: loses to 2, and to 1
            [5.0, 4.0, 0.0, 1.0],  # of 1: beats 3
            [0.0, 0.0, 0.0, 0.0],  # of 0: in no draw
        ]
    )
    found = half_class(scores, torch.tensor([2, 3, 1, 0]), 4, ks=(1,))
    assert [run["top1"] for run in found["runs"]] == [50.0, 50.0, 50.0, 50.0]
    assert [run["num_videos"] for run in found["runs"]] == [2, 2, 2, 2]
    changed = scores.clone()
    changed[1, 3] = 2.5  # now beats 2, still loses to 1
    found = half_class(changed, torch.tensor([2, 3, 1, 0]), 4, ks=(1,))
    assert [run["top1"] for run in found["runs"]] == [100.0, 100.0, 100.0, 50.0]
    assert found["top1"] == 87.5
    assert found["top1_std"] == pytest.approx(math.sqrt((3 * 12.5**2 + 37.5**2) / 4))


def _by_the_words(scores, labels, draws, k):
    values = []
    for seed in range(draws):
        half = set(np.random.RandomState(seed).permutation(scores.shape[1])[: scores.shape[1] // 2])
        videos = [v for v in range(len(labels)) if labels[v] in half]
        present = sorted({labels[v] for v in videos})
        hits = 0
        for v in videos:
            best = sorted(present, key=lambda c: -scores[v, c])[:k]
            hits += labels[v] in best
        values.append(100 * hits / len(videos))
    return values


def test_random_scores_equal_the_words_of_the_protocol():
    rng = np.random.default_rng(0)
    labels = rng.choice([c for c in range(51) if c % 7], size=700)  # some classes have no video
    scores = rng.normal(size=(700, 51)) + 1.5 * np.eye(51)[labels]
    found = half_class(torch.from_numpy(scores), torch.from_numpy(labels), 10)
    for k in (1, 5):
        expected = _by_the_words(scores, labels, 10, k)
        assert [run[f"top{k}"] for run in found["runs"]] == pytest.approx(expected, abs=1e-4)
        assert found[f"top{k}"] == pytest.approx(np.mean(expected), abs=1e-4)
        assert found[f"top{k}_std"] == pytest.approx(np.std(expected), abs=1e-4)
    assert found["draws"] == len(found["runs"]) == 10
    assert found["num_classes"] == 25
    assert {run["num_classes"] for run in found["runs"]} != {25}  # absent ones are no column


def test_the_order_of_videos_does_not_matter():
    scores, labels = torch.rand(60, 9), torch.arange(60) % 9
    order = torch.randperm(60)
    assert half_class(scores, labels, 5) == half_class(scores[order], labels[order], 5)


def test_a_draw_without_videos_is_left_out_of_the_mean():
    labels = torch.zeros(3, dtype=torch.int64)  # class 0 of 4 is drawn by seed 4 first
    assert [0 in draw_half(seed, 4) for seed in range(5)] == [False] * 4 + [True]
    found = half_class(torch.rand(3, 4), labels, 5)
    assert (found["top1"], found["top1_std"]) == (100.0, 0.0)
    assert math.isnan(found["runs"][0]["top1"])
    nothing = half_class(torch.rand(3, 4), labels, 2)
    assert to_plain(nothing)["top1"] is None


@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        (torch.rand(2, 1), torch.zeros(2, dtype=torch.int64), "found 1 class: set it to 0"),
        (torch.rand(2, 3), torch.ones(2, 3), "found several labels per video"),
    ],
)
def test_what_cannot_be_halved(scores, labels, words):
    with pytest.raises(UsageError, match=words):
        half_class(scores, labels, 10)


# Two views of one video of class 3. The first sees class 0 almost alone and 3 barely before 2; the
# second sees 2 and 3, and 2 a little better.
VIEWS = torch.tensor([[9.0, 0.0, 0.0, 2.0], [0.0, 0.0, 2.0, 1.0]])


def _ensemble(space, method="sum"):
    ensemble = ViewEnsemble(1, 2, space=space, method=method, keep_views=True)
    ensemble.update(VIEWS, torch.tensor([3, 3]), torch.arange(2))
    return ensemble.gather()


def test_probabilities_of_views_are_taken_within_the_half():
    videos = _ensemble("prob")
    columns = torch.tensor([2, 3])
    whole, half = videos.scores[0, columns], videos.restricted(columns)[0]
    expected = VIEWS[:, columns].softmax(dim=1).mean(dim=0)
    torch.testing.assert_close(half, expected)
    assert whole.argmax() == 0  # the confident view counts for nothing within the half
    assert half.argmax() == 1
    plain = ViewEnsemble(1, 2)
    plain.update(VIEWS, torch.tensor([3, 3]), torch.arange(2))
    torch.testing.assert_close(videos.scores, plain.gather().scores)


@pytest.mark.parametrize("method", ["sum", "max"])
def test_logits_of_views_are_restricted_before_or_after_alike(method):
    videos = _ensemble("logit", method)
    columns = torch.tensor([2, 3])
    assert torch.equal(videos.restricted(columns), videos.scores[:, columns])


def test_a_restricted_test_is_one_with_these_classes_only():
    torch.manual_seed(2)
    logits, labels = 4 * torch.randn(20 * 6, 8), torch.arange(20) % 8
    videos = ViewEnsemble(20, 6, keep_views=True)
    videos.update(logits, labels.repeat_interleave(6), torch.arange(120))
    scores = videos.gather()
    found = half_class(scores.scores, labels, 3, ks=(1,), restrict=scores.restricted)
    for seed, run in enumerate(found["runs"]):
        columns = torch.from_numpy(draw_half(seed, 8)).sort().values
        small = ViewEnsemble(20, 6)
        small.update(logits[:, columns], labels.repeat_interleave(6), torch.arange(120))
        best = columns[small.gather().scores.argmax(dim=1)]
        mine = torch.isin(labels, columns)
        assert run["top1"] == pytest.approx(100 * (best == labels)[mine].float().mean().item())
