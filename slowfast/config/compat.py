"""PySlowFast's options beside those of ``defaults``, and what is done with them.

People's files and the ``cfg`` text of every published checkpoint contain them all.
``upstream.yaml`` holds PySlowFast's own, which every tree has; ``forks.yaml`` those of its CLIP
forks, which a tree has if an extension declares them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from slowfast.config import tree
from slowfast.errors import UsageError

UPSTREAM = tree.read_table("upstream.yaml")
FORKS = tree.read_table("forks.yaml")
_FORK_KEYS = frozenset(key for key, _ in tree.leaves(FORKS))
# What nothing here acts upon, by key, with the default that PySlowFast or the forks give it.
IDLE = dict(tree.leaves(UPSTREAM["without_effect"])) | dict(tree.leaves(FORKS))
# Options that only a user's own code can read: they are shown where they were set.
QUIET = frozenset(
    key for part in ("models", "tasks", "without_effect") for key, _ in tree.leaves(UPSTREAM[part])
)

# Switches that must stay off, and what to tell who turns one on.
REFUSED: dict[str, str] = {
    "AUG.GEN_MASK_LOADER": "masked pre-training is out of scope",
    "DEMO.ENABLE": "there is no demo loop; use the Python interface (docs/api.md)",
    "DETECTION.ENABLE": "detection is out of scope",
    "MASK.ENABLE": "masked pre-training is out of scope",
    "MULTIGRID.LONG_CYCLE": "multigrid training is out of scope",
    "MULTIGRID.SHORT_CYCLE": "multigrid training is out of scope",
    "SOLVER.LARS_ON": "LARS is out of scope",
    "TENSORBOARD.MODEL_VIS.ENABLE": "drawing weights, activations and Grad-CAM is out of scope",
    "VAL_MODE": "no run only validates; to score the validation list, name it in DATA.TEST_FILE "
    "and set TRAIN.ENABLE False and TEST.ENABLE True",
}


class Carried(NamedTuple):
    """What is set for ``source`` holds for our ``target``, if ``switch`` is on or there is none."""

    source: str
    target: str
    switch: str = ""


# Options of the CLIP forks that ours stand for, whether or not an extension declares them.
CARRIED: tuple[Carried, ...] = (
    Carried("DATA.INDEX_LABEL_MAPPING_FILE", "TEXT.CLASSES"),
    Carried("MODEL.CONTEXT_LENGTH", "CLIP.CONTEXT_LENGTH"),
    Carried("MODEL.USE_CHECKPOINT", "MODEL.ACT_CHECKPOINT"),
    Carried("TEST_FILE", "DATA.TEST_FILE"),
    Carried("TRAIN_FILE", "DATA.TRAIN_FILE"),
    Carried("VAL_FILE", "DATA.VAL_FILE"),
    Carried("TRAIN.CUSTOM_LOAD_FILE", "TRAIN.CHECKPOINT_FILE_PATH", "TRAIN.CUSTOM_LOAD"),
    Carried("TEST.CUSTOM_LOAD_FILE", "TEST.CHECKPOINT_FILE_PATH", "TEST.CUSTOM_LOAD"),
    Carried("TEST.PATCHING_RATIO", "TEST.CLIP_RATIO", "TEST.PATCHING_MODEL"),
    Carried("TEST.CLIP_ORI_PATH", "CLIP.PRETRAINED", "TEST.PATCHING_MODEL"),
)


def add_upstream(cfg: Any) -> None:
    """Add PySlowFast's options to a tree that holds those of ``defaults``, in place."""
    for part in UPSTREAM.values():
        tree.lay_under(cfg, part)


def is_declared(cfg: Any, key: str) -> bool:
    """Return whether ``key`` is an option of the forks that an extension has added to ``cfg``."""
    return key in _FORK_KEYS and tree.known(cfg, key)


def in_task_section(key: str) -> bool:
    """Return whether ``key`` lies in a section of PySlowFast that has no counterpart here.

    >>> in_task_section("AVA.TRAIN_PCA_EIGVAL"), in_task_section("MVIT.DEPHT")
    (True, False)
    >>> in_task_section("TENSORBOARD.MODEL_VIS.X"), in_task_section("TENSORBOARD.X")
    (True, False)
    """
    sections = {"TENSORBOARD.MODEL_VIS", *UPSTREAM["tasks"]} - {"TENSORBOARD"}
    return key.startswith(tuple(f"{name}." for name in sections))


def refuse(options: Any, sources: dict[str, str]) -> None:
    """Raise UsageError if a switch of ``REFUSED`` is on in a tree that may lack some of them.

    Args:
        options: the tree.
        sources: where options were set, as far as that is known.
    """
    for key, reason in REFUSED.items():
        if tree.known(options, key) and (value := tree.get(options, key)):
            where = f" ({sources[key]})" if key in sources else ""
            raise UsageError(f"{key} is {value!r}: {reason}; set it to False{where}")
