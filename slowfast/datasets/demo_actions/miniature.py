"""Miniatures of the benchmark data sets: their layout, names and annotations, with tiny videos.

Real data sets cannot be shipped, so protocols are rehearsed on these: a few true classes, a few
videos of each that show one drawn action. ``<folder>/annotations`` and ``<folder>/videos``
look as the official archives do when they are unpacked.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.demo_actions.drawing import random_clip, render
from slowfast.datasets.demo_actions.vocabulary import compositions
from slowfast.datasets.demo_actions.writer import write_video
from slowfast.datasets.preparation.class_table import load_table
from slowfast.errors import UsageError

HEIGHT, WIDTH, FRAMES, RATE = 48, 64, 16, 12
# The encoder of each kind of file in the real data sets, and its options.
CODECS = {
    ".avi": ("mpeg4", {"q": "5"}),
    ".mp4": ("libx264", {"crf": "30", "preset": "ultrafast", "threads": "1"}),
    ".webm": (
        "libvpx",
        {"crf": "30", "b": "200k", "deadline": "realtime", "cpu-used": "8", "threads": "1"},
    ),
}


class Sizes(NamedTuple):
    """How much to make: classes, and for each of them training and test videos (of a split)."""

    classes: int = 4
    train: int = 16
    test: int = 2


class Class(NamedTuple):
    """A class: its number, its name, and how the data set spells it."""

    label: int
    name: str
    folder: str


class _Writer:
    """Writes videos and annotation files below ``root``; ``count`` videos so far."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.seed, self.count = root, seed, 0

    def video(self, name: str, own: Class) -> None:
        path = self.root / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = class_clip(own.label, self.seed, self.count)
        write_video(path, frames, RATE, *CODECS[path.suffix])
        self.count += 1

    def text(self, name: str, text: str) -> None:
        path = self.root / "annotations" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def make_miniature(
    folder: str | Path,
    dataset: str,
    *,
    label_db: str | Path,
    sizes: Sizes | None = None,
    seed: int = 0,
) -> int:
    """Write a miniature of ``dataset`` and return its number of videos.

    Args:
        folder: gets ``annotations`` and ``videos``.
        dataset: a key of ``LAYOUTS``, a folder of ``label_db``.
        label_db: whose classes, and base, novel and zero-shot subsets, are used.
        sizes: see ``Sizes``.
        seed: of the drawings.

    Raises UsageError for an unknown data set or impossible sizes.
    """
    if dataset not in LAYOUTS:
        raise UsageError(f"data set {dataset!r}; miniatures are known of: {', '.join(LAYOUTS)}")
    sizes = sizes or Sizes()
    if min(sizes) < 1:
        raise UsageError(f"{sizes}: every size must be 1 or more")
    writer = _Writer(Path(folder), seed)
    LAYOUTS[dataset](writer, choose_classes(Path(label_db) / dataset, sizes.classes), sizes)
    return writer.count


def choose_classes(folder: Path, count: int) -> list[Class]:
    """Return ``count`` classes of a folder of label_db, in label order.

    Half of them are base and half novel classes, or all are in every zero-shot split, where the
    data set has such subsets.
    """
    table = load_table(folder)
    splits = [table.subset(path.stem) for path in sorted(folder.glob("zero_shot_split*.txt"))]
    if splits:
        names = [name for name in splits[0] if all(name in split for split in splits)]
    elif (folder / "base.txt").exists():
        names = [own for pair in zip(table.subset("base"), table.subset("novel")) for own in pair]
    else:
        names = list(table.names)
    labels = sorted(table.names.index(name) for name in names[:count])
    return [Class(label, table.names[label], table.folders[label]) for label in labels]


def class_clip(label: int, seed: int, number: int) -> NDArray[np.uint8]:
    """Return uint8 T x H x W x 3: video ``number``, which shows the drawn action of the class."""
    actions = compositions()
    spec = random_clip(actions[label % len(actions)], seed, number)
    return render(spec._replace(num_frames=FRAMES, height=HEIGHT, width=WIDTH))


def _split(videos: Sequence[str], number: int, test: int) -> tuple[list[str], list[str]]:
    """Return the training and test videos of official split ``number`` (from 0)."""
    tested = list(videos[number * test : (number + 1) * test])
    return [video for video in videos if video not in tested], tested


