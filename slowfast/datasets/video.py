"""The data set of listed videos: open once, sample, read, transform, for all views of a video.

T frames, C channels, S crop side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from slowfast.config.configurable import configurable
from slowfast.datasets import from_config
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.collate import Sample
from slowfast.datasets.lists.annotations import VideoList
from slowfast.datasets.reading.decoder import VideoReader
from slowfast.datasets.reading.timeline import Clip, Timeline
from slowfast.datasets.sampling.rules import CENTER_CLIP, RANDOM_CLIP, FrameRule
from slowfast.datasets.sampling.views import Views, view_of_index
from slowfast.datasets.transforms.base import Transform
from slowfast.errors import DataError, DecodeError, UsageError
from slowfast.structures import View
from slowfast.utils.rng import generator

MAX_REPLACEMENTS = 20
_FRAMES, _PIXELS = 0, 1  # two generators a sample: frame choice, and everything else


class Reader(Protocol):
    """An open video."""

    def read_clips(
        self, choose: Callable[[Timeline], Sequence[Clip]]
    ) -> tuple[list[Clip], list[np.ndarray]]:
        """Choose clips by the video's clock; return them and their uint8 T x H x W x 3 frames.

        Frames of several clips are decoded once. ``choose`` may be called again when decoding
        proves the clock wrong. Raises DecodeError.
        """
        ...


class _Cut(NamedTuple):
    """One finished clip as a list of pathways, where it lies in its video, and its label."""

    pathways: list[Tensor]
    clip: Clip
    label: Any

    @property
    def time(self) -> np.ndarray:
        """First frame, last frame, and the gap to the clip before (always 0)."""
        return np.array([self.clip.start, self.clip.end, 0.0])


def pathways(video_CTHW: Tensor, alpha: int) -> list[Tensor]:
    """Return the pathways of a clip: itself, or with ``alpha`` > 1 first T // alpha of its frames.

    These are spread evenly from the first to the last frame, their numbers rounded down.

    >>> [clip.flatten().tolist() for clip in pathways(torch.arange(8.0).view(1, 8, 1, 1), 2)]
    [[0.0, 2.0, 4.0, 7.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]]

    Raises:
        UsageError: fewer frames than ``alpha``.
    """
    if alpha <= 1:
        return [video_CTHW]
    t = video_CTHW.shape[1]
    if t < alpha:
        raise UsageError(
            f"SLOWFAST.ALPHA {alpha} leaves no frame of {t} to the slow pathway; raise"
            " DATA.NUM_FRAMES, or set MODEL.ARCH to one of a single pathway"
        )
    slow = torch.linspace(0, t - 1, t // alpha).long()
    return [video_CTHW.index_select(1, slow), video_CTHW]


class VideoDataset(Dataset):
    """Clips of listed videos.

    Args:
        videos: paths and labels.
        rule: which frames make a clip.
        transform: what becomes of them.
        views: how many clips and cuts.
        replace_broken: put another video in the place of an unreadable one (training); otherwise
            its clips are reported as failed.
        seed: with epoch and index, decides every random draw; workers have no part in it.
        backend: of the decoder.
        multi_thread: let the decoder use threads.
        swap_channels: exchange the first and third channel of the finished clip.
        alpha: above 1, clips come as two pathways, the first with T // alpha of the T frames.
        dummy: hand out the first item again and again.
        repeats: how often each video occurs in an epoch (TRAIN.EPOCH_SIZE), each time with other
            random draws: items i, i + N, i + 2 N ... of N videos are the same video.

    Item i is ``(frames, label, index, time, meta)``: ``frames`` a list with one float
    3 x T x S x S tensor a pathway, ``index`` the place of its video (of the replacement, if there
    was one) among the N, or i itself in a test, ``time`` 1 x 3. With several random cuts a video,
    all but meta are lists of as many (PySlowFast's repeated augmentation). ``meta["broken"]`` lists
    (path, reason) of replaced videos and ``meta["failed"]`` (index, path, label, reason).
    """

    @configurable
    def __init__(  # noqa: PLR0913 - plain values, each of its own kind
        self,
        videos: VideoList,
        *,
        rule: FrameRule,
        transform: Transform,
        views: Views,
        replace_broken: bool = False,
        seed: int = 1,
        backend: str = "pyav",
        multi_thread: bool = False,
        swap_channels: bool = False,
        alpha: int = 1,
        dummy: bool = False,
        repeats: int = 1,
    ) -> None:
        self.videos = videos
        self.rule = rule
        self.transform = transform
        self.views = views
        self.replace_broken = replace_broken
        self.seed = seed
        self.backend = backend
        self.multi_thread = multi_thread
        self.swap_channels = swap_channels
        self.alpha = alpha
        self.dummy = dummy
        self.repeats = repeats
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._first: list[Sample] = []

    @classmethod
    def from_cfg(cls, cfg: Any, split: str) -> dict[str, Any]:
        """Return the arguments that ``cfg`` gives for ``split`` (train, val or test)."""
        return from_config.dataset_arguments(cfg, split)

    @property
    def num_clips_per_video(self) -> int:
        """Items that stand for one video."""
        views = self.views
        return views.num_clips * views.num_crops if views.expanded else 1

    @property
    def num_videos(self) -> int:
        """Items (PySlowFast's name; in a test these are clips)."""
        return len(self)

    def __len__(self) -> int:
        return len(self.videos) * self.num_clips_per_video * self.repeats

    def set_epoch(self, epoch: int) -> None:
        """Choose the random draws of this epoch, also in loading processes that live on."""
        self._epoch.fill_(epoch)

    _set_epoch_num = set_epoch

    def open(self, video: int) -> AbstractContextManager[Reader]:
        """Open a video by its position in the list; raises DecodeError."""
        path = str(self.videos.paths[video])
        return VideoReader(path, backend=self.backend, multi_thread=self.multi_thread)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of {len(self)}")
        (sample,) = self.__getitems__([index])
        if sample[0] is None:
            _, path, _, reason = sample[4]["failed"][0]
            raise DecodeError(path, reason)
        return sample

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Return the items ``indices``; a video is opened once for all of its views."""
        if self.dummy:
            self._first = self._first or self._load([0])
            return self._first * len(indices)
        return self._load(indices)

    def _load(self, indices: Sequence[int]) -> list[Sample]:
        if self.views.random:
            return [self._random_item(int(index)) for index in indices]
        by_video: dict[int, list[int]] = {}
        for index in indices:
            by_video.setdefault(int(index) // self.num_clips_per_video, []).append(int(index))
        found: dict[int, Sample] = {}
        for video, wanted in by_video.items():
            found.update(zip(wanted, self._fixed_items(video, wanted)))
        return [found[int(index)] for index in indices]

    def _random_item(self, index: int) -> Sample:
        broken: list[tuple[str, str]] = []
        for attempt in range(MAX_REPLACEMENTS + 1):
            key = (self.seed, int(self._epoch), index, attempt)
            position = int(generator(*key).integers(0, len(self.videos))) if attempt else index
            video = position % len(self.videos)
            try:
                cuts = self._random_cuts(video, key)
            except DecodeError as error:
                broken.append((error.path, error.reason))
                if not self.replace_broken:
                    return self._failed(index, video, error)
                continue
            return self._pack(video, cuts, {"broken": broken} if broken else {})
        path, reason = broken[-1]
        raise DataError(
            f"{len(broken)} videos in a row could not be read, the last one {path}: {reason};"
            " the list or its folder must be wrong"
        )

    def _random_cuts(self, video: int, key: tuple[int, ...]) -> list[_Cut]:
        def choose(timeline: Timeline) -> list[Clip]:
            rng = generator(*key, _FRAMES)
            return [
                self.rule.clip(timeline, clip=RANDOM_CLIP, rng=rng)
                for _ in range(self.views.num_clips)
            ]

        with self.open(video) as reader:
            clips, frames = reader.read_clips(choose)
        rng, label = generator(*key, _PIXELS), self._label(video)
        return [
            self._finish(*self.transform.random_labelled(frames_THWC, label, rng), clip)
            for clip, frames_THWC in zip(clips, frames)
            for _ in range(self.views.num_crops)
        ]

    def _fixed_items(self, video: int, indices: Sequence[int]) -> list[Sample]:
        try:
            cuts = self._fixed_cuts(video, [self._view(index) for index in indices])
        except DecodeError as error:
            return [self._failed(index, video, error) for index in indices]
        return [self._pack(index, [cut], {}) for index, cut in zip(indices, cuts)]

    def _view(self, index: int) -> View:
        if not self.views.expanded:
            return View(CENTER_CLIP, 1)
        return view_of_index(index, self.views.num_clips, self.views.num_crops)[1]

    def _fixed_cuts(self, video: int, views: Sequence[View]) -> list[_Cut]:
        order = sorted({view.clip for view in views})
        with self.open(video) as reader:
            clips, frames = reader.read_clips(
                lambda timeline: [self._fixed_clip(timeline, video, k) for k in order]
            )
        done: dict[View, _Cut] = {}
        for k, clip, frames_THWC in zip(order, clips, frames):
            crops = sorted({view.crop for view in views if view.clip == k})
            for crop, tensor in zip(crops, self.transform.crops(frames_THWC, crops)):
                done[View(k, crop)] = self._finish(tensor, self._label(video), clip)
        return [done[view] for view in views]

    def _fixed_clip(self, timeline: Timeline, video: int, k: int) -> Clip:
        # one published rule draws its test views: the draw belongs to the view, not to its batch
        rng = generator(self.seed, 0, video, max(k, 0), _FRAMES)
        return self.rule.clip(timeline, clip=k, num_clips=self.views.num_clips, rng=rng)

    def _label(self, video: int) -> Any:
        """Return an int, or K floats where a video has several labels."""
        label = self.videos.labels[video]
        return int(label) if np.ndim(label) == 0 else torch.from_numpy(label)

    def _finish(self, video_CTHW: Tensor, label: Any, clip: Clip) -> _Cut:
        video_CTHW = video_CTHW.flip(0) if self.swap_channels else video_CTHW
        return _Cut(pathways(video_CTHW, self.alpha), clip, label)

    def _pack(self, index: int, cuts: Sequence[_Cut], meta: dict[str, Any]) -> Sample:
        if len(cuts) == 1:
            return cuts[0].pathways, cuts[0].label, index, cuts[0].time[None], meta
        return (
            [cut.pathways for cut in cuts],
            [cut.label for cut in cuts],
            [index] * len(cuts),
            [cut.time for cut in cuts],
            meta,
        )

    def _failed(self, index: int, video: int, error: DecodeError) -> Sample:
        entry = (index, error.path, self._label(video), error.reason)
        return None, entry[2], index, None, {"failed": [entry]}


@DATASET_REGISTRY.register(names=["Kinetics", "Ucf101", "Hmdb51", "Ssv2videos", "Activitynet"])
class Kinetics(VideoDataset):
    """Videos of a list, under the name that PySlowFast's users expect, and those of other data."""
