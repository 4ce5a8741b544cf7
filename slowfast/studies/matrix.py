"""The matrix: every encoder with every head, trained and tested the same way on the demo's data.

This file says which pairs there are and runs one of them; ``matrix_jobs`` runs many, and
``matrix_table`` makes the table. A pair is a config (``configs/demo/matrix.yaml`` and a few
overrides) that ``slowfast.engine.run`` runs as ``ost run`` does it.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from slowfast.checkpoint.checkpointer import Checkpointer
from slowfast.checkpoint.reader import read_checkpoint
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.collate import Sample
from slowfast.datasets.demo_actions import Sizes
from slowfast.datasets.video import VideoDataset
from slowfast.engine.run import run
from slowfast.errors import UsageError
from slowfast.evaluation.results import write_json
from slowfast.models.build import build_model
from slowfast.models.clip.build import build_clip
from slowfast.studies.demo_data import demo_config
from slowfast.studies.records import epoch_lines, read_record
from slowfast.utils.rng import seed_everything


class Row(NamedTuple):
    """An encoder and its options."""

    title: str
    encoder: str
    opts: tuple[str, ...] = ()


class Column(NamedTuple):
    """A head and its options; ``taught`` if its text tower starts from ``TEACHER``'s weights."""

    title: str
    head: str
    opts: tuple[str, ...] = ()
    taught: bool = False


def _text4vis(title: str, *opts: str) -> Row:
    return Row(f"Text4VisEncoder, {title}", "Text4VisEncoder", opts)


def _trunk(title: str) -> Row:
    arch = f"configs/demo/trunk_{title.lower()}_tiny.json"
    return Row(f"VideoTrunk, {title}", "VideoTrunk", ("TRUNK.ARCH", arch))


_NO_HEAD = ("TEXT4VIS.HEAD", "none")
ROWS: dict[str, Row] = {
    "framewise": Row("FrameWise", "FrameWise"),
    "transf": _text4vis("transf", "TEXT4VIS.HEAD", "transf"),
    "tsm": _text4vis("tsm", *_NO_HEAD, "TEXT4VIS.TEMPORAL", "tsm"),
    "tokenshift": _text4vis("tokenshift", *_NO_HEAD, "TEXT4VIS.TEMPORAL", "tokenshift"),
    "tokent1d": _text4vis("tokent1d", *_NO_HEAD, "TEXT4VIS.TEMPORAL", "tokent1d"),
    "joint": _text4vis("joint", *_NO_HEAD, "TEXT4VIS.JOINT", "True"),
    "x3d": _trunk("X3D"),
    "slow": _trunk("Slow"),
    "mvit": _trunk("MViT"),
}
COLUMNS: dict[str, Column] = {
    "category": Column("CategoryHead", "CategoryHead"),
    "ensemble": Column(
        "TemplateEnsembleHead", "TemplateEnsembleHead", ("TEXT.TEMPLATES", "stdd_8")
    ),
    "pooled": Column("PooledDescriptorHead", "PooledDescriptorHead"),
    "ost": Column("OSTHead", "OSTHead"),
    "frozen": Column(
        "FrozenClassifier", "FrozenClassifier", ("MODEL.LOSS_FUNC", "cross_entropy"), taught=True
    ),
}
RESULT = "result.json"


class Pair(NamedTuple):
    """A cell of the table: keys of ``ROWS`` and ``COLUMNS``."""

    row: str
    column: str

    def __str__(self) -> str:
        return f"{self.row}:{self.column}"


class Task(NamedTuple):
    """One training and its test."""

    pair: Pair
    seed: int

    def __str__(self) -> str:
        return f"{self.pair} seed {self.seed}"


# Whose text tower the taught heads start from, with the same seed.
TEACHER = Pair("framewise", "category")


@dataclass(frozen=True)
class Matrix:
    """What to run.

    Args:
        output: folder of all results.
        data: folder of the demo's videos.
        pairs: cells of the table.
        seeds: of the trainings of each pair; the videos are the same for all.
        sizes: clips per class, as the demo has them.
        train_videos: of each class that are trained on, at most.
        opts: overrides for every config, keys and values in turn.
    """

    output: Path = Path("runs/matrix")
    data: Path = Path("data/demo_actions")
    pairs: tuple[Pair, ...] = ()
    seeds: tuple[int, ...] = (1, 2, 3)
    sizes: Sizes = field(default_factory=Sizes)
    train_videos: int = 9
    opts: tuple[str, ...] = ()

    def folder(self, task: Task) -> Path:
        """Return where the results of a training are."""
        return self.output / task.pair.row / task.pair.column / f"seed_{task.seed}"

    @property
    def train_list(self) -> Path:
        """Return the list of the videos that are trained on."""
        return (self.output / "train.csv").resolve()

    def config(self, name: str, task: Task, *opts: object) -> Any:
        """Return the config ``configs/demo/<name>.yaml`` for a pair and seed."""
        row, column = ROWS[task.pair.row], COLUMNS[task.pair.column]
        words: list[object] = [
            *("DATA.TRAIN_FILE", self.train_list),
            *("TRAIN.DATASET", "RememberedVideos", "TEST.DATASET", "RememberedVideos"),
            *("MODEL.ENCODER", row.encoder, "MODEL.HEAD_NAME", column.head),
            *("RNG_SEED", task.seed, "LOG.PROGRESS", "none"),
            *(*row.opts, *column.opts, *opts, *self.opts),
        ]
        if column.taught:
            words += ["CLIP.PRETRAINED", self.folder(task) / "start.pyth"]
        return demo_config(name, self.data, words)

    def settings(self, task: Task) -> dict[str, Any]:
        """Return what the result of a training depends on, apart from the code."""
        row, column = ROWS[task.pair.row], COLUMNS[task.pair.column]
        return {
            "encoder": [row.encoder, *row.opts],
            "head": [column.head, *column.opts],
            "seed": task.seed,
            "sizes": self.sizes._asdict(),
            "train_videos": self.train_videos,
            "opts": list(self.opts),
        }


