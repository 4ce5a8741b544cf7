"""Values that follow from others; each rule leaves alone what it has derived before."""

from __future__ import annotations

from typing import Any

from slowfast.config import coerce


def derive(cfg: Any) -> None:
    """Write every derived value into ``cfg``, in place; a second call changes nothing.

    A saved config can be loaded again and overridden, so nothing is written that would silently
    outlive the option it was derived from.
    """
    _scale_learning_rates(cfg)
    _keep_total_batch(cfg)
    if cfg.MODEL.NUM_CLASSES == 0 and not cfg.TEXT.CLASSES:
        cfg.MODEL.NUM_CLASSES = 400
    if cfg.DATA.DECODING_BACKEND == "torchvision":
        coerce.notice("DATA.DECODING_BACKEND torchvision has no video reader any more; using pyav")
        cfg.DATA.DECODING_BACKEND = "pyav"


def _scale_learning_rates(cfg: Any) -> None:
    """Multiply the learning rates by NUM_SHARDS, and take the switch back so that it stays once."""
    if not cfg.SOLVER.BASE_LR_SCALE_NUM_SHARDS:
        return
    for key in ("BASE_LR", "WARMUP_START_LR", "COSINE_END_LR"):
        cfg.SOLVER[key] *= cfg.NUM_SHARDS
    cfg.SOLVER.BASE_LR_SCALE_NUM_SHARDS = False


def _keep_total_batch(cfg: Any) -> None:
    """Accumulate as many steps as make TRAIN.TOTAL_BATCH_SIZE; ``validate`` refuses a remainder."""
    steps, rest = divmod(cfg.TRAIN.TOTAL_BATCH_SIZE, max(1, cfg.TRAIN.BATCH_SIZE * cfg.NUM_SHARDS))
    if steps > 0 and rest == 0 and steps != cfg.TRAIN.ACCUMULATION_STEPS:
        cfg.TRAIN.ACCUMULATION_STEPS = steps


def view_counts(cfg: Any) -> list[int]:
    """Return the numbers of temporal clips to test with, one test for each.

    TEST.NUM_TEMPORAL_CLIPS if it lists any; the sweep 1, 3, 5, 7, 10 if TEST.NUM_ENSEMBLE_VIEWS is
    -1; else that number.
    """
    if cfg.TEST.NUM_TEMPORAL_CLIPS:
        return list(cfg.TEST.NUM_TEMPORAL_CLIPS)
    views = cfg.TEST.NUM_ENSEMBLE_VIEWS
    return [1, 3, 5, 7, 10] if views == -1 else [views]
