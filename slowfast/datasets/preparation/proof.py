"""Prove labels against what folders and file names say, and lists against each other."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

from slowfast.datasets.preparation.class_table import ClassTable
from slowfast.datasets.preparation.entries import Annotations, Entry
from slowfast.errors import DataError
from slowfast.text.labels import shorten

UCF_FILE = re.compile(r"v_(.+)_g\d+_c\d+")
# HMDB-51: title_class_body_camera_people_view_quality_number
HMDB_FILE = re.compile(r"(.+)_[fhlu]_(?:cm|nm)_np\d+_(?:ba|fr|le|ri)_(?:bad|med|goo)_\d+")
SHOWN = 5


class Evidence(NamedTuple):
    """The class that a path speaks for; ``certain`` unless titles may imitate a class name."""

    label: int
    reason: str
    certain: bool


@dataclass
class Proof:
    """What became of the labels of all lists.

    ``proven``: videos whose naming agrees; ``silent``: videos whose naming says nothing; ``odd``:
    single videos whose title speaks for another class than the official list; ``notes``: class
    names that are exchanged.
    """

    proven: int = 0
    silent: int = 0
    odd: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def evidence(path: str, classes: ClassTable, known: Mapping[str, int]) -> list[Evidence]:
    """Return the classes that a video's path speaks for.

    Args:
        path: relative path of the video, or of its folder of images.
        classes: classes of the data set.
        known: labels of the official annotation by file name without suffix.
    """
    place = PurePosixPath(path)
    ucf, hmdb = UCF_FILE.fullmatch(place.stem), HMDB_FILE.fullmatch(place.stem)
    spoken = (
        (known.get(place.stem), "official annotation", True),
        (classes.get(place.parent.name), "folder", True),
        (classes.get(ucf[1]) if ucf else None, "file name", True),
        (_suffix(hmdb[1], classes) if hmdb else None, "file name", False),
    )
    return [
        Evidence(label, reason, certain) for label, reason, certain in spoken if label is not None
    ]


def _suffix(title: str, classes: ClassTable) -> int | None:
    """Return the label of the longest class name at the end of ``title``."""
    words = title.split("_")
    for count in range(min(3, len(words)), 0, -1):
        if (label := classes.get("_".join(words[-count:]))) is not None:
            return label
    return None


def prove(
    lists: Mapping[str, Iterable[tuple[str, int]]],
    classes: ClassTable,
    known: Mapping[str, int] | None = None,
) -> Proof:
    """Compare the labels of the (path, label) pairs of each list with their naming.

    A title of HMDB-51 that ends in another class's name is reported; only when most videos of a
    label speak for another class is that a contradiction.

    Raises:
        DataError: folders, file names or the official annotation (``known``) contradict labels; the
            first few videos are named.
    """
    proof = Proof(notes=_exchanged(classes))
    for name, videos in lists.items():
        _prove_list(name, videos, classes, known or {}, proof)
    return proof


def _prove_list(
    where: str,
    videos: Iterable[tuple[str, int]],
    classes: ClassTable,
    known: Mapping[str, int],
    proof: Proof,
) -> None:
    wrong: list[str] = []
    doubts: dict[int, list[str]] = defaultdict(list)
    sizes: Counter[int] = Counter()
    for path, label in videos:
        sizes[label] += 1
        found = evidence(path, classes, known)
        certain = [item for item in found if item.certain]
        against = [item for item in certain or found if item.label != label]
        proof.silent += not found
        proof.proven += bool(found) and not against
        if against:
            text = (f"{path} has label {label} ({classes.folders[label]!r}), its "
                    f"{against[0].reason} says {classes.folders[against[0].label]!r}")  # fmt: skip
            (wrong if certain else doubts[label]).append(text)
    for label, texts in doubts.items():
        (wrong if len(texts) > sizes[label] / 2 else proof.odd).extend(texts)
    if wrong:
        more = f"; {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise DataError(
            f"{where}: labels contradict the videos: {'; '.join(wrong[:SHOWN])}{more}. The list "
            "counts classes in another order, or videos lie in wrong folders"
        )


def _exchanged(classes: ClassTable) -> list[str]:
    labels = classes.exchanged()
    if not labels:
        return []
    pairs = ", ".join(
        f"{i} {classes.names[i]!r} (videos of {classes.folders[i]!r})" for i in labels
    )
    return [
        f"labels agree with the videos, but published names are exchanged for {len(labels)} "
        f"classes: {pairs}; texts of these names are scored against the other class's videos"
    ]


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
        for other in ("val", "test") if part == "train" else ():
            tested = "_".join(filter(None, (other, split)))
            if common := set(paths).intersection(lists.get(tested, ())):
                found[f"{name} and {tested}"] = len(common)
    return found


def labels_by_stem(annotations: Annotations) -> dict[str, int]:
    """Return labels by file name without suffix; videos with several labels are left out."""
    labels: dict[str, set[int]] = defaultdict(set)
    for entries in annotations.lists.values():
        for entry in entries:
            labels[os.path.splitext(os.path.basename(entry.name))[0]].add(entry.label)
    return {stem: own.pop() for stem, own in labels.items() if len(own) == 1}
