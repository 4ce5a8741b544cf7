"""Which weights are tested, the original CLIP's share in them, and the line that says so."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from slowfast.checkpoint.averaging import kept_buffers, mix
from slowfast.checkpoint.checkpointer import Checkpointer
from slowfast.checkpoint.load import LoadReport, load_weights
from slowfast.checkpoint.sources import digest_of_file
from slowfast.config.derive import view_counts
from slowfast.engine.setup import class_names
from slowfast.errors import UsageError
from slowfast.utils import distributed as du
from slowfast.utils.logging import get_logger
from slowfast.utils.patterns import matches

logger = get_logger(__name__)


@dataclass(frozen=True)
class LoadedWeights:
    """What a test has loaded; as text its ``source``.

    Args:
        source: file or tag, with the original CLIP's share, or "random".
        notes: where that was named, its epoch and format, and what was mixed, in words.
        report: of the file, if there is one.
        share: of the original CLIP, mixed in here or in the file.
    """

    source: str
    notes: tuple[str, ...]
    report: LoadReport | None = None
    share: float = 0.0

    def __str__(self) -> str:
        return self.source

    def facts(self) -> dict[str, Any]:
        """Return what ``results.json`` holds of them."""
        file = self.report.path if self.report else self.source
        return {
            "weights": self.source,
            "weights_format": self.report.kind if self.report else "",
            "weights_epoch": self.report.epoch if self.report else None,
            "weights_digest": digest_of_file(file),
            "clip_ratio": self.share,
        }


def load_test_weights(cfg: Any, model: nn.Module) -> LoadedWeights:
    """Load what is tested into ``model`` and say what it is.

    In this order: TEST.CHECKPOINT_FILE_PATH, the newest checkpoint of OUTPUT_DIR,
    TRAIN.CHECKPOINT_FILE_PATH, and what the model was built with if that is a pretrained CLIP and
    nothing else.
    With TEST.CLIP_RATIO r CLIP becomes what ``mix`` makes of what the model was just built with,
    the original, and what is loaded (Open-VCLIP's patching; OST uses 0.2). What an encoder adds to
    CLIP's modules has no original and stays as loaded.

    Raises:
        UsageError: there are no weights, they do not fit, a ratio without an original, without
            tuned weights or of weights that have a share already; ``check_factors``.
    """
    check_factors(cfg, model)
    ratio, pretrained = cfg.TEST.CLIP_RATIO, cfg.CLIP.PRETRAINED
    original = {name: value.clone() for name, value in _clip_state(model).items()} if ratio else {}
    found = _load(cfg, model)
    if found is None:
        return _untrained(cfg, model)
    report, where = found
    notes = [where, f"{report.kind} format"]
    if report.epoch is not None:
        notes.insert(1, f"epoch {report.epoch}")
    tuned = _clip_state(model)
    if ratio and report.share:
        raise UsageError(
            f"TEST.CLIP_RATIO is {ratio:g}, but {report.path} is a mix that has {report.share:g} "
            "of the original CLIP in it: set it to 0, or name the tuned weights themselves"
        )
    if not ratio:
        share = f"CLIP share {report.share:g}{' of the file' * bool(report.share)}"
        notes += [share] * bool(tuned)
        return LoadedWeights(report.path, tuple(notes), report, report.share)
    mixed = mix(original=original, finetuned=tuned, ratio_original=ratio)
    kept = len(kept_buffers(original, tuned))
    for name, value in tuned.items():
        value.copy_(mixed[name])
    source = f"{report.path} x {1 - ratio:g} + {pretrained} x {ratio:g}"
    share = f"CLIP share {ratio:g} of {len(tuned) - kept} parameters, {kept} buffers are CLIP's"
    return LoadedWeights(source, (*notes, share), report, ratio)


def check_factors(cfg: Any, model: nn.Module) -> None:
    """Refuse options of the test that the model has no use for; a training asks before it begins.

    Raises:
        UsageError: TEST.CLIP_RATIO without an original CLIP, or TEST.LOGIT_SCALE without cosines.
    """
    name, ratio, scale = type(model).__name__, cfg.TEST.CLIP_RATIO, cfg.TEST.LOGIT_SCALE
    if ratio > 0 and not cfg.CLIP.PRETRAINED:
        raise UsageError(
            f"TEST.CLIP_RATIO is {ratio:g}, but CLIP.PRETRAINED is empty: there is "
            "no original CLIP to mix in; name its weights, or set the ratio to 0"
        )
    if ratio > 0 and not _clip_state(model):
        raise UsageError(
            f"TEST.CLIP_RATIO is {ratio:g}, but {name} has no CLIP to mix: set it to 0"
        )
    if scale and not hasattr(model, "eval_scale"):
        raise UsageError(
            f"TEST.LOGIT_SCALE is {scale:g}, a factor of cosines, but the scores of {name} are "
            "none: set it to 0"
        )


def _load(cfg: Any, model: nn.Module) -> tuple[LoadReport, str] | None:
    """Load the first file that there is; return its report and what named it."""
    test, train = cfg.TEST, cfg.TRAIN
    strict, allow_nan = not test.ALLOW_MISSING_KEYS, test.ALLOW_NAN_WEIGHTS
    pretrained = bool(cfg.CLIP.PRETRAINED)
    if path := test.CHECKPOINT_FILE_PATH:
        report = load_weights(
            model,
            path,
            kind=test.CHECKPOINT_TYPE,
            strict=strict,
            pretrained=pretrained,
            allow_nan=allow_nan,
        )
        return report, "TEST.CHECKPOINT_FILE_PATH"
    if (newest := Checkpointer(cfg.OUTPUT_DIR, task=cfg.TASK).latest()) is not None:
        report = load_weights(model, newest, strict=strict, allow_nan=allow_nan)
        return report, "the newest of OUTPUT_DIR"
    if train.CHECKPOINT_FILE_PATH:
        report = load_starting_weights(cfg, model, strict=strict, allow_nan=allow_nan)
        return report, "TRAIN.CHECKPOINT_FILE_PATH, not trained further"
    return None


def load_starting_weights(
    cfg: Any, model: nn.Module, *, strict: bool = True, allow_nan: bool = False
) -> LoadReport:
    """Load TRAIN.CHECKPOINT_FILE_PATH: weights only, never an optimizer or an epoch."""
    train = cfg.TRAIN
    return load_weights(
        model,
        train.CHECKPOINT_FILE_PATH,
        kind=train.CHECKPOINT_TYPE,
        strict=strict,
        pretrained=bool(cfg.CLIP.PRETRAINED),
        clear_name_patterns=train.CHECKPOINT_CLEAR_NAME_PATTERN,
        inflate=train.CHECKPOINT_INFLATE,
        allow_nan=allow_nan,
    )


def _untrained(cfg: Any, model: nn.Module) -> LoadedWeights:
    pretrained, ratio = cfg.CLIP.PRETRAINED, cfg.TEST.CLIP_RATIO
    new = _not_of_clip(model)
    nothing = (
        f"no checkpoint in {cfg.OUTPUT_DIR}, and TEST.CHECKPOINT_FILE_PATH, "
        "TRAIN.CHECKPOINT_FILE_PATH"
    )
    if ratio > 0:
        raise UsageError(
            f"TEST.CLIP_RATIO is {ratio:g}, but there are no tuned weights to mix with "
            f"{pretrained}: {nothing} are empty; name them, or test the original CLIP as it is "
            "with TEST.CLIP_RATIO 0"
        )
    if pretrained and not new:
        return LoadedWeights(str(pretrained), ("CLIP.PRETRAINED, tuned on no video",))
    if not cfg.TEST.ALLOW_RANDOM_WEIGHTS:
        empty = "are" if pretrained else "and CLIP.PRETRAINED are"
        random = (
            f", and CLIP.PRETRAINED {pretrained} leaves {', '.join(new[:2])}"
            f"{f' and {len(new) - 2} more' * (len(new) > 2)} random"
        )
        raise UsageError(
            f"no weights to test: {nothing} {empty} empty{random * bool(pretrained)}; "
            "name one, or test random weights with TEST.ALLOW_RANDOM_WEIGHTS True"
        )
    return LoadedWeights("random", ("TEST.ALLOW_RANDOM_WEIGHTS: the figures mean nothing",))


def say_what_is_tested(cfg: Any, model: nn.Module, weights: LoadedWeights) -> None:
    """Log, and write to standard error on the first rank, what labels the videos: one line."""
    if not du.is_root_proc():
        return
    line = describe_tested(cfg, model, weights)
    logger.info(line)
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def describe_tested(cfg: Any, model: nn.Module, weights: LoadedWeights) -> str:
    """Return model, weights, classes, descriptors, frames and views, device, precision."""
    head = getattr(model, "head", None)
    count = len(class_names(cfg, model)) or cfg.MODEL.NUM_CLASSES
    classes = cfg.TEXT.SUBSET or cfg.TEXT.CLASSES or "MODEL.NUM_CLASSES"
    kinds = [kind for kind in getattr(head, "banks", {}) if kind.upper() in cfg.TEXT]
    texts = [f"{kind} {cfg.TEXT[kind.upper()]}" for kind in kinds]
    clips = ", ".join(map(str, view_counts(cfg)))
    device, precision = placement(model)
    parts = (
        f"{cfg.MODEL.MODEL_NAME}, weights {weights} ({', '.join(weights.notes)})",
        f"{count} classes of {classes}",
        f"descriptors {' and '.join(texts) or 'none'}",
        f"{cfg.DATA.NUM_FRAMES} frames x {clips} clips x {cfg.TEST.NUM_SPATIAL_CROPS} crops",
        f"{device}, {precision}",
    )
    return "testing " + "; ".join(parts)


def placement(model: nn.Module) -> tuple[str, str]:
    """Return the device and the type of number that a model computes with.

    >>> placement(nn.Linear(1, 1).half())
    ('cpu', 'float16')
    """
    first = next(model.parameters())
    return str(first.device), str(first.dtype).removeprefix("torch.")


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
