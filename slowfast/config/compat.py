"""PySlowFast's options that this package does not have, as tables.

They may stand in a YAML file or on the command line, because people's files and the ``cfg`` text
of every published checkpoint contain them. None becomes an option of the tree, unless an extension
declares it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

# Sections of other systems: nothing in them has an effect, whatever it says.
ACCEPTED_SECTIONS = (
    "AVA",
    "CONTRASTIVE",
    "DEMO",
    "DETECTION",
    "MASK",
    "MULTIGRID",
    "MVIT",
    "NONLOCAL",
    "RESNET",
    "SLOWFAST",
    "TENSORBOARD.MODEL_VIS",
    "VIS_MASK",
    "X3D",
)

# Single options and PySlowFast's (or the CLIP forks') defaults: no effect, one notice if changed.
ACCEPTED: dict[str, Any] = {
    "AUG.COLOR_JITTER": 0.4,
    "AUG.MASK_FRAMES": False,
    "AUG.MASK_RATIO": 0.0,
    "AUG.MASK_TUBE": False,
    "AUG.MASK_WINDOW_SIZE": [8, 7, 7],
    "AUG.MAX_MASK_PATCHES_PER_BLOCK": None,
    "AUG.RE_SPLIT": False,
    "BN.GLOBAL_SYNC": False,
    "BN.NUM_SPLITS": 1,
    "BN.NUM_SYNC_DEVICES": 1,
    "DATA.COLOR_RND_GRAYSCALE": 0.0,
    "DATA.DECODING_SHORT_SIZE": 256,
    "DATA.IN22K_TRAINVAL": False,
    "DATA.IN22k_VAL_IN1K": "",
    "DATA.IN_VAL_CROP_RATIO": 0.875,
    "DATA.LOADER_CHUNK_OVERALL_SIZE": 0,
    "DATA.LOADER_CHUNK_SIZE": 0,
    "DATA.PATH_TO_PRELOAD_IMDB": "",
    "DATA.SKIP_ROWS": 0,
    "DATA.SSL_BLUR_SIGMA_MAX": [0.0, 2.0],
    "DATA.SSL_BLUR_SIGMA_MIN": [0.0, 0.1],
    "DATA.SSL_COLOR_BRI_CON_SAT": [0.4, 0.4, 0.4],
    "DATA.SSL_COLOR_HUE": 0.1,
    "DATA.SSL_COLOR_JITTER": False,
    "DATA.SSL_MOCOV2_AUG": False,
    "DATA.TEXT_AUG": False,
    "DATA.TEXT_AUG_FEATURE_FILE": "",
    "DATA.TIME_DIFF_PROB": 0.0,
    "DATA.TRAIN_PCA_EIGVAL": [0.225, 0.224, 0.229],
    "DATA.TRAIN_PCA_EIGVEC": [
        [-0.5675, 0.7192, 0.4009],
        [-0.5808, -0.0045, -0.8140],
        [-0.5836, -0.6948, 0.4203],
    ],
    "IMAGENET_SIMPLELABEL_PATH": None,
    "MODEL.ADAPT_FINETUNE_FACTOR": 1.0,
    "MODEL.CHANNEL_FOLD": 64,
    "MODEL.CLS_LOSS_RATIO": 1.0,
    "MODEL.DEFAULT_FINETUNE_FACTOR": 1.0,
    "MODEL.DISTILLATION_RATIO": 1.0,
    "MODEL.DROPCONNECT_RATE": 0.0,
    "MODEL.ENSEMBLE_PRED": False,
    "MODEL.ENSEMBLE_RAWMODEL_RATIO": 0.0,
    "MODEL.EXPERT_FINETUNE_FACTOR": 1.0,
    "MODEL.EXPERT_INSERT_LAYERS": [10, 11],
    "MODEL.FINETUNE_FACTOR": 1.0,
    "MODEL.KEEP_RAW_MODEL": False,
    "MODEL.LOSS_FREQ_TYPE": "mse",
    "MODEL.MASK_RATE": 0.5,
    "MODEL.MASK_STRIDE": [1, 2, 2],
    "MODEL.MLP_FINETUNE_FACTOR": 1.0,
    "MODEL.NUM_EXPERTS": 0,
    "MODEL.PROMPT_NUM": 1,
    "MODEL.RAW_MODEL_DISTILLATION": False,
    "MODEL.RECORD_ROUTING": False,
    "MODEL.ROUTING_FINETUNE_FACTOR": 1.0,
    "MODEL.ROUTING_FREQUENCE_CONSTRAIN": 0.5,
    "MODEL.ROUTING_FREQ_CONS_FACTOR": 1.0,
    "MODEL.ROUTING_TYPE": "patch-level",
    "MODEL.SPATIAL_REPEAT": True,
    "MODEL.STATIC_GRAPH": False,
    "MODEL.TEMPORAL_MODELING_TYPE": None,
    "MODEL.TEMPORAL_SCALE": [1],
    "MODEL.TEMPORAL_SHUFFLE": True,
    "MODEL.TEXT_PROMPT": False,
    "SOLVER.GAMMA": 0.1,
    "SOLVER.STEP_SIZE": 1,
    "SOLVER.WARMUP_FACTOR": 0.1,
    "TEST.CLIP_ORI_PATH": None,
    "TEST.CUSTOM_LOAD": False,
    "TEST.CUSTOM_LOAD_FILE": None,
    "TEST.OPENSET": False,
    "TEST.PATCHING_MODEL": False,
    "TEST.PATCHING_RATIO": 0.5,
    "TEST.UPDATE_STATE": False,
    "TRAIN.ADAPT_ZS_CONS_RATIO": False,
    "TRAIN.CHECKPOINT_IN_INIT": False,
    "TRAIN.CLIP_ORI_PATH": None,
    "TRAIN.CUSTOM_LOAD": False,
    "TRAIN.CUSTOM_LOAD_FILE": None,
    "TRAIN.EWC_CONSTRAIN_RATIO": 1.0,
    "TRAIN.EWC_IDENTITY_FISHER": False,
    "TRAIN.EWC_IGNORE_LOGIT_SCALE": False,
    "TRAIN.EWC_LOAD_FILE": None,
    "TRAIN.EWC_SET": False,
    "TRAIN.LINEAR_CONNECT_CLIMB": False,
    "TRAIN.LINEAR_CONNECT_LOSS_RATIO": 1.0,
    "TRAIN.LINEAR_CONNECT_SAMPLE": True,
    "TRAIN.LINEAR_CONNECT_SAMPLE_L": 0.4,
    "TRAIN.LINEAR_CONNECT_SAMPLE_R": 0.6,
    "TRAIN.ZERO_SHOT_META_LEARN": False,
    "TRAIN.ZS_CONS": False,
    "TRAIN.ZS_CONS_RATIO": 0.8,
    "TRAIN.ZS_INIT_CONS": False,
    "TRAIN.ZS_RESTART_CONS": False,
    "TRAIN.ZS_RESTART_EPOCH": -1,
    "TUNE_HEAD": False,
    "VAL_MODE": False,
}


class Refusal(NamedTuple):
    """A switch that may only stand at ``off``, and what to tell who turns it on."""

    off: Any
    reason: str


REFUSED: dict[str, Refusal] = {
    "AUG.GEN_MASK_LOADER": Refusal(False, "masked pre-training is out of scope"),
    "DEMO.ENABLE": Refusal(False, "there is no demo loop; use the Python interface (docs/api.md)"),
    "DETECTION.ENABLE": Refusal(False, "detection is out of scope"),
    "MASK.ENABLE": Refusal(False, "masked pre-training is out of scope"),
    "MULTIGRID.LONG_CYCLE": Refusal(False, "multigrid training is out of scope"),
    "MULTIGRID.SHORT_CYCLE": Refusal(False, "multigrid training is out of scope"),
    "SOLVER.LARS_ON": Refusal(False, "LARS is out of scope"),
    "TENSORBOARD.MODEL_VIS.ENABLE": Refusal(
        False, "drawing weights, activations and Grad-CAM is out of scope"
    ),
}

# The same option under the name that the CLIP forks of PySlowFast gave it.
RENAMED: dict[str, str] = {
    "DATA.INDEX_LABEL_MAPPING_FILE": "TEXT.CLASSES",
    "MODEL.CONTEXT_LENGTH": "CLIP.CONTEXT_LENGTH",
    "MODEL.USE_CHECKPOINT": "MODEL.ACT_CHECKPOINT",
    "TEST_FILE": "DATA.TEST_FILE",
    "TRAIN_FILE": "DATA.TRAIN_FILE",
    "VAL_FILE": "DATA.VAL_FILE",
}


class Carried(NamedTuple):
    """``source`` is worth something to ``target`` once the option ``switch`` is on."""

    switch: str
    source: str
    target: str


CARRIED: tuple[Carried, ...] = (
    Carried("TRAIN.CUSTOM_LOAD", "TRAIN.CUSTOM_LOAD_FILE", "TRAIN.CHECKPOINT_FILE_PATH"),
    Carried("TEST.CUSTOM_LOAD", "TEST.CUSTOM_LOAD_FILE", "TEST.CHECKPOINT_FILE_PATH"),
    Carried("TEST.PATCHING_MODEL", "TEST.PATCHING_RATIO", "TEST.CLIP_RATIO"),
    Carried("TEST.PATCHING_MODEL", "TEST.CLIP_ORI_PATH", "CLIP.PRETRAINED"),
)


def in_section(key: str) -> bool:
    """Return whether ``key`` is a section that is accepted as a whole, or lies in one.

    >>> in_section("MVIT.REV.ENABLE"), in_section("MVITX.DEPTH")
    (True, False)
    """
    return any(key == name or key.startswith(f"{name}.") for name in ACCEPTED_SECTIONS)


def is_known(key: str) -> bool:
    """Return whether PySlowFast or one of its CLIP forks knows the option ``key``."""
    return key in ACCEPTED or key in REFUSED or key in RENAMED or in_section(key)


def refusal(key: str, value: Any) -> str:
    """Return why ``key`` may not be ``value``, or an empty text."""
    entry = REFUSED.get(key)
    if entry is None or value == entry.off:
        return ""
    return f"{key} is {value!r}: {entry.reason}; set it to {entry.off!r}"


def carried_over(foreign: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that ``foreign`` options give to options of this package.

    Args:
        foreign: the accepted options that were given, by key.

    >>> carried_over({"TEST.PATCHING_MODEL": True, "TEST.PATCHING_RATIO": 0.2})
    {'TEST.CLIP_RATIO': 0.2}
    >>> carried_over({"TEST.PATCHING_RATIO": 0.2})
    {}
    """
    values = {}
    for switch, source, target in CARRIED:
        value = foreign.get(source, ACCEPTED[source])
        if foreign.get(switch) is True and value not in (None, ""):
            values[target] = value
    return values


def without_effect(foreign: Mapping[str, Any]) -> list[str]:
    """Return the keys of ``foreign`` that were changed from their default and do nothing."""
    used = {
        key
        for rule in CARRIED
        if foreign.get(rule.switch) is True
        for key in (rule.switch, rule.source)
    }
    return sorted(
        key
        for key, value in foreign.items()
        if key in ACCEPTED and key not in used and value != ACCEPTED[key]
    )
