"""The ensemble over a video's views: each clip counts once, whoever delivers it and how often.

Shapes: B clips of a batch, V videos, K classes; R values of one row (K, or whatever is summed).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from slowfast.errors import DataError, UsageError
from slowfast.utils import distributed as du
from slowfast.utils.logging import get_logger

SPACES = ("prob", "logit", "feature")
METHODS = ("sum", "max")
FOLD_ROWS = 4096
logger = get_logger(__name__)


class FailedVideo(NamedTuple):
    """A listed video that could not be scored."""

    video: int
    path: str
    label: int
    reason: str


@dataclass
class VideoScores:
    """What is known of every listed video after its views were put together.

    ``scores`` is V x R (in the shape of one clip's output), the mean over views or their maximum;
    rows of videos without a score are 0. ``labels`` is int64 V (-1 where unknown) or multi-hot V x
    K, ``counts`` int64 V the number of different clips of each video.
    """

    scores: Tensor
    labels: Tensor
    counts: Tensor
    num_views: int
    failed: list[FailedVideo] = field(default_factory=list)

    @property
    def scored(self) -> Tensor:
        """Ids of the videos with a score: at least one view, and none that failed."""
        usable = self.counts > 0
        for video in self.failed:
            usable[video.video] = False
        return usable.nonzero().flatten()

    @property
    def incomplete(self) -> list[int]:
        """Ids of videos that neither failed nor delivered all their views."""
        short = self.counts < self.num_views
        for video in self.failed:
            short[video.video] = False
        return short.nonzero().flatten().tolist()


class _Clips(NamedTuple):
    """Rows that were delivered: clip ids B, values B x R, labels B or B x K."""

    clip: Tensor
    rows: Tensor
    labels: Tensor


def to_space(outputs: Tensor, space: str, *, multi_label: bool) -> Tensor:
    """Return what is summed for one batch of outputs, float32 on the CPU.

    "prob": softmax of logits over classes (sigmoid for several labels per video); "logit" and
    "feature": the outputs as they are.
    """
    outputs = outputs.detach().float()
    if space == "prob":
        outputs = outputs.sigmoid() if multi_label else outputs.softmax(dim=-1)
    return outputs.cpu()


class ViewEnsemble:
    """Sum or maximum over the views of each video, keyed by clip and video id.

    A clip's id is its index in the expanded data set: video = index div views. Delivering a clip
    twice (a sampler that pads, two ranks with the same clip) changes nothing. Rows are added in the
    order of their ids in float64, so that the result does not depend on batches or processes.

    Args:
        num_videos: videos of the list.
        num_views: clips times crops of each.
        space: TEST.ENSEMBLE_SPACE; see ``to_space``.
        method: DATA.ENSEMBLE_METHOD, "sum" (reported as the mean) or "max".
        multi_label: whether labels are multi-hot.
    """

    def __init__(
        self,
        num_videos: int,
        num_views: int,
        *,
        space: str = "prob",
        method: str = "sum",
        multi_label: bool = False,
    ) -> None:
        if space not in SPACES:
            raise UsageError(f"TEST.ENSEMBLE_SPACE {space!r}: expected one of {', '.join(SPACES)}")
        if method not in METHODS:
            raise UsageError(
                f"DATA.ENSEMBLE_METHOD {method!r}: expected one of {', '.join(METHODS)}"
            )
        self.num_videos, self.num_views = num_videos, num_views
        self.space, self.method, self.multi_label = space, method, multi_label
        self._shape: tuple[int, ...] = ()
        self._pending: list[_Clips] = []
        self._num_pending = 0
        self._folded: list[_Clips] = []  # one row per finished video
        self._done = torch.zeros(num_videos, dtype=torch.bool)
        self._failed: dict[int, FailedVideo] = {}

    def update(self, outputs: Tensor, labels: Tensor, index: Tensor) -> None:
        """Take in one batch.

        Args:
            outputs: logits B x K, or with space "feature" any B x ...
            labels: int64 B, or multi-hot B x K.
            index: int64 B, the clips' positions in the expanded data set.
        """
        index = index.detach().cpu().long()
        limit = self.num_videos * self.num_views
        assert len(index) == len(outputs) == len(labels), "outputs, labels, index differ in number"
        assert not len(index) or 0 <= int(index.min()) <= int(index.max()) < limit, (
            f"clip index outside 0..{limit - 1} ({self.num_videos} videos x {self.num_views} views)"
        )
        rows = to_space(outputs, self.space, multi_label=self.multi_label)
        self._shape = tuple(rows.shape[1:])
        self._pending.append(_Clips(index, rows.flatten(1), labels.detach().cpu()))
        self._num_pending += len(index)
        if self._num_pending >= FOLD_ROWS:
            self._fold()

    def fail(self, failed: Iterable[tuple[int, str, int, str]]) -> None:
        """Note videos that could not be read: (clip index, path, label, reason) each."""
        for index, path, label, reason in failed:
            video = int(index) // self.num_views
            self._failed.setdefault(video, FailedVideo(video, str(path), int(label), str(reason)))

    def _fold(self) -> None:
        """Replace the rows of finished videos by one row each, so that memory stays bounded."""
        if not self._pending:
            return
        clips = _distinct(self._pending, self._done, self.num_views)
        video = clips.clip // self.num_views
        finished = torch.bincount(video, minlength=self.num_videos) == self.num_views
        ready = finished[video]
        if ready.any():
            self._folded.append(_reduce(_take(clips, ready), self.num_views, self.method))
            self._done |= finished
        self._pending = [_take(clips, ~ready)]
        self._num_pending = len(self._pending[0].clip)

    def gather(self) -> VideoScores:
        """Return the scores of all videos, on every rank; call it once, at the end, on every rank.

        Raises DataError when a video's clips disagree about its label.
        """
        self._fold()
        parts = du.all_gather_object((self._shape, self._folded, self._pending, self._failed))
        failed = {k: v for part in parts for k, v in part[3].items()}
        shape = next((part[0] for part in parts if part[0]), (0,))
        table = _Table(self.num_videos, self.num_views, math.prod(shape))
        for clips in (clips for part in parts for clips in part[1]):
            table.put(clips, full=True)
        pending = [clips for part in parts for clips in part[2]]
        if pending:
            rest = _distinct(pending, table.counts == self.num_views, self.num_views)
            if len(rest.clip):
                table.put(_reduce(rest, self.num_views, self.method), full=False)
                table.count(rest.clip // self.num_views)
        return table.result(shape, self.method, [failed[video] for video in sorted(failed)])


class _Table:
    """One row per listed video."""

    def __init__(self, num_videos: int, num_views: int, width: int) -> None:
        self.rows = torch.zeros(num_videos, width, dtype=torch.float64)
        self.counts = torch.zeros(num_videos, dtype=torch.int64)
        self.labels: Tensor | None = None
        self.num_views = num_views

    def put(self, clips: _Clips, *, full: bool) -> None:
        """Write reduced rows, whose ``clip`` is the video's id; a second copy changes nothing."""
        self.rows[clips.clip] = clips.rows
        if self.labels is None:
            shape = (len(self.rows), *clips.labels.shape[1:])
            self.labels = torch.full(shape, -1, dtype=clips.labels.dtype)
        self.labels[clips.clip] = clips.labels
        if full:
            self.counts[clips.clip] = self.num_views

    def count(self, video: Tensor) -> None:
        """Add one view to each listed video."""
        self.counts += torch.bincount(video, minlength=len(self.counts))

    def result(self, shape: tuple[int, ...], method: str, failed: list[FailedVideo]) -> VideoScores:
        """Return means (or maxima) in float32 and say what is missing."""
        divisor = self.counts.clamp(min=1).double().unsqueeze(1) if method == "sum" else 1.0
        scores = (self.rows / divisor).float().view(len(self.rows), *shape)
        labels = self.labels
        if labels is None:
            labels = torch.full((len(self.counts),), -1, dtype=torch.int64)
        out = VideoScores(scores, labels, self.counts, self.num_views, failed)
        if out.incomplete:
            shown = ", ".join(
                f"{video} ({int(out.counts[video])})" for video in out.incomplete[:10]
            )
            logger.warning(
                f"{len(out.incomplete)} videos without all their {self.num_views} views; "
                f"video id (views): {shown}"
            )
        return out


def _take(clips: _Clips, mask: Tensor) -> _Clips:
    return _Clips(clips.clip[mask], clips.rows[mask], clips.labels[mask])


def _distinct(parts: list[_Clips], done: Tensor, num_views: int) -> _Clips:
    """Return all parts as one, sorted by clip id, without copies and without videos in ``done``."""
    index = torch.cat([part.clip for part in parts])
    order = index.argsort(stable=True)
    index = index[order]
    fresh = torch.ones_like(index, dtype=torch.bool)
    fresh[1:] = index[1:] != index[:-1]
    keep = order[fresh & ~done[index // num_views]]
    rows = torch.cat([part.rows for part in parts])
    labels = torch.cat([part.labels for part in parts])
    return _Clips(torch.cat([part.clip for part in parts])[keep], rows[keep], labels[keep])


def _reduce(clips: _Clips, num_views: int, method: str) -> _Clips:
    """Return one row per video of ``clips``, which are sorted by id: sum or maximum, and label."""
    video, position = (clips.clip // num_views).unique(return_inverse=True)
    labels = clips.labels[torch.searchsorted(position, torch.arange(len(video)))]
    differs = (labels[position] != clips.labels).reshape(len(position), -1).any(dim=1)
    if differs.any():
        raise DataError(
            f"video {int(clips.clip[differs][0]) // num_views}: its clips carry different labels; "
            "index must be the clip's position in the expanded data set"
        )
    rows = clips.rows.double()
    shape = (len(video), rows.shape[1])
    if method == "sum":
        total = torch.zeros(shape, dtype=torch.float64).index_add_(0, position, rows)
    else:
        total = torch.full(shape, -torch.inf, dtype=torch.float64)
        total.scatter_reduce_(0, position.unsqueeze(1).expand_as(rows), rows, "amax")
    return _Clips(video, total, labels)


def describe_failures(failed: list[FailedVideo], limit: int = 10) -> list[str]:
    """Return one line per failed video, at most ``limit``, for the log."""
    lines = [f"not scored: {video.path} ({video.reason})" for video in failed[:limit]]
    rest = len(failed) - limit
    return lines + ([f"and {rest} more, see results.json"] if rest > 0 else [])
