"""What is asked of a protocol, the recipes that answer it, and the commands that it becomes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slowfast.config import load_cfg
from slowfast.config.paths import SHIPPED, find_config

# Which videos of Kinetics-600 are tested: two sets are published, and they share hardly a video.
# The lists of the other set are those of the recipes with this in front.
K600_LISTS = {"val": "", "published": "published_"}
# Data sets whose published class names differ from the right ones; see docs/protocols.md.
PUBLISHED_NAMES = ("hmdb51",)
LABELS = ("right", "published")
# What differs between two calls although the results are the same, or are to be the same.
HARMLESS = ("NUM_GPUS", "DATA_LOADER.", "LOG.", "LOG_PERIOD", "DATA.PATH_")


@dataclass(frozen=True)
class Step:
    """One command, ``ost run --cfg CONFIG --opts OPTS``.

    Args:
        title: what it does, for people.
        config: the leaf.
        settings: what the protocol sets, by option.
        overrides: the user's keys and values; they come last.
        needs: OUTPUT_DIR of the training whose weights it tests, or empty.
    """

    title: str
    config: Path
    settings: dict[str, str]
    overrides: tuple[str, ...] = ()
    needs: str = ""

    @property
    def output(self) -> str:
        """Return its OUTPUT_DIR."""
        return self.settings["OUTPUT_DIR"]

    @property
    def tests(self) -> bool:
        """Return whether it leaves a ``results.json``."""
        return self.settings.get("TEST.ENABLE") != "False"

    @property
    def opts(self) -> list[str]:
        """Return the words behind ``--opts``."""
        return [word for pair in self.settings.items() for word in pair] + list(self.overrides)

    def words(self) -> list[str]:
        """Return the command without the interpreter in front."""
        return ["-m", "ost", "run", "--cfg", shown(self.config), "--opts", *self.opts]

    def identity(self) -> list[str]:
        """Return the words that its results depend on."""
        pairs = zip(self.opts[::2], self.opts[1::2])
        kept = [word for pair in pairs if not pair[0].startswith(HARMLESS) for word in pair]
        return [self.config.name, *kept]


@dataclass(frozen=True)
class Leaf:
    """A recipe of a method.

    Args:
        path: its file.
        cfg: what it composes to, with the user's overrides.
    """

    path: Path
    cfg: Any

    @property
    def name(self) -> str:
        """Return what stands for it on the command line."""
        return self.path.stem

    @property
    def dataset(self) -> str:
        """Return its data set: ``kinetics400`` of ``kinetics400_b16_f8.yaml``.

        A variant's name begins with the folder of its TEXT.CLASSES; any other name is the data
        set's own.
        """
        folder = Path(self.cfg.TEXT.CLASSES).parent.name
        return folder if folder and self.name.startswith(f"{folder}_") else self.name

    @property
    def trains(self) -> bool:
        """Return whether there is something to train (vanilla CLIP is tested as it is)."""
        return bool(self.cfg.TRAIN.ENABLE)


@dataclass(frozen=True)
class Request:
    """What a researcher asks for.

    Args:
        protocol: a key of ``PROTOCOLS``.
        method: folder of ``configs/``.
        dataset: trained on; a leaf of the method's protocol, such as ``kinetics400`` or its
            variant ``kinetics400_b16_f8``.
        data_root: holds ``<dataset>/lists`` and ``<dataset>/videos`` of each data set.
        shots: videos per class (few_shot: several; base_to_novel: one); empty = as published.
        seeds: numbers of the drawn lists; empty = as published.
        start: weights to train from (all but zero_shot); empty = CLIP's.
        weights: tested instead of training first (zero_shot), such as a released file.
        k600: a key of ``K600_LISTS``.
        labels: of ``LABELS``: which class names HMDB-51 has.
        descriptors: folder of the descriptor files; None = those of the recipes, in ``label_db``.
        overrides: keys and values for every step.
        output: folder of all results.
        configs: folder of the methods.
    """

    protocol: str
    method: str
    dataset: str
    data_root: Path
    shots: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    start: str = ""
    weights: str = ""
    k600: str = "val"
    labels: str = "right"
    descriptors: Path | None = None
    overrides: tuple[str, ...] = ()
    output: Path = Path("runs")
    configs: Path = SHIPPED / "configs"

    @property
    def leaves(self) -> Path:
        """Return the folder of the method's leaves for the protocol."""
        return self.configs / self.method / self.protocol

    @property
    def folder(self) -> Path:
        """Return the folder of the steps' folders; other texts than the recipes' have their own."""
        place = self.output / self.method.lower() / self.protocol
        asked = dict(zip(self.overrides[::2], self.overrides[1::2])).get("OST.N", "")
        own = [self.descriptors.name] if self.descriptors else []
        name = "_".join([*own, *([f"n{asked}"] if asked else [])])
        return place / name if name else place

    def leaf(self, name: str = "") -> Leaf:
        """Return the recipe ``name``, by default that of the data set that was asked for."""
        path = self.leaves / f"{name or self.dataset}.yaml"
        return Leaf(path, load_cfg(path, self.overrides, env={}))


def shown(path: Path) -> str:
    """Return a name of a config under which it is found from any working directory."""
    if path.is_relative_to(SHIPPED):
        name = path.relative_to(SHIPPED)
        if find_config(name).samefile(path):
            return name.as_posix()
    return os.fspath(path.absolute())
