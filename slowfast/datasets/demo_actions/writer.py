"""Writes the demo data set: H.264 files, list files, and a mark that says which it is.

While the data set is being made its folder is called ``NAME.partial``; each file is written beside
and renamed, so that a run which was killed continues where it stopped. The folder gets its name
when the last file is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from slowfast.datasets.demo_actions.drawing import random_clip, render
from slowfast.datasets.demo_actions.vocabulary import Composition, compositions
from slowfast.datasets.generators import GENERATOR_REGISTRY
from slowfast.errors import DataError
from slowfast.evaluation.results import atomic_write

MARK = "dataset.json"
VERSION = 1  # of the drawings: raise it when the same seed gives other videos
# One thread: the file is then the same on every machine with this encoder.
H264 = {"crf": "25", "preset": "superfast", "threads": "1"}


class Sizes(NamedTuple):
    """How many clips of each class go into each list."""

    train: int = 12
    test_seen: int = 2
    test_unseen: int = 12


class _Job(NamedTuple):
    """One clip to write; ``key`` makes its content."""

    composition: Composition
    key: int
    name: str


# The lists draw from disjoint ranges of keys, so that no clip is in two of them.
_FIRST_KEY = {"train": 0, "test_seen": 10_000_000, "test_unseen": 20_000_000}


def plan(sizes: Sizes) -> dict[str, list[_Job]]:
    """Return the clips of each list.

    >>> {name: len(jobs) for name, jobs in plan(Sizes(2, 1, 1)).items()}
    {'train': 128, 'test_seen': 64, 'test_unseen': 16}
    """
    seen = [c for c in compositions() if not c.is_unseen]
    unseen = [c for c in compositions() if c.is_unseen]
    classes = {"train": seen, "test_seen": seen, "test_unseen": unseen}
    return {
        part: [
            _Job(
                composition,
                _FIRST_KEY[part] + 10_000 * label + number,
                f"videos/{part}/{composition.name.replace(' ', '_')}_{number:03d}.mp4",
            )
            for label, composition in enumerate(classes[part])
            for number in range(count)
        ]
        for part, count in sizes._asdict().items()
    }


def write_video(
    path: Path,
    frames: NDArray[np.uint8],
    fps: int,
    codec: str = "libx264",
    options: Mapping[str, str] = H264,
) -> None:
    """Write frames (uint8 T x H x W x 3, H and W even) atomically.

    Args:
        path: its ending names the container.
        frames: RGB.
        fps: frame rate.
        codec: FFmpeg's name of the encoder, with its ``options``.
    """
    beside = path.with_name(f".{path.name}")
    with av.open(str(beside), "w") as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=fps, options=dict(options)))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    os.replace(beside, path)


def _is_complete(folder: Path, description: dict[str, object]) -> bool:
    """Whether ``folder`` holds the data set; raises DataError when it holds something else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    mark = folder / MARK
    found = json.loads(mark.read_text()) if mark.is_file() else None
    if found != description:
        raise DataError(
            f"{folder}: expected the demo data set {description}, found "
            f"{found or f'a folder without {MARK}'}; remove the folder or name another one"
        )
    return True


@GENERATOR_REGISTRY.register()
def demo_actions(
    folder: str | Path,
    *,
    seed: int = 0,
    sizes: Sizes | None = None,
    workers: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Make the demo data set; what is complete is left alone, what was interrupted continued.

    Writes ``train.csv``, ``test_seen.csv`` and ``test_unseen.csv`` (lines of path and
    class name) and the videos that they name.

    Args:
        folder: where it goes; a folder that holds anything else is refused.
        seed: of the drawings: the same seed gives the same frames.
        sizes: clips per class in each list.
        workers: threads; 0 = one for each processor.
        report: called with the number of clips that exist and the number of all clips.

    Returns:
        the folder.

    Raises:
        DataError: the folder holds something else, or data made with other settings.
    """
    folder, sizes = Path(folder), sizes or Sizes()
    description: dict[str, object] = {"version": VERSION, "seed": seed, **sizes._asdict()}
    if _is_complete(folder, description):
        return folder
    partial = folder.with_name(folder.name + ".partial")
    lists = plan(sizes)
    for part in lists:
        (partial / "videos" / part).mkdir(parents=True, exist_ok=True)
    # Clips of an interrupted run with other settings must not be taken for ours.
    if (mark := partial / MARK).is_file() and json.loads(mark.read_text()) != description:
        for old in (partial / "videos").rglob("*.mp4"):
            old.unlink()
    atomic_write(mark, json.dumps(description))
    _write_clips(partial, [job for jobs in lists.values() for job in jobs], seed, workers, report)
    for part, jobs in lists.items():
        lines = "".join(f"{job.name}\t{job.composition.name}\n" for job in jobs)
        atomic_write(partial / f"{part}.csv", lines)
    if folder.is_dir():
        folder.rmdir()  # it is empty: rename would refuse it on some systems
    os.replace(partial, folder)
    return folder


def _write_clips(
    folder: Path, jobs: list[_Job], seed: int, workers: int, report: Callable[[int, int], None]
) -> None:
    """Write the clips that do not exist yet, several at a time."""

    def write(job: _Job) -> None:
        spec = random_clip(job.composition, seed, job.key)
        write_video(folder / job.name, render(spec), spec.fps)

    missing = [job for job in jobs if not (folder / job.name).exists()]
    done = len(jobs) - len(missing)
    # Threads suffice: NumPy and the encoder release the interpreter lock.
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for number, _ in enumerate(pool.map(write, missing), start=done + 1):
            report(number, len(jobs))
