"""Every file that a protocol's steps will read, opened and joined before the first of them runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from slowfast.checkpoint.sources import read_adapted
from slowfast.config import load_cfg
from slowfast.datasets.build import build_dataset
from slowfast.errors import DataError, UsageError
from slowfast.models.build import MODEL_REGISTRY
from slowfast.models.heads.build import HEAD_REGISTRY
from slowfast.models.heads.texts import check_texts
from slowfast.studies.protocol_request import Step


def check_files(steps: Sequence[Step]) -> None:
    """Read classes, descriptors, lists and given weights of all steps, as the steps will.

    Weights that a step makes are not there yet; CLIP's own are opened by the first step, before it
    trains.

    Raises:
        UsageError, DataError: something is missing or does not fit; names the step.
    """
    weights = cache(read_adapted)
    made = [Path(step.output) for step in steps]
    for step in steps:
        cfg = load_cfg(step.config, step.opts, env={})
        try:
            _check_texts(cfg, step)
            for phase, splits in (("TRAIN", ("train", "val")), ("TEST", ("test",))):
                for split in splits if cfg[phase].ENABLE else ():
                    build_dataset(cfg[phase].DATASET, cfg, split)
            for phase in ("TRAIN", "TEST"):
                path = cfg[phase].CHECKPOINT_FILE_PATH
                if path and not any(Path(path).is_relative_to(folder) for folder in made):
                    weights(path)
        except (UsageError, DataError) as error:
            kind = UsageError if isinstance(error, UsageError) else DataError
            raise kind(f"step {step.title!r} would fail: {error}") from error


def _check_texts(cfg: Any, step: Step) -> None:
    model = MODEL_REGISTRY.get(cfg.MODEL.MODEL_NAME)
    name = cfg.MODEL.HEAD_NAME or getattr(model, "head_name", "")
    reads = check_texts(cfg, HEAD_REGISTRY.get(name) if name else None)
    if not reads and {"TEXT.SPATIAL", "TEXT.TEMPORAL"} & set(step.settings):
        raise UsageError(
            f"{cfg.MODEL.MODEL_NAME} reads no descriptors: leave --descriptors and OST.N out"
        )
