"""Which weights are tested, and the original CLIP's share in them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from slowfast.checkpoint.averaging import mix
from slowfast.checkpoint.checkpointer import Checkpointer
from slowfast.checkpoint.load import load_weights
from slowfast.errors import UsageError
from slowfast.utils.logging import get_logger
from slowfast.utils.patterns import matches

logger = get_logger(__name__)


def load_test_weights(cfg: Any, model: nn.Module) -> str:
    """Load what is tested into ``model`` and return its description.

    In this order: TEST.CHECKPOINT_FILE_PATH, the newest checkpoint of OUTPUT_DIR,
    TRAIN.CHECKPOINT_FILE_PATH, and what the model was built with if that is a pretrained CLIP and
    nothing else.
    With TEST.CLIP_RATIO r CLIP becomes what ``mix`` makes of what the model was just built with,
    the original, and what is loaded (Open-VCLIP's patching; OST uses 0.2). What an encoder adds to
    CLIP's modules has no original and stays as loaded.

    Raises:
        UsageError: there are no weights, they do not fit, or a ratio without CLIP.PRETRAINED.
    """
    check_ratio(cfg)
    ratio, pretrained = cfg.TEST.CLIP_RATIO, cfg.CLIP.PRETRAINED
    original = {name: value.clone() for name, value in _clip_state(model).items()} if ratio else {}
    source = _load(cfg, model)
    if source is None:
        return _untrained(cfg, model)
    if ratio > 0:
        tuned = _clip_state(model)
        mixed = mix(original=original, finetuned=tuned, ratio_original=ratio)
        for name, value in tuned.items():
            value.copy_(mixed[name])
        source = f"{source} x {1 - ratio:g} + {pretrained} x {ratio:g}"
    logger.info(f"testing the weights of {source}")
    return source


def check_ratio(cfg: Any) -> None:
    """Refuse TEST.CLIP_RATIO without an original CLIP; a training that tests later asks first."""
    if cfg.TEST.CLIP_RATIO > 0 and not cfg.CLIP.PRETRAINED:
        raise UsageError(
            f"TEST.CLIP_RATIO is {cfg.TEST.CLIP_RATIO:g}, but CLIP.PRETRAINED is empty: there is "
            "no original CLIP to mix in; name its weights, or set the ratio to 0"
        )


def _load(cfg: Any, model: nn.Module) -> str | None:
    test, train = cfg.TEST, cfg.TRAIN
    strict = not test.ALLOW_MISSING_KEYS
    pretrained = bool(cfg.CLIP.PRETRAINED)
    if test.CHECKPOINT_FILE_PATH:
        path, kind = test.CHECKPOINT_FILE_PATH, test.CHECKPOINT_TYPE
        load_weights(model, path, kind=kind, strict=strict, pretrained=pretrained)
        return path
    if (newest := Checkpointer(cfg.OUTPUT_DIR, task=cfg.TASK).latest()) is not None:
        load_weights(model, newest, strict=strict)
        return str(newest)
    if train.CHECKPOINT_FILE_PATH:
        load_starting_weights(cfg, model, strict=strict)
        return train.CHECKPOINT_FILE_PATH
    return None


def load_starting_weights(cfg: Any, model: nn.Module, *, strict: bool = True) -> None:
    """Load TRAIN.CHECKPOINT_FILE_PATH: weights only, never an optimizer or an epoch."""
    train = cfg.TRAIN
    load_weights(
        model,
        train.CHECKPOINT_FILE_PATH,
        kind=train.CHECKPOINT_TYPE,
        strict=strict,
        pretrained=bool(cfg.CLIP.PRETRAINED),
        clear_name_patterns=train.CHECKPOINT_CLEAR_NAME_PATTERN,
        inflate=train.CHECKPOINT_INFLATE,
    )


def _untrained(cfg: Any, model: nn.Module) -> str:
    pretrained = cfg.CLIP.PRETRAINED
    new = _not_of_clip(model)
    if pretrained and not new:
        logger.info(f"testing {pretrained} without further training")
        return str(pretrained)
    if not cfg.TEST.ALLOW_RANDOM_WEIGHTS:
        empty = "TEST.CHECKPOINT_FILE_PATH, TRAIN.CHECKPOINT_FILE_PATH"
        empty = f"{empty} are" if pretrained else f"{empty} and CLIP.PRETRAINED are"
        random = (
            f", and CLIP.PRETRAINED {pretrained} leaves {', '.join(new[:2])}"
            f"{f' and {len(new) - 2} more' * (len(new) > 2)} random"
        )
        raise UsageError(
            f"no weights to test: no checkpoint in {cfg.OUTPUT_DIR}, and {empty} empty"
            f"{random * bool(pretrained)}; "
            "name one, or test random weights with TEST.ALLOW_RANDOM_WEIGHTS True"
        )
    logger.warning("testing RANDOM weights (TEST.ALLOW_RANDOM_WEIGHTS): the figures mean nothing")
    return "random"


def _not_of_clip(model: nn.Module) -> list[str]:
    """Return the parameters in use that a CLIP file does not have: encoder's, head's, additions."""
    encoder = getattr(model, "encoder", None)
    added, unused = (getattr(encoder, part, ()) for part in ("added", "frozen"))
    return [
        name
        for name, _ in model.named_parameters()
        if (not name.startswith("clip.") or matches(name, added)) and not matches(name, unused)
    ]


def _clip_state(model: nn.Module) -> dict[str, Tensor]:
    """Return CLIP's own parameters and buffers, without what an encoder adds; they are live."""
    added = getattr(getattr(model, "encoder", None), "added", ())
    return {
        name: value
        for name, value in model.state_dict().items()
        if name.startswith("clip.") and not matches(name, added) and isinstance(value, Tensor)
    }
