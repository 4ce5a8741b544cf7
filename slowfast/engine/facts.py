"""What a result must say about itself so that it can be compared with others, or be refused."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from slowfast.checkpoint.sources import digest_of_file
from slowfast.config.describe import options_in_use, options_of, words_of
from slowfast.config.inputs import list_path
from slowfast.datasets.build import find_dataset
from slowfast.models.encoders import ENCODER_REGISTRY
from slowfast.models.heads import HEAD_REGISTRY
from slowfast.models.losses import LOSS_REGISTRY, STANDARD
from slowfast.models.video_text import MODEL_REGISTRY
from slowfast.solver.optimizer import OPTIMIZER_REGISTRY
from slowfast.solver.schedule import LR_POLICY_REGISTRY, find_policy

REGISTRIES = (
    *(MODEL_REGISTRY, ENCODER_REGISTRY, HEAD_REGISTRY, LOSS_REGISTRY),
    *(OPTIMIZER_REGISTRY, LR_POLICY_REGISTRY),
)
# Folders that hold parts of a data set.
NO_NAMES = {"annotations", "classes", "data", "labels", "lists", "splits", "test", "val", "videos"}
SHOTS = re.compile(r"few_shot_(\d+)|(\d+)[-_]?shot", re.IGNORECASE)


def describe_test(cfg: Any, model: nn.Module, paths: Sequence[str]) -> dict[str, Any]:
    """Return the facts of a test that ``results.json`` holds beside its accuracies.

    Keys: those of ``describe_parts``, ``dataset`` (see ``name_of_data``), the files of classes and
    of the subset, ``test_list`` and ``test_videos`` (see ``digest_of_videos``), the training list
    with its ``shots``, ``seed``, with how many frames, the file of its ``start`` and
    ``start_digest``, by which two files of one name are told apart.

    Args:
        cfg: reads the sections that say so.
        model: what is tested, without DistributedDataParallel.
        paths: of the listed videos, empty where the data set does not tell them.
    """
    text = cfg.TEXT
    return {
        "model": cfg.MODEL.MODEL_NAME,
        **describe_parts(cfg, model),
        "num_frames": cfg.DATA.NUM_FRAMES,
        "dataset": name_of_data(cfg),
        "classes": text.CLASSES,
        "subset": text.SUBSET,
        "test_list": cfg.DATA.TEST_FILE,
        "test_videos": digest_of_videos(paths),
        "train_list": cfg.DATA.TRAIN_FILE,
        "shots": shots_of(cfg.DATA.TRAIN_FILE or cfg.TEST.SPLIT),
        "seed": cfg.RNG_SEED,
        "start": cfg.TRAIN.CHECKPOINT_FILE_PATH,
        "start_digest": digest_of_file(cfg.TRAIN.CHECKPOINT_FILE_PATH),
    }


def describe_parts(cfg: Any, model: nn.Module) -> dict[str, Any]:
    """Return which parts made a result, as they say it themselves (``slowfast.config.describe``).

    Keys: ``encoder``, ``head`` (empty in a model that has no such parts) and ``loss`` in use,
    ``arch`` (CLIP's, or the model's own), ``optimizer`` if this config trains; their ``options``,
    by full name; and ``variant``: what tells the result from those of the model as published, in
    words.
    """
    own = {side: getattr(model, f"{side}_name", "") for side in ("encoder", "head", "loss")}
    chosen = {"encoder": cfg.MODEL.ENCODER, "head": cfg.MODEL.HEAD_NAME}
    used = {side: own[side] and (name or own[side]) for side, name in chosen.items()}
    variant = [f"{side} {name}" for side, name in used.items() if name != own[side]]
    used["arch"] = cfg.CLIP.ARCH if hasattr(model, "clip") else cfg.MODEL.ARCH
    used["loss"] = loss_name = cfg.MODEL.LOSS_FUNC
    options: dict[str, Any] = {}

    def words(part: Any) -> list[str]:
        found = options_of(cfg, part)
        options.update(found)
        unstated = getattr(model, "unstated", ())
        told = {name: value for name, value in found.items() if name not in unstated}
        return words_of(part, told) if told else []

    variant += words(getattr(model, "encoder", None)) + words(getattr(model, "head", None))
    loss = LOSS_REGISTRY.get(loss_name) if loss_name in LOSS_REGISTRY else None
    if loss_name not in (own["loss"], *STANDARD):
        variant.append(getattr(loss, "word", f"loss {loss_name}"))
    variant += words(loss) + words(model)
    if cfg.TRAIN.ENABLE:
        used["optimizer"] = cfg.SOLVER.OPTIMIZING_METHOD
        options |= options_of(cfg, OPTIMIZER_REGISTRY.get(used["optimizer"]))
    return {**used, "options": options, "variant": variant}


def options_read(cfg: Any, model: nn.Module) -> dict[str, Any]:
    """Return every option, by full name, but those that only parts read which are not in use."""
    loss = cfg.MODEL.LOSS_FUNC
    parts = [model, getattr(model, "encoder", None), getattr(model, "head", None)]
    if loss in LOSS_REGISTRY:
        parts.append(LOSS_REGISTRY.get(loss))
    if cfg.TRAIN.ENABLE:
        parts.append(OPTIMIZER_REGISTRY.get(cfg.SOLVER.OPTIMIZING_METHOD))
        parts.append(find_policy(cfg.SOLVER.LR_POLICY)[0])
    return options_in_use(cfg, parts, [part for registry in REGISTRIES for _, part in registry])


def name_of_data(cfg: Any) -> str:
    """Return what to call the data of a test.

    The folder of ``label_db`` that TEXT.CLASSES is of, as ``ucf101`` of
    ``label_db/ucf101/classes.csv``; TEST.DATASET if that is a data set of the user's own; else the
    folder of the class list, or of the test list where there is none, without words such as
    ``annotations`` that name no data set.
    """
    classes = Path(cfg.TEXT.CLASSES)
    if classes.parent.parent.name == "label_db":
        return classes.parent.name
    if not find_dataset(cfg.TEST.DATASET).__module__.startswith("slowfast."):
        return str(cfg.TEST.DATASET)
    place = classes if cfg.TEXT.CLASSES else list_path(cfg, "test")
    place = place.absolute() if place.is_dir() else place.absolute().parent
    said = (name for name in reversed(place.parts[1:]) if name.lower() not in NO_NAMES)
    return next(said, str(cfg.TEST.DATASET))


def shots_of(train_list: str) -> int | None:
    """Return the number of training videos per class that the list's name states, if any.

    >>> shots_of("lists/train_16shot_seed1.csv"), shots_of("train1_few_shot_2.txt"), shots_of("")
    (16, 2, None)
    """
    match = SHOTS.search(Path(train_list).stem)
    return int(match[1] or match[2]) if match else None


def digest_of_videos(paths: Sequence[str]) -> str:
    """Return 12 hex digits that are the same for lists of the same videos, else empty.

    Folder, order and the file's ending do not count: copies of a data set differ in these.

    >>> digest_of_videos(["val/b.mp4", "a.avi"]) == digest_of_videos(["/x/a.mp4", "/x/b.mp4"])
    True
    """
    if not len(paths):
        return ""
    names = sorted(Path(path).stem for path in paths)
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()[:12]
