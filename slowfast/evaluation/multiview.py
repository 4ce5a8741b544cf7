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
from torch.nn import functional

from slowfast.errors import DataError, UsageError
from slowfast.utils import distributed as du
from slowfast.utils.logging import get_logger

SPACES = ("prob", "logit", "feature")
METHODS = ("sum", "max")
FOLD_ROWS = 4096
FUSED_VIDEOS = 256  # of kept views at a time
logger = get_logger(__name__)


class FailedVideo(NamedTuple):
    """A listed video that could not be scored."""

    video: int
    path: str
    label: int
    reason: str


@dataclass(frozen=True)
class KeptViews:
    """The views of every listed video, each by itself.

    ``rows`` is V x M x R (in the shape of one clip's output) as the model gave it, before any
    softmax; ``seen`` is bool V x M, false for a view that was not delivered, whose row is 0.
    ``space``, ``method`` and ``multi_label`` are the ensemble's.
    """

    rows: Tensor
    seen: Tensor
    space: str
    method: str
    multi_label: bool

    def fuse(self, columns: Tensor | None = None) -> Tensor:
        """Return what the ensemble gives (V x R, float32), from some ``columns`` of R only or all.

        Videos without a view get 0.
        """
        rows = self.rows if columns is None else self.rows[..., columns]
        pairs = zip(rows.split(FUSED_VIDEOS), self.seen.split(FUSED_VIDEOS))
        return torch.cat([self._fuse(*pair) for pair in pairs])

    def _fuse(self, rows: Tensor, seen: Tensor) -> Tensor:
        seen = seen.view(*seen.shape, *[1] * (rows.ndim - 2))
        rows = to_space(rows, self.space, multi_label=self.multi_label).double()
        if self.method == "sum":
            return ((rows * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)).float()
        return rows.masked_fill(~seen, -torch.inf).amax(dim=1).masked_fill(~seen.any(1), 0).float()


@dataclass
class VideoScores:
    """What is known of every listed video after its views were put together.

    ``scores`` is V x R (in the shape of one clip's output), the mean over views or their maximum;
    rows of videos without a score are 0. ``labels`` is int64 V (-1 where unknown) or multi-hot V x
    K, ``counts`` int64 V the number of different clips of each video. ``kept`` holds the views
    themselves where the ensemble was asked to keep them.
    """

    scores: Tensor
    labels: Tensor
    counts: Tensor
    num_views: int
    failed: list[FailedVideo] = field(default_factory=list)
    kept: KeptViews | None = None

    def restricted(self, columns: Tensor) -> Tensor:
        """Return the scores V x S of a classifier that knows the classes ``columns`` only.

        The softmax of each view then runs over these columns. Taken after the mean over several
        views, the same columns would rank otherwise: views that give them little would count less.
        Without kept views the columns of ``scores``: the same thing for logits, scored features
        and the ranks of one view.
        """
        return self.scores[:, columns] if self.kept is None else self.kept.fuse(columns)

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
        keep_views: whether the result also has each view by itself (``VideoScores.kept``), for
            num_views times the memory.
    """

    def __init__(
        self,
        num_videos: int,
        num_views: int,
        *,
        space: str = "prob",
        method: str = "sum",
        multi_label: bool = False,
        keep_views: bool = False,
    ) -> None:
        if space not in SPACES:
            raise UsageError(f"TEST.ENSEMBLE_SPACE {space!r}: expected one of {', '.join(SPACES)}")
        if method not in METHODS:
            raise UsageError(
                f"DATA.ENSEMBLE_METHOD {method!r}: expected one of {', '.join(METHODS)}"
            )
        self.num_videos, self.num_views = num_videos, num_views
        self.space, self.method, self.multi_label = space, method, multi_label
        self.keep_views = keep_views
        self._way = "keep" if keep_views else method
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
        space = "logit" if self.keep_views else self.space  # kept as they are
        rows = to_space(outputs, space, multi_label=self.multi_label)
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
            self._folded.append(_reduce(_take(clips, ready), self.num_views, self._way))
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
        table = _Table(self.num_videos, self.num_views, math.prod(shape), keep=self.keep_views)
        for clips in (clips for part in parts for clips in part[1]):
            table.put(clips, full=True)
        pending = [clips for part in parts for clips in part[2]]
        if pending:
            rest = _distinct(pending, table.counts == self.num_views, self.num_views)
            if len(rest.clip):
                table.put(_reduce(rest, self.num_views, self._way), full=False)
                table.count(rest.clip // self.num_views)
        scores, kept = self._put_together(table, shape)
        lost = [failed[video] for video in sorted(failed)]
        out = VideoScores(scores, table.known_labels(), table.counts, self.num_views, lost, kept)
        _report_incomplete(out)
        return out

    def _put_together(
        self, table: _Table, shape: tuple[int, ...]
    ) -> tuple[Tensor, KeptViews | None]:
        """Return means or maxima in float32 and the kept views."""
        if not self.keep_views:
            counts = table.counts.clamp(min=1).double().unsqueeze(1)
            rows = table.rows / counts if self.method == "sum" else table.rows
            return rows.float().view(len(rows), *shape), None
        rows = table.rows.view(self.num_videos, self.num_views, -1)
        kept = KeptViews(
            rows[..., 1:].unflatten(2, shape),
            rows[..., 0].bool(),
            self.space,
            self.method,
            self.multi_label,
        )
        return kept.fuse(), kept


class _Table:
    """One row per listed video."""

    def __init__(self, num_videos: int, num_views: int, width: int, *, keep: bool) -> None:
        wide, kind = ((1 + width) * num_views, torch.float32) if keep else (width, torch.float64)
        self.rows = torch.zeros(num_videos, wide, dtype=kind)
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

    def known_labels(self) -> Tensor:
        """Return the labels; -1 for every video if none delivered one."""
        if self.labels is None:
            return torch.full((len(self.counts),), -1, dtype=torch.int64)
        return self.labels


def _report_incomplete(videos: VideoScores) -> None:
    if videos.incomplete:
        shown = ", ".join(
            f"{video} ({int(videos.counts[video])})" for video in videos.incomplete[:10]
        )
        logger.warning(
            f"{len(videos.incomplete)} videos without all their {videos.num_views} views; "
            f"video id (views): {shown}"
        )


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


def _reduce(clips: _Clips, num_views: int, way: str) -> _Clips:
    """Return one row per video of ``clips``, which are sorted by id, and its label.

    The row is the "sum" or "max" over its clips, or with "keep" all of them, one after the other at
    the place of their view, each behind a 1 (0 where the view is missing).
    """
    video, position = (clips.clip // num_views).unique(return_inverse=True)
    labels = clips.labels[torch.searchsorted(position, torch.arange(len(video)))]
    differs = (labels[position] != clips.labels).reshape(len(position), -1).any(dim=1)
    if differs.any():
        raise DataError(
            f"video {int(clips.clip[differs][0]) // num_views}: its clips carry different labels; "
            "index must be the clip's position in the expanded data set"
        )
    if way == "keep":
        kept = torch.zeros(len(video), num_views, 1 + clips.rows.shape[1])
        kept[position, clips.clip % num_views] = functional.pad(clips.rows, (1, 0), value=1.0)
        return _Clips(video, kept.flatten(1), labels)
    rows = clips.rows.double()
    shape = (len(video), rows.shape[1])
    if way == "sum":
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
