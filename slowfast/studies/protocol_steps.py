"""The four protocols: from a request to its steps. The recipes decide what a method needs.

A leaf with TRAIN.ENABLE False has nothing to train, and only tests are planned. In ``zero_shot``
the leaves with TEST.PROTOCOL zero_shot are what is tested.
"""

from __future__ import annotations

from pathlib import Path

from slowfast.config import load_cfg
from slowfast.config.paths import weights_name
from slowfast.config.tree import get, leaves
from slowfast.errors import UsageError
from slowfast.studies.protocol_request import K600_LISTS, PUBLISHED_NAMES, Leaf, Request, Step

SPLITS = ("1", "2", "3")
# The order in which targets are tested; others follow by name.
TARGETS = ("ucf101", "hmdb51", "activitynet200", "kinetics600")
# What a test takes over from the recipe that was trained, by the beginnings of options' names.
MODEL_OPTIONS = (
    *("MODEL.", "CLIP.", "TEXT4VIS.", "OST.", "TRUNK.", "CLASSIFIER.", "TEXT.TEMPLATES"),
    *("DATA.NUM_FRAMES", "DATA.MEAN", "DATA.STD"),
    *("DATA.TRAIN_CROP_SIZE", "DATA.TEST_CROP_SIZE", "DATA.TEST_SHORT_SIZE"),
)


