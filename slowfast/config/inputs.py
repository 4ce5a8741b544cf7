"""Which files a config reads, and whether they are there; importing it needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slowfast.config.paths import find_file
from slowfast.errors import DataError, UsageError

SPLITS = ("train", "val", "test")
# The data sets of this package, which read the list of a split; others read what they like.
LISTED = ("activitynet", "framefolder", "hmdb51", "kinetics", "ssv2", "ssv2videos", "ucf101")
TEXTS = {
    "CLASSES": "file of class names (TEXT.CLASSES)",
    "SUBSET": "file of class names (TEXT.SUBSET)",
    "SPATIAL": "file of descriptors (TEXT.SPATIAL)",
    "TEMPORAL": "file of descriptors (TEXT.TEMPORAL)",
}


def list_path(cfg: Any, split: str) -> Path:
    """Return the list file of ``split``: DATA.<SPLIT>_FILE or ``<split>.csv``, in the data folder.

    Raises:
        UsageError: unknown split.
    """
    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    name = cfg.DATA[f"{split.upper()}_FILE"] or f"{split}.csv"
    return Path(cfg.DATA.PATH_TO_DATA_DIR, name)


def no_list(path: object) -> DataError:
    """Return the error of a list of videos that is not there."""
    return DataError(
        f"{path}: no such list of videos; check DATA.PATH_TO_DATA_DIR and DATA.TRAIN_FILE, "
        "DATA.VAL_FILE or DATA.TEST_FILE"
    )


def check_files(cfg: Any) -> None:
    """Look whether the lists and texts of the enabled phases are there, without reading them.

    It answers before anything heavy is imported, and before weights are looked for.

    Raises:
        DataError: no list of a data set of this package.
        UsageError: no file of classes or descriptors.
    """
    for phase, splits in (("TRAIN", ("train", "val")), ("TEST", ("test",))):
        for split in splits if cfg[phase].ENABLE else ():
            path = list_path(cfg, split)
            if cfg[phase].DATASET.lower() in LISTED and not path.exists():
                raise no_list(path)
    for key, what in TEXTS.items():
        if (cfg.TRAIN.ENABLE or cfg.TEST.ENABLE) and cfg.TEXT[key]:
            find_file(cfg.TEXT[key], what)
