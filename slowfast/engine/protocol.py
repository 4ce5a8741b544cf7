"""The papers' protocols as lists of commands: what to train, what to test, with which lists.

Nothing is run and no torch is imported here: `tools/run_protocol.py` shows or runs the steps. The
cards of the protocols are in ``docs/protocols.md``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slowfast.config import load_cfg
from slowfast.config.paths import REPOSITORY
from slowfast.errors import UsageError

SPLITS = (1, 2, 3)
TARGETS = ("ucf101", "hmdb51", "kinetics600")  # of zero-shot, each with three splits
# Which videos of Kinetics-600 are tested: two sets are published, and they share hardly a video.
K600_LISTS = {"val": "zero_shot_split{}.csv", "published": "published_zero_shot_split{}.csv"}
# Data sets whose published class names differ from the right ones; see docs/protocols.md.
PUBLISHED_NAMES = ("hmdb51",)
LABELS = ("right", "published")
# What differs between two calls although the results are the same, or are to be the same.
HARMLESS = ("NUM_GPUS", "DATA_LOADER.", "LOG.", "LOG_PERIOD", "DATA.PATH_")


@dataclass(frozen=True)
class Step:
    """One command, ``run_net.py --cfg CONFIG --opts OPTS``.

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

    def words(self, tool: str = "tools/run_net.py") -> list[str]:
        """Return the command without the interpreter in front."""
        return [tool, "--cfg", shown(self.config), "--opts", *self.opts]

    def identity(self) -> list[str]:
        """Return the words that its results depend on."""
        pairs = zip(self.opts[::2], self.opts[1::2])
        kept = [word for pair in pairs if not pair[0].startswith(HARMLESS) for word in pair]
        return [self.config.name, *kept]


@dataclass(frozen=True)
class Request:
    """What a researcher asks for.

    Args:
        protocol: a key of ``PROTOCOLS``.
        method: folder of ``configs/``.
        dataset: trained on; a leaf of the method's protocol.
        data_root: holds ``<dataset>/lists`` and ``<dataset>/videos`` of each data set.
        shots: videos per class (few_shot: several; base_to_novel: one); empty = as published.
        seeds: numbers of the drawn lists; empty = as published.
        start: weights to train from (few_shot, base_to_novel); empty = CLIP's.
        weights: tested instead of training first (zero_shot), such as a released file.
        k600: a key of ``K600_LISTS``.
        labels: of ``LABELS``: which class names HMDB-51 has.
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
    overrides: tuple[str, ...] = ()
    output: Path = Path("runs")
    configs: Path = REPOSITORY / "configs"

    @property
    def leaves(self) -> Path:
        """Return the folder of the method's leaves for the protocol."""
        return self.configs / self.method / self.protocol

    @property
    def folder(self) -> Path:
        """Return where the steps' folders are."""
        return self.output / self.method.lower() / self.protocol


def plan(request: Request) -> list[Step]:
    """Return the steps of a whole protocol, in order; every config has been composed once.

    Raises UsageError for an unknown method or data set (with the choices), for numbers that the
    protocol does not take, and for overrides that are wrong or that the protocol sets itself.
    """
    _check(request)
    steps = PROTOCOLS[request.protocol](request)
    own = {key for step in steps for key in step.settings}
    for key in request.overrides[::2]:
        if key in own:
            raise UsageError(
                f"{key} is set by the protocol {request.protocol} in every step; see --help for "
                "--output, --from, --weights, and DATA_ROOT"
            )
    for step in steps:
        load_cfg(step.config, step.opts, env={})
    return steps


def methods(configs: Path, protocol: str) -> list[str]:
    """Return the folders of ``configs`` that have leaves for ``protocol``."""
    return sorted(p.parent.name for p in configs.glob(f"*/{protocol}") if any(p.glob("*.yaml")))


def datasets(folder: Path, protocol: str) -> list[str]:
    """Return what can be trained on: the leaves in ``folder`` but for variants and targets."""
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    targets = TARGETS if protocol == "zero_shot" else ()
    return [name for name in names if name not in targets and not name.endswith("shot")]


def shown(path: Path) -> str:
    """Return ``path`` relative to the working directory if it is below it."""
    here = Path.cwd()
    return os.fspath(path.relative_to(here) if path.is_relative_to(here) else path)


