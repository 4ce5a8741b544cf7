"""K training videos of each class, drawn by seed."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence

from slowfast.errors import DataError

SHOTS = (1, 2, 4, 8, 16)


def draw_shots(
    paths: Sequence[str],
    labels: Sequence[int],
    *,
    shots: int,
    seed: int,
    names: Sequence[str],
    partial: bool = False,
) -> list[int]:
    """Return the positions of ``shots`` videos per class, without replacement, in class order.

    Every video has a place in a random order of its class that depends on the seed and its file
    name alone (SHA-256), and the first K are taken. So K = 2 is within K = 4, folders and suffixes
    do not matter, and where a video is missing only itself is replaced.

    Args:
        paths, labels: of the training list.
        shots: K, the videos of each class.
        seed: another seed gives another, independent draw.
        names: the classes; each needs K videos.
        partial: classes without any video are left out instead.

    Raises:
        DataError: a class has fewer than K videos.

    >>> draw_shots(["a.avi", "b.avi", "c.avi"], [1, 0, 1], shots=1, seed=1, names=["run", "sit"])
    [1, 0]
    """
    by_class: dict[int, dict[str, int]] = defaultdict(dict)
    for position, (path, label) in enumerate(zip(paths, labels)):
        stem = os.path.splitext(os.path.basename(path))[0]
        by_class[label].setdefault(_rank(stem, seed), position)
    drawn = [label for label in range(len(names)) if label in by_class or not partial]
    few = [label for label in drawn if len(by_class[label]) < shots]
    if few:
        first = ", ".join(f"{names[label]!r} has {len(by_class[label])}" for label in few[:3])
        raise DataError(
            f"{len(few)} classes have fewer than {shots} training videos for {shots} shots: "
            f"{first}{', ...' if len(few) > 3 else ''}; get the missing videos or draw fewer"
        )
    return [by_class[label][rank] for label in drawn for rank in sorted(by_class[label])[:shots]]


def _rank(stem: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{stem}".encode("utf-8", "surrogateescape")).hexdigest()
