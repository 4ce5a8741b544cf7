"""The registry of data sets, and from names in the options to registered classes."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from torch.utils.data import Dataset, IterableDataset

from slowfast.config.tree import leaves
from slowfast.errors import UsageError
from slowfast.utils.logging import get_logger
from slowfast.utils.registry import Registry

logger = get_logger(__name__)
DATASET_REGISTRY = Registry(
    "DATASET",
    contract="obj(cfg, split) with __len__, __getitem__(i) -> (frames, label, index, time, meta)"
    " and num_videos (clips)",
)


def find(registry: Registry, name: str, key: str, kind: type) -> Any:
    """Return the entry ``name`` of ``registry``, a subclass of ``kind``, which ``key`` names.

    Raises:
        UsageError: no such entry, or one of another kind.
    """
    if name not in registry:
        raise UsageError(f"{key} is {name!r}; known: {', '.join(registry.names())}")
    entry = registry.get(name)
    if not (inspect.isclass(entry) and issubclass(entry, kind)):
        raise UsageError(f"{key} {name} is no {kind.__name__}; expected: {registry.contract}")
    return entry


def find_dataset(name: str) -> Any:
    """Return the class called ``name``: exactly, capitalised, or in any case if that is unique.

    Raises:
        UsageError: there is none; the message lists the known names.
    """
    names = DATASET_REGISTRY.names()
    folded = [known for known in names if known.lower() == name.lower()]
    for candidate in (name, name.capitalize()):
        if candidate in names:
            return DATASET_REGISTRY.get(candidate)
    return DATASET_REGISTRY.get(folded[0] if len(folded) == 1 else name)


def build_dataset(dataset_name: str, cfg: Any, split: str) -> Dataset:
    """Return the data set ``dataset_name`` for ``split`` (train, val or test), built from ``cfg``.

    It gets a copy of ``cfg`` that it may write to, as PySlowFast's users do in their constructors.
    What it changed there is logged and holds for it alone, but for its number of test views, by
    which clips are grouped into videos: that becomes its attribute ``num_clips_per_video``.

    Raises:
        UsageError: no such data set, or it cannot be called so or has no length.
    """
    entry = find_dataset(dataset_name)
    own = cfg.clone()
    own.defrost()
    try:
        inspect.signature(entry, follow_wrapped=False).bind(own, split)
    except TypeError as error:
        raise broken_dataset(entry.__name__, f"cannot be called so: {error}") from None
    dataset: Dataset = entry(own, split)
    if not (hasattr(dataset, "__len__") or isinstance(dataset, IterableDataset)):
        raise broken_dataset(entry.__name__, "has no __len__")
    before = dict(leaves(cfg))
    if changed := {key: v for key, v in leaves(own) if key not in before or before[key] != v}:
        _notice(
            f"data set {entry.__name__} sets {', '.join(f'{k} {v}' for k, v in changed.items())}"
            " in its own copy of the options"
        )
    test = {"TEST.NUM_ENSEMBLE_VIEWS", "TEST.NUM_SPATIAL_CROPS"} & set(changed)
    if split == "test" and test and not hasattr(dataset, "num_clips_per_video"):
        views: Any = own.TEST.NUM_ENSEMBLE_VIEWS * own.TEST.NUM_SPATIAL_CROPS
        dataset.num_clips_per_video = views  # type: ignore[attr-defined]
    return dataset


@functools.cache
def _notice(text: str) -> None:
    """Log ``text`` once a process: a run builds a data set for each of its splits."""
    logger.info(text)


def broken_dataset(name: str, found: str) -> UsageError:
    """Return the error of a registered data set ``name`` that does not keep the contract."""
    return UsageError(f"data set {name} {found}; expected: {DATASET_REGISTRY.contract}")
