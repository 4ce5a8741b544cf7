"""The ensemble over a video's views: each clip counts once, whoever delivers it and how often.

Shapes: B clips of a batch, V videos, K classes; R values of one row (K, or whatever is summed).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from slowfast.errors import DataError, UsageError
from slowfast.utils import distributed as du
from slowfast.utils.logging import get_logger

SPACES = ("prob", "logit", "feature")
METHODS = ("sum", "max")
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
        which: Any = ... if columns is None else (..., columns)
        out = torch.zeros_like(self.rows[:, 0][which])
        for video in self.seen.any(dim=1).nonzero().flatten().tolist():
            own = self.rows[video, self.seen[video]][which]
            own = to_space(own, self.space, multi_label=self.multi_label)
            out[video] = _fuse(own, self.method)
        return out


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

    def of_scored(self) -> tuple[Tensor, Tensor]:
        """Return scores and labels of the videos with a score."""
        ids = self.scored
        return self.scores[ids], self.labels[ids]

    @property
    def incomplete(self) -> list[int]:
        """Ids of videos that neither failed nor delivered all their views."""
        short = self.counts < self.num_views
        for video in self.failed:
            short[video.video] = False
        return short.nonzero().flatten().tolist()


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
    twice (a sampler that pads, two ranks with the same clip) changes nothing. A video is summed up
    as soon as its last view is here, in the order of the views and in float64: memory stays that of
    one row a video, and the result does not depend on batches or processes.

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
        self._shape: tuple[int, ...] = ()
        self._views: dict[int, Tensor] = {}  # by clip, of videos that wait for others
        self._done: dict[int, Tensor] = {}  # by video
        self._labels: dict[int, Tensor] = {}  # by video
        self._counts = [0] * num_videos
        self._torn: set[int] = set()  # videos whose clips disagree about the label
        self._failed: dict[int, FailedVideo] = {}

    def update(self, outputs: Tensor, labels: Tensor, index: Tensor) -> None:
        """Take in one batch.

        Args:
            outputs: logits B x K, or with space "feature" any B x ...
            labels: int64 B, or multi-hot B x K.
            index: int64 B, the clips' positions in the expanded data set.
        """
        clips = index.tolist()
        limit = self.num_videos * self.num_views
        assert len(clips) == len(outputs) == len(labels), "outputs, labels, index differ in number"
        assert all(0 <= clip < limit for clip in clips), (
            f"clip index outside 0..{limit - 1} ({self.num_videos} videos x {self.num_views} views)"
        )
        space = "logit" if self.keep_views else self.space  # kept as they are
        rows = to_space(outputs, space, multi_label=self.multi_label)
        self._shape = tuple(rows.shape[1:])
        for clip, row, label in zip(clips, rows, labels.detach().cpu()):
            video = clip // self.num_views
            if clip in self._views or video in self._done:
                continue
            self._views[clip] = row
            self._note_label(video, label)
            self._counts[video] += 1
            if self._counts[video] == self.num_views and not self.keep_views:
                first = video * self.num_views
                own = [self._views.pop(first + view) for view in range(self.num_views)]
                self._done[video] = _fuse(torch.stack(own), self.method)

    def fail(self, failed: Iterable[tuple[int, str, int, str]]) -> None:
        """Note videos that could not be read: (clip index, path, label, reason) each."""
        for index, path, label, reason in failed:
            video = int(index) // self.num_views
            self._failed.setdefault(video, FailedVideo(video, str(path), int(label), str(reason)))

    def _note_label(self, video: int, label: Tensor) -> None:
        if not torch.equal(self._labels.setdefault(video, label), label):
            self._torn.add(video)

    def gather(self) -> VideoScores:
        """Return the scores of all videos, on every rank; call it once, at the end, on every rank.

        Raises DataError when a video's clips disagree about its label.
        """
        tables = [_pack(table) for table in (self._done, self._views, self._labels)]
        parts = du.all_gather_object((self._shape, tables, self._torn, self._failed))
        done, views = ({k: v for part in parts for k, v in zip(*part[1][i])} for i in (0, 1))
        for video, label in (pair for part in parts for pair in zip(*part[1][2])):
            self._note_label(video, label)
        if torn := self._torn.union(*(part[2] for part in parts)):
            raise DataError(
                f"video {min(torn)}: its clips carry different labels; "
                "index must be the clip's position in the expanded data set"
            )
        failed = {k: v for part in parts for k, v in part[3].items()}
        shape = next((part[0] for part in parts if part[0]), (0,))
        scores, counts, kept = self._put_together(done, views, shape)
        lost = [failed[video] for video in sorted(failed)]
        out = VideoScores(scores, self._label_table(), counts, self.num_views, lost, kept)
        _report_incomplete(out)
        return out

    def _put_together(
        self, done: dict[int, Tensor], views: dict[int, Tensor], shape: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, KeptViews | None]:
        """Return means or maxima, numbers of views, and the kept views."""
        if self.keep_views:
            rows = torch.zeros(self.num_videos * self.num_views, *shape)
            seen = torch.zeros(len(rows), dtype=torch.bool)
            for clip, row in views.items():
                rows[clip], seen[clip] = row, True
            rows, seen = (x.unflatten(0, (self.num_videos, self.num_views)) for x in (rows, seen))
            kept = KeptViews(rows, seen, self.space, self.method, self.multi_label)
            return kept.fuse(), seen.sum(dim=1), kept
        scores = torch.zeros(self.num_videos, *shape)
        counts = torch.zeros(self.num_videos, dtype=torch.int64)
        for video, row in done.items():
            scores[video], counts[video] = row, self.num_views
        rest = sorted(clip for clip in views if clip // self.num_views not in done)
        for video, clips in groupby(rest, key=lambda clip: clip // self.num_views):
            own = torch.stack([views[clip] for clip in clips])
            scores[video], counts[video] = _fuse(own, self.method), len(own)
        return scores, counts, None

    def _label_table(self) -> Tensor:
        """Return the labels of all videos, -1 where no clip brought one."""
        some = next(iter(self._labels.values()), torch.tensor(-1))
        table = torch.full((self.num_videos, *some.shape), -1, dtype=some.dtype)
        for video, label in self._labels.items():
            table[video] = label
        return table


def _fuse(rows: Tensor, method: str) -> Tensor:
    """Return the mean (of "sum") or the maximum over a video's views M x R, float32."""
    return rows.double().mean(dim=0).float() if method == "sum" else rows.amax(dim=0)


def _pack(table: dict[int, Tensor]) -> tuple[list[int], Tensor]:
    """Return keys and values, these as one tensor: thousands of them pickle slowly."""
    return list(table), torch.stack(list(table.values())) if table else torch.zeros(0)


def _report_incomplete(videos: VideoScores) -> None:
    if videos.incomplete:
        shown = ", ".join(
            f"{video} ({int(videos.counts[video])})" for video in videos.incomplete[:10]
        )
        logger.warning(
            f"{len(videos.incomplete)} videos without all their {videos.num_views} views; "
            f"video id (views): {shown}"
        )


def describe_failures(failed: list[FailedVideo], limit: int = 10) -> list[str]:
    """Return one line per failed video, at most ``limit``, for the log."""
    lines = [f"not scored: {video.path} ({video.reason})" for video in failed[:limit]]
    rest = len(failed) - limit
    return lines + ([f"and {rest} more, see results.json"] if rest > 0 else [])
