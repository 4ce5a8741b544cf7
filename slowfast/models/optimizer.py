"""PySlowFast's names for what lives in ``slowfast.solver``."""

from __future__ import annotations

from typing import Any

from slowfast.solver.optimizer import construct_optimizer, set_lr
from slowfast.solver.optimizer import grad_norm as get_grad_norm_
from slowfast.solver.schedule import get_lr_at_epoch

__all__ = ["construct_optimizer", "get_epoch_lr", "get_grad_norm_", "set_lr"]


def get_epoch_lr(cur_epoch: float, cfg: Any) -> float:
    """Return the learning rate of ``cfg`` at the real-valued epoch."""
    return get_lr_at_epoch(cfg, cur_epoch)