def _check(request: Request) -> None:
    if request.protocol not in PROTOCOLS:
        raise UsageError(f"protocol {request.protocol!r}; known: {', '.join(PROTOCOLS)}")
    known = methods(request.configs, request.protocol)
    if request.method not in known:
        raise UsageError(
            f"method {request.method!r}; known for {request.protocol}: {', '.join(known)}"
        )
    known = datasets(request.leaves, request.protocol)
    if request.dataset not in known:
        why = ""
        if request.protocol == "zero_shot" and request.dataset in TARGETS:
            why = " is a target, not trained on"
        raise UsageError(
            f"data set {request.dataset!r}{why}; known for {request.method} {request.protocol}: "
            f"{', '.join(known)}"
        )
    _check_options(request)


def _check_options(request: Request) -> None:
    if request.k600 not in K600_LISTS:
        raise UsageError(f"--k600 {request.k600!r}; known: {', '.join(K600_LISTS)}")
    if request.labels not in LABELS:
        raise UsageError(f"--labels {request.labels!r}; known: {', '.join(LABELS)}")
    takes = TAKES[request.protocol]
    for name, given in (("SHOTS", request.shots), ("SEED", request.seeds),
                        ("--from", request.start), ("--weights", request.weights)):  # fmt: skip
        if given and name not in takes:
            raise UsageError(f"{request.protocol} takes no {name}; see docs/protocols.md")
    if any(number < 1 for number in (*request.shots, *request.seeds)):
        raise UsageError("SHOTS and SEED are numbers from 1")
    if len(request.overrides) % 2:
        raise UsageError(f"overrides are pairs KEY VALUE; {request.overrides[-1]!r} is alone")


def _data(request: Request, dataset: str, **files: str) -> dict[str, str]:
    """Return where the lists and videos of ``dataset`` are."""
    root = request.data_root / dataset
    paths = {"DATA.PATH_TO_DATA_DIR": f"{root}/lists", "DATA.PATH_PREFIX": f"{root}/videos"}
    return paths | {f"DATA.{part}_FILE": name for part, name in files.items()}


def _texts(request: Request, dataset: str, subset: str = "") -> dict[str, str]:
    """Return the class names of ``dataset``, as far as they are not the leaf's."""
    folder = f"label_db/{dataset}"
    published = "_published" if _has_published_names(request, dataset) else ""
    names = {"TEXT.CLASSES": f"{folder}/classes_published.csv"} if published else {}
    return names | ({"TEXT.SUBSET": f"{folder}/{subset}{published}.txt"} if subset else {})


def _has_published_names(request: Request, dataset: str) -> bool:
    return request.labels == "published" and dataset in PUBLISHED_NAMES


def _folder_name(request: Request, dataset: str) -> str:
    """Return a folder's name that keeps apart what is not comparable."""
    name = dataset
    if dataset == "kinetics600" and request.k600 != "val":
        name += f"_{request.k600}"
    if _has_published_names(request, dataset):
        name += "_published_names"
    return name + (f"_from_{Path(request.start).stem}" if request.start else "")


def _last_weights(request: Request, step: Step) -> str:
    """Return the checkpoint of the last epoch: the published figures select none on the test."""
    cfg = load_cfg(step.config, step.opts, env={})
    prefix = f"{cfg.TASK}_checkpoint" if cfg.TASK else "checkpoint"
    return f"{step.output}/checkpoints/{prefix}_epoch_{cfg.SOLVER.MAX_EPOCH:05d}.pyth"


def _zero_shot(request: Request) -> list[Step]:
    steps: list[Step] = []
    weights, needs = request.weights, ""
    folder = request.folder
    if weights:
        folder = request.folder / f"weights_{Path(weights).stem}"
    else:
        train = Step(
            f"train on {request.dataset}",
            request.leaves / f"{request.dataset}.yaml",
            _data(request, request.dataset)
            | {"TEST.ENABLE": "False", "OUTPUT_DIR": f"{folder / request.dataset}"},
            request.overrides,
        )
        steps, weights, needs = [train], _last_weights(request, train), train.output
    for target in (t for t in TARGETS if (request.leaves / f"{t}.yaml").exists()):
        for split in SPLITS:
            steps.append(_zero_shot_test(request, target, split, folder, weights, needs))
    return steps


