"""The papers' protocols as lists of commands: what to train, what to test, with which lists.

Nothing is run and no torch is imported here: `ost protocol` shows or runs the steps. The
cards of the protocols are in ``docs/protocols.md``. The recipes decide what a method needs: a leaf
with TRAIN.ENABLE False has nothing to train, and only tests are planned; in ``zero_shot`` the
leaves with TEST.PROTOCOL zero_shot are what is tested.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from slowfast.config import load_cfg
from slowfast.config.paths import weights_name
from slowfast.config.tree import get, leaves
from slowfast.errors import UsageError
from slowfast.studies.protocol_request import K600_LISTS, LABELS, Leaf, Request, Step
from slowfast.studies.protocol_texts import has_published_names, refuse_files, texts

__all__ = ["K600_LISTS", "LABELS", "PROTOCOLS", "Request", "Step", "datasets", "plan"]
SPLITS = ("1", "2", "3")
# The order in which targets are tested; others follow by name.
TARGETS = ("ucf101", "hmdb51", "activitynet200", "kinetics600")
# What a test takes over from the recipe that was trained, by the beginnings of options' names.
MODEL_OPTIONS = (
    *("MODEL.", "CLIP.", "TEXT4VIS.", "OST.", "TRUNK.", "CLASSIFIER.", "TEXT.TEMPLATES"),
    *("DATA.NUM_FRAMES", "DATA.MEAN", "DATA.STD"),
    *("DATA.TRAIN_CROP_SIZE", "DATA.TEST_CROP_SIZE", "DATA.TEST_SHORT_SIZE"),
)


def plan(request: Request) -> list[Step]:
    """Return the steps of a whole protocol, in order; every config has been composed once.

    Raises UsageError for an unknown method or data set (with the choices), for numbers that the
    protocol does not take, and for overrides that are wrong or that the protocol sets itself.
    """
    _check(request)
    refuse_files(request.overrides)
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
    """Return what can be asked for: the leaves in ``folder`` but for targets and single shots."""
    tested = targets(folder) if protocol == "zero_shot" else ()
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    return [name for name in names if name not in tested and not re.search(r"_\d+shot$", name)]


def targets(folder: Path) -> list[str]:
    """Return the leaves of a folder of zero-shot recipes that are tested and not trained on."""
    names = [
        path.stem
        for path in folder.glob("*.yaml")
        if load_cfg(path, env={}).TEST.PROTOCOL == "zero_shot"
    ]
    rank = {name: i for i, name in enumerate(TARGETS)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


def _known(what: str, value: str, choices: Iterable[str], place: str = "") -> None:
    if value not in choices:
        raise UsageError(f"{what}; known{place}: {', '.join(choices)}")


def _check(request: Request) -> None:
    name, dataset = request.protocol, request.dataset
    _known(f"protocol {name!r}", name, PROTOCOLS)
    place = f" for {name}"
    _known(f"method {request.method!r}", request.method, methods(request.configs, name), place)
    is_target = name == "zero_shot" and (request.leaves / f"{dataset}.yaml").exists()
    why = " is a target, not trained on" if is_target else ""
    place = f" for {request.method} {name}"
    _known(f"data set {dataset!r}{why}", dataset, datasets(request.leaves, name), place)
    _known(f"--k600 {request.k600!r}", request.k600, K600_LISTS)
    _known(f"--labels {request.labels!r}", request.labels, LABELS)
    for word, given in (("SHOTS", request.shots), ("SEED", request.seeds),
                        ("--from", request.start), ("--weights", request.weights)):  # fmt: skip
        if given and word not in TAKES[name]:
            raise UsageError(f"{name} takes no {word}; see docs/protocols.md")
    for word, numbers in (("SHOTS", request.shots), ("SEED", request.seeds)):
        if any(number < 1 for number in numbers):
            raise UsageError("SHOTS and SEED are numbers from 1")
        if len(set(numbers)) < len(numbers):
            raise UsageError(f"{word} {' '.join(map(str, numbers))}: name each number once")
    if len(request.overrides) % 2:
        raise UsageError(f"overrides are pairs KEY VALUE; {request.overrides[-1]!r} is alone")


def zero_shot(request: Request) -> list[Step]:
    """Train once, unless ``weights`` are given or nothing is to train, and test every target."""
    source = request.leaf()
    folder, steps = request.folder, list[Step]()
    if source.name != source.dataset:
        folder /= source.name
    weights, needs = request.weights, ""
    if weights:
        folder /= f"weights_{weights_name(weights)}"
    elif source.trains:
        settings = _data(request, source.dataset) | texts(request, source)
        settings |= {"TEST.ENABLE": "False", "OUTPUT_DIR": f"{folder / source.dataset}"}
        steps = [Step(f"train on {source.dataset}", source.path, settings, request.overrides)]
        weights, needs = _last_weights(steps[0]), steps[0].output
    for name in targets(request.leaves):
        target = request.leaf(name)
        settings = _same_model(source, target)
        if weights:
            settings["TEST.CHECKPOINT_FILE_PATH"] = weights
        steps += _zero_shot_tests(request, target, folder, settings, needs)
    return steps


def _zero_shot_tests(
    request: Request, target: Leaf, folder: Path, model: dict[str, str], needs: str
) -> list[Step]:
    """Return the tests of a target: a leaf of split 1 stands for three splits."""
    cfg, name = target.cfg, target.dataset
    steps: list[Step] = []
    other = K600_LISTS[request.k600] if name == "kinetics600" else ""
    for split in SPLITS if cfg.TEST.SPLIT == "1" else (cfg.TEST.SPLIT,):
        listed = f"{other}{cfg.DATA.TEST_FILE}".replace("split1", f"split{split}")
        # Kinetics-600 has 160 classes of its own for each split.
        subset = Path(cfg.TEXT.SUBSET).stem.replace("split1", f"split{split}")
        last = f"split{split}" if split.isdecimal() else split
        settings = _data(request, name, TEST=listed) | texts(request, target, subset, split) | model
        place = f"{folder / _folder_name(request, target)}/{last}"
        settings |= {"TEST.SPLIT": split, "OUTPUT_DIR": place}
        what = f"split {split}" if split in SPLITS else f"{split} videos"
        title = f"test on {name}, {what}"
        steps.append(Step(title, target.path, settings, request.overrides, needs))
    return steps


def _same_model(source: Leaf, target: Leaf) -> dict[str, str]:
    """Return the settings with which a target's recipe tests the model of ``source``."""
    own = (pair for pair in leaves(source.cfg) if pair[0].startswith(MODEL_OPTIONS))
    return {key: str(value) for key, value in own if value != get(target.cfg, key)}


