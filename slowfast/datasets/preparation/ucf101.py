"""UCF-101's official lists: ``ucfTrainTestlist/{classInd,trainlist0N,testlist0N}.txt``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slowfast.datasets.preparation.class_table import ClassTable
from slowfast.datasets.preparation.entries import Annotations, Entry, find_folder, read_lines
from slowfast.errors import DataError

NUMBERS = (1, 2, 3)


def read_ucf101(root: Path, classes: ClassTable, splits: Sequence[str]) -> Annotations:
    """Return train_splitN and test_splitN, and ``all`` (train and test of split 1).

    The official numbers count from 1 in the order of classInd.txt; ours come from the class name.

    Raises:
        DataError: a file is missing, a line is malformed, a class is unknown, or the number on a
            line is not that of its folder.
    """
    folder = find_folder(root, ("ucfTrainTestlist",), "classInd.txt")
    numbered = _read_numbers(folder / "classInd.txt", classes)
    files = [folder / "classInd.txt"]
    lists: dict[str, list[Entry]] = {}
    for part in ("train", "test"):
        for number in NUMBERS if part in splits else ():
            path = folder / f"{part}list0{number}.txt"
            lists[f"{part}_split{number}"] = _read_list(path, classes, numbered)
            files.append(path)
    if "train" in splits and "test" in splits:
        lists["all"] = [*lists["train_split1"], *lists["test_split1"]]
    return Annotations(lists, files, [])


def _read_numbers(path: Path, classes: ClassTable) -> dict[str, int]:
    numbered: dict[str, int] = {}
    for line, text in read_lines(path):
        fields = text.split()
        if len(fields) != 2 or not fields[0].isdecimal():
            raise DataError(f"{path}:{line}: {text!r}, expected a line like '1 ApplyEyeMakeup'")
        numbered[fields[0]] = classes.find(fields[1], f"{path}:{line}")
    return numbered


def _read_list(path: Path, classes: ClassTable, numbered: dict[str, int]) -> list[Entry]:
    entries: list[Entry] = []
    for line, text in read_lines(path):
        where = f"{path}:{line}"
        name, _, number = text.partition(" ")
        folder, slash, _ = name.partition("/")
        if not slash:
            raise DataError(f"{where}: {text!r}, expected 'Class/v_Class_g01_c01.avi', and in a "
                            "training list the class number")  # fmt: skip
        label = classes.find(folder, where)
        number = number.strip()
        if number and numbered.get(number) != label:
            raise DataError(
                f"{where}: class number {number} does not belong to folder {folder!r} "
                "(classInd.txt); the annotation files are not from one release"
            )
        entries.append(Entry(name, label, where))
    return entries
