"""One ``results.json`` read back: under which settings which figures were measured."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from slowfast.config.paths import weights_name
from slowfast.errors import UsageError
from slowfast.evaluation.published import PublishedTables

NEEDED = (
    *("protocol", "split", "model", "variant", "arch", "num_frames", "dataset", "classes"),
    "subset",
    *("test_list", "weights", "seed", "num_clips", "num_crops"),
    *("num_videos_listed", "num_videos_scored"),
)
K400 = re.compile(r"k(inetics)?[-_]?400", re.IGNORECASE)
TOPS = ("top1", "top5")
HALF = "half_"  # before the name of a column of half-class accuracies
FEW_SHOT, BASE_TO_NOVEL, OWN = "few_shot", "base_to_novel", "own"
# Protocols whose tables say what the training started from.
TUNED = (FEW_SHOT, BASE_TO_NOVEL, "fully_supervised")


class Setting(NamedTuple):
    """What is the same for all runs of a row."""

    protocol: str
    dataset: str
    part: str
    method: str
    variant: str
    arch: str
    frames: str
    views: str
    clip_ratio: float
    start: str
    descriptors: str = ""
    labels: str = ""
    test_set: str = ""
    split: str = ""
    seed: str = ""
    start_digest: str = ""


@dataclass(frozen=True)
class Result:
    """The content of one ``results.json``.

    Args:
        path: of the file.
        setting: without what ``summary.BY`` may add, and without ``start_digest``.
        figures: percent by the column that they belong in: top1, top5, map, half_top1, half_top5;
            the number of shots; base or novel.
        draws: of the half-class columns, the accuracies whose mean the figure is.
        map_of: which rule made the mAP of one-label data (TEST.MAP), or empty.
        split: of the test set.
        seed: what tells trainings of one setting apart.
        labels: file of class names if it is not the data set's usual one.
        test_set: name of the published test set of about that size, if it has several.
        videos: digest of the videos' names, or empty.
        test_list: as in the config.
        scored: number of videos.
        listed: number of videos.
        weights: description of what was tested.
        start_digest: of the file that the training started from, where that counts and is known.
    """

    path: str
    setting: Setting
    figures: Mapping[str, float]
    draws: Mapping[str, Sequence[float]]
    map_of: str
    split: str
    seed: str
    labels: str
    test_set: str
    videos: str
    test_list: str
    scored: int
    listed: int
    weights: str
    start_digest: str


def parse_result(
    path: str | Path, data: Mapping[str, Any], published: PublishedTables | None = None
) -> Result:
    """Return one result from the content of a ``results.json``.

    Args:
        path: of the file, for messages and to know it again.
        data: its content.
        published: gives methods and test sets their names.

    Raises:
        UsageError: facts are missing; shots or classes unknown.

    A test that named no protocol is one of ``OWN``, for which nothing is published.
    """
    published = published or PublishedTables()
    missing = [key for key in NEEDED if key not in data]
    if missing:
        raise UsageError(
            f"{path}: not the results.json of a test of this version, it lacks "
            f"{', '.join(missing)}: test again, or leave its folder out"
        )
    data = {**data, "protocol": data["protocol"] or OWN}
    listed = data["num_videos_listed"]
    draws = _draws(data)
    means = {column: math.fsum(values) / len(values) for column, values in draws.items()}
    return Result(
        path=str(path),
        setting=_setting(data, published),
        figures=_figures(path, data) | means,
        draws=draws,
        map_of=data.get("map_of", ""),
        split=_split(data),
        seed=_seed(data),
        labels=_labels(data),
        test_set=published.test_set_of(data["dataset"], listed),
        videos=data.get("test_videos", ""),
        test_list=data["test_list"],
        scored=data["num_videos_scored"],
        listed=listed,
        weights=data["weights"],
        start_digest=data.get("start_digest", "") if data["protocol"] in TUNED else "",
    )


def _setting(data: Mapping[str, Any], published: PublishedTables) -> Setting:
    protocol, arch = data["protocol"], data["arch"]
    own = {} if protocol == BASE_TO_NOVEL else {"part": _part(data["subset"])}
    return Setting(
        protocol=protocol,
        dataset=data["dataset"],
        part=own.get("part", ""),
        method=published.method_of(data["model"]),
        variant=", ".join(data["variant"]),
        arch=Path(arch).stem if arch.endswith(".json") else arch.removesuffix("-quickgelu"),
        frames=str(data["num_frames"]),
        views=_views(data),
        clip_ratio=float(data.get("clip_ratio", 0.0)),
        start=_start(data.get("start", "")) if protocol in TUNED else "",
        descriptors=_descriptors(data),
    )


def _part(subset: str) -> str:
    """Return which part of the classes a subset is, the same for all its splits."""
    return re.sub(r"(_?split)?_?\d*$", "", Path(subset).stem)


def _views(data: Mapping[str, Any]) -> str:
    views = f"{data['num_clips']}x{data['num_crops']}"
    summed = data.get("ensemble", "")
    return views if views == "1x1" or summed == "sum of prob" else f"{views}, {summed}"


def _descriptors(data: Mapping[str, Any]) -> str:
    """Return whose texts were scored: ours, or the folder's name; empty where none were.

    That is the folder in which each data set has its own, as ``released`` of
    ``released/ucf101/spatial_4.json``.
    """
    whose: dict[str, None] = {}
    for option in ("TEXT.SPATIAL", "TEXT.TEMPORAL"):
        if path := data.get("options", {}).get(option, ""):
            folders = Path(path).parts[:-1]
            of_set = folders.index(data["dataset"]) if data["dataset"] in folders else len(folders)
            name = folders[of_set - 1] if of_set else str(Path(path).parent)
            whose["ours" if name == "label_db" else name] = None
    return " and ".join(whose)


def _start(path: str) -> str:
    if not path:
        return "CLIP"
    return "K400" if K400.search(path) else weights_name(path)


def _figures(path: str | Path, data: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures by the column that they belong in."""
    found = {key: data[key] for key in ("top1", "top5", "map") if data.get(key) is not None}
    if not found:
        raise UsageError(f"{path}: no video was scored, there is no accuracy in it")
    if data["protocol"] == FEW_SHOT:
        if data.get("shots") is None:
            raise UsageError(
                f"{path}: few_shot, but DATA.TRAIN_FILE {data.get('train_list', '')!r} does not "
                "say how many shots; name the list as in train_16shot_seed1.csv"
            )
        return {str(data["shots"]): next(iter(found.values()))}
    if data["protocol"] == BASE_TO_NOVEL:
        role = Path(data["subset"]).stem.split("_")[0]
        if role not in ("base", "novel"):
            raise UsageError(
                f"{path}: base_to_novel, but TEXT.SUBSET {data['subset']!r} is neither base.txt "
                "nor novel.txt"
            )
        return {role: next(iter(found.values()))}
    return found


