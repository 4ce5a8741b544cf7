"""The descriptor files that OST's authors released, keyed by class names as ours are.

Their repository has, for each data set, a table of class names (``labels/*.csv``) and files whose
keys are positions in it, "0", "1", ...; here both are joined, once, by what the table says.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from slowfast.errors import UsageError
from slowfast.text.labels import ClassVocabulary, load_classes

LEAST_AGREEMENT = 0.9
KINDS = {"spatial": "spatio", "temporal": "temporal"}
FILE_NAME = re.compile(r"(?:(spatio|temporal)_)?(\d+)_descriptors\.json")


class Part(NamedTuple):
    """One folder of descriptors: of which data set, which of its classes, and their table.

    ``classes`` and ``out`` are below ``label_db`` and below the folder that is written.
    """

    folder: str
    labels: str
    classes: str
    out: str


PARTS = (
    Part("k400", "kinetics_400_labels.csv", "kinetics400/classes.csv", "kinetics400"),
    Part("hmdb", "hmdb_51_labels.csv", "hmdb51/classes.csv", "hmdb51"),
    Part("ucf", "ucf_101_labels.csv", "ucf101/classes.csv", "ucf101"),
    Part("sth", "ssv2_labels.csv", "ssv2/classes.csv", "ssv2"),
    *(
        Part(
            f"k600/split{i}",
            f"ZS_split{i}_K600.csv",
            f"kinetics600/zero_shot_split{i}.txt",
            f"kinetics600/split{i}",
        )
        for i in (1, 2, 3)
    ),
)


def convert_released(source: Path, out: Path, label_db: Path) -> Iterator[Path]:
    """Write ``<data set>/<kind>_<N>.json`` below ``out`` for every released file; yield each.

    Args:
        source: the authors' checkout, with ``descriptors`` and ``labels``.
        out: made where it is missing.
        label_db: has our class names, under which the texts are written.

    Raises:
        UsageError: no such files; a table of class names that is not ours in its order (four of
            HMDB-51's are exchanged there, while the descriptors stand in the right order); a file
            for other ids.
    """
    parts = [part for part in PARTS if (source / "descriptors" / part.folder).is_dir()]
    if not parts:
        raise UsageError(
            f"{source}: no folder descriptors with any of {', '.join(p.folder for p in PARTS)}; "
            "expected a checkout of OST's repository"
        )
    for part in parts:
        vocabulary = load_classes(label_db / part.classes)
        _prove_order(source / "labels" / part.labels, vocabulary)
        for kind, num, path in _files(source / "descriptors" / part.folder):
            table = json.loads(path.read_text(encoding="utf-8"))
            named = out / part.out / f"{kind}_{num}.json"
            named.parent.mkdir(parents=True, exist_ok=True)
            if set(table) != {str(label) for label in range(len(vocabulary))}:
                raise UsageError(
                    f"{path}: keys of {len(table)} classes, expected 0 to {len(vocabulary) - 1}"
                )
            texts = {
                name: _told_apart(table[str(label)]) for label, name in enumerate(vocabulary.names)
            }
            named.write_text(json.dumps(texts, indent=1) + "\n", encoding="utf-8")
            yield named


def write_released(folder: Path, label_db: Path) -> None:
    """Write our class names and descriptors in the released form, to rehearse with."""
    for part in PARTS:
        names = load_classes(label_db / part.classes).names
        labels = folder / "labels" / part.labels
        labels.parent.mkdir(parents=True, exist_ok=True)
        with labels.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("id", "name"), *enumerate(names)])
        ours = label_db / part.out.partition("/")[0] / "descriptors"
        for kind, word in KINDS.items():
            for path in sorted(ours.glob(f"{kind}_*.json")):
                table = json.loads(path.read_text(encoding="utf-8"))
                num = path.stem.partition("_")[2]
                where = f"{word}_descriptors/" if part.folder.isalnum() else f"{word}_"
                copy = folder / "descriptors" / part.folder / f"{where}{num}_descriptors.json"
                copy.parent.mkdir(parents=True, exist_ok=True)
                own = {str(label): table[name] for label, name in enumerate(names)}
                copy.write_text(json.dumps(own), encoding="utf-8")


def _files(folder: Path) -> Iterator[tuple[str, int, Path]]:
    """Yield kind, N and path; Kinetics-600 has no folder for each kind, the others do."""
    for path in sorted(folder.rglob("*.json")):
        match = FILE_NAME.fullmatch(path.name)
        short = match and (match[1] or path.parent.name.partition("_")[0])
        kind = next((kind for kind, word in KINDS.items() if word == short), "")
        # Below k600 lie the files of the union of its splits, which no recipe uses.
        if match and kind and path.parent in (folder, folder / f"{short}_descriptors"):
            yield kind, int(match[2]), path


def _prove_order(labels: Path, ours: ClassVocabulary) -> None:
    theirs = load_classes(labels).names
    agree = sum(_bare(one) == _bare(other) for one, other in zip(theirs, ours.names))
    if len(theirs) != len(ours) or agree < LEAST_AGREEMENT * len(ours):
        raise UsageError(
            f"{labels}: {agree} of its {len(theirs)} class names are ours at the same place, of "
            f"{len(ours)}: the descriptors would be given to other classes"
        )


def _told_apart(texts: list[str]) -> list[str]:
    """Return the texts with blanks behind those that stand there before: no file of ours repeats.

    The tokenizer drops them, so the features are those of the released text.

    >>> _told_apart(["flic flac", "hands", "flic flac"])
    ['flic flac', 'hands', 'flic flac ']
    """
    return [text + " " * texts[:i].count(text) for i, text in enumerate(texts)]


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
