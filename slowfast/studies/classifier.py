"""The discriminant classifier of Text4Vis: from a list of videos to rows.

Shapes: V videos, K classes, D joint dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from slowfast.config.load import load_cfg, override
from slowfast.datasets.build import build_dataset
from slowfast.datasets.collate import collate
from slowfast.datasets.from_config import list_path
from slowfast.engine.batches import as_batch
from slowfast.errors import DataError, UsageError
from slowfast.models.build import build_model, unwrap
from slowfast.models.classifiers import ClassifierFile
from slowfast.models.classifiers.rows import lda_rows
from slowfast.models.heads.texts import build_vocabulary
from slowfast.models.video_text import VideoTextModel
from slowfast.ops.similarity import normalize
from slowfast.text.labels import shorten
from slowfast.utils.logging import get_logger
from slowfast.utils.progress import progress_line
from slowfast.utils.rng import generator

logger = get_logger(__name__)
# The centre view of each video through the image tower of the original CLIP.
FIXED = {
    "MODEL.MODEL_NAME": "CLIP",
    "MODEL.ENCODER": "FrameWise",
    "MODEL.HEAD_NAME": "CategoryHead",
    "MODEL.LOSS_FUNC": "cross_entropy",
    "TRAIN.ENABLE": False,
    "TEST.NUM_ENSEMBLE_VIEWS": 1,
    "TEST.NUM_SPATIAL_CROPS": 1,
}


class Features(NamedTuple):
    """Unit features V x D of the mean frame, and labels V."""

    features: Tensor
    labels: Tensor


def load_feature_cfg(config: str | Path, opts: Sequence[str] = (), *, split: str = "train") -> Any:
    """Return the config by which the videos of ``split`` are read in their centre view.

    Args:
        config: a config whose data, classes and CLIP are used, such as that of the training.
        opts: overrides, keys and values in turn.
        split: "train", "val" or "test".
    """
    cfg = load_cfg(config, opts)
    listed = {
        "DATA.TEST_FILE": cfg.DATA[f"{split.upper()}_FILE"] or f"{split}.csv",
        "TEST.DATASET": cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET,
    }
    return override(cfg, {**FIXED, **listed})


def make_lda(cfg: Any, *, per_class: int = 0, seed: int = 0) -> ClassifierFile:
    """Return discriminant rows of the classes of ``cfg`` (from ``load_feature_cfg``).

    Args:
        cfg: names list, classes, CLIP and frames.
        per_class: videos of each class, drawn with ``seed``; 0 = all. Text4Vis's author took 60 of
            each class of Kinetics-400.
        seed: of that draw; a class's draw depends on its own videos only.

    Raises:
        UsageError: no weights of CLIP, several labels a video, or a data set without a list.
        DataError: a class without readable videos.
    """
    if not cfg.CLIP.PRETRAINED and not cfg.TEST.ALLOW_RANDOM_WEIGHTS:
        raise UsageError(
            "CLIP.PRETRAINED is empty: discriminant rows are made from the features of a "
            "pretrained CLIP (TEST.ALLOW_RANDOM_WEIGHTS True for a trial)"
        )
    if cfg.DATA.MULTI_LABEL:
        raise UsageError("DATA.MULTI_LABEL: discriminant rows need one label a video")
    dataset = build_dataset(cfg.TEST.DATASET, cfg, "test")
    labels = _labels(dataset, cfg.TEST.DATASET)
    model = unwrap(build_model(cfg)).eval()
    assert isinstance(model, VideoTextModel)
    names = build_vocabulary(cfg).names
    chosen = choose_videos(labels, names, per_class=per_class, seed=seed)
    found = read_features(cfg, model, dataset, chosen)
    rows = lda_rows(found.features, found.labels, len(names))
    source = (
        f"{len(found.labels)} videos of {list_path(cfg, 'test')}, at most {per_class or 'all'} a "
        f"class, seed {seed}; {cfg.CLIP.ARCH} {cfg.CLIP.PRETRAINED}, {cfg.DATA.NUM_FRAMES} frames"
    )
    return ClassifierFile(rows, names, "lda", source)


def choose_videos(
    labels: np.ndarray, names: Sequence[str], *, per_class: int, seed: int
) -> list[int]:
    """Return the positions of ``per_class`` videos of each class, ascending; 0 takes all.

    A class that has fewer gives all it has, with a warning; raises DataError where it has none.
    """
    chosen: list[int] = []
    scarce = []
    for label, name in enumerate(names):
        own = np.flatnonzero(labels == label)
        if not len(own):
            raise DataError(f"the list holds no video of class {name!r} (label {label})")
        if len(own) < per_class:
            scarce.append(name)
        order = generator(seed, label).permutation(own) if per_class else own
        chosen.extend(order[: per_class or None].tolist())
    if scarce:
        logger.warning(f"fewer than {per_class} videos of {shorten(scarce)}")
    return sorted(chosen)


@torch.no_grad()
def read_features(
    cfg: Any, model: VideoTextModel, dataset: Dataset, positions: Sequence[int]
) -> Features:
    """Return the features of the videos at ``positions``, of one view each.

    Videos that cannot be read are left out, with a warning.

    Raises:
        DataError: a larger share of them than DATA.MAX_BROKEN is unreadable.
    """
    loader = DataLoader(
        Subset(dataset, positions),
        batch_size=cfg.TEST.BATCH_SIZE,
        num_workers=cfg.DATA_LOADER.NUM_WORKERS,
        collate_fn=collate,
    )
    device = next(model.parameters()).device
    features, labels, failed = [], [], list[Any]()
    with progress_line(
        cfg.LOG.PROGRESS, len(loader), "features", log_period=cfg.LOG_PERIOD
    ) as line:
        for item in loader:
            batch = as_batch(item)
            failed += batch.meta.get("failed", [])
            if len(batch):
                video_BTD = model.encoder(model.clip, batch.to(device).inputs[0]).video_BTD
                features.append(normalize(video_BTD.float().mean(dim=1)).cpu())
                labels.append(batch.labels)
            line.advance(len(batch))
    if failed:
        _, path, _, reason = failed[0]
        share = f"{len(failed)} of {len(positions)}"
        message = f"{share} videos could not be read, the first {path}: {reason}"
        if len(failed) > cfg.DATA.MAX_BROKEN * len(positions) or not features:
            raise DataError(f"{message} (DATA.MAX_BROKEN {cfg.DATA.MAX_BROKEN:g})")
        logger.warning(message)
    return Features(torch.cat(features), torch.cat(labels))


def _labels(dataset: Dataset, name: str) -> np.ndarray:
    videos = getattr(dataset, "videos", None)
    if videos is None:
        raise UsageError(f"TEST.DATASET {name} has no list of videos (attribute `videos`)")
    return np.asarray(videos.labels)
