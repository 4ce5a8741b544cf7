"""What the heads share that are trained against the labels of the global batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from slowfast.errors import UsageError
from slowfast.utils.distributed import gather_local_grad, gather_with_grad

GatherGradient = Literal["sum", "local"]
_GATHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": gather_with_grad,
    "local": gather_local_grad,
}


def get_gather(gradient: str) -> Callable[[Tensor], Tensor]:
    """Return the function that concatenates features over processes.

    "sum" gives, after DistributedDataParallel's averaging, the true gradient of the global loss;
    "local" (parity: OST's released gather) 1/W of it, except for the logit scale.
    """
    if gradient not in _GATHERS:
        raise UsageError(f"OST.GATHER_GRADIENT {gradient!r}: choose from {sorted(_GATHERS)}")
    return _GATHERS[gradient]


def check_hard_labels(labels: Tensor) -> Tensor:
    """Return int64 labels B; raises UsageError for mixed or smoothed ones (B x K)."""
    if labels.is_floating_point() or labels.ndim != 1:
        raise UsageError(
            "the contrastive objective picks texts by class label, but the labels are mixed or "
            "smoothed: switch MIXUP.ENABLE and label smoothing off, or use another MODEL.LOSS_FUNC"
        )
    return labels
