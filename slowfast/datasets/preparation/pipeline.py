"""The steps of preparing a data set: read, find, prove, check, trim, derive, write."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from slowfast.datasets.preparation.class_table import ClassTable, load_table
from slowfast.datasets.preparation.derived import (
    few_shot_lists,
    plain_names,
    subset_lists,
    subset_path,
)
from slowfast.datasets.preparation.entries import SPLITS, Annotations, Entry
from slowfast.datasets.preparation.proof import Proof, prove
from slowfast.datasets.preparation.published import read_published
from slowfast.datasets.preparation.report import ListFacts, Report
from slowfast.datasets.preparation.resolving import FileIndex, resolve
from slowfast.datasets.preparation.sources import (
    OFFICIAL_SIZES,
    READERS,
    check_coverage,
    drop_repeats,
    labels_by_stem,
    overlaps,
)
from slowfast.datasets.preparation.trimming import Cut, target_name, trim_all
from slowfast.datasets.preparation.verifying import verify
from slowfast.datasets.preparation.writing import Video, list_text, sha256, write_text
from slowfast.errors import DataError, UsageError
from slowfast.text.labels import load_classes

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

    @property
    def class_folder(self) -> Path:
        """Folder of the data set's classes and subsets."""
        return self.label_db / self.dataset


class _Sources:
    """Entries of the lists and what their labels mean.

    ``names``: classes in the order that the labels count; ``table_labels``: the label of each in
    the whole data set; ``known``: official labels by file name, for proving published lists.
    """

    def __init__(self, request: Request, classes: ClassTable, report: Report) -> None:
        self.known: Mapping[str, int] = {}
        self.names: Sequence[str] = classes.names
        self.table_labels: Sequence[int] = range(len(classes))
        official = self._official(request, classes) if request.annotations else None
        if request.published:
            annotations = self._published(request, classes)
            self.known = labels_by_stem(official) if official else {}
        else:
            assert official
            annotations = official
            report.notes += check_coverage(official, classes, request.partial)
        report.notes += annotations.notes
        report.annotations = {str(p): sha256(p.read_bytes()) for p in annotations.files}
        self.lists, report.duplicates = drop_repeats(
            annotations.lists, keep=request.published is not None
        )

    def _official(self, request: Request, classes: ClassTable) -> Annotations:
        assert request.annotations
        if not request.annotations.exists():
            raise DataError(f"{request.annotations}: no such annotation file or folder")
        return READERS[request.dataset](request.annotations, classes, request.splits)

    def _published(self, request: Request, classes: ClassTable) -> Annotations:
        assert request.published
        if request.subset:
            path = subset_path(request.class_folder, request.subset, request.labels)
            self.names = load_classes(path).names
            self.table_labels = classes.subset(self.names, path)
        entries = read_published(request.published, request.published_style, len(self.names))
        name = request.name or request.published.stem
        return Annotations({name: entries}, [request.published], [])


class _Found(NamedTuple):
    """Listed name -> relative path, and the number of images of paths that are folders."""

    paths: dict[str, str]
    images: dict[str, int]


def prepare(request: Request) -> Report:
    """Make the lists of a data set and return what was found.

    Writes ``<list>.csv`` files, ``report.json``, ``report.txt`` and ``verified.json`` (which files
    were checked) to ``request.out``. The lists hold only videos that exist and passed the check.

    Raises:
        DataError: annotation files, classes or labels are wrong, no video is found, or a class has
            too few videos for few shots; no list is written then.
        UsageError: the request does not fit the data set.
    """
    classes = load_table(request.class_folder, request.labels)
    report = Report(request.dataset, request.labels, str(classes.path), str(request.videos))
    sources = _Sources(request, classes, report)
    segments = {name for name in sources.lists if name.endswith("_segments")}
    plain = {name: entries for name, entries in sources.lists.items() if name not in segments}
    found = _find(request, plain, report)
    _prove(sources, plain, found, classes, report)
    _check(request, found, report)
    lists = {name: _videos(entries, found, report) for name, entries in plain.items()}
    for split in request.trim_splits if request.trim else ():
        name = f"{split}_segments"
        if name in segments:
            lists[name] = _trim(request, sources.lists[name], found, report)
    report.overlaps = overlaps({name: [v.path for v in own] for name, own in lists.items()})
    listed = {name: len(sources.lists[name]) for name in lists}
    names: dict[str, Sequence[str]] = dict.fromkeys(lists, sources.names)
    if not request.published:
        for target, videos in plain_names(lists).items():
            lists[target], names[target] = videos, sources.names
        own, own_names = subset_lists(
            lists, classes, request.class_folder, labels=request.labels,
            zero_shot_from=request.zero_shot_from,
        )  # fmt: skip
        lists.update(own)
        names.update(own_names)
    shots = few_shot_lists(
        lists, names, shots=request.shots, seeds=request.seeds, partial=request.partial
    )
    names.update({name: names[name.rsplit("_", 2)[0]] for name in shots})
    _write(request, {**lists, **shots}, names, listed, report)
    return report


