"""What every phase does first, and what it asks of data sets and models of any origin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from slowfast.checkpoint.adapters import check_kind
from slowfast.config.arch import frame_size
from slowfast.config.load import override
from slowfast.config.node import CfgNode
from slowfast.engine.run import prepare_output
from slowfast.errors import UsageError
from slowfast.models.build import unwrap
from slowfast.models.heads.texts import build_vocabulary
from slowfast.utils import distributed as du
from slowfast.utils.logging import get_logger
from slowfast.utils.misc import count_flops, gpu_mem_usage, load_class_names, params_count
from slowfast.utils.rng import seed_everything

logger = get_logger(__name__)


def prepare(cfg: Any) -> None:
    """Set up output folder, log, seeds (RNG_SEED plus rank) and determinism of this process.

    Raises:
        UsageError: TRAIN.CHECKPOINT_TYPE or TEST.CHECKPOINT_TYPE is of no known system.
    """
    prepare_output(cfg)
    for phase in ("TRAIN", "TEST"):
        check_kind(cfg[phase].CHECKPOINT_TYPE, f"{phase}.CHECKPOINT_TYPE")
    seed_everything(cfg.RNG_SEED, rank=du.get_rank())
    torch.use_deterministic_algorithms(cfg.DETERMINISTIC, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not cfg.DETERMINISTIC


def with_views(cfg: CfgNode, clips: int) -> CfgNode:
    """Return a frozen copy of ``cfg`` that tests with ``clips`` temporal clips per video."""
    return override(cfg, {"TEST.NUM_ENSEMBLE_VIEWS": clips, "TEST.NUM_TEMPORAL_CLIPS": []})


def display_mode(cfg: Any) -> str:
    """Return LOG.PROGRESS for the first rank and "none" for the others."""
    return cfg.LOG.PROGRESS if du.is_root_proc() else "none"


def describe_model(cfg: Any, model: nn.Module) -> float:
    """Log the model, its size and its work, on the first rank only.

    Args:
        cfg: reads LOG_MODEL_INFO, MODEL.ARCH and its pathways, DATA.NUM_FRAMES and crop size.
        model: the model; a wrapper for several processes is looked through, since one process
            alone calls it here.

    Returns:
        The multiply-adds of the image side on one clip, in 1e9; 0.0 where they were not counted.
    """
    if not cfg.LOG_MODEL_INFO or not du.is_root_proc():
        return 0.0
    model = unwrap(model)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    logger.info(f"Model:\n{model}")
    logger.info(f"Params: {params_count(model):,}  trainable: {trained:,}")
    logger.info(f"Mem: {gpu_mem_usage():.3f} G")
    if cfg.MODEL.ARCH in cfg.MODEL.MULTI_PATHWAY_ARCH:
        return 0.0
    device = next(model.parameters()).device
    clip = torch.zeros(1, 3, cfg.DATA.NUM_FRAMES, *frame_size(cfg), device=device)
    encoder, towers = getattr(model, "encoder", None), getattr(model, "clip", None)

    def image_side(x: torch.Tensor) -> Any:
        return model([x]) if encoder is None or towers is None else encoder(towers, x)

    flops = count_flops(model, image_side, [clip])
    if flops:
        logger.info(f"Flops: {flops:.3f} G")
    return flops


def check_test_size(cfg: Any, model: nn.Module) -> None:
    """Refuse a DATA.TEST_CROP_SIZE that the image tower will not take, before hours of training."""
    size = getattr(getattr(getattr(model, "clip", None), "visual", None), "image_size", None)
    if size is None or cfg.DATA.TRANSFORMS == "open_clip":
        return
    height, width = (size, size) if isinstance(size, int) else size
    side = cfg.DATA.TEST_CROP_SIZE
    if (side, side) != (height, width):
        raise UsageError(
            f"DATA.TEST_CROP_SIZE is {side}, but the image tower takes frames of "
            f"{height}x{width} pixels: the test after this training would fail; set it to "
            f"{height}, or TEST.ENABLE to False"
        )


def video_paths(dataset: Dataset) -> Sequence[str]:
    """Return the listed videos of a data set by video id; empty where it does not tell."""
    paths = getattr(getattr(dataset, "videos", None), "paths", ())
    return [str(path) for path in paths]


def name_of_clip(dataset: Dataset, index: int) -> str:
    """Return clip ``index`` with its video's path, as far as the data set tells it."""
    paths = video_paths(dataset)
    video = index // getattr(dataset, "num_clips_per_video", 1)
    return f"{index} ({paths[video]})" if video < len(paths) else str(index)


def class_names(cfg: Any, model: nn.Module) -> Sequence[str]:
    """Return the class names by id: the head's, TEXT.CLASSES, or TENSORBOARD.CLASS_NAMES_PATH.

    Empty where none of them is there.
    """
    vocabulary = getattr(getattr(model, "head", None), "vocabulary", None)
    if vocabulary is None and cfg.TEXT.CLASSES:  # a network without texts
        vocabulary = build_vocabulary(cfg)
    if vocabulary is not None:
        return tuple(vocabulary.names)
    if cfg.TENSORBOARD.CLASS_NAMES_PATH:
        return load_class_names(cfg.TENSORBOARD.CLASS_NAMES_PATH)
    return ()


def warn_of_one_class(names: Sequence[str]) -> None:
    """Say what the score of a class without rivals means: nothing."""
    if len(names) == 1 and du.is_root_proc():
        logger.warning(
            f"there is one class only, {names[0]!r}: scores are relative to the list of classes, so"
            " that every video gets 1.000 for it; list what else a video may show"
        )
