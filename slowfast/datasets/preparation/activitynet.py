"""ActivityNet 1.3's official JSON: videos with labelled segments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slowfast.datasets.preparation.class_table import ClassTable
from slowfast.datasets.preparation.entries import Annotations, Entry, one_of, read_text
from slowfast.errors import DataError

SUBSETS = {"training": "train", "validation": "val"}


def read_activitynet(root: Path, classes: ClassTable, splits: Sequence[str]) -> Annotations:
    """Return whole videos and their segments.

    ``train`` and ``val`` list each video once with the label of its first segment; ``all`` is both
    (Text4Vis' zero-shot test); ``train_segments`` and ``val_segments`` have an entry per segment
    (Text4Vis trains on segments and tests on whole videos). The testing subset has no labels.

    Raises:
        DataError: the file is missing or of another form, or an unknown class.
    """
    path = one_of(root, ("activity_net.v1-3*.json", "activitynet*.json"), "activity_net.v1-3.json")
    try:
        database = json.loads(read_text(path))["database"]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise DataError(f'{path}: expected JSON with a "database" of videos') from None
    wanted = [split for split in ("train", "val") if split in splits]
    lists: dict[str, list[Entry]] = {split: [] for split in wanted}
    lists |= {f"{split}_segments": [] for split in wanted}
    several = empty = 0
    for video, facts in database.items():
        split = SUBSETS.get(facts.get("subset", ""))
        if split not in wanted:
            continue
        segments = _segments(f"{path}: video {video}", video, facts, classes)
        if segments:
            lists[split].append(segments[0]._replace(segment=None))
            whole = [entry for entry in segments if _seconds(entry) > 0]
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


def _seconds(entry: Entry) -> float:
    assert entry.segment is not None
    return entry.segment[1] - entry.segment[0]


def _segments(where: str, video: str, facts: Any, classes: ClassTable) -> list[Entry]:
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
