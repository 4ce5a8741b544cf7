"""Refuse impossible values and combinations before anything is started.

Names that a registry knows (models, losses, data sets, prompt sets, schedules, frame rules, types
of checkpoints) are checked by the registry, since an extension may add to them.
"""

from __future__ import annotations

from typing import Any

from slowfast.errors import UsageError

CHOICES: dict[str, tuple[str, ...]] = {
    "AUG.INTERPOLATION": ("bilinear", "bicubic", "random"),
    "AUG.RE_MODE": ("pixel", "const", "rand"),
    "BN.NORM_TYPE": ("batchnorm", "sync_batchnorm"),
    "CLASSIFIER.KIND": ("clip_text", "random", "orthogonal", "file"),
    "CLIP.TRAINABLE": ("both", "image", "text", "none"),
    "DATA.DECODING_BACKEND": ("pyav", "torchcodec"),
    "DATA.ENSEMBLE_METHOD": ("sum", "max"),
    "DATA.FRAME_COUNT": ("list", "folder"),
    "DATA.RESIZE": ("torch", "opencv"),
    "DATA.SAMPLING": ("dense", "segment"),
    "DATA.TIMESTAMPS": ("corrected", "legacy"),
    "DATA.TRANSFORMS": ("slowfast", "clip", "text4vis", "open_clip"),
    "DIST_BACKEND": ("nccl", "gloo"),
    "LOG.PROGRESS": ("auto", "rich", "plain", "none"),
    "MODEL.HEAD_ACT": ("softmax", "sigmoid", "none"),
    "OST.GATHER_GRADIENT": ("sum", "local"),
    "OST.MATCHING": ("od_solver", "pooled", "category"),
    "OST.STOP_RULE": ("pair", "batch"),
    "TEST.CROP_AXIS": ("long", "width"),
    "TEST.ENSEMBLE_SPACE": ("prob", "logit", "feature"),
    "TEST.MAP": ("", "softmax", "double_softmax"),
    "TEXT4VIS.HEAD": ("transf", "none"),
    "TEXT4VIS.TEMPORAL": ("off", "tsm", "tokenshift", "tokent1d"),
    "TEXT.LONG_TEXT": ("error", "truncate"),
    "TRAIN.ACCUMULATION_TAIL": ("step", "carry"),
    "TRAIN.AMP_DTYPE": ("bfloat16", "float16"),
    "TRAIN.SCHEDULE_UNIT": ("step", "epoch"),
    "VAL.PROTOCOL": ("center", "legacy"),
}

# Lists whose entries are chosen, each at most once.
LIST_CHOICES: dict[str, tuple[str, ...]] = {
    "OST.CONDITION": ("spatial", "temporal"),
    "OST.KINDS": ("spatial", "temporal"),
}

