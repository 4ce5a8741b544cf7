"""Refuse impossible values and combinations before anything is started.

The values that an option may have stand in ``limits.yaml``, but for names that a registry knows
(frame rules, transforms, ...): those the registry checks, since an extension may add to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from slowfast.config import compat
from slowfast.config.tree import get, read_table
from slowfast.errors import UsageError

LIMITS = read_table("limits.yaml")


def validate(cfg: Any) -> None:
    """Check a derived config.

    Raises:
        UsageError: names the option, its value, and what would be possible.
    """
    compat.refuse(cfg, {})
    rules = [_limits, _machines, _views, _measures, _data, _objective, _gradients, _descriptors]
    if cfg.TRAIN.ENABLE:
        rules += [_mixing, _total_batch, _schedule]
    for problem in chain.from_iterable(rule(cfg) for rule in rules):
        raise UsageError(problem)


def _limits(cfg: Any) -> Iterator[str]:
    for key, choices in LIMITS["choices"].items():
        if (value := get(cfg, key)) not in choices:
            known = ", ".join(choice or "(empty)" for choice in choices)
            yield f"{key} is {value!r}: choose one of {known}"
    for key, choices in LIMITS["lists"].items():
        values = get(cfg, key)
        if not set(values) <= set(choices) or len(set(values)) < len(values):
            yield f"{key} is {values}: list each of {', '.join(choices)} at most once"
    for key, (low, high) in LIMITS["bounds"].items():
        value = get(cfg, key)
        if value < low or (high is not None and value > high):
            limits = f"at least {low}" if high is None else f"between {low} and {high}"
            yield f"{key} is {value}: it must be {limits}"
    for key in LIMITS["positive"]:
        if get(cfg, key) <= 0:
            yield f"{key} is {get(cfg, key)}: it must be above 0"


def _machines(cfg: Any) -> Iterator[str]:
    if cfg.SHARD_ID >= cfg.NUM_SHARDS:
        yield f"SHARD_ID is {cfg.SHARD_ID}: it must be below NUM_SHARDS, which is {cfg.NUM_SHARDS}"
    for phase in ("TRAIN", "TEST"):
        batch = cfg[phase].BATCH_SIZE
        if cfg[phase].CHECKPOINT_TYPE == "caffe2":
            yield (
                f"{phase}.CHECKPOINT_TYPE is 'caffe2': Caffe2 checkpoints are out of scope; "
                "convert them"
            )
        if cfg[phase].ENABLE and cfg.NUM_GPUS > 0 and batch % cfg.NUM_GPUS:
            yield (
                f"{phase}.BATCH_SIZE is {batch}: it counts a whole machine and must be a multiple "
                f"of NUM_GPUS, which is {cfg.NUM_GPUS}"
            )


def _views(cfg: Any) -> Iterator[str]:
    views, counts = cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_TEMPORAL_CLIPS
    if views != -1 and views < 1:
        yield (
            f"TEST.NUM_ENSEMBLE_VIEWS is {views}: it must be at least 1, or -1 for 1, 3, 5, 7, 10"
        )
    if not all(isinstance(n, int) and n >= 1 for n in counts):
        yield f"TEST.NUM_TEMPORAL_CLIPS is {counts}: it must list whole numbers of at least 1"
    if cfg.TEST.ENSEMBLE_SPACE == "feature" and cfg.DATA.ENSEMBLE_METHOD != "sum":
        yield (
            f"DATA.ENSEMBLE_METHOD is {cfg.DATA.ENSEMBLE_METHOD!r} with TEST.ENSEMBLE_SPACE "
            "feature: features are averaged; set it to sum, or the space to prob or logit"
        )


def _measures(cfg: Any) -> Iterator[str]:
    for key, off in (("HALF_CLASS_DRAWS", "0"), ("MAP", "''")):
        if cfg.DATA.MULTI_LABEL and cfg.TEST[key]:
            yield (
                f"TEST.{key} is {cfg.TEST[key]} with DATA.MULTI_LABEL True: it is a measure of "
                "videos with one label (mAP of several is always reported); set it to " + off
            )


def _data(cfg: Any) -> Iterator[str]:
    data = cfg.DATA
    for key in ("MEAN", "STD"):
        if len(data[key]) != 3:
            yield f"DATA.{key} is {data[key]}: it needs 3 numbers, for R, G and B"
    if min(data.STD) <= 0:
        yield f"DATA.STD is {data.STD}: every entry must be above 0"
    for key, lengths in (
        ("TRAIN_JITTER_SCALES", (2,)),
        ("TRAIN_JITTER_SCALES_RELATIVE", (0, 2)),
        ("TRAIN_JITTER_ASPECT_RELATIVE", (0, 2)),
    ):
        if len(data[key]) not in lengths or list(data[key]) != sorted(data[key]):
            yield f"DATA.{key} is {data[key]}: it must be [smallest, largest]"
    area, aspect = data.TRAIN_JITTER_SCALES_RELATIVE, data.TRAIN_JITTER_ASPECT_RELATIVE
    if bool(area) != bool(aspect):
        yield (
            "DATA.TRAIN_JITTER_SCALES_RELATIVE and DATA.TRAIN_JITTER_ASPECT_RELATIVE need each "
            f"other: found {area} and {aspect}; set both or none"
        )


def _objective(cfg: Any) -> Iterator[str]:
    """OST picks descriptors by the clip's own label, so its labels must be whole classes."""
    if cfg.MODEL.LOSS_FUNC != "ost_contrastive":
        return
    if cfg.MIXUP.ENABLE:
        yield (
            "MIXUP.ENABLE is True with MODEL.LOSS_FUNC ost_contrastive: mixing and label smoothing "
            "make soft labels, and OST's objective needs hard ones; set MIXUP.ENABLE False"
        )
    if cfg.DATA.MULTI_LABEL:
        yield (
            "DATA.MULTI_LABEL is True with MODEL.LOSS_FUNC ost_contrastive: OST's objective needs "
            "one label a video; choose another loss"
        )


