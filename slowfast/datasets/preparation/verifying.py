"""Whether videos can be used: checked in parallel, and remembered from run to run."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from slowfast.datasets.preparation.resolving import IMAGE_SUFFIXES, count_images
from slowfast.datasets.reading.decoder import VideoReader
from slowfast.errors import DecodeError
from slowfast.evaluation.results import atomic_write
from slowfast.utils.logging import get_logger
from slowfast.utils.progress import progress_line

logger = get_logger(__name__)
MODES = ("none", "quick", "full")
CACHE_NAME = "verified.json"
CACHE_VERSION = 2  # raise it where a check finds more than before
CHUNK = 8


class Verdict(NamedTuple):
    """What the check of one video gave; ``problem`` is empty for a good one."""

    path: str
    frames: int
    problem: str


class Verification(NamedTuple):
    """Outcome: frame counts of good videos, problems of bad ones (both by relative path), and how
    many were checked now or remembered from an earlier run."""

    frames: dict[str, int]
    problems: dict[str, str]
    checked: int
    remembered: int


def check_video(path: str, *, quick: bool = False, min_frames: int = 1) -> Verdict:
    """Open ``path``, count its frames and decode all of them (``quick``: the first and last).

    Unless ``quick``, a file that lacks more than 5 % of the length that it states is bad as well.
    A folder is taken for one of images: its first and last are read (else all of them).
    """
    try:
        if os.path.isdir(path):
            frames, problem = _check_images(path, quick)
        else:
            frames, problem = _check_frames(path, quick)
    except DecodeError as error:
        return Verdict(path, 0, error.reason)
    except OSError as error:
        return Verdict(path, 0, f"cannot be read ({error.strerror or error})")
    short = f"only {frames} frames" if frames < min_frames else ""
    return Verdict(path, frames, problem or short)


def _check_frames(path: str, quick: bool) -> tuple[int, str]:
    with VideoReader(path) as reader:
        n = reader.num_frames
        reader.read([0, n - 1])
        if quick:
            return n, ""
        frames = reader.count_decodable()
        if frames < n:
            return frames, f"{n} frames are listed, {frames} can be decoded"
        return frames, reader.find_damage()


def _check_images(folder: str, quick: bool) -> tuple[int, str]:
    names = sorted(n for n in os.listdir(folder) if n.lower().endswith(IMAGE_SUFFIXES))
    for name in {names[0], names[-1]} if quick and names else names:
        if cv2.imread(os.path.join(folder, name)) is None:
            return 0, f"image {name} cannot be decoded"
    return count_images(names), ""


def _remembered(path: Path) -> dict[str, Any]:
    """Return what earlier runs found, by the video's relative path."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if table["version"] != CACHE_VERSION:
            raise ValueError("written by another version")
        videos: dict[str, Any] = table["videos"]
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, OSError) as error:
        logger.warning("%s cannot be used (%s): everything is checked again", path, error)
        return {}
    return videos


def _stamp(path: str) -> list[int]:
    """Return size and time of a file; zeros when it is gone."""
    try:
        state = os.stat(path)
    except OSError:
        return [0, 0]
    return [state.st_size, state.st_mtime_ns]


def _holds(entry: dict[str, Any] | None, stamp: list[int], mode: str) -> bool:
    """Whether an earlier finding still counts: good if as thorough, bad if no more thorough."""
    if entry is None or entry["stamp"] != stamp:
        return False
    more = MODES.index(entry["mode"]) - MODES.index(mode)
    return more <= 0 if entry["problem"] else more >= 0


def verify(
    paths: Iterable[str],
    root: str,
    cache_folder: Path,
    *,
    mode: str,
    workers: int,
    progress: str = "auto",
) -> Verification:
    """Check each distinct path below ``root``.

    Args:
        paths: relative to ``root``: videos or folders of images.
        root: folder of the videos.
        cache_folder: where verdicts are kept; also after an interruption.
        mode: "quick" (opens, first and last frame decode), "full" (every frame) or "none".
        workers: processes; 1 = this one.
        progress: LOG.PROGRESS.
    """
    assert mode in MODES, mode
    if mode == "none":
        return Verification({}, {}, 0, 0)
    cache = cache_folder / CACHE_NAME
    known = _remembered(cache)
    stamps = {path: _stamp(os.path.join(root, path)) for path in paths}
    todo = [path for path, stamp in stamps.items() if not _holds(known.get(path), stamp, mode)]
    title = f"checking {len(todo)} videos ({mode})"
    try:
        with progress_line(progress, len(todo), title, log_period=1000) as line:
            for path, frames, problem in check_all(
                todo, root, quick=mode == "quick", workers=workers
            ):
                facts = {"mode": mode, "frames": frames, "problem": problem}
                known[path] = {"stamp": stamps[path], **facts}
                line.advance(1)
    finally:
        if todo:
            atomic_write(cache, json.dumps({"version": CACHE_VERSION, "videos": known}, indent=0))
    found = {path: known[path] for path in stamps}
    good = {path: own["frames"] for path, own in found.items() if not own["problem"]}
    bad = {path: own["problem"] for path, own in found.items() if own["problem"]}
    return Verification(good, bad, len(todo), len(found) - len(todo))


def check_all(
    paths: Sequence[str], root: str = "", *, quick: bool, workers: int, min_frames: int = 1
) -> Iterator[Verdict]:
    """Yield the verdict of each path below ``root``, in order, found by ``workers`` processes.

    A video that kills its process is a broken one.
    """
    check = partial(_check, root, quick, min_frames)
    if workers <= 1 or len(paths) < 2 * CHUNK:
        yield from map(check, paths)
        return
    done = 0
    while done < len(paths):
        # Ctrl-C reaches all processes; this one ends the others, which have nothing to say to it.
        ignore = (signal.SIGINT, signal.SIG_IGN)
        pool = ProcessPoolExecutor(workers, initializer=signal.signal, initargs=ignore)
        try:
            for verdict in pool.map(check, paths[done:], chunksize=CHUNK):
                done += 1
                yield verdict
        except BrokenProcessPool:
            # The culprit is among the next ones, which other processes may have passed already.
            for path in paths[done : done + 2 * CHUNK * workers]:
                done += 1
                yield _check_alone(check, path)
        finally:
            pool.shutdown(cancel_futures=True)


def _check(root: str, quick: bool, min_frames: int, path: str) -> Verdict:
    full = os.path.join(root, path)
    return check_video(full, quick=quick, min_frames=min_frames)._replace(path=path)


def _check_alone(check: partial[Verdict], path: str) -> Verdict:
    try:
        with ProcessPoolExecutor(1) as pool:
            return pool.submit(check, path).result()
    except BrokenProcessPool:
        return Verdict(path, 0, "the decoder crashes on it")
