"""The registry of data sets and the rule by which a name finds its class."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Dataset

from slowfast.utils.registry import Registry

DATASET_REGISTRY = Registry(
    "DATASET",
    contract="obj(cfg, split) with __len__, __getitem__(i) -> (frames, label, index, time, meta)"
    " and num_videos (clips)",
)


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

    Raises:
        UsageError: no such data set.
    """
    dataset: Dataset = find_dataset(dataset_name)(cfg, split)
    return dataset