# Smallest and largest value; None = no bound.
BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "AUG.CLIP_COLOR_JITTER": (0, 1),
    "AUG.CLIP_GRAY_SCALE": (0, 1),
    "AUG.NUM_SAMPLE": (1, None),
    "AUG.RE_COUNT": (1, None),
    "AUG.RE_PROB": (0, 1),
    "BN.NUM_BATCHES_PRECISE": (0, None),
    "CLASSIFIER.SEED": (0, None),
    "CLIP.CONTEXT_LENGTH": (3, None),
    "DATA.MAX_BROKEN": (0, 1),
    "DATA.MIN_LISTED_FRAMES": (0, None),
    "DATA.NUM_FRAMES": (1, None),
    "DATA.SAMPLING_RATE": (1, None),
    "DATA.TARGET_FPS": (1, None),
    "DATA.TEST_CROP_SIZE": (1, None),
    "DATA.TEST_SHORT_SIZE": (0, None),
    "DATA.TRAIN_CROP_NUM_SPATIAL": (1, None),
    "DATA.TRAIN_CROP_NUM_TEMPORAL": (1, None),
    "DATA.TRAIN_CROP_SIZE": (1, None),
    "DATA.TRAIN_JITTER_FPS": (0, None),
    "DATA_LOADER.NUM_WORKERS": (0, None),
    "DATA_LOADER.PREFETCH_FACTOR": (1, None),
    "LOG_PERIOD": (1, None),
    "MIXUP.ALPHA": (0, None),
    "MIXUP.CUTMIX_ALPHA": (0, None),
    "MIXUP.LABEL_SMOOTH_VALUE": (0, 1),
    "MIXUP.PROB": (0, 1),
    "MIXUP.SWITCH_PROB": (0, 1),
    "MODEL.DROPOUT_RATE": (0, 1),
    "MODEL.NUM_CLASSES": (0, None),
    "NUM_GPUS": (0, None),
    "NUM_SHARDS": (1, None),
    "OST.CLASS_CHUNK": (0, None),
    "OST.MAX_ITER": (1, None),
    "OST.N": (0, None),
    "RNG_SEED": (0, None),
    "SHARD_ID": (0, None),
    "SOLVER.COSINE_END_LR": (0, None),
    "SOLVER.LR_UPDATE_PERIOD": (1, None),
    "SOLVER.MAX_EPOCH": (1, None),
    "SOLVER.WARMUP_EPOCHS": (0, None),
    "SOLVER.WARMUP_START_LR": (0, None),
    "SOLVER.WEIGHT_DECAY": (0, None),
    "TEST.BATCH_SIZE": (1, None),
    "TEST.CLIP_RATIO": (0, 1),
    "TEST.HALF_CLASS_DRAWS": (0, None),
    "TEST.LOGIT_SCALE": (0, None),
    "TEST.NUM_SPATIAL_CROPS": (1, 10),
    "TEXT4VIS.DROP_PATH": (0, 1),
    "TEXT4VIS.EMB_DROPOUT": (0, 1),
    "TRAIN.ACCUMULATION_STEPS": (1, None),
    "TRAIN.BATCH_SIZE": (1, None),
    "TRAIN.CHECKPOINT_PERIOD": (1, None),
    "TRAIN.EPOCH_SIZE": (0, None),
    "TRAIN.EVAL_PERIOD": (0, None),
    "TRAIN.KEEP_LAST": (0, None),
    "TRAIN.KILL_LOSS_EXPLOSION_FACTOR": (0, None),
    "TRAIN.TOTAL_BATCH_SIZE": (0, None),
}

# Options that must be above 0.
POSITIVE = (
    "OST.EPSILON",
    "OST.TOLERANCE",
    "SOLVER.BACKBONE_LR_RATIO",
    "SOLVER.EPSILON",
    "SOLVER.LAYER_DECAY",
)


def get(cfg: Any, key: str) -> Any:
    """Return the value of the option with the full name ``key``."""
    for name in key.split("."):
        cfg = cfg[name]
    return cfg


def validate(cfg: Any) -> None:
    """Check a derived config.

    Raises:
        UsageError: names the option, its value, and what would be possible.
    """
    for key, choices in CHOICES.items():
        _check_choice(key, get(cfg, key), choices)
    for key, choices in LIST_CHOICES.items():
        _check_list(key, get(cfg, key), choices)
    for key, (low, high) in BOUNDS.items():
        _check_bounds(key, get(cfg, key), low, high)
    for key in POSITIVE:
        _require(get(cfg, key) > 0, f"{key} is {get(cfg, key)}: it must be above 0")
    for rule in (
        _checkpoints,
        _machines,
        _views,
        _measures,
        _data,
        _objective,
        _gradients,
        _descriptors,
    ):
        rule(cfg)
    if cfg.TRAIN.ENABLE:
        for rule in (_mixing, _total_batch, _schedule):
            rule(cfg)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


def _check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    known = ", ".join(choice or "(empty)" for choice in choices)
    _require(value in choices, f"{key} is {value!r}: choose one of {known}")


def _check_list(key: str, values: list[str], choices: tuple[str, ...]) -> None:
    ok = all(value in choices for value in values) and len(set(values)) == len(values)
    _require(ok, f"{key} is {values}: list each of {', '.join(choices)} at most once")


def _check_bounds(key: str, value: float, low: float | None, high: float | None) -> None:
    ok = (low is None or value >= low) and (high is None or value <= high)
    limits = f"between {low} and {high}" if high is not None else f"at least {low}"
    _require(ok, f"{key} is {value}: it must be {limits}")


