"""Lists that follow from the main ones: base and novel, zero-shot classes, few shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from slowfast.datasets.preparation.class_table import ClassTable
from slowfast.datasets.preparation.few_shot import draw_shots
from slowfast.datasets.preparation.writing import Video
from slowfast.errors import UsageError
from slowfast.text.labels import load_classes

Lists = Mapping[str, Sequence[Video]]
# Data sets of three splits: the first one has the plain names.
PLAIN = {"train": "train_split1", "val": "test_split1", "test": "test_split1"}


def plain_names(lists: Lists) -> dict[str, list[Video]]:
    """Return train, val and test of data sets whose lists are numbered: those of split 1."""
    return {
        plain: list(lists[numbered]) for plain, numbered in PLAIN.items()
        if plain not in lists and numbered in lists
    }  # fmt: skip


def subset_path(folder: Path, subset: str, labels: str) -> Path:
    """Return the file of a subset's names, of the published variant where one is asked for.

    Raises UsageError when there is none.
    """
    published = folder / f"{subset}_published.txt"
    path = published if labels == "published" and published.exists() else folder / f"{subset}.txt"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.txt"))) or "none"
        raise UsageError(f"{path}: no such subset of classes; known for {folder.name}: {known}")
    return path


def restrict(videos: Sequence[Video], labels: Sequence[int]) -> list[Video]:
    """Return the videos of the classes ``labels``, counted by their positions in it.

    >>> restrict([Video("a.avi", 4), Video("b.avi", 2), Video("c.avi", 3)], [2, 4])
    [Video(path='a.avi', label=1, frames=None), Video(path='b.avi', label=0, frames=None)]
    """
    position = {label: i for i, label in enumerate(labels)}
    return [v._replace(label=position[v.label]) for v in videos if v.label in position]


def subset_lists(
    lists: Lists, classes: ClassTable, folder: Path, *, labels: str, zero_shot_from: str
) -> tuple[dict[str, list[Video]], dict[str, Sequence[str]]]:
    """Return base_train, base_val, novel_val and zero_shot_splitN, and the class names of each.

    Args:
        lists: with train and val.
        classes: of the data set.
        folder: of label_db, with base.txt, novel.txt, zero_shot_splitN.txt.
        labels: "right" or "published".
        zero_shot_from: the list that the zero-shot splits are cut from.
    """
    plan = [("base", "train", "base_train"), ("base", "val", "base_val")]
    plan.append(("novel", "val", "novel_val"))
    plan += [
        (path.stem, zero_shot_from, path.stem) for path in sorted(folder.glob("zero_shot_*.txt"))
    ]
    out: dict[str, list[Video]] = {}
    names: dict[str, Sequence[str]] = {}
    for subset, source, target in plan:
        if source not in lists or not (folder / f"{subset}.txt").exists():
            continue
        path = subset_path(folder, subset, labels)
        names[target] = load_classes(path).names
        out[target] = restrict(lists[source], classes.subset(names[target], path))
    return out, names


def few_shot_lists(
    lists: Lists,
    names: Mapping[str, Sequence[str]],
    *,
    shots: Sequence[int],
    seeds: Sequence[int],
    partial: bool,
) -> dict[str, list[Video]]:
    """Return ``<list>_<K>shot_seed<S>`` of train and base_train (or the only list there is).

    Raises:
        DataError: a class has fewer than K videos.
        UsageError: there is no training list to draw from.
    """
    sources = [name for name in ("train", "base_train") if name in lists]
    if shots and not sources:
        sources = list(lists) if len(lists) == 1 else []
        if not sources:
            raise UsageError("--shots: there is no training list to draw from; add train to "
                             "--splits")  # fmt: skip
    out: dict[str, list[Video]] = {}
    for source in sources:
        videos = lists[source]
        for count in shots:
            for seed in seeds:
                chosen = draw_shots(
                    [video.path for video in videos], [video.label for video in videos],
                    shots=count, seed=seed, names=names[source], partial=partial,
                )  # fmt: skip
                out[f"{source}_{count}shot_seed{seed}"] = [videos[i] for i in chosen]
    return out
