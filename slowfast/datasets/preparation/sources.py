"""Which reader a data set has, and checks on what it read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from slowfast.datasets.preparation.activitynet import read_activitynet
from slowfast.datasets.preparation.class_table import ClassTable
from slowfast.datasets.preparation.entries import Annotations, Entry
from slowfast.datasets.preparation.hmdb51 import read_hmdb51
from slowfast.datasets.preparation.kinetics import read_kinetics
from slowfast.datasets.preparation.ssv2 import read_ssv2
from slowfast.datasets.preparation.ucf101 import read_ucf101
from slowfast.errors import DataError
from slowfast.text.labels import shorten

Reader = Callable[[Path, ClassTable, Sequence[str]], Annotations]
READERS: Mapping[str, Reader] = {
    "activitynet200": read_activitynet,
    "hmdb51": read_hmdb51,
    "kinetics400": read_kinetics,
    "kinetics600": read_kinetics,
    "ssv2": read_ssv2,
    "ucf101": read_ucf101,
}
# Videos in the official lists; Kinetics shrinks as videos vanish from the net.
OFFICIAL_SIZES: Mapping[str, Mapping[str, int]] = {
    "ucf101": {
        **{"train_split1": 9537, "train_split2": 9586, "train_split3": 9624},
        **{"test_split1": 3783, "test_split2": 3734, "test_split3": 3696, "all": 13320},
    },
    "hmdb51": {
        **{f"train_split{i}": 3570 for i in (1, 2, 3)},
        **{f"test_split{i}": 1530 for i in (1, 2, 3)},
        "all": 6766,
    },
    "ssv2": {"train": 168913, "val": 24777},
    "activitynet200": {"train": 10024, "val": 4926, "all": 14950},
}


def check_coverage(annotations: Annotations, classes: ClassTable, partial: bool) -> list[str]:
    """Return a note about classes that no list has; without ``partial`` that is a DataError."""
    seen = {entry.label for entries in annotations.lists.values() for entry in entries}
    absent = [classes.names[label] for label in range(len(classes)) if label not in seen]
    if not absent:
        return []
    text = f"{len(absent)} of {len(classes)} classes are in no list: {shorten(absent)}"
    if not partial:
        raise DataError(f"{text}; annotation files are missing (--partial if that is intended)")
    return [text]


def drop_repeats(
    lists: Mapping[str, Sequence[Entry]], *, keep: bool
) -> tuple[dict[str, list[Entry]], list[str]]:
    """Return the lists without videos that a list names again, and a line about each of those.

    ``keep``: only report them (published lists stay as they are).
    """
    out: dict[str, list[Entry]] = {}
    repeats: list[str] = []
    for list_name, entries in lists.items():
        first: dict[tuple[str, object], Entry] = {}
        out[list_name] = []
        for entry in entries:
            before = first.setdefault((entry.name, entry.segment), entry)
            if before is not entry:
                other = f" with label {before.label}" * (before.label != entry.label)
                repeats.append(f"{entry.source}: {entry.name} is listed before{other}")
            if before is entry or keep:
                out[list_name].append(entry)
    return out, repeats


def overlaps(lists: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return how many videos a training list shares with the test lists of its split."""
    found: dict[str, int] = {}
    for name, paths in lists.items():
        part, _, split = name.partition("_")
        if part != "train":
            continue
        for other in ("val", "test"):
            tested = "_".join(filter(None, (other, split)))
            common = set(paths) & set(lists.get(tested, ()))
            if common:
                found[f"{name} and {tested}"] = len(common)
    return found


def labels_by_stem(annotations: Annotations) -> dict[str, int]:
    """Return labels by file name without suffix; videos with several labels are left out."""
    labels: dict[str, int] = {}
    seen: Counter[str] = Counter()
    for entries in annotations.lists.values():
        for entry in entries:
            stem = os.path.splitext(os.path.basename(entry.name))[0]
            if labels.setdefault(stem, entry.label) != entry.label:
                seen[stem] += 1
    return {stem: label for stem, label in labels.items() if stem not in seen}
