"""Averages of weights: original and fine-tuned CLIP, epochs of one run.

Sums are taken in float64 and cast back to each tensor's type. Sources: weight-space ensembling of
OST (section 3.5, after MAXI) and Open-VCLIP; stochastic weight averaging.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from slowfast.errors import UsageError
from slowfast.utils.logging import get_logger

logger = get_logger(__name__)

State = Mapping[str, Tensor]
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of batch norms


def mix(
    *,
    original: State,
    finetuned: State,
    ratio_original: float,
    only_original: Literal["refuse", "keep"] = "refuse",
    only_finetuned: Literal["refuse", "keep"] = "refuse",
) -> dict[str, Tensor]:
    """Return ratio x original + (1 - ratio) x fine-tuned of every parameter.

    OST tests zero-shot with ``ratio_original`` 0.2: one fifth original CLIP, four fifths tuned.
    Buffers, which are batch norms' statistics and whatever is not floating-point, are the
    original's, as the published code has it; with a ratio of 0 everything is the fine-tuned side's.

    Args:
        original: weights before fine-tuning.
        finetuned: weights after it; their types are the result's.
        ratio_original: weight of ``original``, within 0..1.
        only_original: keys that the fine-tuned side lacks: refused, or kept as they are.
        only_finetuned: keys that the original lacks (adapters, heads): the same.

    Raises:
        UsageError: ratio outside 0..1; keys or shapes differ; named.

    >>> one, two = {"w": torch.tensor([0.0])}, {"w": torch.tensor([1.0])}
    >>> round(mix(original=one, finetuned=two, ratio_original=0.2)["w"].item(), 6)
    0.8
    """
    if not 0 <= ratio_original <= 1:
        raise UsageError(f"ratio {ratio_original}: expected 0 (all fine-tuned) to 1 (all original)")
    sides = ((only_original, original, finetuned), (only_finetuned, finetuned, original))
    names = ("original", "fine-tuned")
    alone: dict[str, Tensor] = {}
    for (policy, side, other), name in zip(sides, names, strict=True):
        extra = [key for key in side if key not in other]
        if extra and policy == "refuse":
            raise UsageError(
                f"{len(extra)} keys are only in the {name} weights: {_some(extra)}; "
                f"--only-{name.replace('-', '')} keep takes them over as they are"
            )
        alone.update((key, side[key]) for key in extra)
    common = [key for key in finetuned if key in original]
    pair = [{key: side[key] for key in common} for side in (original, finetuned)]
    if ratio_original > 0:
        buffers = kept_buffers(original, finetuned)
        logger.info(
            f"{len(common) - len(buffers)} parameters are mixed, {len(buffers)} buffers "
            f"({_some(buffers)}) keep the original's values"
        )
        pair[1].update((key, original[key].to(finetuned[key].dtype)) for key in buffers)
    mixed = average(pair, [ratio_original, 1 - ratio_original])
    return {key: mixed[key] if key in mixed else alone[key] for key in (*finetuned, *alone)}


def kept_buffers(original: State, finetuned: State) -> list[str]:
    """Return the keys of both sides that ``mix`` takes from the original: no parameters."""
    return [
        key
        for key, tensor in finetuned.items()
        if key in original and (key.endswith(STATISTICS) or not tensor.is_floating_point())
    ]


def average(states: Iterable[State], weights: Sequence[float]) -> dict[str, Tensor]:
    """Return the weighted sum of ``states``, which are taken one at a time.

    The types are the last state's; so are integer and bool tensors, with a note where they differ.

    Args:
        states: as many as ``weights``, all with the same keys and shapes.
        weights: usually sum to 1.

    Raises:
        UsageError: keys or shapes differ, or a tensor holds NaN or infinity; named.
    """
    sums: dict[str, Tensor] = {}
    last: dict[str, Tensor] = {}
    differing: list[str] = []
    for position, (state, weight) in enumerate(zip(states, weights, strict=True), start=1):
        if last:
            _check_same(last, state, position)
        for key, tensor in state.items():
            if not tensor.is_floating_point():
                if last and key not in differing and not torch.equal(last[key], tensor):
                    differing.append(key)
                continue
            if not tensor.isfinite().all():
                raise UsageError(f"{key} of source {position} holds NaN or infinite values")
            part = tensor.detach().double() * weight
            sums[key] = sums[key].add_(part) if key in sums else part
        last = dict(state)
    if differing:
        logger.warning(
            f"{len(differing)} tensors that are not floating-point differ and are taken from the "
            f"last source: {_some(differing)}"
        )
    return {key: sums[key].to(t.dtype) if key in sums else t.clone() for key, t in last.items()}


def _check_same(first: State, state: State, position: int) -> None:
    if first.keys() != state.keys():
        missing = [key for key in first if key not in state]
        surplus = [key for key in state if key not in first]
        raise UsageError(
            f"source {position} does not match those before: {len(missing)} keys missing "
            f"({_some(missing)}), {len(surplus)} surplus ({_some(surplus)})"
        )
    for key, tensor in state.items():
        if tensor.shape != first[key].shape:
            raise UsageError(
                f"{key} of source {position} is {tuple(tensor.shape)}, before it was "
                f"{tuple(first[key].shape)}: weights of another arch"
            )


def _some(keys: Sequence[str]) -> str:
    return (", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")) or "none"