def few_shot(request: Request) -> list[Step]:
    """Train and test on each number of shots and each drawn list; one test without training."""
    plain = request.leaf()
    # Split 1 alone is tested: training videos are taken from it and are in the others.
    if not plain.trains:
        # Without a training list the name of the split says how many shots it was.
        lists = {"TEST": "val.csv", "TRAIN": ""}
        return [_step(request, plain, _untrained(plain), lists, split="0shot", folder="0shot")]
    steps: list[Step] = []
    for shots in request.shots or (2, 4, 8, 16):
        special = request.leaves / f"{plain.name}_{shots}shot.yaml"
        path = special if special.exists() else plain.path
        for seed in request.seeds or (1,):
            name = f"{shots}shot_seed{seed}"
            lists = {"TRAIN": f"train_{name}.csv", "VAL": "val.csv", "TEST": "val.csv"}
            title = f"train on {shots} videos per class of {plain.dataset} (list {seed}), test"
            steps.append(_step(request, plain, title, lists, split=name, folder=name, path=path))
    return steps


def base_to_novel(request: Request) -> list[Step]:
    """For each list train on base classes, test them, and test novel ones with the same weights."""
    if len(request.shots) > 1:
        raise UsageError("base_to_novel takes one number of SHOTS (16 as published)")
    leaf = request.leaf()
    steps: list[Step] = []
    if not leaf.trains:
        for part in ("base", "novel"):
            lists, title = {"TEST": f"{part}_val.csv"}, _untrained(leaf, part)
            steps.append(_step(request, leaf, title, lists, split=part, folder=part, subset=part))
        return steps
    (shots,) = request.shots or (16,)
    for seed in request.seeds or (1, 2, 3):
        trained, folder = f"base_train_{shots}shot_seed{seed}.csv", f"{shots}shot_seed{seed}"
        base = _step(
            request,
            leaf,
            f"train on base classes of {leaf.dataset} (list {seed}), test them",
            {"TRAIN": trained, "VAL": "base_val.csv", "TEST": "base_val.csv"},
            split=f"base_seed{seed}",
            folder=f"{folder}/base",
            subset="base",
        )
        novel = _step(
            request,
            leaf,
            f"test its novel classes (list {seed})",
            # The training list is named so that results.json says what was trained on.
            {"TRAIN": trained, "TEST": "novel_val.csv"},
            split=f"novel_seed{seed}",
            folder=f"{folder}/novel",
            subset="novel",
            tested=base,
        )
        steps += [base, novel]
    return steps