def _gradients(cfg: Any) -> Iterator[str]:
    solver = cfg.SOLVER
    for key in ("CLIP_GRAD_VAL", "CLIP_GRAD_L2NORM"):
        value = solver[key]
        if value is not None and not (isinstance(value, (int, float)) and value >= 0):
            yield f"SOLVER.{key} is {value!r}: it must be a number of at least 0, or None"
    if solver.CLIP_GRAD_VAL and solver.CLIP_GRAD_L2NORM:
        yield (
            f"SOLVER.CLIP_GRAD_VAL is {solver.CLIP_GRAD_VAL} and SOLVER.CLIP_GRAD_L2NORM is "
            f"{solver.CLIP_GRAD_L2NORM}: they exclude each other; set one to None"
        )
    if len(solver.BETAS) != 2:
        yield f"SOLVER.BETAS is {solver.BETAS}: it needs two numbers"
    if not all(0 <= beta < 1 for beta in solver.BETAS):
        yield f"SOLVER.BETAS is {solver.BETAS}: both must be at least 0 and below 1"
    if solver.LAYER_DECAY > 1:
        yield f"SOLVER.LAYER_DECAY is {solver.LAYER_DECAY}: it must be at most 1"


def _descriptors(cfg: Any) -> Iterator[str]:
    if not cfg.OST.KINDS and cfg.OST.MATCHING != "category":
        yield (
            "OST.KINDS is empty: name spatial, temporal or both (OST.MATCHING category needs none)"
        )


def _mixing(cfg: Any) -> Iterator[str]:
    if not cfg.MIXUP.ENABLE:
        return
    if cfg.MODEL.LOSS_FUNC == "cross_entropy":
        yield (
            "MIXUP.ENABLE is True with MODEL.LOSS_FUNC cross_entropy: mixed labels are soft; "
            "set MODEL.LOSS_FUNC soft_cross_entropy"
        )
    if cfg.MIXUP.ALPHA == cfg.MIXUP.CUTMIX_ALPHA == 0:
        yield (
            "MIXUP.ENABLE is True with MIXUP.ALPHA 0 and MIXUP.CUTMIX_ALPHA 0: one must be above 0"
        )
    clips = cfg.TRAIN.BATCH_SIZE // max(1, cfg.NUM_GPUS) * cfg.AUG.NUM_SAMPLE
    if clips < 2:
        yield (
            f"MIXUP.ENABLE is True with {clips} clip in a process's batch: mixing needs 2; "
            "raise TRAIN.BATCH_SIZE"
        )


def _total_batch(cfg: Any) -> Iterator[str]:
    total, step = cfg.TRAIN.TOTAL_BATCH_SIZE, cfg.TRAIN.BATCH_SIZE * cfg.NUM_SHARDS
    if total % step:
        yield (
            f"TRAIN.TOTAL_BATCH_SIZE is {total}: it must be a multiple of what one step sees, "
            f"TRAIN.BATCH_SIZE x NUM_SHARDS = {step}"
        )


def _schedule(cfg: Any) -> Iterator[str]:
    solver = cfg.SOLVER
    if solver.BASE_LR <= 0:
        yield f"SOLVER.BASE_LR is {solver.BASE_LR}: it must be above 0"
    if solver.WARMUP_EPOCHS > solver.MAX_EPOCH:
        yield (
            f"SOLVER.WARMUP_EPOCHS is {solver.WARMUP_EPOCHS}: it must be at most SOLVER.MAX_EPOCH, "
            f"which is {solver.MAX_EPOCH}"
        )
    if solver.LR_POLICY == "cosine" and solver.COSINE_END_LR >= solver.BASE_LR:
        yield (
            f"SOLVER.COSINE_END_LR is {solver.COSINE_END_LR}: it must be below SOLVER.BASE_LR, "
            f"which is {solver.BASE_LR}"
        )
