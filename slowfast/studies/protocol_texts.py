"""Which class names and descriptors a step of a protocol reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from slowfast.errors import UsageError
from slowfast.studies.protocol_request import PUBLISHED_NAMES, Leaf, Request

KINDS = ("spatial", "temporal")


def texts(request: Request, leaf: Leaf, subset: str = "", split: str = "") -> dict[str, str]:
    """Return the texts of a step as far as they are not the leaf's: class names, descriptors.

    Args:
        request: whole.
        leaf: recipe.
        subset: of the classes: ``base``, ``novel``, ``zero_shot_split1``.
        split: for which descriptors may have files of their own (Kinetics-600).

    Raises:
        UsageError: the folder of descriptors has none for the data set.
    """
    folder = f"label_db/{leaf.dataset}"
    published = "_published" if has_published_names(request, leaf.dataset) else ""
    names = {"TEXT.CLASSES": f"{folder}/classes_published.csv"} if published else {}
    names |= {"TEXT.SUBSET": f"{folder}/{subset}{published}.txt"} if subset else {}
    return names | dict(_descriptors(request, leaf, split))


def has_published_names(request: Request, dataset: str) -> bool:
    """Return whether ``dataset`` is scored with the class names of the ViFi-CLIP line."""
    return request.labels == "published" and dataset in PUBLISHED_NAMES


def _descriptors(request: Request, leaf: Leaf, split: str) -> Iterator[tuple[str, str]]:
    """Yield option and file of each kind that the leaf's own file does not serve."""
    for kind in KINDS:
        own = leaf.cfg.TEXT[kind.upper()]
        if not own:
            continue
        # Of N descriptors: OST.N, which a recipe states and an ablation changes.
        name = (
            re.sub(r"\d+", str(leaf.cfg.OST.N), Path(own).name)
            if leaf.cfg.OST.N
            else Path(own).name
        )
        path = str(Path(own).with_name(name))
        if request.descriptors:
            path = str(_find(request.descriptors / leaf.dataset, name, split))
        if path != own:
            yield f"TEXT.{kind.upper()}", path


def _find(folder: Path, name: str, split: str) -> Path:
    places = [folder / f"split{split}", folder, folder / "descriptors"]
    for place in places:
        if (place / name).is_file():
            return place / name
    raise UsageError(
        f"--descriptors: no {name} in {folder}; expected FOLDER/<data set>/{{spatial,temporal}}_"
        "<N>.json, keyed by class name (ost label-db --released makes them of OST's own files)"
    )


def refuse_files(overrides: Sequence[str]) -> None:
    """Refuse a file of descriptors among the overrides: it would reach every data set."""
    for key in overrides[::2]:
        if key in [f"TEXT.{kind.upper()}" for kind in KINDS]:
            raise UsageError(
                f"{key} behind -- would reach every data set of the protocol: name a folder of "
                "descriptors with --descriptors FOLDER, and their number with -- OST.N N"
            )
