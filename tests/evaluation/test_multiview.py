"""The ensemble over views: recorded cases, and what must not change a score."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast.errors import DataError, UsageError
from slowfast.evaluation import multiview
from slowfast.evaluation.metrics import mean_average_precision
from slowfast.evaluation.multiview import ViewEnsemble
from slowfast.evaluation.results import summarize
from slowfast.utils import distributed as du
from tests.distributed import run_two_processes

VIDEOS, VIEWS = 8, 6


@pytest.fixture(scope="module")
def recorded(parity: Callable[[str], Path]) -> dict[str, np.ndarray]:
    with np.load(parity("slowfast/multiview.npz")) as data:
        return dict(data)


def feed(ensemble: ViewEnsemble, scores: np.ndarray, labels: np.ndarray, order: np.ndarray) -> None:
    for start in range(0, len(order), 5):
        clips = order[start : start + 5]
        videos = clips // ensemble.num_views
        ensemble.update(
            torch.from_numpy(scores[clips]),
            torch.from_numpy(labels[videos]),
            torch.from_numpy(clips),
        )


@pytest.mark.parity
@pytest.mark.parametrize(("space", "name"), [("logit", "logits"), ("prob", "softmax")])
@pytest.mark.parametrize("method", ["sum", "max"])
def test_recorded_videos(recorded, space: str, name: str, method: str) -> None:
    ensemble = ViewEnsemble(VIDEOS, VIEWS, space=space, method=method)
    feed(ensemble, recorded["logits"], recorded["labels_video"], recorded["feed_order"])
    videos = ensemble.gather()
    found = videos.scores * (VIEWS if method == "sum" else 1)
    expected = torch.from_numpy(recorded[f"{name}/{method}/video_preds"])
    if method == "max":
        # The published table starts at 0, so that it cuts negative logits off; ours does not.
        assert torch.equal(found, torch.from_numpy(_maxima(recorded, space)))
        found = found.clamp(min=0)
    torch.testing.assert_close(found, expected, atol=4e-6, rtol=0)
    summary = summarize(videos)
    top = [f"{summary[key]:.2f}" for key in ("top1", "top5")]
    assert top == list(recorded[f"{name}/{method}/top"])
    assert videos.counts.tolist() == list(recorded[f"{name}/{method}/clip_count"])


def _maxima(recorded: dict[str, np.ndarray], space: str) -> np.ndarray:
    logits = torch.from_numpy(recorded["logits"])
    values = logits.softmax(1) if space == "prob" else logits
    return values.view(VIDEOS, VIEWS, -1).amax(1).numpy()


@pytest.mark.parity
def test_recorded_padding_counts_twice_there_and_once_here(recorded) -> None:
    order = np.concatenate([recorded["feed_order"], recorded["logits/sum_padded/extra_ids"]])
    ensemble = ViewEnsemble(VIDEOS, VIEWS, space="logit")
    feed(ensemble, recorded["logits"], recorded["labels_video"], order)
    videos = ensemble.gather()
    clean = torch.from_numpy(recorded["logits/sum/video_preds"])
    torch.testing.assert_close(videos.scores * VIEWS, clean, atol=4e-6, rtol=0)
    extra = recorded["logits/sum_padded/extra_ids"]
    padded = clean.clone()
    padded.index_add_(
        0, torch.from_numpy(extra // VIEWS), torch.from_numpy(recorded["logits"][extra])
    )
    published = torch.from_numpy(recorded["logits/sum_padded/video_preds"])
    torch.testing.assert_close(padded, published, atol=4e-6, rtol=0)
    assert videos.counts.tolist() == [VIEWS] * VIDEOS


@pytest.mark.parity
@pytest.mark.parametrize("method", ["sum", "max"])
def test_recorded_multi_label(recorded, method: str) -> None:
    ensemble = ViewEnsemble(VIDEOS, VIEWS, space="logit", method=method, multi_label=True)
    labels = recorded["multilabel/labels"]
    feed(ensemble, recorded["multilabel/sigmoid_preds"], labels, recorded["feed_order"])
    videos = ensemble.gather()
    assert torch.equal(videos.labels, torch.from_numpy(labels))
    published = torch.from_numpy(recorded[f"multilabel/{method}/video_preds"])
    value = f"{mean_average_precision(published, videos.labels):.2f}"
    assert value == str(recorded[f"multilabel/{method}/map"])
    if method == "max":
        assert torch.equal(videos.scores, published)
        assert f"{summarize(videos)['map']:.2f}" == value
    else:
        # The published sum starts at -1e10, which wipes out every score in float32.
        assert published.unique().numel() == 1
        clips = torch.from_numpy(recorded["multilabel/sigmoid_preds"])
        expected = clips.view(VIDEOS, VIEWS, -1).double().mean(1).float()
        torch.testing.assert_close(videos.scores, expected)


def _random(videos: int, views: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(videos * views, 3)).astype(np.float32)
    return scores, rng.integers(3, size=videos)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 10**6), st.sampled_from(["sum", "max"]))
def test_order_copies_and_batches_change_no_bit(videos, views, seed, method) -> None:
    scores, labels = _random(videos, views)
    rng = np.random.default_rng(seed)
    total = videos * views
    order = rng.permutation(np.concatenate([np.arange(total), rng.integers(total, size=3)]))
    first = ViewEnsemble(videos, views, method=method)
    feed(first, scores, labels, np.arange(total))
    second = ViewEnsemble(videos, views, method=method)
    feed(second, scores, labels, order)
    expected, found = first.gather(), second.gather()
    assert torch.equal(found.scores, expected.scores)
    assert torch.equal(found.labels, expected.labels)
    assert found.counts.tolist() == [views] * videos
    assert found.incomplete == []
    torch.testing.assert_close(
        summarize(found)["top1"], summarize(expected)["top1"], equal_nan=True
    )


def test_finished_videos_take_one_row_so_that_memory_stays_bounded() -> None:
    scores, labels = _random(20, 4)
    ensemble = ViewEnsemble(20, 4)
    for batch in np.arange(78).reshape(-1, 6):  # batches cut videos in two
        feed(ensemble, scores, labels, batch)
        assert len(ensemble._views) < 4
    feed(ensemble, scores, labels, np.arange(6))  # and come again
    feed(ensemble, scores, labels, np.array([78, 79]))
    found = ensemble.gather()
    expected = torch.from_numpy(scores).softmax(1).view(20, 4, 3).mean(1)
    torch.testing.assert_close(found.scores, expected)
    assert found.counts.tolist() == [4] * 20


def test_failed_and_incomplete_videos_are_named(caplog) -> None:
    scores, labels = _random(4, 2)
    ensemble = ViewEnsemble(4, 2)
    feed(ensemble, scores, labels, np.array([0, 1, 2, 4]))
    ensemble.fail(
        [(4, "c.mp4", 1, "empty"), (5, "c.mp4", 1, "empty"), (6, "d.mp4", 2, "no stream")]
    )
    videos = ensemble.gather()
    assert videos.scored.tolist() == [0, 1]
    assert videos.incomplete == [1]
    assert [(f.video, f.path) for f in videos.failed] == [(2, "c.mp4"), (3, "d.mp4")]
    assert "1 videos without all their 2 views; video id (views): 1 (1)" in caplog.text
    summary = summarize(videos)
    assert (summary["num_videos_scored"], summary["num_videos_listed"]) == (2, 4)
    lines = multiview.describe_failures(videos.failed, limit=1)
    assert lines == ["not scored: c.mp4 (empty)", "and 1 more, see results.json"]


def test_nothing_was_delivered() -> None:
    videos = ViewEnsemble(3, 2).gather()
    assert videos.counts.tolist() == [0, 0, 0]
    assert videos.scored.tolist() == []
    assert videos.labels.tolist() == [-1, -1, -1]


def test_features_keep_their_shape() -> None:
    features = torch.arange(24.0).view(4, 2, 3)
    ensemble = ViewEnsemble(2, 2, space="feature")
    ensemble.update(features, torch.tensor([0, 0, 1, 1]), torch.arange(4))
    found = ensemble.gather().scores
    torch.testing.assert_close(found, features.view(2, 2, 2, 3).mean(1))


@pytest.mark.parametrize("space", ["prob", "logit"])
@pytest.mark.parametrize("method", ["sum", "max"])
def test_keeping_views_changes_no_score(space: str, method: str) -> None:
    scores, labels = _random(5, 4)
    order = np.random.default_rng(3).permutation(20)[:-6]  # some views are missing
    order = np.concatenate([order[order // 4 != 2], order[:3]])  # a video is, and some come twice
    plain = ViewEnsemble(5, 4, space=space, method=method)
    keeping = ViewEnsemble(5, 4, space=space, method=method, keep_views=True)
    for ensemble in (plain, keeping):
        feed(ensemble, scores, labels, order)
    one, two = plain.gather(), keeping.gather()
    torch.testing.assert_close(two.scores, one.scores, atol=1e-7, rtol=1e-6)
    assert torch.equal(two.counts, one.counts)
    assert torch.equal(two.labels, one.labels)
    assert one.kept is None
    assert two.kept is not None
    expected = torch.zeros(20, scores.shape[1])
    expected[order] = torch.from_numpy(scores[order]).float()
    assert torch.equal(two.kept.rows.flatten(0, 1), expected)
    assert two.kept.seen.flatten().nonzero().flatten().tolist() == sorted(set(order.tolist()))


def test_kept_features_keep_their_shape() -> None:
    features = torch.arange(24.0).view(4, 2, 3)
    ensemble = ViewEnsemble(2, 2, space="feature", keep_views=True)
    ensemble.update(features, torch.tensor([0, 0, 1, 1]), torch.arange(4))
    videos = ensemble.gather()
    assert videos.kept is not None
    assert torch.equal(videos.kept.rows, features.view(2, 2, 2, 3))
    torch.testing.assert_close(videos.scores, features.view(2, 2, 2, 3).mean(1))


def test_clips_that_disagree_about_the_label_are_refused() -> None:
    ensemble = ViewEnsemble(2, 2)
    ensemble.update(torch.rand(4, 3), torch.tensor([0, 0, 1, 2]), torch.arange(4))
    with pytest.raises(DataError, match="video 1: its clips carry different labels"):
        ensemble.gather()


def test_a_clip_outside_the_list_is_our_bug() -> None:
    with pytest.raises(AssertionError, match=r"outside 0\.\.3"):
        ViewEnsemble(2, 2).update(torch.rand(1, 3), torch.tensor([0]), torch.tensor([4]))


@pytest.mark.parametrize(
    ("options", "match"),
    [({"space": "probs"}, "ENSEMBLE_SPACE 'probs'"), ({"method": "mean"}, "METHOD 'mean'")],
)
def test_unknown_ways_are_refused(options, match) -> None:
    with pytest.raises(UsageError, match=match):
        ViewEnsemble(1, 1, **options)


def _score_on_rank(order: list[list[int]], keep: bool) -> tuple[torch.Tensor, list[int], list[int]]:
    scores, labels = _random(3, 4)
    ensemble = ViewEnsemble(3, 4, keep_views=keep)
    feed(ensemble, scores, labels, np.array(order[du.get_rank()], dtype=np.int64))
    ensemble.fail([(11, "late.mp4", 0, "cut off")] if du.get_rank() else [])
    videos = ensemble.gather()
    scores_VR = videos.scores if videos.kept is None else videos.kept.rows.flatten(1)
    return scores_VR, videos.counts.tolist(), [f.video for f in videos.failed]


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(
    "order",
    [
        [[0, 1, 2, 3], [4, 5, 6, 7, 8, 9, 10]],  # whole videos
        [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 0]],  # clips in turn, and one twice
        [list(range(8)), [3, 2, 1, 0, 8, 9, 10]],  # a whole video on both
        [[], list(range(11))],  # nothing on one
    ],
)
def test_two_ranks_equal_one_bit_for_bit(order, keep) -> None:
    scores, labels = _random(3, 4)
    alone = ViewEnsemble(3, 4, keep_views=keep)
    feed(alone, scores, labels, np.arange(11))
    videos = alone.gather()
    expected = videos.scores if videos.kept is None else videos.kept.rows.flatten(1)
    for found, counts, failed in run_two_processes(_score_on_rank, order, keep):
        assert torch.equal(found, expected)
        assert counts == [4, 4, 3]
        assert failed == [2]
