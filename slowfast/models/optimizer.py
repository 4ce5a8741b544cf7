"""PySlowFast's names for what lives in ``slowfast.solver``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from slowfast.solver.optimizer import construct_optimizer, grad_norm, set_lr
from slowfast.solver.schedule import get_lr_at_epoch

__all__ = ["construct_optimizer", "get_epoch_lr", "get_grad_norm_", "set_lr"]


def get_epoch_lr(cur_epoch: float, cfg: Any) -> float:
    """Return the learning rate of ``cfg`` at the real-valued epoch."""
    return get_lr_at_epoch(cfg, cur_epoch)


def get_grad_norm_(parameters: Iterable[nn.Parameter], norm_type: float = 2.0) -> Tensor:
    """Return the norm of all gradients together as a scalar tensor."""
    return grad_norm(parameters, norm_type)
