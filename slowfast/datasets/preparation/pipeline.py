"""The steps of preparing a data set: read, find, prove, check, trim, derive, write."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from slowfast.datasets.preparation.class_table import PUBLISHED, ClassTable, load_table
from slowfast.datasets.preparation.derived import (
    ClassList,
    few_shot_lists,
    plain_names,
    subset_lists,
)
from slowfast.datasets.preparation.entries import SPLITS, Annotations, Entry, Video, list_text
from slowfast.datasets.preparation.official import OFFICIAL_SIZES, READERS
from slowfast.datasets.preparation.proof import (
    check_coverage,
    drop_repeats,
    labels_by_stem,
    overlaps,
    prove,
)
from slowfast.datasets.preparation.published import read_published
from slowfast.datasets.preparation.report import ListFacts, Report
from slowfast.datasets.preparation.resolving import FileIndex, Resolution, resolve
from slowfast.datasets.preparation.trimming import Cut, target_name, trim_all
from slowfast.datasets.preparation.verifying import verify
from slowfast.errors import DataError, UsageError
from slowfast.evaluation.results import atomic_write

Lists = dict[str, list[Entry]]


@dataclass(frozen=True)
class Request:
    """What to prepare; the command line's options (see `ost prepare --help`).

    Raises UsageError when the parts do not fit together.
    """

    dataset: str
    videos: Path
    out: Path
    label_db: Path
    annotations: Path | None = None
    labels: str = "right"
    splits: tuple[str, ...] = SPLITS
    check: str = "quick"
    workers: int = 1
    partial: bool = False
    shots: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (1, 2, 3)
    zero_shot_from: str = "val"
    published: Path | None = None
    published_style: str = "auto"
    subset: str = ""
    name: str = ""
    trim: Path | None = None
    trim_splits: tuple[str, ...] = ("train",)
    trim_shortest: float = 0.0
    progress: str = "auto"

    def __post_init__(self) -> None:
        if self.dataset not in READERS:
            raise UsageError(f"data set {self.dataset!r}; known: {', '.join(READERS)}")
        if self.annotations is None and self.published is None:
            raise UsageError("--annotations (the official files) or --published LIST is needed")
        if self.trim and (self.dataset != "activitynet200" or self.published):
            raise UsageError("--trim: only ActivityNet's official annotation has segments to cut")
        if (self.subset or self.name) and not self.published:
            raise UsageError("--subset and --name belong to --published; subsets of official lists "
                             "are written without being asked for")  # fmt: skip


class _Source(NamedTuple):
    """What the annotation says.

    ``names``: classes in the order that the labels of ``lists`` count, with the label of each in
    the whole data set; ``known``: official labels by file name, for proving published lists.
    """

    lists: Lists
    names: Mapping[str, int]
    known: Mapping[str, int]


def prepare(request: Request) -> Report:
    """Make the lists of a data set and return what was found.

    Writes ``<list>.csv`` files, ``report.json``, ``report.txt`` and ``verified.json`` (which files
    were checked) to ``request.out``. The lists hold only videos that exist and passed the check.

    Raises:
        DataError: annotation files, classes or labels are wrong, no video is found, or a class has
            too few videos for few shots; no list is written then.
        UsageError: the request does not fit the data set.
    """
    classes = load_table(request.label_db / request.dataset, request.labels)
    report = Report(request.dataset, request.labels, str(classes.path), str(request.videos))
    source = _read(request, classes, report)
    segments = {name: own for name, own in source.lists.items() if name.endswith("_segments")}
    plain = {name: own for name, own in source.lists.items() if name not in segments}
    found = _find(request, plain, report)
    _prove(source, plain, found, classes, report)
    _check(request, found, report)
    videos = {name: _videos(own, found, report) for name, own in plain.items()}
    for name in (f"{split}_segments" for split in request.trim_splits if request.trim):
        if name in segments:
            videos[name] = _trim(request, segments[name], found, report)
    report.overlaps = overlaps({name: [v.path for v in own] for name, own in videos.items()})
    lists = {name: ClassList(own, tuple(source.names)) for name, own in videos.items()}
    if not request.published:
        lists |= plain_names(lists)
        lists |= subset_lists(lists, classes, request.zero_shot_from)
    lists |= few_shot_lists(
        lists, shots=request.shots, seeds=request.seeds, partial=request.partial
    )
    listed = {name: len(source.lists[name]) for name in videos}
    # Numbers mean the same classes under both sets of names that some data sets have.
    named = not classes.path.with_name(PUBLISHED).exists()
    _write(request, lists, listed, report, named=named)
    return report


def _read(request: Request, classes: ClassTable, report: Report) -> _Source:
    names: Mapping[str, int] = {name: label for label, name in enumerate(classes.names)}
    known: Mapping[str, int] = {}
    annotations: Annotations | None = None
    if request.annotations:
        if not request.annotations.exists():
            raise DataError(f"{request.annotations}: no such annotation file or folder")
        annotations = READERS[request.dataset](request.annotations, classes, request.splits)
    if request.published:
        known = labels_by_stem(annotations) if annotations else known
        names = classes.subset(request.subset) if request.subset else names
        entries = read_published(request.published, request.published_style, len(names))
        name = request.name or request.published.stem
        annotations = Annotations({name: entries}, [request.published], [])
    elif annotations:
        report.notes += check_coverage(annotations, classes, request.partial)
    assert annotations, "Request refuses neither"
    report.notes += annotations.notes
    report.annotations = {str(p): _sha256(p.read_bytes()) for p in annotations.files}
    lists, report.duplicates = drop_repeats(annotations.lists, keep=request.published is not None)
    return _Source(lists, names, known)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _find(request: Request, lists: Lists, report: Report) -> Resolution:
    entries = [entry for own in lists.values() for entry in own]
    found = resolve([entry.name for entry in entries], FileIndex(request.videos))
    report.found, report.unlisted = found.how, found.unlisted
    report.missing, report.ambiguous = found.missing, found.ambiguous
    if found.images and len(found.images) != len(set(found.paths.values())):
        raise DataError(
            f"{request.videos}: {len(found.images)} of {len(found.paths)} listed videos are "
            "folders of images, the others video files; keep them in separate folders"
        )
    for entry in entries:
        path = found.paths.get(entry.name, "")
        there = found.images.get(path)
        if there is not None and there < (entry.frames or 0):
            report.broken[path] = f"{entry.frames} images are listed, {there} are there"
    return found


def _prove(
    source: _Source, lists: Lists, found: Resolution, classes: ClassTable, report: Report
) -> None:
    labels = tuple(source.names.values())
    pairs = {
        name: [
            (found.paths[entry.name], labels[entry.label])
            for entry in entries
            if entry.name in found.paths
        ]
        for name, entries in lists.items()
    }
    proof = prove(pairs, classes, source.known)
    report.proof = asdict(proof)
    report.notes += proof.notes


def _check(request: Request, found: Resolution, report: Report) -> None:
    result = verify(
        found.paths.values(), str(request.videos), request.out,
        mode=request.check, workers=request.workers, progress=request.progress,
    )  # fmt: skip
    report.broken.update(result.problems)
    report.check |= {
        "mode": request.check, "checked": result.checked, "remembered": result.remembered,
        "shortest": min(result.frames.values(), default=0),
    }  # fmt: skip


def _videos(entries: Sequence[Entry], found: Resolution, report: Report) -> list[Video]:
    paths = [(found.paths.get(entry.name), entry.label) for entry in entries]
    return [
        Video(path, label, found.images.get(path))
        for path, label in paths
        if path and path not in report.broken
    ]


def _trim(
    request: Request, entries: Sequence[Entry], found: Resolution, report: Report
) -> list[Video]:
    """Cut the segments of good videos and return the list of the files."""
    assert request.trim
    least = request.trim_shortest
    kept = [e for e in entries if e.segment and e.segment[1] - e.segment[0] >= least]
    if short := len(entries) - len(kept):
        report.notes.append(
            f"{short} of {len(entries)} segments are shorter than {least:g} s "
            "(--trim-shortest) and left out"
        )
    cuts: list[Cut] = []
    labels: list[int] = []
    for entry in kept:
        source = found.paths.get(entry.name)
        if source and source not in report.broken:
            assert entry.segment
            target = request.trim / target_name(source, *entry.segment)
            cuts.append(Cut(os.path.join(request.videos, source), *entry.segment, str(target)))
            labels.append(entry.label)
    problems = trim_all(cuts, workers=request.workers, progress=request.progress)
    report.broken.update(problems)
    root = request.videos.resolve()
    videos: list[Video] = []
    for cut, label in zip(cuts, labels):
        path = Path(cut.target).resolve()
        inside = path.relative_to(root) if path.is_relative_to(root) else path
        if cut.target not in problems:
            videos.append(Video(inside.as_posix(), label))
    return videos


def _write(
    request: Request,
    lists: Mapping[str, ClassList],
    listed: Mapping[str, int],
    report: Report,
    *,
    named: bool,
) -> None:
    sizes = OFFICIAL_SIZES.get(request.dataset, {})
    for name, (videos, names) in lists.items():
        data = list_text(videos, names if named else ()).encode("utf-8", "surrogateescape")
        atomic_write(request.out / f"{name}.csv", data)
        shown = len({video.label for video in videos})
        report.lists[name] = ListFacts(
            listed=listed.get(name, len(videos)), written=len(videos), official=sizes.get(name, 0),
            classes=shown, num_classes=len(names), sha256=_sha256(data),
        )  # fmt: skip
        if shown < len(names) and not request.partial:
            report.notes.append(f"{name}.csv has no video of {len(names) - shown} classes")
    atomic_write(request.out / "report.json", json.dumps(report.as_json(), indent=1) + "\n")
    text = report.as_text().encode("utf-8", "surrogateescape")
    atomic_write(request.out / "report.txt", text)