def _find(request: Request, lists: Lists, report: Report) -> _Found:
    index = FileIndex(request.videos)
    entries = [entry for own in lists.values() for entry in own]
    resolution = resolve([entry.name for entry in entries], index)
    report.found = resolution.how
    report.unlisted = resolution.unlisted
    report.missing = resolution.missing
    report.ambiguous = resolution.ambiguous
    images = {p: index.images[p] for p in resolution.found.values() if p in index.images}
    if images and len(images) != len(set(resolution.found.values())):
        raise DataError(
            f"{request.videos}: {len(images)} of {len(resolution.found)} listed videos are folders "
            "of images, the others video files; keep them in separate folders"
        )
    for entry in entries:
        path = resolution.found.get(entry.name, "")
        if path in images and images[path] < (entry.frames or 0):
            report.broken[path] = f"{entry.frames} images are listed, {images[path]} are there"
    return _Found(resolution.found, images)


def _prove(
    sources: _Sources, lists: Lists, found: _Found, classes: ClassTable, report: Report
) -> None:
    total = Proof()
    for name, entries in lists.items():
        pairs = [
            (found.paths[entry.name], sources.table_labels[entry.label])
            for entry in entries
            if entry.name in found.paths
        ]
        proof = prove(name, pairs, classes, sources.known)
        total.proven += proof.proven
        total.silent += proof.silent
        total.odd += proof.odd
        total.notes = proof.notes
    report.proof = asdict(total)
    report.notes += total.notes


def _check(request: Request, found: _Found, report: Report) -> None:
    result = verify(
        found.paths.values(), str(request.videos), request.out,
        mode=request.check, workers=request.workers, progress=request.progress,
    )  # fmt: skip
    report.broken.update(result.problems)
    report.check |= {
        "mode": request.check, "checked": result.checked, "remembered": result.remembered,
        "shortest": min(result.frames.values(), default=0),
    }  # fmt: skip


def _videos(entries: Sequence[Entry], found: _Found, report: Report) -> list[Video]:
    paths = [(found.paths.get(entry.name), entry.label) for entry in entries]
    return [
        Video(path, label, found.images.get(path))
        for path, label in paths
        if path and path not in report.broken
    ]


def _trim(request: Request, entries: Sequence[Entry], found: _Found, report: Report) -> list[Video]:
    """Cut the segments of good videos and return the list of the files."""
    assert request.trim
    cuts: list[Cut] = []
    labels: list[int] = []
    for entry in entries:
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
    lists: Mapping[str, Sequence[Video]],
    names: Mapping[str, Sequence[str]],
    listed: Mapping[str, int],
    report: Report,
) -> None:
    sizes = OFFICIAL_SIZES.get(request.dataset, {})
    for name, videos in lists.items():
        text = list_text(videos)
        write_text(request.out / f"{name}.csv", text)
        report.lists[name] = ListFacts(
            listed=listed.get(name, len(videos)), written=len(videos), official=sizes.get(name, 0),
            classes=len({video.label for video in videos}), num_classes=len(names[name]),
            sha256=sha256(text.encode("utf-8", "surrogateescape")),
        )  # fmt: skip
        if (few := report.lists[name].classes) < len(names[name]) and not request.partial:
            report.notes.append(f"{name}.csv has no video of {len(names[name]) - few} classes")
    data = json.dumps(report.as_json(), indent=1)
    write_text(request.out / "report.json", data + "\n")
    write_text(request.out / "report.txt", report.as_text())