def fully_supervised(request: Request) -> list[Step]:
    """Train on all training videos and test the validation videos, in one command."""
    leaf = request.leaf()
    lists, title = {"TEST": "val.csv"}, _untrained(leaf)
    if leaf.trains:
        # ActivityNet's recipes may name its trimmed segments.
        trained = leaf.cfg.DATA.TRAIN_FILE or "train.csv"
        lists = {"TRAIN": trained, "VAL": "val.csv", **lists}
        title = f"train and test on {leaf.dataset}"
    return [_step(request, leaf, title, lists, split="val", folder="")]


PROTOCOLS: dict[str, Callable[[Request], list[Step]]] = {
    "zero_shot": zero_shot,
    "few_shot": few_shot,
    "base_to_novel": base_to_novel,
    "fully_supervised": fully_supervised,
}
TAKES: dict[str, Sequence[str]] = {
    "zero_shot": ("--weights",),
    "few_shot": ("SHOTS", "SEED", "--from"),
    "base_to_novel": ("SHOTS", "SEED", "--from"),
    "fully_supervised": ("--from",),
}


def _untrained(leaf: Leaf, subset: str = "") -> str:
    return f"test on {leaf.dataset}{f', {subset} classes' if subset else ''} without training"


def _step(  # noqa: PLR0913 - what a command is made of
    request: Request,
    leaf: Leaf,
    title: str,
    lists: dict[str, str],
    *,
    split: str,
    folder: str,
    subset: str = "",
    path: Path | None = None,
    tested: Step | None = None,
) -> Step:
    """Return one command on a data set's lists.

    Args:
        request: whole.
        leaf: recipe.
        title: of the step.
        lists: file names by "TRAIN", "VAL", "TEST".
        split: TEST.SPLIT.
        folder: of the results, below the data set's.
        subset: of the classes.
        path: of another recipe than the leaf's.
        tested: the training whose last weights are tested, instead of training.
    """
    settings = _data(request, leaf.dataset, **lists)
    if tested:
        settings["TRAIN.ENABLE"] = "False"
    settings |= texts(request, leaf, subset)
    if request.start:
        settings["TRAIN.CHECKPOINT_FILE_PATH"] = request.start
    if tested:
        settings["TEST.CHECKPOINT_FILE_PATH"] = _last_weights(tested)
    place = request.folder / _folder_name(request, leaf) / folder
    settings |= {"TEST.SPLIT": split, "OUTPUT_DIR": f"{place}"}
    needs = tested.output if tested else ""
    return Step(title, path or leaf.path, settings, request.overrides, needs)


def _data(request: Request, dataset: str, **files: str) -> dict[str, str]:
    """Return where the lists and videos of ``dataset`` are."""
    root = request.data_root / dataset
    paths = {"DATA.PATH_TO_DATA_DIR": f"{root}/lists", "DATA.PATH_PREFIX": f"{root}/videos"}
    return paths | {f"DATA.{part}_FILE": name for part, name in files.items()}


def _folder_name(request: Request, leaf: Leaf) -> str:
    """Return a folder's name that keeps apart what is not comparable."""
    name = leaf.name
    if leaf.dataset == "kinetics600" and request.k600 != "val":
        name += f"_{request.k600}"
    if has_published_names(request, leaf.dataset):
        name += "_published_names"
    return name + (f"_from_{weights_name(request.start)}" if request.start else "")


def _last_weights(step: Step) -> str:
    """Return the checkpoint of the last epoch: the published figures select none on the test."""
    cfg = load_cfg(step.config, step.opts, env={})
    prefix = f"{cfg.TASK}_checkpoint" if cfg.TASK else "checkpoint"
    return f"{step.output}/checkpoints/{prefix}_epoch_{cfg.SOLVER.MAX_EPOCH:05d}.pyth"
