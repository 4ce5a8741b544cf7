"""What the options mean for a data set: the one place of the data code that reads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from slowfast.datasets.annotations import PathArray, VideoList, read_list
from slowfast.datasets.clip_transforms import ClipTransform, ColorJitter, short_side_for
from slowfast.datasets.decoder import resolve_backend
from slowfast.datasets.rand_augment import RandAugment
from slowfast.datasets.random_erasing import RandomErasing
from slowfast.datasets.sampling import FrameRule, frame_rule
from slowfast.datasets.transforms import SlowFastTransform, SpatialSampling
from slowfast.datasets.views import Views
from slowfast.errors import UsageError
from slowfast.text.labels import load_classes

SPLITS = ("train", "val", "test")


def list_path(cfg: Any, split: str) -> Path:
    """Return the list file of ``split``: DATA.<SPLIT>_FILE or ``<split>.csv``, in the data folder.

    Raises:
        UsageError: unknown split.
    """
    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    name = cfg.DATA[f"{split.upper()}_FILE"] or f"{split}.csv"
    return Path(cfg.DATA.PATH_TO_DATA_DIR, name)


def class_names(cfg: Any) -> tuple[str, ...]:
    """Return the class names that labels count: TEXT.SUBSET, else TEXT.CLASSES, else none."""
    path = cfg.TEXT.SUBSET or cfg.TEXT.CLASSES
    return load_classes(path).names if path else ()


def video_list(cfg: Any, split: str, kind: str = "") -> VideoList:
    """Return the videos of ``split``; ``kind`` overrides DATA.LIST_FORMAT.

    Raises:
        DataError: the list is missing, empty or wrong.
        UsageError: it lists folders of frames, and the data set wants videos.
    """
    names = class_names(cfg)
    videos = read_list(
        list_path(cfg, split),
        separator=cfg.DATA.PATH_LABEL_SEPARATOR,
        prefix=cfg.DATA.PATH_PREFIX,
        num_classes=cfg.MODEL.NUM_CLASSES or len(names),
        kind=kind or cfg.DATA.LIST_FORMAT,
        classes=names,
    )
    if not kind and videos.kind == "frames":
        raise UsageError(
            f"{list_path(cfg, split)} lists folders of frames: choose the data set framefolder"
            " (TRAIN.DATASET, TEST.DATASET), or set DATA.LIST_FORMAT video"
        )
    if not cfg.DATA.MULTI_LABEL:
        return videos
    return merge_labels(videos, cfg.MODEL.NUM_CLASSES or len(names))


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


def rule_of(cfg: Any, split: str) -> FrameRule:
    """Return which frames make a clip."""
    return frame_rule(
        cfg.DATA.SAMPLING,
        cfg.DATA.SAMPLING_COMPAT,
        num_frames=cfg.DATA.NUM_FRAMES,
        sampling_rate=cfg.DATA.SAMPLING_RATE,
        target_fps=cfg.DATA.TARGET_FPS,
        fps_jitter=cfg.DATA.TRAIN_JITTER_FPS if split == "train" else 0.0,
        use_offset=cfg.DATA.USE_OFFSET_SAMPLING,
        timestamps=cfg.DATA.TIMESTAMPS,
    )


def views_of(cfg: Any, split: str) -> Views:
    """Return how many clips and cuts of a video ``split`` takes.

    Raises:
        UsageError: numbers of clips or crops that cannot be.
    """
    if split == "train":
        cuts = cfg.DATA.TRAIN_CROP_NUM_SPATIAL * cfg.AUG.NUM_SAMPLE
        views = Views(cfg.DATA.TRAIN_CROP_NUM_TEMPORAL, cuts, random=True)
        if min(views.num_clips, views.num_crops) < 1:
            raise UsageError(
                "DATA.TRAIN_CROP_NUM_TEMPORAL, DATA.TRAIN_CROP_NUM_SPATIAL and AUG.NUM_SAMPLE:"
                " expected 1 or more"
            )
        return views
    if split == "val":
        return Views(random=_legacy_validation(cfg))
    clips, crops = cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS
    if clips < 1 or crops not in (1, 2, 3):
        raise UsageError(
            f"TEST.NUM_ENSEMBLE_VIEWS is {clips} and TEST.NUM_SPATIAL_CROPS {crops}: expected 1 or"
            " more, and 1, 2 or 3"
        )
    return Views(clips, crops, expanded=True)


def _legacy_validation(cfg: Any) -> bool:
    if cfg.VAL.PROTOCOL not in ("center", "legacy"):
        raise UsageError(f"VAL.PROTOCOL is {cfg.VAL.PROTOCOL!r}; known: center, legacy")
    return cfg.VAL.PROTOCOL == "legacy"


def transform_of(cfg: Any, split: str) -> SlowFastTransform | ClipTransform:
    """Return the way from frames to clips that DATA.TRANSFORMS names.

    Raises:
        UsageError: unknown name, or sizes that do not go together.
    """
    if cfg.DATA.TRANSFORMS == "slowfast":
        return _slowfast_transform(cfg, split)
    if cfg.DATA.TRANSFORMS == "clip":
        return _clip_transform(cfg, split)
    raise UsageError(f"DATA.TRANSFORMS is {cfg.DATA.TRANSFORMS!r}; known: slowfast, clip")


def _check_sizes(short_key: str, short: int, crop_key: str, crop: int) -> None:
    if not 0 < crop <= short:
        raise UsageError(
            f"{crop_key} {crop} does not fit into the short side {short} of {short_key};"
            f" lower the one or raise the other"
        )


def _slowfast_transform(cfg: Any, split: str) -> SlowFastTransform:
    data, aug = cfg.DATA, cfg.AUG
    augmented = split == "train" and aug.ENABLE
    erasing = RandomErasing(aug.RE_PROB, mode=aug.RE_MODE, max_count=aug.RE_COUNT)
    return SlowFastTransform(
        _test_sampling(cfg) if split == "test" else _train_sampling(cfg, split),
        tuple(data.MEAN),
        tuple(data.STD),
        RandAugment(aug.AA_TYPE, aug.INTERPOLATION) if augmented and aug.AA_TYPE else None,
        erasing if augmented and aug.RE_PROB > 0 else None,
    )


def _train_sampling(cfg: Any, split: str) -> SpatialSampling:
    data = cfg.DATA
    low, high = data.TRAIN_JITTER_SCALES
    relative = split == "train"
    if not (relative and data.TRAIN_JITTER_SCALES_RELATIVE):
        _check_sizes("DATA.TRAIN_JITTER_SCALES", low, "DATA.TRAIN_CROP_SIZE", data.TRAIN_CROP_SIZE)
    centre = split == "val" and not _legacy_validation(cfg)
    return SpatialSampling(
        data.TRAIN_CROP_SIZE,
        low,
        low if centre else high,
        flip=data.RANDOM_FLIP,
        inverse=data.INV_UNIFORM_SAMPLE,
        area=tuple(data.TRAIN_JITTER_SCALES_RELATIVE) if relative else (),
        aspect=tuple(data.TRAIN_JITTER_ASPECT_RELATIVE) if relative else (),
        motion_shift=data.TRAIN_JITTER_MOTION_SHIFT and relative,
        method=data.RESIZE,
    )


def _test_sampling(cfg: Any) -> SpatialSampling:
    data = cfg.DATA
    size, short, key = data.TEST_CROP_SIZE, data.TEST_SHORT_SIZE, "DATA.TEST_SHORT_SIZE"
    if not short and cfg.TEST.NUM_SPATIAL_CROPS > 1:
        short = size
    elif not short:
        short, key = data.TRAIN_JITTER_SCALES[0], "DATA.TRAIN_JITTER_SCALES[0]"
    _check_sizes(key, short, "DATA.TEST_CROP_SIZE", size)
    return SpatialSampling(size, short, short, flip=False, method=data.RESIZE)


def _clip_transform(cfg: Any, split: str) -> ClipTransform:
    data, aug = cfg.DATA, cfg.AUG
    size = data.TEST_CROP_SIZE if split == "test" else data.TRAIN_CROP_SIZE
    short = short_side_for(size)
    if split == "test":
        short = data.TEST_SHORT_SIZE or (size if cfg.TEST.NUM_SPATIAL_CROPS > 1 else short)
        _check_sizes("DATA.TEST_SHORT_SIZE", short, "DATA.TEST_CROP_SIZE", size)
    jitter = ColorJitter(aug.CLIP_COLOR_JITTER, aug.COLOR_JITTER_PER_FRAME)
    return ClipTransform(
        size,
        short,
        tuple(data.MEAN),
        tuple(data.STD),
        flip=data.RANDOM_FLIP,
        jitter=jitter if split == "train" and aug.CLIP_COLOR_JITTER > 0 else None,
        gray=aug.CLIP_GRAY_SCALE if split == "train" else 0.0,
        method=data.RESIZE,
    )


def dataset_arguments(
    cfg: Any, split: str, kind: str = "", *, videos: VideoList | None = None
) -> dict[str, Any]:
    """Return the arguments of VideoDataset for ``split``, with its list or the given videos.

    Raises:
        UsageError: options that do not go together.
        DataError: the list is missing, empty or wrong.
    """
    return {
        "videos": video_list(cfg, split, kind) if videos is None else videos,
        "rule": rule_of(cfg, split),
        "transform": transform_of(cfg, split),
        "views": views_of(cfg, split),
        "replace_broken": split == "train",
        "seed": cfg.RNG_SEED,
        "backend": resolve_backend(cfg.DATA.DECODING_BACKEND),
        "multi_thread": cfg.DATA_LOADER.ENABLE_MULTI_THREAD_DECODE,
        "swap_channels": cfg.DATA.REVERSE_INPUT_CHANNEL,
        "dummy": cfg.DATA.DUMMY_LOAD,
    }
