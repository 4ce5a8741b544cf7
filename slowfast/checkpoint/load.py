"""Put weights from a file into a model: strictly, and with a report of every key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from slowfast.checkpoint.adapters import ADAPTERS, adapt
from slowfast.checkpoint.adapters.rules import Adapted, strip_wrappers
from slowfast.checkpoint.reader import Checkpoint, read_checkpoint
from slowfast.errors import UsageError
from slowfast.utils.logging import get_logger
from slowfast.utils.patterns import matches, nearest

logger = get_logger(__name__)

MIN_SHARE = 0.5  # of the model's tensors, below which a lenient load is refused as well
# A batch norm's count of batches, which some exports leave out. As in torch, its absence does no
# harm: it is read only by norms without a momentum.
COUNTERS = ("*.num_batches_tracked",)


class Misfit(NamedTuple):
    """A key whose tensor has another shape in the file than in the model."""

    key: str
    in_file: tuple[int, ...]
    in_model: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.key} is {self.in_file} in the file and {self.in_model} in the model"


@dataclass
class LoadReport:
    """What became of every key; ``renamed`` maps the file's names to ours.

    ``kept``: absent from this kind of file by design, so that the model's pretrained value stays,
    and batch counts of batch norms that the file left out.
    ``surplus``: the model has no such key. ``inflated``: repeated along time to fit.
    ``converted``: how many tensors were of another floating-point type than the model has, by type.
    ``epoch``: how many were completed, where the file says it. ``share``: how much of the original
    CLIP ``ost average`` has mixed into the file.
    """

    path: str
    kind: str
    matched: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)
    misfit: list[Misfit] = field(default_factory=list)
    inflated: list[str] = field(default_factory=list)
    epoch: int | None = None
    share: float = 0.0
    converted: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Return whether file and model fit each other."""
        return not (self.missing or self.surplus or self.misfit)

    def __str__(self) -> str:
        counts = [f"{len(self.matched)} matched", f"{len(self.renamed)} renamed"]
        for name in ("dropped", "kept", "inflated", "missing", "surplus", "misfit"):
            if keys := getattr(self, name):
                counts.append(f"{len(keys)} {name} ({_some(keys)})")
        counts += [f"{count} converted from {name}" for name, count in self.converted.items()]
        return f"{self.kind} weights of {self.path}: {', '.join(counts)}"


def load_weights(
    model: nn.Module,
    path: str | Path,
    *,
    kind: str = "auto",
    strict: bool = True,
    pretrained: bool = False,
    clear_name_patterns: Sequence[str] = (),
    inflate: bool = False,
    allow_nan: bool = False,
) -> LoadReport:
    """Load a file of any known system into ``model``, which may be wrapped (DDP, compile).

    Nothing but weights is taken: no epoch, no optimizer (PySlowFast's CHECKPOINT_EPOCH_RESET is
    what always happens here). Other floating-point types become the model's.

    Args:
        model: keys ``clip.*``, ``encoder.*``, ``head.*``, or any model of PySlowFast's kind.
        path: the file.
        kind: the system that wrote it; "auto" tells it from the keys.
        strict: refuse missing, surplus and misfit keys, and weights that bear the mark of a
            setting that no part of the model names in its ``marks``; otherwise they are warned of,
            and what does not fit keeps the model's values.
        pretrained: the model's CLIP already holds pretrained weights of the same arch, so that it
            may keep what this kind of file never holds (ViFi-CLIP's token embedding, Text4Vis's
            text tower).
        clear_name_patterns: substrings to remove from the file's keys.
        inflate: repeat 2-D convolution weights along time where the model's are 3-D.
        allow_nan: take NaN and infinities, too.

    Raises:
        UsageError: unreadable file; keys, shapes, types, values or marks of a setting do not fit;
            fewer than half of the model's tensors found although not strict.
    """
    checkpoint = read_checkpoint(path)
    adapted = adapt(clear_names(checkpoint.state, clear_name_patterns), kind)
    _check_marks(path, adapted, model, strict=strict)
    own = {
        strip_wrappers(key): value
        for key, value in model.state_dict().items()
        if isinstance(value, Tensor)
    }
    report = _begin_report(path, checkpoint, adapted, own)
    fitting = _compare(adapted, own, report, inflate)
    spared = (*COUNTERS, *(adapted.absent if pretrained else ()))
    report.kept = [key for key in report.missing if matches(key, spared)]
    report.missing = [key for key in report.missing if key not in report.kept]
    if strict:
        _refuse_unfit(report, adapted.absent)
    elif len(report.matched) < MIN_SHARE * len(own):
        raise UsageError(
            f"{path}: only {len(report.matched)} of the model's {len(own)} tensors are in it "
            f"({report}); these are weights of another model"
        )
    check_values(path, fitting, own, allow_nan=allow_nan)
    with torch.no_grad():
        for key, tensor in fitting.items():
            own[key].copy_(tensor)
    (logger.info if report.clean else logger.warning)(str(report))
    return report


