"""The five lines that a run begins with: data, model, schedule, device, output folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from slowfast.config.inputs import list_path
from slowfast.engine.facts import describe_parts
from slowfast.engine.job import Job
from slowfast.engine.setup import class_names, video_paths
from slowfast.utils import distributed as du
from slowfast.utils.logging import say
from slowfast.utils.misc import params_count


def say_training(job: Job) -> None:
    """Say what a training will do; see ``say_header``."""
    cfg, solver = job.cfg, job.cfg.SOLVER
    data: dict[str, Dataset] = {"train": job.train_loader.dataset, "val": job.val_loader.dataset}
    schedule = (
        f"{job.max_epoch} epochs, {solver.OPTIMIZING_METHOD}, rate {solver.BASE_LR:g} "
        f"{solver.LR_POLICY}; {job.batch}"
    )
    say_header(cfg, job.module, data, job.weights or "random", schedule)


def say_test(
    cfg: Any, model: nn.Module, data: Dataset, weights: str, counts: Sequence[int]
) -> None:
    """Say what a test of its own will do; ``say_what_is_tested`` is enough behind a training.

    ``counts``: numbers of clips that it goes through.
    """
    test, clips = cfg.TEST, " then ".join(map(str, counts))
    schedule = (
        f"test of {cfg.DATA.NUM_FRAMES} frames x {test.NUM_SPATIAL_CROPS} crops x {clips} clips, "
        f"{cfg.DATA.ENSEMBLE_METHOD} of {test.ENSEMBLE_SPACE}, batch {test.BATCH_SIZE}"
    )
    if not cfg.TRAIN.ENABLE:
        say_header(cfg, model, {"test": data}, weights, schedule)


def say_header(
    cfg: Any, model: nn.Module, data: Mapping[str, Dataset], weights: str, schedule: str
) -> None:
    """Say on the first rank what a run is about to do, one line for each of five things.

    Args:
        cfg: reads the sections that say so.
        model: without DistributedDataParallel.
        data: the data sets in use, by split.
        weights: which weights the model has now, in words.
        schedule: what will be done with them, in words.
    """
    if not du.is_root_proc():
        return
    lines = {
        "data": describe_data(cfg, model, data),
        "model": describe_model_line(cfg, model, weights),
        "schedule": schedule,
        "device": describe_device(cfg, next(model.parameters()).device),
        "output": f"{cfg.OUTPUT_DIR} (everything that is logged: stdout.log)",
    }
    for name, line in lines.items():
        say(f"{name + ':':<10}{line}")


def describe_data(cfg: Any, model: nn.Module, data: Mapping[str, Dataset]) -> str:
    """Return the list and the number of videos of each data set, and the classes."""
    parts = []
    for split, dataset in data.items():
        listed = len(video_paths(dataset))
        name = list_path(cfg, split) if listed else type(dataset).__name__
        size = f"{listed} videos" if listed else f"{getattr(dataset, 'num_videos', '?')} clips"
        parts.append(f"{split} {name} ({size})")
    names = class_names(cfg, model)
    source = cfg.TEXT.SUBSET or cfg.TEXT.CLASSES or cfg.TENSORBOARD.CLASS_NAMES_PATH
    of = f" of {source}" if names and source else ""
    return f"{', '.join(parts)}; {len(names) or cfg.MODEL.NUM_CLASSES} classes{of}"


def describe_model_line(cfg: Any, model: nn.Module, weights: str) -> str:
    """Return name, encoder, head, towers, weights, and how many parameters are trained."""
    parts = describe_parts(cfg, model)
    named = [f"{side} {parts[side]}" for side in ("encoder", "head") if parts[side]]
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return ", ".join(
        [
            cfg.MODEL.MODEL_NAME,
            *named,
            parts["arch"],
            f"weights {weights}",
            f"{trained / 1e6:.2f} of {params_count(model) / 1e6:.2f} million parameters trained",
        ]
    )


def describe_device(cfg: Any, device: torch.device) -> str:
    """Return the device, the number of processes, and the precision of training and tests."""
    name = f" {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    world = du.get_world_size()
    processes = f"{world} process{'' if world == 1 else 'es'}"
    precision = "float32"
    if cfg.TRAIN.ENABLE and cfg.TRAIN.MIXED_PRECISION:
        precision = f"{cfg.TRAIN.AMP_DTYPE} autocast in training, float32 in tests"
    return f"{device}{name}, {processes}, {precision}"
