"""Whether one video can be used: it opens, and its frames come out of the decoder."""

from __future__ import annotations

import os
from typing import NamedTuple

import cv2

from slowfast.datasets.preparation.resolving import IMAGE_SUFFIXES, count_images
from slowfast.datasets.reading.decoder import VideoReader
from slowfast.errors import DecodeError


class Verdict(NamedTuple):
    """What the check of one video gave; ``problem`` is empty for a good one."""

    path: str
    frames: int
    problem: str


def check_video(path: str, *, quick: bool = False, min_frames: int = 1) -> Verdict:
    """Open ``path``, count its frames and decode all of them (``quick``: the first and last).

    A folder is taken for one of images: its first and last are read (else all of them).
    """
    try:
        if os.path.isdir(path):
            return _check_images(path, quick, min_frames)
        with VideoReader(path) as reader:
            n = reader.num_frames
            reader.read([0, n - 1])
            frames = n if quick else reader.count_decodable()
    except DecodeError as error:
        return Verdict(path, 0, error.reason)
    except OSError as error:
        return Verdict(path, 0, f"cannot be read ({error.strerror or error})")
    if frames < n:
        return Verdict(path, frames, f"{n} frames are listed, {frames} can be decoded")
    return _long_enough(path, frames, min_frames)


def _check_images(folder: str, quick: bool, min_frames: int) -> Verdict:
    names = sorted(n for n in os.listdir(folder) if n.lower().endswith(IMAGE_SUFFIXES))
    for name in {names[0], names[-1]} if quick and names else names:
        if cv2.imread(os.path.join(folder, name)) is None:
            return Verdict(folder, 0, f"image {name} cannot be decoded")
    return _long_enough(folder, count_images(names), min_frames)


def _long_enough(path: str, frames: int, min_frames: int) -> Verdict:
    return Verdict(path, frames, "" if frames >= min_frames else f"only {frames} frames")