def check_values(
    path: str | Path,
    state: Mapping[str, Tensor],
    own: Mapping[str, Any],
    *,
    allow_nan: bool = False,
) -> None:
    """Refuse what cannot be weights: other than floating-point types, NaN and infinities.

    Args:
        path: where ``state`` is from, for messages.
        state: tensors under the model's keys; what the model has not is not looked at.
        own: the model's, which say where floating-point numbers belong, and infinities (masks).
        allow_nan: do not refuse NaN and infinities.

    Raises:
        UsageError: names the first such key, and what kind of file it looks like.
    """
    wanted = {k: v for k, v in own.items() if isinstance(v, Tensor) and v.is_floating_point()}
    given = {key: tensor for key, tensor in state.items() if key in wanted}
    alien = [key for key, tensor in given.items() if not tensor.is_floating_point()]
    if alien:
        dtype = given[alien[0]].dtype
        raise UsageError(
            f"{path}: {alien[0]} is {_name(dtype)}{_others(alien)}, expected floating-point "
            f"weights: this looks like {_kind_of(dtype)}"
        )
    if allow_nan:
        return
    broken = [
        key
        for key, tensor in given.items()
        if not tensor.to(wanted[key].dtype).isfinite().all() and wanted[key].isfinite().all()
    ]
    if broken:
        raise UsageError(
            f"{path}: {broken[0]} holds NaN or infinite values{_others(broken)}: a training that "
            "diverged, or a damaged file; take an earlier checkpoint (TEST.ALLOW_NAN_WEIGHTS True "
            "tests it all the same)"
        )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _others(keys: Sequence[str]) -> str:
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""


def _kind_of(dtype: torch.dtype) -> str:
    if dtype.is_complex:
        return "a network of complex numbers, which is none of ours"
    if dtype is torch.bool:
        return "masks of a pruned model; apply them, and save the weights"
    return "a quantised model; name the file that it was quantised from"


def clear_names(state: Mapping[str, Tensor], patterns: Sequence[str]) -> dict[str, Tensor]:
    """Remove every occurrence of each pattern from the keys (CHECKPOINT_CLEAR_NAME_PATTERN).

    Raises:
        UsageError: a pattern occurs in no key, or two keys become one.

    >>> list(clear_names({"backbone.conv.weight": torch.ones(1)}, ["backbone."]))
    ['conv.weight']
    """
    for pattern in patterns:
        if not any(pattern in key for key in state):
            raise UsageError(
                f"CHECKPOINT_CLEAR_NAME_PATTERN {pattern!r} occurs in no key of the file; "
                f"nearest: {nearest(pattern, list(state))}"
            )
    result: dict[str, Tensor] = {}
    for key, tensor in state.items():
        new = key
        for pattern in patterns:
            new = new.replace(pattern, "")
        if new in result:
            raise UsageError(f"CHECKPOINT_CLEAR_NAME_PATTERN {list(patterns)} makes two keys {new}")
        result[new] = tensor
    return result


def inflate_weight(weight: Tensor, frames: int) -> Tensor:
    """Return a 2-D convolution weight (O, I, H, W) as 3-D (O, I, T, H, W), of the same response.

    A video of ``frames`` equal images gets what one image got (CHECKPOINT_INFLATE).
    """
    return weight.unsqueeze(2).expand(-1, -1, frames, -1, -1) / frames


