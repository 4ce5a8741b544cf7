"""From clips to the scores of videos: what is put together over a video's views, and how."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from slowfast.engine.batches import as_logits
from slowfast.errors import UsageError
from slowfast.evaluation.multiview import VideoScores, ViewEnsemble, to_space
from slowfast.models.build import call_model
from slowfast.structures import Encoded, VideoBatch

SCORED_VIDEOS = 64


def chunks(batch: VideoBatch, size: int) -> list[VideoBatch]:
    """Split a batch (whole videos, maybe many views) into parts of at most ``size`` clips."""
    parts = []
    for start in range(0, len(batch), size):
        cut = slice(start, start + size)
        inputs = [pathway[cut] for pathway in batch.inputs]
        parts.append(VideoBatch(inputs, batch.labels[cut], batch.index[cut]))
    return parts


class Scorer:
    """Run the model on clips, and make scores of what its ``ensemble`` gathered.

    With "feature" a video has one feature: the mean of the un-normalised frame features over all
    frames of all views, which the model's ``score`` classifies once (Text4Vis tests so). A model
    that does not say that this mean is all it looks at (``averages_frames``) gets the frames of all
    views as those of one long clip instead: a head that matches or normalises single frames cannot
    be given averages of unlike frames.

    Args:
        model: not wrapped for several processes; put into evaluation mode. In full precision.
        space: TEST.ENSEMBLE_SPACE.
        method: DATA.ENSEMBLE_METHOD.
        multi_label: whether labels are multi-hot.
        restrict: whether ``VideoScores.restricted`` will be called.

    Raises:
        UsageError: "feature" with a model that does not offer its features, or whose head needs
            more than these of each view; or with a maximum.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        space: str,
        method: str = "sum",
        multi_label: bool = False,
        restrict: bool = False,
    ) -> None:
        self.model = model.eval()
        self.device = next(model.parameters()).device
        self.space, self.method, self.multi_label = space, method, multi_label
        self.features = space == "feature"
        self.averages = bool(getattr(model, "averages_frames", False))
        self.keep_views = restrict and space == "prob"
        if self.features:
            _check_features(model, method)
            self.keep_views = not self.averages

    @classmethod
    def from_cfg(cls, cfg: Any, model: nn.Module, *, restrict: bool = False) -> Scorer:
        """Return the scorer that the options of the test ask for."""
        return cls(
            model,
            space=cfg.TEST.ENSEMBLE_SPACE,
            method=cfg.DATA.ENSEMBLE_METHOD,
            multi_label=cfg.DATA.MULTI_LABEL,
            restrict=restrict,
        )

    def ensemble(self, num_videos: int, num_views: int) -> ViewEnsemble:
        """Return what is to be updated with the outputs of these views."""
        return ViewEnsemble(
            num_videos,
            num_views,
            space=self.space,
            method=self.method,
            multi_label=self.multi_label,
            keep_views=self.keep_views and num_views > 1,
        )

    @torch.no_grad()
    def __call__(self, batch: VideoBatch) -> Tensor:
        """Return logits B x K, or features B x T x D (B x 1 x D where their mean is enough)."""
        output = call_model(self.model, batch.to(self.device))
        if not self.features:
            return as_logits(output.logits, multi_label=self.multi_label)
        assert output.video_BTD is not None, "a model with score() returns its features"
        video_BTD = output.video_BTD.float()
        return video_BTD.mean(dim=1, keepdim=True) if self.averages else video_BTD

    @torch.no_grad()
    def finish(self, scores: VideoScores) -> VideoScores:
        """Return class scores V x K: of features, the logits that ``score`` gives them."""
        if not self.features:
            return scores
        score = cast(Callable[[Encoded], Tensor], self.model.score)
        table = torch.zeros(len(scores.counts), 0)
        for videos, features in _long_clips(scores):
            rows = score(Encoded(features.to(self.device), {})).float().cpu()
            if not table.shape[1]:
                table = torch.zeros(len(table), rows.shape[1])
            table[videos] = rows
        scores.scores, scores.kept = table, None
        return scores


def reported(scores: VideoScores, space: str, *, multi_label: bool = False) -> VideoScores:
    """Return the scores that files and people get, of features: probabilities, not their logits.

    Measures are taken before, since probabilities near 1 are alike in float32.
    """
    if space != "feature":
        return scores
    seen = (scores.counts > 0).unsqueeze(1)
    return replace(scores, scores=to_space(scores.scores, "prob", multi_label=multi_label) * seen)


def _long_clips(scores: VideoScores) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ids of videos with a view, and their features b x T x D as of one clip each."""
    kept, full = scores.kept, scores.counts == scores.num_views
    if kept is None:
        full = scores.counts > 0
    for videos in full.nonzero().flatten().split(SCORED_VIDEOS):
        if len(videos):
            yield videos, scores.scores[videos] if kept is None else kept.rows[videos].flatten(1, 2)
    if kept is not None:
        for video in ((scores.counts > 0) & ~full).nonzero().flatten():
            frames = kept.rows[video][kept.seen[video]]
            yield video[None], frames.flatten(0, 1)[None]


def _check_features(model: nn.Module, method: str) -> None:
    name = type(model).__name__
    if not hasattr(model, "score"):
        raise UsageError(
            f"TEST.ENSEMBLE_SPACE feature needs a model with score(encoded); "
            f"{name} has none: use prob or logit"
        )
    if method != "sum":
        raise UsageError(
            f"DATA.ENSEMBLE_METHOD {method} with TEST.ENSEMBLE_SPACE feature: features are "
            "averaged; use sum, or the space prob or logit"
        )
    head = getattr(model, "head", None)
    needs = {n: why for n, why in getattr(head, "requires", {}).items() if n != "frames"}
    if needs:
        raise UsageError(
            f"TEST.ENSEMBLE_SPACE feature puts frame features of all views together, but "
            f"{type(head).__name__} also needs {sorted(needs)} of each view "
            f"({'; '.join(needs.values())}): use prob or logit"
        )
