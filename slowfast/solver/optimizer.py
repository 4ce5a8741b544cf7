"""Optimizers by PySlowFast's names, their learning rate, and the size of their gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from slowfast.errors import UsageError
from slowfast.solver.param_groups import build_param_groups


def _sgd(groups: list[dict[str, Any]], solver: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        groups,
        lr=solver.BASE_LR,
        momentum=solver.MOMENTUM,
        dampening=solver.DAMPENING,
        nesterov=solver.NESTEROV,
    )


def _adam(groups: list[dict[str, Any]], solver: Any) -> torch.optim.Optimizer:
    betas = tuple(solver.BETAS)
    return torch.optim.Adam(groups, lr=solver.BASE_LR, betas=betas, eps=solver.EPSILON)


def _adamw(groups: list[dict[str, Any]], solver: Any) -> torch.optim.Optimizer:
    betas = tuple(solver.BETAS)
    return torch.optim.AdamW(groups, lr=solver.BASE_LR, betas=betas, eps=solver.EPSILON)


def _mt_adamw(groups: list[dict[str, Any]], solver: Any) -> torch.optim.Optimizer:
    betas = tuple(solver.BETAS)
    return torch.optim.AdamW(
        groups, lr=solver.BASE_LR, betas=betas, eps=solver.EPSILON, foreach=True
    )


OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]], Any], torch.optim.Optimizer]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
    "mt_adamw": _mt_adamw,
}


def construct_optimizer(model: nn.Module, cfg: Any) -> torch.optim.Optimizer:
    """Build the optimizer that ``cfg.SOLVER`` names over the groups of ``build_param_groups``.

    Args:
        model: the model, inside DistributedDataParallel or not.
        cfg: reads SOLVER and BN.WEIGHT_DECAY.

    Raises:
        UsageError: an unknown SOLVER.OPTIMIZING_METHOD, or see ``build_param_groups``.
    """
    solver = cfg.SOLVER
    if solver.OPTIMIZING_METHOD not in OPTIMIZERS:
        raise UsageError(
            f"SOLVER.OPTIMIZING_METHOD={solver.OPTIMIZING_METHOD!r} is unknown; "
            f"known: {', '.join(sorted(OPTIMIZERS))}"
        )
    groups = build_param_groups(
        unwrap(model),
        weight_decay=solver.WEIGHT_DECAY,
        bn_weight_decay=cfg.BN.WEIGHT_DECAY,
        zero_wd_1d=solver.ZERO_WD_1D_PARAM,
        layer_decay=solver.LAYER_DECAY,
    )
    return OPTIMIZERS[solver.OPTIMIZING_METHOD](groups, solver)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside DistributedDataParallel and torch.compile."""
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel):
            model = model.module
        elif hasattr(model, "_orig_mod"):
            model = cast(nn.Module, model._orig_mod)
        else:
            return model


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set every group's rate to ``lr`` times the factors of its layer and of its rule."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("layer_decay", 1.0) * group.get("lr_scale", 1.0)


def grad_norm(parameters: Iterable[nn.Parameter], norm_type: float = 2.0) -> Tensor:
    """Return the norm of all gradients together as a scalar tensor (0 where there are none)."""
    grads = [p.grad for p in parameters if p.grad is not None]
    return torch.nn.utils.get_total_norm(grads, norm_type) if grads else torch.zeros(())
