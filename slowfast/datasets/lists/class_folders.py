"""What the folders of a list's videos say about its labels."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np

from slowfast.errors import DataError

EXAMPLES = 3


def refuse_other_classes(
    source: str,
    paths: Sequence[str],
    labels: np.ndarray,
    names: Sequence[str],
    label_of: Callable[[str], int | None],
) -> None:
    """Refuse numbers that count other classes than the folders of the videos are named after.

    A list that was numbered by one list of classes and is read with another trains and tests every
    video under a wrong name. Only the innermost folder that is named as a class counts, and only
    where two classes or more have folders. Of a video with several labels one must be its folder's.

    Args:
        source: the list, for messages.
        paths: of the videos.
        labels: int64, one for each path.
        names: of the classes, by label.
        label_of: from a folder's name to its class, or None.

    Raises:
        DataError: some label is another one; three examples are named.
    """
    told: dict[str, int | None] = {}
    for folder in {os.path.dirname(path) for path in paths}:
        known = (label_of(part) for part in reversed(folder.split("/")) if part)
        told[folder] = next((label for label in known if label is not None), None)
    if len(set(told.values()) - {None}) < 2:
        return
    right = {path for path, label in zip(paths, labels) if told[os.path.dirname(path)] == label}
    wrong = [
        (path, names[label], names[own])
        for path, label in zip(paths, labels.tolist())
        if (own := told[os.path.dirname(path)]) is not None and path not in right
    ]
    if wrong:
        shown = "; ".join(
            f"{path} is listed as {listed!r}, its folder says {own!r}"
            for path, listed, own in wrong[:EXAMPLES]
        )
        raise DataError(
            f"{source}: {len(wrong)} of {len(paths)} numbers count other classes than the folders "
            f"of the videos are named after: {shown}. Set TEXT.CLASSES to the classes that the "
            "list was numbered by, or write class names in place of the numbers"
        )
