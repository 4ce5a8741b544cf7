"""Optimizers by PySlowFast's names, their learning rate, and the size of their gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from slowfast.solver.param_groups import build_param_groups
from slowfast.utils.registry import Registry

OPTIMIZER_REGISTRY = Registry(
    "OPTIMIZER",
    key="SOLVER.OPTIMIZING_METHOD",
    contract="obj(groups, cfg) -> torch.optim.Optimizer, or such a class: obj(groups, lr=rate)",
)


RATES = ("SOLVER.BASE_LR", "SOLVER.WEIGHT_DECAY")


@OPTIMIZER_REGISTRY.register(
    names=["sgd"], options=(*RATES, "SOLVER.MOMENTUM", "SOLVER.DAMPENING", "SOLVER.NESTEROV")
)
def build_sgd(groups: list[dict[str, Any]], cfg: Any) -> torch.optim.Optimizer:
    """Return SGD with PySlowFast's options."""
    solver = cfg.SOLVER
    return torch.optim.SGD(
        groups,
        lr=solver.BASE_LR,
        momentum=solver.MOMENTUM,
        dampening=solver.DAMPENING,
        nesterov=solver.NESTEROV,
    )


def build_adam(
    groups: list[dict[str, Any]],
    cfg: Any,
    kind: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    **fixed: Any,
) -> torch.optim.Optimizer:
    """Return an optimizer of Adam's family with the options of ``SOLVER``."""
    solver = cfg.SOLVER
    betas = tuple(solver.BETAS)
    return kind(groups, lr=solver.BASE_LR, betas=betas, eps=solver.EPSILON, **fixed)


for _name, _build in {
    "adam": partial(build_adam),
    "adamw": partial(build_adam, kind=torch.optim.AdamW),
    "mt_adamw": partial(build_adam, kind=torch.optim.AdamW, foreach=True),
}.items():
    OPTIMIZER_REGISTRY.register(
        _build, names=[_name], options=(*RATES, "SOLVER.BETAS", "SOLVER.EPSILON")
    )


def construct_optimizer(model: nn.Module, cfg: Any) -> torch.optim.Optimizer:
    """Build ``SOLVER.OPTIMIZING_METHOD`` of OPTIMIZER_REGISTRY over the groups of the model.

    Args:
        model: the model, inside DistributedDataParallel or not.
        cfg: reads SOLVER and BN.WEIGHT_DECAY.

    Raises:
        UsageError: no such optimizer, or an entry that builds none; see ``build_param_groups``.
    """
    solver = cfg.SOLVER
    groups = build_param_groups(
        unwrap(model),
        weight_decay=solver.WEIGHT_DECAY,
        bn_weight_decay=cfg.BN.WEIGHT_DECAY,
        zero_wd_1d=solver.ZERO_WD_1D_PARAM,
        layer_decay=solver.LAYER_DECAY,
    )
    name = solver.OPTIMIZING_METHOD
    entry = OPTIMIZER_REGISTRY.get(name)
    if isinstance(entry, type) and issubclass(entry, torch.optim.Optimizer):
        return cast(
            torch.optim.Optimizer, OPTIMIZER_REGISTRY.build(name, groups, lr=solver.BASE_LR)
        )
    optimizer = OPTIMIZER_REGISTRY.build(name, groups, cfg)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise OPTIMIZER_REGISTRY.returned(entry, optimizer)
    return optimizer


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
