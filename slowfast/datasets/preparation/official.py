"""The official annotation files: a reader for each data set, and the sizes of the official lists.

A reader takes the folder of the unpacked annotations, the classes and the splits that are wanted.
It raises DataError with file and line where a file is missing or of another form, or a class is
unknown. Labels come from class names, never from the numbers in the files.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slowfast.datasets.preparation.class_table import ClassTable
from slowfast.datasets.preparation.entries import (
    Annotations,
    Entry,
    find_file,
    find_files,
    read_json,
    read_lines,
    read_text,
)
from slowfast.errors import DataError

Lists = dict[str, list[Entry]]

# HMDB-51: the flag of a line says neither list, training list, test list.
HMDB_FLAGS = {"0": "", "1": "train", "2": "test"}
KINETICS_SPLITS = {
    **{"train": "train", "test": "test"},
    **dict.fromkeys(("val", "validate", "validation"), "val"),
}
KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
ACTIVITYNET_SUBSETS = {"training": "train", "validation": "val"}


def read_ucf101(root: Path, classes: ClassTable, splits: Sequence[str]) -> Annotations:
    """Return train_splitN and test_splitN, and ``all`` (train and test of split 1).

    ``ucfTrainTestlist/{classInd,trainlist0N,testlist0N}.txt``. The numbers count from 1 in the
    order of classInd.txt; one that is not its folder's is refused.
    """
    index = find_files(root, "classInd.txt", "ucfTrainTestlist/classInd.txt")[0]
    numbered: dict[str, int] = {}
    for where, text in read_lines(index):
        fields = text.split()
        if len(fields) != 2 or not fields[0].isdecimal():
            raise DataError(f"{where}: {text!r}, expected a line like '1 ApplyEyeMakeup'")
        numbered[fields[0]] = classes.find(fields[1], where)
    files = {
        f"{part}_split{n}": index.with_name(f"{part}list0{n}.txt")
        for part in ("train", "test") if part in splits
        for n in (1, 2, 3)
    }  # fmt: skip
    lists = {name: _ucf101_list(path, classes, numbered) for name, path in files.items()}
    if "train" in splits and "test" in splits:
        lists["all"] = [*lists["train_split1"], *lists["test_split1"]]
    return Annotations(lists, [index, *files.values()], [])


def _ucf101_list(path: Path, classes: ClassTable, numbered: Mapping[str, int]) -> list[Entry]:
    entries: list[Entry] = []
    for where, text in read_lines(path):
        name, _, number = text.partition(" ")
        folder, slash, _ = name.partition("/")
        if not slash:
            raise DataError(f"{where}: {text!r}, expected 'Class/v_Class_g01_c01.avi', and in a "
                            "training list the class number")  # fmt: skip
        label = classes.find(folder, where)
        if number and numbered.get(number.strip()) != label:
            raise DataError(
                f"{where}: class number {number.strip()} does not belong to folder {folder!r} "
                "(classInd.txt); the annotation files are not from one release"
            )
        entries.append(Entry(name, label, where))
    return entries


def read_hmdb51(root: Path, classes: ClassTable, splits: Sequence[str]) -> Annotations:
    """Return train_splitN and test_splitN (70 and 30 videos a class), and ``all`` videos.

    ``testTrainMulti_7030_splits/<class>_test_split{1,2,3}.txt``, lines ``file flag``.
    """
    pattern = "*_test_split[123].txt"
    found = find_files(root, pattern, f"testTrainMulti_7030_splits/{pattern}")
    lists: Lists = {
        f"{part}_split{n}": [] for part in ("train", "test") if part in splits for n in (1, 2, 3)
    }
    everything: dict[str, Entry] = {}
    for spelling in sorted({path.name.rpartition("_test_split")[0] for path in found}):
        for n in (1, 2, 3):
            path = found[0].with_name(f"{spelling}_test_split{n}.txt")
            label = classes.find(spelling, str(path))
            for where, text in read_lines(path):
                name, _, flag = text.rpartition(" ")
                if flag not in HMDB_FLAGS or not name:
                    raise DataError(f"{where}: {text!r}, expected a file name and 0, 1 or 2")
                entry = Entry(f"{spelling}/{name.strip()}", label, where)
                everything.setdefault(entry.name, entry)
                lists.get(f"{HMDB_FLAGS[flag]}_split{n}", []).append(entry)
    if "train" in splits and "test" in splits:
        lists["all"] = list(everything.values())
    return Annotations(lists, found, [])


def read_kinetics(root: Path, classes: ClassTable, splits: Sequence[str]) -> Annotations:
    """Return ``train``, ``val`` and, where its table is there, ``test``.

    Tables ``<...>train.csv``, ``<...>val.csv`` (or validate) with label, youtube_id, time_start,
    time_end. A clip is ``<split>/<class>/<youtube id>_<start>_<end>.mp4`` with times of six digits;
    other layouts are found by file name.
    """
    tables: dict[str, Path] = {}
    for path in sorted(root.glob("*.csv")):
        split = KINETICS_SPLITS.get(re.split(r"[-_]", path.stem)[-1].lower(), "")
        if split in tables:
            raise DataError(f"{root}: {tables[split].name} and {path.name} are both of {split}")
        if split:
            tables[split] = path
    if absent := [split for split in splits if split not in tables and split != "test"]:
        raise DataError(
            f"{root}: no table of split {absent[0]!r} (such as {absent[0]}.csv); get it, or name "
            "the splits that you have with --splits"
        )
    lists = {
        split: _kinetics_table(tables[split], split, classes) for split in splits if split in tables
    }
    return Annotations(lists, [tables[split] for split in lists], [])


def _kinetics_table(path: Path, split: str, classes: ClassTable) -> list[Entry]:
    reader = csv.DictReader(read_text(path).splitlines(), skipinitialspace=True)
    if absent := [name for name in KINETICS_COLUMNS if name not in (reader.fieldnames or ())]:
        held = "; labels of this split were held back in early releases" * (absent == ["label"])
        raise DataError(
            f"{path}: no column {absent[0]!r}, expected {', '.join(KINETICS_COLUMNS)}{held}"
        )
    entries: list[Entry] = []
    for row in reader:
        where = f"{path}:{reader.line_num}"
        label = classes.find((row["label"] or "").strip(), where)
        try:
            start, end = (int(float(row[name])) for name in ("time_start", "time_end"))
        except (TypeError, ValueError):
            raise DataError(f"{where}: time_start and time_end must be seconds") from None
        clip = f"{(row['youtube_id'] or '').strip()}_{start:06d}_{end:06d}.mp4"
        entries.append(Entry(f"{split}/{classes.folders[label]}/{clip}", label, where))
    return entries


def read_ssv2(root: Path, classes: ClassTable, splits: Sequence[str]) -> Annotations:
    """Return ``train`` and ``val``; the class of a video is its template without brackets.

    JSON files ``labels``, ``train`` and ``validation``. The numbers of ``labels`` must be ours. The
    test set has no public labels in the first release and is left out.
    """
    files = {
        split: find_file(
            root, f"something-something-v2-{name}.json", f"labels/{name}.json", f"{name}.json"
        )
        for split, name in (("", "labels"), ("train", "train"), ("val", "validation"))
        if not split or split in splits
    }
    _check_ssv2_numbers(files[""], classes)
    lists = {split: _ssv2_split(path, classes) for split, path in files.items() if split}
    return Annotations(lists, list(files.values()), [])


def _class_of(template: str) -> str:
    """Return the class of a template.

    >>> _class_of("Holding [something] next to [something]")
    'Holding something next to something'
    """
    return template.replace("[", "").replace("]", "")


def _check_ssv2_numbers(path: Path, classes: ClassTable) -> None:
    table = read_json(path)
    if not isinstance(table, dict):
        raise DataError(f'{path}: expected {{"class": "number", ...}}')
    for name, number in table.items():
        label = classes.find(_class_of(name), str(path))
        if str(number) != str(label):
            raise DataError(
                f"{path}: class {name!r} has number {number}, but {label} in {classes.path}; "
                "every published list and checkpoint uses the latter"
            )


def _ssv2_split(path: Path, classes: ClassTable) -> list[Entry]:
    rows = read_json(path)
    entries: list[Entry] = []
    for number, row in enumerate(rows if isinstance(rows, list) else [rows], 1):
        where = f"{path}: entry {number}"
        if not isinstance(row, dict) or not {"id", "template"} <= set(row):
            raise DataError(f"{where}: {str(row)[:80]}, expected an id and a template")
        label = classes.find(_class_of(row["template"]), where)
        entries.append(Entry(f"{row['id']}.webm", label, where))
    return entries


def read_activitynet(root: Path, classes: ClassTable, splits: Sequence[str]) -> Annotations:
    """Return whole videos and their segments, from ``activity_net.v1-3*.json``.

    ``train`` and ``val`` list each video once with the label of its first segment; ``all`` is both
    (Text4Vis' zero-shot test); ``train_segments`` and ``val_segments`` have an entry per segment
    (Text4Vis trains on segments and tests on whole videos). The testing subset has no labels.
    """
    path = find_file(root, "activity_net.v1-3*.json", "activitynet*.json")
    content = read_json(path)
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(database, dict):
        raise DataError(f'{path}: expected JSON with a "database" of videos')
    wanted = [split for split in ("train", "val") if split in splits]
    lists: Lists = {f"{split}{end}": [] for end in ("", "_segments") for split in wanted}
    several = empty = 0
    for video, facts in database.items():
        split = ACTIVITYNET_SUBSETS.get(facts.get("subset", ""))
        if split not in wanted:
            continue
        segments = _activitynet_segments(f"{path}: video {video}", video, facts, classes)
        if segments:
            lists[split].append(segments[0]._replace(segment=None))
            whole = [own for own in segments if own.segment and own.segment[0] < own.segment[1]]
            lists[f"{split}_segments"] += whole
            empty += len(segments) - len(whole)
            several += len({entry.label for entry in segments}) > 1
    if len(wanted) == 2:
        lists["all"] = [*lists["train"], *lists["val"]]
    notes = []
    if several:
        notes.append(f"{several} whole videos show several classes; each has its first one's label")
    if empty:
        notes.append(f"{empty} segments end before they begin and are left out")
    return Annotations(lists, [path], notes)


def _activitynet_segments(where: str, video: str, facts: Any, classes: ClassTable) -> list[Entry]:
    entries: list[Entry] = []
    for annotation in facts.get("annotations", ()):
        try:
            start, end = (float(second) for second in annotation["segment"])
            spelling = annotation["label"]
        except (KeyError, TypeError, ValueError):
            raise DataError(
                f"{where}: {str(annotation)[:80]}, expected a label and a segment of two seconds"
            ) from None
        entries.append(Entry(f"v_{video}.mp4", classes.find(spelling, where), where, (start, end)))
    return entries


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
