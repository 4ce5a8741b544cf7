"""Features of all processes, for heads that are trained against the labels of the global batch."""

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