def _begin_report(
    path: str | Path, checkpoint: Checkpoint, adapted: Adapted, own: Mapping[str, Tensor]
) -> LoadReport:
    """Return what is known of a file before its keys are compared with the model's."""
    known = {tensor.dtype for tensor in own.values()}
    types = (tensor.dtype for tensor in checkpoint.state.values() if tensor.is_floating_point())
    last, made_from = checkpoint.extra.get("epoch"), checkpoint.extra.get("made_from")
    record = made_from if isinstance(made_from, Mapping) else {}
    return LoadReport(
        str(path),
        adapted.kind,
        renamed=adapted.renamed,
        dropped=adapted.dropped,
        epoch=last + 1 if isinstance(last, int) else None,
        share=float(record.get("ratio_original", 0.0)),
        converted=Counter(_name(dtype) for dtype in types if dtype not in known),
    )


def _compare(
    adapted: Adapted, own: Mapping[str, Tensor], report: LoadReport, inflate: bool
) -> dict[str, Tensor]:
    """Sort all keys into ``report`` and return the tensors that fit."""
    fitting = {}
    for key, target in own.items():
        if key not in adapted.state:
            report.missing.append(key)
            continue
        given = adapted.state[key]
        if given.numel() == target.numel() == 1:
            given = given.reshape(target.shape)  # a number, as a scalar or as a vector of one
        tensor = given
        if inflate and given.dim() == 4 and target.dim() == 5:
            tensor = inflate_weight(given, target.shape[2])
        if tensor.shape != target.shape:
            report.misfit.append(Misfit(key, tuple(given.shape), tuple(target.shape)))
            continue
        if tensor is not given:
            report.inflated.append(key)
        fitting[key] = tensor
        report.matched.append(key)
    report.surplus = [key for key in adapted.state if key not in own]
    return fitting


def _refuse_unfit(report: LoadReport, absent: Sequence[str]) -> None:
    if report.clean:
        return
    start = f"{report.path}: weights of another arch or system"
    missing = [key for key in report.missing if not matches(key, absent)]
    if report.missing and not (missing or report.misfit or report.surplus):
        raise UsageError(
            f"{report.path}: {report.kind} files hold no {_some(report.missing)}; set "
            "CLIP.PRETRAINED to the original CLIP of the same arch, which supplies it"
        )
    if report.misfit:
        deciding = [_deciding_options([misfit.key], "sizes") for misfit in report.misfit]
        option = deciding[0][0] if all(deciding) else "CLIP.ARCH"
        raise UsageError(f"{start}: {_some(report.misfit)}; choose the {option} they belong to")
    parts = []
    if missing:
        parts.append(f"{len(missing)} keys of the model are missing ({_some(missing)})")
    if report.surplus:
        parts.append(f"{len(report.surplus)} keys are not the model's ({_some(report.surplus)})")
    if options := _deciding_options([*missing, *report.surplus]):
        parts.append(f"set {', '.join(options)} as for the weights")
    raise UsageError(f"{start} (read as {report.kind}): {'; '.join(parts)}")


def _check_marks(path: str | Path, adapted: Adapted, model: nn.Module, *, strict: bool) -> None:
    """Refuse (or warn of) weights that were trained with a setting which the model has not."""
    own = {mark for part in model.modules() for mark in getattr(part, "marks", ())}
    if not (foreign := [mark for mark in adapted.marks if mark not in own]):
        return
    message = f"{path}: these weights were trained with {', '.join(foreign)}; set it for the model"
    if strict:
        raise UsageError(message)
    logger.warning(message)


def _deciding_options(
    keys: Sequence[str], what: Literal["options", "sizes"] = "options"
) -> list[str]:
    """Return the options that decide whether a model has one of these keys, or their shapes."""
    table = [pair for adapter in ADAPTERS.values() for pair in getattr(adapter, what)]
    found = [option for pattern, option in table if any(matches(k, [pattern]) for k in keys)]
    return list(dict.fromkeys(found))


def _some(items: Sequence[object] | Mapping[str, str], count: int = 3) -> str:
    shown = "; " if items and isinstance(next(iter(items)), Misfit) else ", "
    text = shown.join(str(item) for item in list(items)[:count])
    return text + (f", ... {len(items) - count} more" if len(items) > count else "")