def _checkpoints(cfg: Any) -> None:
    for phase in ("TRAIN", "TEST"):
        _require(
            cfg[phase].CHECKPOINT_TYPE != "caffe2",
            f"{phase}.CHECKPOINT_TYPE is 'caffe2': Caffe2 checkpoints are out of scope; convert "
            "them",
        )


def _machines(cfg: Any) -> None:
    _require(
        cfg.SHARD_ID < cfg.NUM_SHARDS,
        f"SHARD_ID is {cfg.SHARD_ID}: it must be below NUM_SHARDS, which is {cfg.NUM_SHARDS}",
    )
    for phase in ("TRAIN", "TEST"):
        batch = cfg[phase].BATCH_SIZE
        _require(
            not cfg[phase].ENABLE or cfg.NUM_GPUS == 0 or batch % cfg.NUM_GPUS == 0,
            f"{phase}.BATCH_SIZE is {batch}: it counts a whole machine and must be a multiple of "
            f"NUM_GPUS, which is {cfg.NUM_GPUS}",
        )


def _views(cfg: Any) -> None:
    views = cfg.TEST.NUM_ENSEMBLE_VIEWS
    _require(
        views == -1 or views >= 1,
        f"TEST.NUM_ENSEMBLE_VIEWS is {views}: it must be at least 1, or -1 for 1, 3, 5, 7, 10",
    )
    counts = cfg.TEST.NUM_TEMPORAL_CLIPS
    _require(
        all(isinstance(n, int) and n >= 1 for n in counts),
        f"TEST.NUM_TEMPORAL_CLIPS is {counts}: it must list whole numbers of at least 1",
    )
    _require(
        cfg.TEST.ENSEMBLE_SPACE != "feature" or cfg.DATA.ENSEMBLE_METHOD == "sum",
        f"DATA.ENSEMBLE_METHOD is {cfg.DATA.ENSEMBLE_METHOD!r} with TEST.ENSEMBLE_SPACE feature: "
        "features are averaged; set it to sum, or the space to prob or logit",
    )


def _measures(cfg: Any) -> None:
    for key, off in (("HALF_CLASS_DRAWS", "0"), ("MAP", "''")):
        _require(
            not (cfg.DATA.MULTI_LABEL and cfg.TEST[key]),
            f"TEST.{key} is {cfg.TEST[key]} with DATA.MULTI_LABEL True: it is a measure of videos "
            f"with one label (mAP of several is always reported); set it to {off}",
        )


def _data(cfg: Any) -> None:
    for key in ("MEAN", "STD"):
        values = cfg.DATA[key]
        _require(len(values) == 3, f"DATA.{key} is {values}: it needs 3 numbers, for R, G and B")
    _require(min(cfg.DATA.STD) > 0, f"DATA.STD is {cfg.DATA.STD}: every entry must be above 0")
    for key, length in (
        ("TRAIN_JITTER_SCALES", (2,)),
        ("TRAIN_JITTER_SCALES_RELATIVE", (0, 2)),
        ("TRAIN_JITTER_ASPECT_RELATIVE", (0, 2)),
    ):
        values = cfg.DATA[key]
        _require(
            len(values) in length and list(values) == sorted(values),
            f"DATA.{key} is {values}: it must be [smallest, largest]",
        )
    area, aspect = cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE, cfg.DATA.TRAIN_JITTER_ASPECT_RELATIVE
    _require(
        bool(area) == bool(aspect),
        "DATA.TRAIN_JITTER_SCALES_RELATIVE and DATA.TRAIN_JITTER_ASPECT_RELATIVE need each other: "
        f"found {area} and {aspect}; set both or none",
    )


def _objective(cfg: Any) -> None:
    """OST picks descriptors by the clip's own label, so its labels must be whole classes."""
    if cfg.MODEL.LOSS_FUNC != "ost_contrastive":
        return
    _require(
        not cfg.MIXUP.ENABLE,
        "MIXUP.ENABLE is True with MODEL.LOSS_FUNC ost_contrastive: mixing and label smoothing "
        "make soft labels, and OST's objective needs hard ones; set MIXUP.ENABLE False",
    )
    _require(
        not cfg.DATA.MULTI_LABEL,
        "DATA.MULTI_LABEL is True with MODEL.LOSS_FUNC ost_contrastive: OST's objective needs one "
        "label a video; choose another loss",
    )


