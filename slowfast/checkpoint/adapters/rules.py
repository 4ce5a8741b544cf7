"""How the keys of one system's files become ours: a rename table, a drop list, and how to tell it.

Our key space: ``clip.visual.*``, ``clip.text.*``, ``clip.logit_scale``, then ``encoder.*`` and
``head.*``, which is open_clip's ``CustomTextCLIP`` under ``clip.``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from slowfast.errors import UsageError
from slowfast.utils.logging import get_logger
from slowfast.utils.patterns import matches

logger = get_logger(__name__)
WRAPPERS = ("module.", "_orig_mod.")  # DistributedDataParallel, torch.compile
HALVES = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Adapter:
    """One system's key names.

    Args:
        name: as in TEST.CHECKPOINT_TYPE.
        recognise: whether a file's keys (without wrappers' prefixes) are this system's.
        renames: pairs (prefix, new prefix); the first that fits is applied, once; a key that none
            fits stays as it is.
        drop: patterns of keys that hold no weights of ours.
        absent: patterns of our keys that this system's files never hold.
        inner: triples (fragment, replacement, mark) that are applied before the renames wherever
            they occur; a mark that is not empty is the setting that only such a fragment tells.
        options: pairs (pattern of our keys, option that decides whether the model has them), named
            where file and model differ in them.
        sizes: pairs (pattern of our keys, option that decides their shape), named likewise; else
            it is CLIP.ARCH.
    """

    name: str
    recognise: Callable[[Collection[str]], bool]
    renames: tuple[tuple[str, str], ...]
    drop: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    inner: tuple[tuple[str, str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    sizes: tuple[tuple[str, str], ...] = ()

    def fits(self, keys: Collection[str]) -> bool:
        """Return whether any module's rename applies: the least for a kind that a user names."""
        modules = tuple(old for old, _ in self.renames if old.endswith("."))
        return self.recognise(keys) or any(key.startswith(modules) for key in keys)


@dataclass(frozen=True)
class Adapted:
    """A state dict in our key space, float32 where it was half, and what was done to get there.

    ``marks``: settings that it was trained with and that no key tells any more.
    """

    state: dict[str, Tensor]
    kind: str
    renamed: dict[str, str]
    dropped: list[str]
    absent: tuple[str, ...]
    marks: tuple[str, ...] = ()


def strip_wrappers(key: str) -> str:
    """Return ``key`` without the prefixes that wrapping a model adds.

    >>> strip_wrappers("module._orig_mod.clip.logit_scale")
    'clip.logit_scale'
    """
    while any(key.startswith(prefix) for prefix in WRAPPERS):
        key = key.split(".", 1)[1]
    return key


def rename(key: str, renames: tuple[tuple[str, str], ...]) -> str:
    """Return ``key`` with the first fitting prefix replaced."""
    for old, new in renames:
        if key.startswith(old):
            return new + key[len(old) :]
    return key


def begin(keys: Collection[str], *starts: str | tuple[str, ...]) -> bool:
    """Return whether, for each of ``starts``, some key begins with it (or with one of it)."""
    return all(any(key.startswith(start) for key in keys) for start in starts)


def apply(adapter: Adapter, state: Mapping[str, Tensor]) -> Adapted:
    """Rename, drop and upcast.

    Raises:
        UsageError: two of the file's keys would get the same name.
    """
    result: dict[str, Tensor] = {}
    renamed, dropped = {}, []
    marks: set[str] = set()
    for key, tensor in state.items():
        bare = strip_wrappers(key)
        for old, new, mark in adapter.inner:
            if old in bare:
                bare = bare.replace(old, new)
                marks.add(mark)
        if matches(bare, adapter.drop):
            dropped.append(key)
            continue
        new = rename(bare, adapter.renames)
        if new in result:
            raise UsageError(f"two keys of these {adapter.name} weights become {new}: {key} too")
        result[new] = tensor.float() if tensor.dtype in HALVES else tensor
        if new != key:
            renamed[key] = new
    told = tuple(sorted(marks - {""}))
    for mark in told:
        logger.info(
            f"these {adapter.name} weights were trained with {mark}, which leaves no other trace"
            " in them"
        )
    return Adapted(result, adapter.name, renamed, dropped, adapter.absent, told)