def _draws(data: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Return the half-class accuracies of each draw that had videos, by their column."""
    half = data.get("half_class")
    if not half or data["protocol"] in (FEW_SHOT, BASE_TO_NOVEL):
        return {}  # their columns are shots, or base and novel classes
    columns = {f"{HALF}{k}": tuple(r[k] for r in half["runs"] if r[k] is not None) for k in TOPS}
    return {column: values for column, values in columns.items() if values}


def _split(data: Mapping[str, Any]) -> str:
    """Return the split; of base and novel classes without that word, which makes the column."""
    if data["protocol"] != BASE_TO_NOVEL:
        return data["split"]
    return re.sub(r"^(base|novel)[-_ ]?", "", data["split"])


def _seed(data: Mapping[str, Any]) -> str:
    """Return what tells trainings apart: the run's seed, and that of its list if it differs."""
    seed = str(data["seed"])
    match = re.search(r"(?:seed|_s)(\d+)", Path(data.get("train_list", "")).stem)
    return seed if match is None or match[1] == seed else f"{seed}, list {match[1]}"


def _labels(data: Mapping[str, Any]) -> str:
    """Return the name of a list of class names other than ``classes.csv``, or empty.

    The order of names in a subset counts too: ``base_published.txt`` is another list than
    ``base.txt``.
    """
    classes = Path(data["classes"])
    subset = Path(data["subset"])
    variant = subset.name if re.search(r"(base|novel)_\w+", subset.stem) else ""
    own = classes.name if classes.stem != "classes" else ""
    return own or variant