def _gradients(cfg: Any) -> None:
    solver = cfg.SOLVER
    for key in ("CLIP_GRAD_VAL", "CLIP_GRAD_L2NORM"):
        value = solver[key]
        ok = value is None or (isinstance(value, (int, float)) and value >= 0)
        _require(ok, f"SOLVER.{key} is {value!r}: it must be a number of at least 0, or None")
    _require(
        not (solver.CLIP_GRAD_VAL and solver.CLIP_GRAD_L2NORM),
        f"SOLVER.CLIP_GRAD_VAL is {solver.CLIP_GRAD_VAL} and SOLVER.CLIP_GRAD_L2NORM is "
        f"{solver.CLIP_GRAD_L2NORM}: they exclude each other; set one to None",
    )
    _require(len(solver.BETAS) == 2, f"SOLVER.BETAS is {solver.BETAS}: it needs two numbers")
    _require(
        all(0 <= beta < 1 for beta in solver.BETAS),
        f"SOLVER.BETAS is {solver.BETAS}: both must be at least 0 and below 1",
    )
    _require(
        solver.LAYER_DECAY <= 1, f"SOLVER.LAYER_DECAY is {solver.LAYER_DECAY}: it must be at most 1"
    )


def _descriptors(cfg: Any) -> None:
    _require(
        bool(cfg.OST.KINDS) or cfg.OST.MATCHING == "category",
        "OST.KINDS is empty: name spatial, temporal or both (OST.MATCHING category needs none)",
    )


def _mixing(cfg: Any) -> None:
    if not cfg.MIXUP.ENABLE:
        return
    loss = cfg.MODEL.LOSS_FUNC
    _require(
        loss != "cross_entropy",
        f"MIXUP.ENABLE is True with MODEL.LOSS_FUNC {loss}: mixed labels are soft; "
        "set MODEL.LOSS_FUNC soft_cross_entropy",
    )
    _require(
        cfg.MIXUP.ALPHA > 0 or cfg.MIXUP.CUTMIX_ALPHA > 0,
        "MIXUP.ENABLE is True with MIXUP.ALPHA 0 and MIXUP.CUTMIX_ALPHA 0: one must be above 0",
    )
    clips = cfg.TRAIN.BATCH_SIZE // max(1, cfg.NUM_GPUS) * cfg.AUG.NUM_SAMPLE
    _require(
        clips > 1,
        f"MIXUP.ENABLE is True with {clips} clip in a process's batch: mixing needs 2; "
        "raise TRAIN.BATCH_SIZE",
    )


def _total_batch(cfg: Any) -> None:
    total, step = cfg.TRAIN.TOTAL_BATCH_SIZE, cfg.TRAIN.BATCH_SIZE * cfg.NUM_SHARDS
    _require(
        total % step == 0,
        f"TRAIN.TOTAL_BATCH_SIZE is {total}: it must be a multiple of what one step sees, "
        f"TRAIN.BATCH_SIZE x NUM_SHARDS = {step}",
    )


def _schedule(cfg: Any) -> None:
    solver = cfg.SOLVER
    _require(solver.BASE_LR > 0, f"SOLVER.BASE_LR is {solver.BASE_LR}: it must be above 0")
    _require(
        solver.WARMUP_EPOCHS <= solver.MAX_EPOCH,
        f"SOLVER.WARMUP_EPOCHS is {solver.WARMUP_EPOCHS}: it must be at most SOLVER.MAX_EPOCH, "
        f"which is {solver.MAX_EPOCH}",
    )
    _require(
        solver.LR_POLICY != "cosine" or solver.COSINE_END_LR < solver.BASE_LR,
        f"SOLVER.COSINE_END_LR is {solver.COSINE_END_LR}: it must be below SOLVER.BASE_LR, "
        f"which is {solver.BASE_LR}",
    )
