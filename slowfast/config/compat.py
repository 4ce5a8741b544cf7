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
_FORKS = tree.read_table("forks.yaml")
FORKS: dict[str, Any] = _FORKS["options"]
_FORK_KEYS = frozenset(key for key, _ in tree.leaves(FORKS))
# What nothing here acts upon, by key, with the default that PySlowFast or the forks give it.
IDLE = dict(tree.leaves(UPSTREAM["without_effect"])) | dict(tree.leaves(FORKS))
# Options that only a user's own code can read: they are shown where they were set.
QUIET = frozenset(
    key for part in ("models", "tasks", "without_effect") for key, _ in tree.leaves(UPSTREAM[part])
)
# Switches that must stay off, and what to tell who turns one on.
REFUSED: dict[str, str] = tree.read_table("limits.yaml")["refused"]


class Carried(NamedTuple):
    """What is set for ``source`` holds for our ``target``, if ``switch`` is on or there is none."""

    source: str
    target: str
    switch: str = ""


CARRIED = tuple(Carried(*names) for names in _FORKS["carried_over"])


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
