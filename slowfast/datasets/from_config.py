"""What the options mean for a data set: the one place of the data code that reads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from slowfast.config.arch import read_preprocessing
from slowfast.datasets.lists.annotations import PathArray, VideoList, read_list
from slowfast.datasets.reading.decoder import resolve_backend
from slowfast.datasets.sampling.rules import FrameRule, frame_rule
from slowfast.datasets.sampling.views import Views
from slowfast.datasets.transforms import text4vis
from slowfast.datasets.transforms.clip import ClipTransform, ColorJitter, short_side_for
from slowfast.datasets.transforms.open_clip import OpenClipTransform
from slowfast.datasets.transforms.random_erasing import RandomErasing
from slowfast.datasets.transforms.slowfast import SlowFastTransform, SpatialSampling
from slowfast.datasets.transforms.text4vis_rand_augment import Augment, build_rand_augment
from slowfast.errors import DataError, UsageError
from slowfast.text.labels import load_classes
from slowfast.utils.logging import get_logger

logger = get_logger(__name__)
SPLITS = ("train", "val", "test")
# Something-Something is known by the name of its data set: PySlowFast's (ssv2, Ssv2videos) or
# Text4Vis's (something...).
SOMETHING = ("ssv2", "something")


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
    if split != "test":
        videos = drop_short(videos, cfg.DATA.MIN_LISTED_FRAMES, list_path(cfg, split))
    if not cfg.DATA.MULTI_LABEL:
        return videos
    return merge_labels(videos, cfg.MODEL.NUM_CLASSES or len(names))


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
    known = text4vis.NUM_CROPS if cfg.DATA.TRANSFORMS == "text4vis" else (1, 2, 3)
    if clips < 1 or crops not in known:
        raise UsageError(
            f"TEST.NUM_ENSEMBLE_VIEWS is {clips} and TEST.NUM_SPATIAL_CROPS {crops}: expected 1 or"
            f" more, and one of {', '.join(map(str, known))}"
        )
    return Views(clips, crops, expanded=True)


def _legacy_validation(cfg: Any) -> bool:
    if cfg.VAL.PROTOCOL not in ("center", "legacy"):
        raise UsageError(f"VAL.PROTOCOL is {cfg.VAL.PROTOCOL!r}; known: center, legacy")
    return cfg.VAL.PROTOCOL == "legacy"


def transform_of(
    cfg: Any, split: str
) -> SlowFastTransform | ClipTransform | text4vis.Text4VisTransform | OpenClipTransform:
    """Return the way from frames to clips that DATA.TRANSFORMS names.

    Raises:
        UsageError: unknown name, or options that do not go together.
    """
    if cfg.DATA.TRANSFORMS == "text4vis":
        return _text4vis_transform(cfg, split)
    if cfg.TEST.CROP_AXIS != "long" and cfg.TEST.NUM_SPATIAL_CROPS > 1:
        raise UsageError(
            f"TEST.CROP_AXIS {cfg.TEST.CROP_AXIS} belongs to DATA.TRANSFORMS text4vis;"
            f" {cfg.DATA.TRANSFORMS} cuts along the long side"
        )
    if cfg.DATA.TRANSFORMS == "slowfast":
        return _slowfast_transform(cfg, split)
    if cfg.DATA.TRANSFORMS == "clip":
        return _clip_transform(cfg, split)
    if cfg.DATA.TRANSFORMS == "open_clip":
        return _open_clip_transform(cfg, split)
    raise UsageError(
        f"DATA.TRANSFORMS is {cfg.DATA.TRANSFORMS!r}; known: slowfast, clip, text4vis, open_clip"
    )


def is_something(cfg: Any) -> bool:
    """Whether the run trains on Something-Something, by the name of its data set."""
    return any(name in cfg.TRAIN.DATASET.lower() for name in SOMETHING)


def _text4vis_transform(cfg: Any, split: str) -> text4vis.Text4VisTransform:
    data, test = cfg.DATA, split == "test"
    size = data.TEST_CROP_SIZE if test else data.TRAIN_CROP_SIZE
    short = (data.TEST_SHORT_SIZE if test else 0) or text4vis.short_side_for(size)
    _check_sizes("DATA.TEST_SHORT_SIZE", short, "DATA.TEST_CROP_SIZE", size)
    if cfg.AUG.ENABLE and cfg.AUG.RE_PROB > 0:
        raise UsageError("DATA.TRANSFORMS text4vis has no random erasing; set AUG.RE_PROB 0")
    arguments: dict[str, Any] = {
        "size": size,
        "short_side": short,
        "mean": tuple(data.MEAN),
        "std": tuple(data.STD),
        "num_crops": cfg.TEST.NUM_SPATIAL_CROPS if test else 1,
        "axis": cfg.TEST.CROP_AXIS,
        "flip": data.RANDOM_FLIP,
        "gray": cfg.AUG.CLIP_GRAY_SCALE,
        "rand_augment": _rand_augment(cfg, split),
        "centred": split != "train",
    }
    if test or not is_something(cfg):
        return text4vis.Text4VisTransform(**arguments)
    if data.MULTI_LABEL:
        raise UsageError(
            f"DATA.TRANSFORMS text4vis of TRAIN.DATASET {cfg.TRAIN.DATASET} exchanges single labels"
            " of mirrored clips; it cannot with DATA.MULTI_LABEL"
        )
    _check_sizes("the 240 x 320 of Something-Something", 240, "DATA.TRAIN_CROP_SIZE", size)
    partners = text4vis.mirror_partners(class_names(cfg), cfg.MODEL.NUM_CLASSES)
    return text4vis.SomethingTransform(**arguments, partners=partners)


def _rand_augment(cfg: Any, split: str) -> Augment | None:
    aug = cfg.AUG
    if split != "train" or not aug.ENABLE or not aug.AA_TYPE:
        return None
    return build_rand_augment(aug.AA_TYPE, aug.INTERPOLATION, aug.AA_PER_FRAME)


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
        _rand_augment(cfg, split),
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


def _open_clip_transform(cfg: Any, split: str) -> OpenClipTransform:
    """Sizes and statistics are those of CLIP's image tower; DATA's own are not read."""
    facts = read_preprocessing(cfg.CLIP.ARCH, cfg.CLIP.PRETRAINED)
    size, crops = facts.size[0], cfg.TEST.NUM_SPATIAL_CROPS if split == "test" else 1
    if split != "train":
        return OpenClipTransform(facts, num_crops=crops)
    if facts.size[1] != size:
        raise UsageError(
            f"DATA.TRANSFORMS open_clip trains on squares, and CLIP.ARCH {cfg.CLIP.ARCH} takes"
            f" {facts.size[0]}x{facts.size[1]} pixels"
        )
    training = replace(
        _clip_transform(cfg, split),
        size=size,
        short_side=short_side_for(size),
        mean=facts.mean,
        std=facts.std,
    )
    return OpenClipTransform(facts, training)


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
        "rule": rule_of(cfg, split),
        "transform": transform_of(cfg, split),
        "views": views_of(cfg, split),
        "replace_broken": split == "train",
        "seed": cfg.RNG_SEED,
        "backend": resolve_backend(cfg.DATA.DECODING_BACKEND),
        "multi_thread": cfg.DATA_LOADER.ENABLE_MULTI_THREAD_DECODE,
        "swap_channels": cfg.DATA.REVERSE_INPUT_CHANNEL,
        "dummy": cfg.DATA.DUMMY_LOAD,
        "repeats": repeats_of(cfg, split, len(videos)),
    }
