"""How many clips are made of a video."""

from __future__ import annotations

from dataclasses import dataclass


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
