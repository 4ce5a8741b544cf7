"""Lists that follow from the main ones: base and novel, zero-shot classes, few shots."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from slowfast.datasets.preparation.class_table import ClassTable
from slowfast.datasets.preparation.entries import Video
from slowfast.errors import DataError, UsageError


class ClassList(NamedTuple):
    """The videos of a list, and the names of the classes that their labels count."""

    videos: Sequence[Video]
    names: Sequence[str]


Lists = Mapping[str, ClassList]
# Data sets of three splits: the first one has the plain names.
PLAIN = {"train": "train_split1", "val": "test_split1", "test": "test_split1"}


def plain_names(lists: Lists) -> dict[str, ClassList]:
    """Return train, val and test of data sets whose lists are numbered: those of split 1."""
    return {
        plain: lists[numbered] for plain, numbered in PLAIN.items()
        if plain not in lists and numbered in lists
    }  # fmt: skip


def subset_lists(lists: Lists, classes: ClassTable, zero_shot_from: str) -> dict[str, ClassList]:
    """Return base_train, base_val, novel_val and zero_shot_splitN, labels counted within each.

    Args:
        lists: with train and val.
        classes: of the data set; files of subsets lie beside theirs.
        zero_shot_from: the list that the zero-shot splits are cut from.
    """
    plan = [("base", "train", "base_train"), ("base", "val", "base_val")]
    plan.append(("novel", "val", "novel_val"))
    folder = classes.path.parent
    zero_shot = sorted(path.stem for path in folder.glob("zero_shot_*.txt"))
    plan += [(subset, zero_shot_from, subset) for subset in zero_shot]
    out: dict[str, ClassList] = {}
    for subset, source, target in plan:
        if source not in lists or not (folder / f"{subset}.txt").exists():
            continue
        own = classes.subset(subset)
        position = {label: i for i, label in enumerate(own.values())}
        videos = [
            video._replace(label=position[video.label])
            for video in lists[source].videos
            if video.label in position
        ]
        out[target] = ClassList(videos, tuple(own))
    return out


def few_shot_lists(
    lists: Lists, *, shots: Sequence[int], seeds: Sequence[int], partial: bool
) -> dict[str, ClassList]:
    """Return ``<list>_<K>shot_seed<S>`` of train and base_train (or the only list there is).

    Raises:
        DataError: a class has fewer than K videos.
        UsageError: there is no training list to draw from.
    """
    sources = [name for name in ("train", "base_train") if name in lists]
    sources = sources or list(lists) * (len(lists) == 1)
    if shots and not sources:
        raise UsageError("--shots: there is no training list to draw from; add train to --splits")
    return {
        f"{source}_{count}shot_seed{seed}": ClassList(
            draw_shots(lists[source], shots=count, seed=seed, partial=partial), lists[source].names
        )
        for source in sources
        for count in shots
        for seed in seeds
    }


def draw_shots(source: ClassList, *, shots: int, seed: int, partial: bool = False) -> list[Video]:
    """Return ``shots`` videos per class, drawn without replacement, in class order.

    Every video has a place in a random order of its class that depends on the seed and its file
    name alone (SHA-256), and the first K are taken. So K = 2 is within K = 4, folders and suffixes
    do not matter, and where a video is missing only itself is replaced.

    Args:
        source: the training list.
        shots: K, the videos of each class.
        seed: another seed gives another, independent draw.
        partial: classes without any video are left out; else each class needs K videos.

    Raises:
        DataError: a class has fewer than K videos.

    >>> videos = [Video("a.avi", 1), Video("b.avi", 0), Video("c.avi", 1)]
    >>> [v.path for v in draw_shots(ClassList(videos, ["run", "sit"]), shots=1, seed=1)]
    ['b.avi', 'a.avi']
    """
    by_class: dict[int, dict[str, Video]] = defaultdict(dict)
    for video in source.videos:
        stem = os.path.splitext(os.path.basename(video.path))[0]
        rank = hashlib.sha256(f"{seed}:{stem}".encode("utf-8", "surrogateescape")).hexdigest()
        by_class[video.label].setdefault(rank, video)
    drawn = [label for label in range(len(source.names)) if label in by_class or not partial]
    few = [label for label in drawn if len(by_class[label]) < shots]
    if few:
        first = ", ".join(f"{source.names[i]!r} has {len(by_class[i])}" for i in few[:3])
        raise DataError(
            f"{len(few)} classes have fewer than {shots} training videos for {shots} shots: "
            f"{first}{', ...' if len(few) > 3 else ''}; get the missing videos or draw fewer"
        )
    return [by_class[label][rank] for label in drawn for rank in sorted(by_class[label])[:shots]]
