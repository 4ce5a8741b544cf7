"""What the options mean for a data set: the one place of the data code that reads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from slowfast.config.inputs import list_path
from slowfast.datasets.lists.annotations import PathArray, VideoList, read_list
from slowfast.datasets.reading.decoder import resolve_backend
from slowfast.datasets.sampling.rules import find_rule
from slowfast.datasets.sampling.views import Views
from slowfast.datasets.transforms.base import Transform, find_transform
from slowfast.errors import DataError, UsageError
from slowfast.text.labels import ClassVocabulary, load_vocabulary
from slowfast.utils.logging import get_logger

logger = get_logger(__name__)


def class_vocabulary(cfg: Any) -> ClassVocabulary | None:
    """Return the classes that labels count: TEXT.SUBSET, else TEXT.CLASSES, else None.

    Raises:
        UsageError: a wrong file, or a subset of other classes.
    """
    whole = cfg.TEXT.CLASSES or cfg.TEXT.SUBSET
    return load_vocabulary(whole, cfg.TEXT.SUBSET) if whole else None


def class_names(cfg: Any) -> tuple[str, ...]:
    """Return the names of ``class_vocabulary``, or none."""
    return getattr(class_vocabulary(cfg), "names", ())


def video_list(cfg: Any, split: str, kind: str = "") -> VideoList:
    """Return the videos of ``split``; ``kind`` overrides DATA.LIST_FORMAT.

    Raises:
        DataError: the list is missing, empty or wrong.
        UsageError: it lists folders of frames, and the data set wants videos.
    """
    classes = class_vocabulary(cfg)
    num_classes = cfg.MODEL.NUM_CLASSES or len(classes or ())
    videos = read_list(
        list_path(cfg, split),
        separator=cfg.DATA.PATH_LABEL_SEPARATOR,
        prefix=cfg.DATA.PATH_PREFIX,
        num_classes=num_classes,
        kind=kind or cfg.DATA.LIST_FORMAT,
        classes=classes,
    )
    if not kind and videos.kind == "frames":
        raise UsageError(
            f"{list_path(cfg, split)} lists folders of frames: choose the data set framefolder"
            " (TRAIN.DATASET, TEST.DATASET), or set DATA.LIST_FORMAT video"
        )
    if split != "test":
        videos = drop_short(videos, cfg.DATA.MIN_LISTED_FRAMES, list_path(cfg, split))
    if not cfg.DATA.MULTI_LABEL:
        return videos
    return merge_labels(videos, num_classes)


def drop_short(videos: VideoList, least: int, path: Path) -> VideoList:
    """Return the videos that their list says to have ``least`` frames or more (Text4Vis: 8).

    Lists without frame counts stay as they are.

    Raises:
        DataError: none is left.
    """
    if videos.num_frames is None or least <= int(videos.num_frames.min()):
        return videos
    kept = np.flatnonzero(videos.num_frames >= least)
    if not len(kept):
        raise DataError(
            f"{path}: all {len(videos)} folders are listed with fewer than {least} frames; lower"
            " DATA.MIN_LISTED_FRAMES"
        )
    logger.info(
        f"{path}: {len(videos) - len(kept)} of {len(videos)} folders are listed with fewer than"
        f" {least} frames (DATA.MIN_LISTED_FRAMES) and left out"
    )
    return videos.keep(kept)


def merge_labels(videos: VideoList, num_classes: int) -> VideoList:
    """Return each video once, its labels float32 of K zeros and ones.

    A video of several labels is listed once for each of them (DATA.MULTI_LABEL).
    """
    first: dict[str, int] = {}
    rows = [first.setdefault(path, len(first)) for path in videos.paths]
    labels = np.zeros((len(first), num_classes), dtype=np.float32)
    labels[rows, videos.labels] = 1.0
    kept = np.unique(rows, return_index=True)[1]
    return replace(
        videos,
        paths=PathArray(first),
        labels=labels,
        num_frames=None if videos.num_frames is None else videos.num_frames[kept],
        lines=None if videos.lines is None else videos.lines[kept],
        missing=tuple(sorted({rows[i] for i in videos.missing})),
    )


def views_of(cfg: Any, split: str) -> Views:
    """Return how many clips and cuts of a video ``split`` takes.

    Raises:
        UsageError: numbers of clips or crops that cannot be.
    """
    if split == "train":
        cuts = cfg.DATA.TRAIN_CROP_NUM_SPATIAL * cfg.AUG.NUM_SAMPLE
        return Views(cfg.DATA.TRAIN_CROP_NUM_TEMPORAL, cuts, random=True)
    if split == "val":
        return Views(random=cfg.VAL.PROTOCOL == "legacy")
    clips, crops = cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS
    known = find_transform(cfg.DATA.TRANSFORMS).crop_counts
    if clips < 1 or crops not in known:
        raise UsageError(
            f"TEST.NUM_ENSEMBLE_VIEWS is {clips} and TEST.NUM_SPATIAL_CROPS {crops}: expected 1 or"
            f" more, and one of {', '.join(map(str, known))}"
        )
    return Views(clips, crops, expanded=True)


def transform_of(cfg: Any, split: str) -> Transform:
    """Return the way from frames to clips that DATA.TRANSFORMS names.

    Raises:
        UsageError: unknown name, or options that do not go together.
    """
    family = find_transform(cfg.DATA.TRANSFORMS)
    if cfg.TEST.CROP_AXIS not in family.crop_axes and cfg.TEST.NUM_SPATIAL_CROPS > 1:
        raise UsageError(
            f"TEST.CROP_AXIS is {cfg.TEST.CROP_AXIS}, but DATA.TRANSFORMS {cfg.DATA.TRANSFORMS}"
            f" cuts along: {', '.join(family.crop_axes)}"
        )
    return family.from_cfg(cfg, split)


def alpha_of(cfg: Any) -> int:
    """Return SLOWFAST.ALPHA where MODEL.ARCH is one of two pathways, else 1.

    MODEL.ARCH alone decides, as in PySlowFast: a recipe of one pathway has another name there.
    """
    if cfg.MODEL.ARCH not in cfg.MODEL.MULTI_PATHWAY_ARCH:
        return 1
    return cfg.SLOWFAST.ALPHA


def repeats_of(cfg: Any, split: str, num_videos: int) -> int:
    """Return how often an epoch goes through the list: the whole times in TRAIN.EPOCH_SIZE.

    >>> from types import SimpleNamespace as Options
    >>> cfg = Options(TRAIN=Options(EPOCH_SIZE=9537))
    >>> repeats_of(cfg, "train", 202), repeats_of(cfg, "train", 10**5), repeats_of(cfg, "val", 202)
    (47, 1, 1)
    """
    return max(1, cfg.TRAIN.EPOCH_SIZE // num_videos) if split == "train" else 1


def dataset_arguments(
    cfg: Any, split: str, kind: str = "", *, videos: VideoList | None = None
) -> dict[str, Any]:
    """Return the arguments of VideoDataset for ``split``, with its list or the given videos.

    Raises:
        UsageError: options that do not go together.
        DataError: the list is missing, empty or wrong.
    """
    videos = video_list(cfg, split, kind) if videos is None else videos
    return {
        "videos": videos,
        "rule": find_rule(cfg.DATA.SAMPLING, cfg.DATA.SAMPLING_COMPAT).from_cfg(cfg, split),
        "transform": transform_of(cfg, split),
        "views": views_of(cfg, split),
        "replace_broken": split == "train",
        "seed": cfg.RNG_SEED,
        "backend": resolve_backend(cfg.DATA.DECODING_BACKEND),
        "multi_thread": cfg.DATA_LOADER.ENABLE_MULTI_THREAD_DECODE,
        "swap_channels": cfg.DATA.REVERSE_INPUT_CHANNEL,
        "alpha": alpha_of(cfg),
        "dummy": cfg.DATA.DUMMY_LOAD,
        "repeats": repeats_of(cfg, split, len(videos)),
    }
