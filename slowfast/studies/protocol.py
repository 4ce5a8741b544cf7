"""The papers' protocols as lists of commands: what to train, what to test, with which lists.

Nothing is run and no torch is imported here: `ost protocol` shows or runs the steps. The
cards of the protocols are in ``docs/protocols.md``; what a step is made of in ``protocol_steps``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from slowfast.config import load_cfg
from slowfast.errors import UsageError
from slowfast.studies import protocol_steps as steps_of
from slowfast.studies.protocol_request import K600_LISTS, LABELS, Request, Step

__all__ = [
    "K600_LISTS",
    "LABELS",
    "PROTOCOLS",
    "Request",
    "Step",
    "datasets",
    "methods",
    "plan",
]

Planner = Callable[[Request], list[Step]]
PROTOCOLS: dict[str, Planner] = {
    "zero_shot": steps_of.zero_shot,
    "few_shot": steps_of.few_shot,
    "base_to_novel": steps_of.base_to_novel,
    "fully_supervised": steps_of.fully_supervised,
}
TAKES: dict[str, Sequence[str]] = {
    "zero_shot": ("--weights",),
    "few_shot": ("SHOTS", "SEED", "--from"),
    "base_to_novel": ("SHOTS", "SEED", "--from"),
    "fully_supervised": ("--from",),
}


def plan(request: Request) -> list[Step]:
    """Return the steps of a whole protocol, in order; every config has been composed once.

    Raises UsageError for an unknown method or data set (with the choices), for numbers that the
    protocol does not take, and for overrides that are wrong or that the protocol sets itself.
    """
    _check(request)
    steps = PROTOCOLS[request.protocol](request)
    own = {key for step in steps for key in step.settings}
    for key in request.overrides[::2]:
        if key in own:
            raise UsageError(
                f"{key} is set by the protocol {request.protocol} in every step; see --help for "
                "--output, --from, --weights, and DATA_ROOT"
            )
    for step in steps:
        load_cfg(step.config, step.opts, env={})
    return steps


def methods(configs: Path, protocol: str) -> list[str]:
    """Return the folders of ``configs`` that have leaves for ``protocol``."""
    return sorted(p.parent.name for p in configs.glob(f"*/{protocol}") if any(p.glob("*.yaml")))


def datasets(folder: Path, protocol: str) -> list[str]:
    """Return what can be asked for: the leaves in ``folder`` but for targets and single shots."""
    tested = steps_of.targets(folder) if protocol == "zero_shot" else ()
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    return [name for name in names if name not in tested and not re.search(r"_\d+shot$", name)]


def _check(request: Request) -> None:
    if request.protocol not in PROTOCOLS:
        raise UsageError(f"protocol {request.protocol!r}; known: {', '.join(PROTOCOLS)}")
    known = methods(request.configs, request.protocol)
    if request.method not in known:
        raise UsageError(
            f"method {request.method!r}; known for {request.protocol}: {', '.join(known)}"
        )
    known = datasets(request.leaves, request.protocol)
    if request.dataset not in known:
        is_leaf = (request.leaves / f"{request.dataset}.yaml").exists()
        why = " is a target, not trained on" if is_leaf and request.protocol == "zero_shot" else ""
        raise UsageError(
            f"data set {request.dataset!r}{why}; known for {request.method} {request.protocol}: "
            f"{', '.join(known)}"
        )
    _check_options(request)


def _check_options(request: Request) -> None:
    if request.k600 not in K600_LISTS:
        raise UsageError(f"--k600 {request.k600!r}; known: {', '.join(K600_LISTS)}")
    if request.labels not in LABELS:
        raise UsageError(f"--labels {request.labels!r}; known: {', '.join(LABELS)}")
    takes = TAKES[request.protocol]
    for name, given in (("SHOTS", request.shots), ("SEED", request.seeds),
                        ("--from", request.start), ("--weights", request.weights)):  # fmt: skip
        if given and name not in takes:
            raise UsageError(f"{request.protocol} takes no {name}; see docs/protocols.md")
    if any(number < 1 for number in (*request.shots, *request.seeds)):
        raise UsageError("SHOTS and SEED are numbers from 1")
    for name, numbers in (("SHOTS", request.shots), ("SEED", request.seeds)):
        if len(set(numbers)) < len(numbers):
            raise UsageError(f"{name} {' '.join(map(str, numbers))}: name each number once")
    if len(request.overrides) % 2:
        raise UsageError(f"overrides are pairs KEY VALUE; {request.overrides[-1]!r} is alone")