def _ucf101(writer: _Writer, classes: Sequence[Class], sizes: Sizes) -> None:
    lists: dict[str, list[str]] = {}
    for own in classes:
        # The archive spells one class differently in folder and file names.
        stem = own.folder.replace("HandstandPushups", "HandStandPushups")
        total = max(sizes.train + sizes.test, 3 * sizes.test)
        videos = [f"{own.folder}/v_{stem}_g{i:02d}_c01.avi" for i in range(1, total + 1)]
        for video in videos:
            writer.video(video, own)
        for number in range(3):
            train, test = _split(videos, number, sizes.test)
            rows = [f"{video} {own.label + 1}" for video in train]
            lists.setdefault(f"trainlist0{number + 1}.txt", []).extend(rows)
            lists.setdefault(f"testlist0{number + 1}.txt", []).extend(test)
    lists["classInd.txt"] = [f"{own.label + 1} {own.folder}" for own in classes]
    for name, rows in lists.items():
        writer.text(f"ucfTrainTestlist/{name}", "\n".join(rows) + "\n")


def _hmdb51(writer: _Writer, classes: Sequence[Class], sizes: Sizes) -> None:
    for own in classes:
        total = max(sizes.train + sizes.test, 3 * sizes.test)
        # Signs as in the real titles: brackets, blanks are underscores, dots do not occur.
        tail = f"{own.folder}_f_cm_np1_fr_med"
        videos = [f"#1_Clip_(take)_{i}_{tail}_{i}.avi" for i in range(total)]
        for video in videos:
            writer.video(f"{own.folder}/{video}", own)
        for number in range(3):
            train, test = _split(videos, number, sizes.test)
            rows = [f"{video} {1 if video in train else 2} " for video in (*train, *test)]
            name = f"testTrainMulti_7030_splits/{own.folder}_test_split{number + 1}.txt"
            writer.text(name, "\n".join(rows) + "\n")


def _kinetics(
    writer: _Writer, classes: Sequence[Class], sizes: Sizes, splits: Sequence[str] = ("val",)
) -> None:
    for split in splits:
        table = io.StringIO()
        rows = csv.writer(table)
        rows.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
        for own in classes:
            for i in range(sizes.train if split == "train" else sizes.test):
                video = youtube_id(f"{own.name} {split} {i}")
                rows.writerow([own.folder, video, i, i + 10, split])
                writer.video(f"{split}/{own.folder}/{video}_{i:06d}_{i + 10:06d}.mp4", own)
        writer.text(f"{split}.csv", table.getvalue())


def youtube_id(key: str) -> str:
    """Return an identifier of 11 characters, the same for the same ``key``."""
    return hashlib.sha256(key.encode()).hexdigest()[:11]


def _ssv2(writer: _Writer, classes: Sequence[Class], sizes: Sizes) -> None:
    numbers = {own.name: str(own.label) for own in classes}
    writer.text("labels/labels.json", json.dumps(numbers, indent=1))
    video = 0
    for split, count in (("train", sizes.train), ("validation", sizes.test)):
        rows = []
        for own in classes:
            template = re.sub("([Ss]omething)", r"[\1]", own.name)
            for _ in range(count):
                video += 1
                rows.append({"id": str(video), "label": own.name.lower(), "template": template,
                             "placeholders": []})  # fmt: skip
                writer.video(f"{video}.webm", own)
        writer.text(f"labels/{split}.json", json.dumps(rows, indent=1))


def _activitynet(writer: _Writer, classes: Sequence[Class], sizes: Sizes) -> None:
    database = {}
    for subset, count in (("training", sizes.train), ("validation", sizes.test)):
        for own in classes:
            for i in range(count):
                video = youtube_id(f"{own.name} {subset} {i}")
                segment = {"label": own.name, "segment": [0.25, 1.0]}
                database[video] = {"subset": subset, "duration": FRAMES / RATE,
                                   "annotations": [segment]}  # fmt: skip
                writer.video(f"v_{video}.mp4", own)
    writer.text("activity_net.v1-3.min.json", json.dumps({"database": database}, indent=1))


LAYOUTS: dict[str, Callable[[_Writer, Sequence[Class], Sizes], None]] = {
    "kinetics400": partial(_kinetics, splits=("train", "val")),
    "kinetics600": _kinetics,  # zero-shot tests only: no training videos
    "ucf101": _ucf101,
    "hmdb51": _hmdb51,
    "ssv2": _ssv2,
    "activitynet200": _activitynet,
}