def choose_pairs(patterns: Iterable[str] = ()) -> tuple[Pair, ...]:
    """Return the pairs that any pattern ``row:column`` names; all without a pattern.

    >>> [str(pair) for pair in choose_pairs(["framewise:o*", "joint:category"])]
    ['framewise:ost', 'joint:category']

    Raises:
        UsageError: a pattern that fits no pair.
    """
    every = [Pair(row, column) for row in ROWS for column in COLUMNS]
    wanted = list(patterns) or ["*:*"]
    for pattern in wanted:
        if not any(fnmatchcase(str(pair), pattern) for pair in every):
            raise UsageError(
                f"no pair {pattern!r}: write ENCODER:HEAD, each a name or a pattern such as *; "
                f"encoders: {', '.join(ROWS)}; heads: {', '.join(COLUMNS)}"
            )
    return tuple(p for p in every if any(fnmatchcase(str(p), pattern) for pattern in wanted))


def read_result(matrix: Matrix, task: Task) -> dict[str, Any] | None:
    """Return the result of a finished training, None if there is none.

    Raises:
        UsageError: it was made with other settings.
    """
    return read_record(matrix.folder(task) / RESULT, matrix.settings(task))


def run_task(matrix: Matrix, task: Task) -> dict[str, Any]:
    """Train and test one pair with one seed, write and return its result.

    What a killed run left is continued. A pair that cannot be built is a result, too: ``refused``
    is the reason, in the words of the UsageError.

    Raises:
        SlowFastError: the training or the test failed.
    """
    folder, start = matrix.folder(task), time.perf_counter()
    result: dict[str, Any] = {"settings": matrix.settings(task)}
    cfg = matrix.config("matrix", task, "OUTPUT_DIR", folder / "train")
    if COLUMNS[task.pair.column].taught:
        _write_start(matrix, task, cfg.CLIP.ARCH)
    try:
        result |= _sizes_of(build_model(cfg))
    except UsageError as error:
        result["refused"] = str(error)
    else:
        result |= _measure(matrix, task, cfg)
        result["seconds"] = round(time.perf_counter() - start, 1)
    write_json(folder / RESULT, result)
    return result


def _measure(matrix: Matrix, task: Task, cfg: Any) -> dict[str, Any]:
    """Train, test, and return the figures; the weights go, but for the teacher's."""
    folder = matrix.folder(task)
    run(cfg)
    weights = Checkpointer(cfg.OUTPUT_DIR).latest()
    words = ("OUTPUT_DIR", folder / "test_unseen", "TEST.CHECKPOINT_FILE_PATH", weights)
    found = run(matrix.config("matrix_unseen", task, *words))["test"]
    if task.pair != TEACHER:
        shutil.rmtree(Path(cfg.OUTPUT_DIR, "checkpoints"))
        (folder / "start.pyth").unlink(missing_ok=True)
    return {
        "top1": found["top1"],
        "videos": found["num_videos_scored"],
        "step_ms": round(step_time(Path(cfg.OUTPUT_DIR, "json_stats.log")), 1),
    }


def step_time(stats: Path) -> float:
    """Return the milliseconds of a training step without its data: median of the epochs' means."""
    return 1000 * statistics.median(line["dt_net"] for line in epoch_lines(stats))


def _sizes_of(model: nn.Module) -> dict[str, int]:
    """Return how many numbers a model has and how many of them are trained."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return {
        "parameters": sum(size for size, _ in sizes),
        "trained": sum(size for size, trained in sizes if trained),
    }


def _write_start(matrix: Matrix, task: Task, arch: str) -> None:
    """Write the weights that a taught head starts from: the teacher's texts, a fresh image tower.

    Raises:
        UsageError: the teacher has not been trained.
    """
    teacher = Task(TEACHER, task.seed)
    path = Checkpointer(matrix.folder(teacher) / "train").latest()
    if path is None or read_result(matrix, teacher) is None:
        raise UsageError(f"{task} starts from the texts of {teacher}, which is not trained yet")
    seed_everything(task.seed)
    state = {f"clip.{name}": value for name, value in build_clip(arch).state_dict().items()}
    texts = {k: v for k, v in read_checkpoint(path).state.items() if k.startswith("clip.text.")}
    folder = matrix.folder(task)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"model_state": {**state, **texts}}, folder / "start.pyth")


# Samples by seed, split, epoch and index; of one seed at a time.
_SAMPLES: dict[tuple[int, str, int, int], Sample] = {}


@DATASET_REGISTRY.register()
class RememberedVideos(VideoDataset):
    """Videos of a list, each sample kept for the next pair: pairs of a seed see the same samples.

    A sample is a function of seed, epoch and index, so that no draw changes. Only for one process
    without loading processes and for one small data set.
    """

    def __init__(self, cfg: Any, split: str) -> None:
        super().__init__(cfg, split)
        self.split = split

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Return the items ``indices``."""
        if any(key[0] != self.seed for key in _SAMPLES):
            _SAMPLES.clear()
        keys = [(self.seed, self.split, int(self._epoch), int(index)) for index in indices]
        missing = [key for key in keys if key not in _SAMPLES]
        _SAMPLES.update(zip(missing, super().__getitems__([key[3] for key in missing])))
        return [_SAMPLES[key] for key in keys]
