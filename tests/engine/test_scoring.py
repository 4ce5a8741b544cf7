"""What is put together over views: features once, frames side by side, or nothing at all."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from slowfast.engine.scoring import Scorer, reported
from slowfast.errors import UsageError
from slowfast.models.heads import CategoryHead, FrozenClassifier, LinearHead, OSTHead
from slowfast.ops.similarity import normalize
from slowfast.structures import Encoded, ModelOutput, VideoBatch
from slowfast.text import ClassVocabulary
from tests.distributed import run_two_processes

VIDEOS, VIEWS, FRAMES, DIM, CLASSES = 5, 12, 4, 16, 6
SCALE = 100.0


class Features(nn.Module):
    """Takes features for frames; the head is the cosine with constant rows."""

    def __init__(self, averages_frames=True):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.averages_frames = averages_frames
        self.rows = normalize(torch.randn(CLASSES, DIM, generator=torch.manual_seed(7)))
        self.lengths: list[int] = []

    def forward(self, inputs):
        return ModelOutput(self.score(Encoded(inputs[0], {})), inputs[0])

    def score(self, encoded):
        self.lengths.append(encoded.video_BTD.shape[1])
        mean = encoded.video_BTD.mean(dim=1)
        return SCALE * normalize(mean) @ self.rows.T


def features():
    """Return V x M x T x D with very unequal norms of frames and views."""
    generator = torch.manual_seed(3)
    rows = torch.randn(VIDEOS, VIEWS, FRAMES, DIM, generator=generator)
    sizes = torch.rand(VIDEOS, VIEWS, FRAMES, 1, generator=generator) * 3
    return rows * sizes.exp()


def score(model, video_VMTD, clips=None, **options):
    """Return the scores of clips that arrive in uneven batches, in any order."""
    clips = torch.randperm(VIDEOS * VIEWS) if clips is None else clips
    scorer = Scorer(model, **options)
    ensemble = scorer.ensemble(VIDEOS, VIEWS)
    for index in clips.split(7):
        videos = torch.div(index, VIEWS, rounding_mode="floor")
        batch = VideoBatch([video_VMTD.flatten(0, 1)[index]], videos % CLASSES, index)
        ensemble.update(scorer(batch), batch.labels, batch.index)
    return scorer.finish(ensemble.gather())


@pytest.mark.parametrize("averages", [True, False])
def test_twelve_views_are_one_feature_normalised_once(averages):
    video_VMTD, model = features(), Features(averages)
    found = score(model, video_VMTD, space="feature").scores
    mean = video_VMTD.double().mean(dim=(1, 2))
    cosine = torch.nn.functional.cosine_similarity(mean[:, None], model.rows.double()[None], dim=-1)
    torch.testing.assert_close(found, SCALE * cosine.float(), atol=1e-4, rtol=1e-5)
    each = SCALE * normalize(video_VMTD.mean(dim=2)) @ model.rows.T
    probabilities = found.softmax(dim=1)
    assert (probabilities - each.softmax(dim=2).mean(dim=1)).abs().max() > 0.05
    assert (probabilities - each.mean(dim=1).softmax(dim=1)).abs().max() > 0.05


def test_the_other_spaces_are_means_of_views():
    video_VMTD, model = features(), Features()
    each = SCALE * normalize(video_VMTD.mean(dim=2)) @ model.rows.T
    found = score(model, video_VMTD, space="prob").scores
    torch.testing.assert_close(found, each.softmax(dim=2).mean(dim=1), atol=1e-5, rtol=1e-4)
    found = score(model, video_VMTD, space="logit").scores
    torch.testing.assert_close(found, each.mean(dim=1), atol=1e-4, rtol=1e-4)
    found = score(model, video_VMTD, space="prob", method="max").scores
    torch.testing.assert_close(found, each.softmax(dim=2).amax(dim=1), atol=1e-5, rtol=1e-4)


def test_frames_of_all_views_are_one_clip_where_single_frames_count():
    video_VMTD, model = features(), Features(averages_frames=False)
    model.score = lambda encoded: normalize(encoded.video_BTD).amax(dim=1)  # the best frame
    found = score(model, video_VMTD, space="feature").scores
    torch.testing.assert_close(found, normalize(video_VMTD).flatten(1, 2).amax(dim=1))


@pytest.mark.parametrize("averages", [True, False])
def test_videos_without_all_views_are_scored_with_those_that_came(averages):
    video_VMTD, model = features(), Features(averages)
    clips = torch.cat([torch.arange(2 * VIEWS), torch.arange(3) + 3 * VIEWS])  # 0, 1, part of 3
    videos = score(model, video_VMTD, clips, space="feature")
    assert videos.scored.tolist() == [0, 1, 3]
    assert videos.kept is None
    expected = [video_VMTD[0], video_VMTD[1], video_VMTD[3, :3]]
    cosines = [SCALE * normalize(part.mean(dim=(0, 1))) @ model.rows.T for part in expected]
    torch.testing.assert_close(videos.scores[[0, 1, 3]], torch.stack(cosines), atol=1e-4, rtol=1e-5)
    assert not videos.scores[[2, 4]].any()  # not even scored: a head may refuse features of 0
    assert model.lengths.count(VIEWS * FRAMES) == (not averages)


def test_probabilities_of_features_are_reported_and_the_rest_as_it_is():
    videos = score(Features(), features(), torch.arange(2 * VIEWS), space="feature")
    shown = reported(videos, "feature")
    torch.testing.assert_close(shown.scores[:2], videos.scores[:2].softmax(dim=1))
    assert not shown.scores[2:].any()
    several = reported(videos, "feature", multi_label=True)
    torch.testing.assert_close(several.scores[:2], videos.scores[:2].sigmoid())
    assert reported(videos, "logit") is videos


def test_nothing_was_read():
    videos = score(Features(), features(), torch.arange(0), space="feature")
    assert videos.scores.shape == reported(videos, "feature").scores.shape == (VIDEOS, 0)
    assert videos.scored.tolist() == []


def _on_rank(averages, space):
    from slowfast.utils import distributed as du

    clips = torch.arange(VIDEOS * VIEWS).tensor_split([17])[du.get_rank()]
    return score(Features(averages), features(), clips, space=space, restrict=True).scores


@pytest.mark.parametrize(("averages", "space"), [(False, "feature"), (True, "prob")])
def test_two_processes_equal_one(averages, space):
    alone = score(Features(averages), features(), space=space).scores
    for found in run_two_processes(_on_rank, averages, space):
        torch.testing.assert_close(found, alone, atol=1e-4, rtol=1e-5)


def test_only_what_is_needed_is_kept():
    def kept(views=2, **options):
        return (
            Scorer(Features(options.pop("averages", True)), **options).ensemble(1, views).keep_views
        )

    assert not kept(space="prob")
    assert kept(space="prob", restrict=True)
    assert not kept(space="logit", restrict=True)
    assert not kept(space="feature", restrict=True)
    assert kept(space="feature", averages=False)
    assert not kept(space="feature", averages=False, views=1)


def test_a_maximum_of_features_is_refused():
    with pytest.raises(UsageError, match="ENSEMBLE_METHOD max .* features are averaged"):
        Scorer(Features(), space="feature", method="max")
    Scorer(Features(), space="prob", method="max")


def test_a_head_that_needs_more_of_a_view_is_refused():
    model = Features()
    model.head = SimpleNamespace(
        requires={"context": "texts are conditioned on the video's tokens"}
    )
    with pytest.raises(UsageError, match=r"also needs \['context'\] of each view \(texts are cond"):
        Scorer(model, space="feature")
    model.head = SimpleNamespace(requires={"frames": "single frames are matched"})
    Scorer(model, space="feature")


def test_heads_that_say_so_look_at_the_mean_only():
    names = ClassVocabulary(tuple("abc"))
    clip = SimpleNamespace(logit_scale=torch.tensor(1.0), text=None)
    bank = SimpleNamespace(features=lambda tower: torch.eye(3, 16)[:, None])
    category = CategoryHead.__new__(CategoryHead)
    nn.Module.__init__(category)
    category.bank = bank
    frozen = FrozenClassifier(vocabulary=names, rows=torch.randn(3, 16))
    video_BTD = features()[:, 0]
    mean = Encoded(video_BTD.mean(dim=1, keepdim=True), {})
    for head in (category, frozen, LinearHead(16, 3)):
        assert head.averages_frames
        logits = head(clip, Encoded(video_BTD, {}))
        torch.testing.assert_close(head(clip, mean), logits, atol=1e-5, rtol=1e-4)
    assert not getattr(OSTHead, "averages_frames", False)