def _zero_shot_test(
    request: Request, target: str, split: int, folder: Path, weights: str, needs: str
) -> Step:
    kinetics = target == "kinetics600"
    pattern = K600_LISTS[request.k600] if kinetics else "test_split{}.csv"
    settings = _data(request, target, TEST=pattern.format(split))
    # 160 classes of its own for each split
    settings |= _texts(request, target, f"zero_shot_split{split}" if kinetics else "")
    settings |= {
        "TEST.CHECKPOINT_FILE_PATH": weights,
        "TEST.SPLIT": str(split),
        "OUTPUT_DIR": f"{folder / _folder_name(request, target)}/split{split}",
    }
    leaf = request.leaves / f"{target}.yaml"
    return Step(f"test on {target}, split {split}", leaf, settings, request.overrides, needs)


def _few_shot(request: Request) -> list[Step]:
    steps: list[Step] = []
    for shots in request.shots or (2, 4, 8, 16):
        for seed in request.seeds or (1,):
            special = request.leaves / f"{request.dataset}_{shots}shot.yaml"
            leaf = special if special.exists() else request.leaves / f"{request.dataset}.yaml"
            name = f"{shots}shot_seed{seed}"
            # Split 1 alone is tested: training videos are taken from it and are in the others.
            settings = _data(
                request, request.dataset, TRAIN=f"train_{name}.csv", VAL="val.csv", TEST="val.csv"
            )
            settings |= _texts(request, request.dataset) | _start(request)
            settings |= {
                "TEST.SPLIT": name,
                "OUTPUT_DIR": f"{request.folder / _folder_name(request, request.dataset)}/{name}",
            }
            title = f"train on {shots} videos per class of {request.dataset} (list {seed}), test"
            steps.append(Step(title, leaf, settings, request.overrides))
    return steps


def _base_to_novel(request: Request) -> list[Step]:
    if len(request.shots) > 1:
        raise UsageError("base_to_novel takes one number of SHOTS (16 as published)")
    (shots,) = request.shots or (16,)
    leaf = request.leaves / f"{request.dataset}.yaml"
    steps: list[Step] = []
    for seed in request.seeds or (1, 2, 3):
        listed = f"base_train_{shots}shot_seed{seed}.csv"
        folder = f"{request.folder / _folder_name(request, request.dataset)}/{shots}shot_seed{seed}"
        base = Step(
            f"train on base classes of {request.dataset} (list {seed}), test them",
            leaf,
            _data(request, request.dataset, TRAIN=listed, VAL="base_val.csv", TEST="base_val.csv")
            | _texts(request, request.dataset, "base")
            | _start(request)
            | {"TEST.SPLIT": f"base_seed{seed}", "OUTPUT_DIR": f"{folder}/base"},
            request.overrides,
        )
        novel = Step(
            f"test its novel classes (list {seed})",
            leaf,
            # The training list is named so that results.json says what was trained on.
            _data(request, request.dataset, TRAIN=listed, TEST="novel_val.csv")
            | {"TRAIN.ENABLE": "False"}
            | _texts(request, request.dataset, "novel")
            | _start(request)
            | {"TEST.CHECKPOINT_FILE_PATH": _last_weights(request, base)}
            | {"TEST.SPLIT": f"novel_seed{seed}", "OUTPUT_DIR": f"{folder}/novel"},
            request.overrides,
            needs=base.output,
        )
        steps += [base, novel]
    return steps


def _fully_supervised(request: Request) -> list[Step]:
    settings = _data(request, request.dataset, TRAIN="train.csv", VAL="val.csv", TEST="val.csv")
    settings |= {"TEST.SPLIT": "val", "OUTPUT_DIR": f"{request.folder / request.dataset}"}
    leaf = request.leaves / f"{request.dataset}.yaml"
    return [Step(f"train and test on {request.dataset}", leaf, settings, request.overrides)]


def _start(request: Request) -> dict[str, str]:
    return {"TRAIN.CHECKPOINT_FILE_PATH": request.start} if request.start else {}


Planner = Callable[[Request], list[Step]]
PROTOCOLS: dict[str, Planner] = {
    "zero_shot": _zero_shot,
    "few_shot": _few_shot,
    "base_to_novel": _base_to_novel,
    "fully_supervised": _fully_supervised,
}
TAKES: dict[str, Sequence[str]] = {
    "zero_shot": ("--weights",),
    "few_shot": ("SHOTS", "SEED", "--from"),
    "base_to_novel": ("SHOTS", "SEED", "--from"),
    "fully_supervised": (),
}
