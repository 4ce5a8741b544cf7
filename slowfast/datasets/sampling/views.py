"""How many clips are made of a video, and which one a position of the list stands for."""

from __future__ import annotations

from dataclasses import dataclass

from slowfast.structures import View


@dataclass(frozen=True)
class Views:
    """Which clips are made of a video.

    Attributes:
        num_clips: temporal clips.
        num_crops: cuts of each clip.
        random: random clips and cuts, all handed out as one item; otherwise fixed ones.
        expanded: each fixed view is an item of its own (test); otherwise an item is the centre of
            the video.
    """

    num_clips: int = 1
    num_crops: int = 1
    random: bool = False
    expanded: bool = False


def view_of_index(index: int, num_clips: int, num_crops: int) -> tuple[int, View]:
    """Return the video and the view that position ``index`` of the expanded test set stands for.

    Views of a video follow each other, crops fastest; a single crop is the centre (crop 1).

    >>> [view_of_index(i, 2, 3) for i in (0, 5, 6)]
    [(0, View(clip=0, crop=0)), (0, View(clip=1, crop=2)), (1, View(clip=0, crop=0))]
    >>> view_of_index(4, 3, 1)
    (1, View(clip=1, crop=1))
    """
    video, view = divmod(index, num_clips * num_crops)
    clip, crop = divmod(view, num_crops)
    return video, View(clip, crop if num_crops > 1 else 1)