def targets(folder: Path) -> list[str]:
    """Return the leaves of a folder of zero-shot recipes that are tested and not trained on."""
    names = [
        path.stem
        for path in folder.glob("*.yaml")
        if load_cfg(path, env={}).TEST.PROTOCOL == "zero_shot"
    ]
    rank = {name: i for i, name in enumerate(TARGETS)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


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
        settings = _data(request, source.dataset)
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
        place = f"{folder / _folder_name(request, target)}/{_split_folder(split)}"
        settings = _data(request, name, TEST=listed) | _texts(request, name, subset) | model
        settings |= {"TEST.SPLIT": split, "OUTPUT_DIR": place}
        what = f"split {split}" if split in SPLITS else f"{split} videos"
        title = f"test on {name}, {what}"
        steps.append(Step(title, target.path, settings, request.overrides, needs))
    return steps


def _split_folder(split: str) -> str:
    return f"split{split}" if split.isdecimal() else split


def _same_model(source: Leaf, target: Leaf) -> dict[str, str]:
    """Return the settings with which a target's recipe tests the model of ``source``."""
    own = (pair for pair in leaves(source.cfg) if pair[0].startswith(MODEL_OPTIONS))
    return {key: str(value) for key, value in own if value != get(target.cfg, key)}


def few_shot(request: Request) -> list[Step]:
    """Train and test on each number of shots and each drawn list; one test without training."""
    plain = request.leaf()
    # Split 1 alone is tested: training videos are taken from it and are in the others.
    if not plain.trains:
        # Named so that results.json says how many shots: no such list is read.
        return [_test_only(request, plain, "0shot", TEST="val.csv", TRAIN="train_0shot.csv")]
    steps: list[Step] = []
    for shots in request.shots or (2, 4, 8, 16):
        special = request.leaves / f"{plain.name}_{shots}shot.yaml"
        leaf = special if special.exists() else plain.path
        for seed in request.seeds or (1,):
            name = f"{shots}shot_seed{seed}"
            lists = {"TRAIN": f"train_{name}.csv", "VAL": "val.csv", "TEST": "val.csv"}
            settings = _data(request, plain.dataset, **lists) | _texts(request, plain.dataset)
            settings |= _start(request) | _place(request, plain, name, name)
            title = f"train on {shots} videos per class of {plain.dataset} (list {seed}), test"
            steps.append(Step(title, leaf, settings, request.overrides))
    return steps


def base_to_novel(request: Request) -> list[Step]:
    """For each list train on base classes, test them, and test novel ones with the same weights."""
    if len(request.shots) > 1:
        raise UsageError("base_to_novel takes one number of SHOTS (16 as published)")
    leaf = request.leaf()
    if not leaf.trains:
        return [
            _test_only(request, leaf, part, subset=part, TEST=f"{part}_val.csv")
            for part in ("base", "novel")
        ]
    (shots,) = request.shots or (16,)
    steps: list[Step] = []
    for seed in request.seeds or (1, 2, 3):
        steps += _base_and_novel(request, leaf, shots, seed)
    return steps


def _base_and_novel(request: Request, leaf: Leaf, shots: int, seed: int) -> list[Step]:
    dataset, listed = leaf.dataset, f"base_train_{shots}shot_seed{seed}.csv"
    folder = f"{shots}shot_seed{seed}"
    base = Step(
        f"train on base classes of {dataset} (list {seed}), test them",
        leaf.path,
        _data(request, dataset, TRAIN=listed, VAL="base_val.csv", TEST="base_val.csv")
        | _texts(request, dataset, "base")
        | _start(request)
        | _place(request, leaf, f"base_seed{seed}", f"{folder}/base"),
        request.overrides,
    )
    novel = Step(
        f"test its novel classes (list {seed})",
        leaf.path,
        # The training list is named so that results.json says what was trained on.
        _data(request, dataset, TRAIN=listed, TEST="novel_val.csv")
        | {"TRAIN.ENABLE": "False"}
        | _texts(request, dataset, "novel")
        | _start(request)
        | {"TEST.CHECKPOINT_FILE_PATH": _last_weights(base)}
        | _place(request, leaf, f"novel_seed{seed}", f"{folder}/novel"),
        request.overrides,
        needs=base.output,
    )
    return [base, novel]


def fully_supervised(request: Request) -> list[Step]:
    """Train on all training videos and test the validation videos, in one command."""
    leaf = request.leaf()
    if not leaf.trains:
        return [_test_only(request, leaf, "", TEST="val.csv")]
    # ActivityNet's recipes may name its trimmed segments.
    trained = leaf.cfg.DATA.TRAIN_FILE or "train.csv"
    settings = _data(request, leaf.dataset, TRAIN=trained, VAL="val.csv", TEST="val.csv")
    settings |= _texts(request, leaf.dataset) | _start(request) | _place(request, leaf, "val", "")
    return [Step(f"train and test on {leaf.dataset}", leaf.path, settings, request.overrides)]


def _test_only(request: Request, leaf: Leaf, part: str, subset: str = "", **lists: str) -> Step:
    """Return the test of a method without training; its results are in the folder ``part``."""
    settings = _data(request, leaf.dataset, **lists) | _texts(request, leaf.dataset, subset)
    settings |= _start(request) | _place(request, leaf, part or "val", part)
    title = f"test on {leaf.dataset}{f', {subset} classes' if subset else ''} without training"
    return Step(title, leaf.path, settings, request.overrides)


def _place(request: Request, leaf: Leaf, split: str, folder: str) -> dict[str, str]:
    """Return the name of the split and where results go."""
    place = request.folder / _folder_name(request, leaf)
    return {"TEST.SPLIT": split, "OUTPUT_DIR": f"{place / folder}"}


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


def _folder_name(request: Request, leaf: Leaf) -> str:
    """Return a folder's name that keeps apart what is not comparable."""
    name = leaf.name
    if leaf.dataset == "kinetics600" and request.k600 != "val":
        name += f"_{request.k600}"
    if _has_published_names(request, leaf.dataset):
        name += "_published_names"
    return name + (f"_from_{weights_name(request.start)}" if request.start else "")


def _start(request: Request) -> dict[str, str]:
    return {"TRAIN.CHECKPOINT_FILE_PATH": request.start} if request.start else {}


def _last_weights(step: Step) -> str:
    """Return the checkpoint of the last epoch: the published figures select none on the test."""
    cfg = load_cfg(step.config, step.opts, env={})
    prefix = f"{cfg.TASK}_checkpoint" if cfg.TASK else "checkpoint"
    return f"{step.output}/checkpoints/{prefix}_epoch_{cfg.SOLVER.MAX_EPOCH:05d}.pyth"
