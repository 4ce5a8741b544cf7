"""Check many videos in parallel, and remember those that were checked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from slowfast.datasets.preparation.checking import Verdict, check_video
from slowfast.datasets.preparation.writing import write_text
from slowfast.utils.logging import get_logger
from slowfast.utils.progress import progress_line

logger = get_logger(__name__)
MODES = ("none", "quick", "full")
CACHE_NAME = "verified.json"
CHUNK = 8


class Verification(NamedTuple):
    """Outcome: frame counts of good videos, problems of bad ones (both by relative path), and how
    many were checked now or remembered from an earlier run."""

    frames: dict[str, int]
    problems: dict[str, str]
    checked: int
    remembered: int


class _Cache:
    """Verdicts by relative path; one counts while size and time of the file are unchanged."""

    def __init__(self, path: Path, root: str) -> None:
        self.path, self.root = path, root
        self.entries: dict[str, Any] = {}
        try:
            self.entries = json.loads(path.read_text(encoding="utf-8"))["videos"]
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError, OSError) as error:
            logger.warning("%s cannot be used (%s): everything is checked again", path, error)

    def stamp(self, path: str) -> list[int]:
        """Return size and time of a file; zeros when it is gone."""
        try:
            state = os.stat(os.path.join(self.root, path))
        except OSError:
            return [0, 0]
        return [state.st_size, state.st_mtime_ns]

    def get(self, path: str, mode: str) -> Verdict | None:
        """Return what an earlier check that was at least as thorough found."""
        entry = self.entries.get(path)
        if entry is None or entry["stamp"] != self.stamp(path):
            return None
        known_bad = bool(entry["problem"])
        if not known_bad and MODES.index(entry["mode"]) < MODES.index(mode):
            return None
        if known_bad and MODES.index(entry["mode"]) > MODES.index(mode):
            return None
        return Verdict(path, entry["frames"], entry["problem"])

    def put(self, verdict: Verdict, mode: str) -> None:
        """Keep a verdict on a path that is relative to the root."""
        self.entries[verdict.path] = {
            "stamp": self.stamp(verdict.path), "mode": mode,
            "frames": verdict.frames, "problem": verdict.problem,
        }  # fmt: skip

    def save(self) -> None:
        """Write the cache beside and rename it."""
        write_text(self.path, json.dumps({"version": 1, "videos": self.entries}, indent=0))


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
    paths = list(dict.fromkeys(paths))
    if mode == "none":
        return Verification({}, {}, 0, 0)
    cache = _Cache(cache_folder / CACHE_NAME, root)
    known = {path: cache.get(path, mode) for path in paths}
    verdicts = [verdict for verdict in known.values() if verdict is not None]
    remembered = len(verdicts)
    todo = [path for path, verdict in known.items() if verdict is None]
    title = f"checking {len(todo)} videos ({mode})"
    try:
        with progress_line(progress, len(todo), title, log_period=1000) as line:
            for verdict in check_all(todo, root, quick=mode == "quick", workers=workers):
                cache.put(verdict, mode)
                verdicts.append(verdict)
                line.advance(1)
    finally:
        if todo:
            cache.save()
    good = {v.path: v.frames for v in verdicts if not v.problem}
    bad = {v.path: v.problem for v in verdicts if v.problem}
    return Verification(good, bad, len(todo), remembered)


def check_all(paths: Sequence[str], root: str, *, quick: bool, workers: int) -> Iterator[Verdict]:
    """Yield the verdict of each path, in order; a video that kills its process is a broken one."""
    if workers <= 1 or len(paths) < 2 * CHUNK:
        yield from map(partial(_check, root, quick), paths)
        return
    done = 0
    while done < len(paths):
        try:
            with ProcessPoolExecutor(workers) as pool:
                rest = paths[done:]
                for verdict in pool.map(partial(_check, root, quick), rest, chunksize=CHUNK):
                    done += 1
                    yield verdict
        except BrokenProcessPool:
            # The culprit is among the next ones, which other processes may have passed already.
            suspects = paths[done : done + 2 * CHUNK * workers]
            for path in suspects:
                done += 1
                yield _check_alone(path, root, quick)


def _check(root: str, quick: bool, path: str) -> Verdict:
    return check_video(os.path.join(root, path), quick=quick)._replace(path=path)


def _check_alone(path: str, root: str, quick: bool) -> Verdict:
    try:
        with ProcessPoolExecutor(1) as pool:
            return pool.submit(_check, root, quick, path).result()
    except BrokenProcessPool:
        return Verdict(path, 0, "the decoder crashes on it")
