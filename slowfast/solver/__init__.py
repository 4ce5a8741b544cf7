"""Optimizers, parameter groups and learning-rate schedules; knows no model by name."""

from slowfast.solver.optimizer import OPTIMIZER_REGISTRY, construct_optimizer, grad_norm, set_lr
from slowfast.solver.param_groups import Rule, build_param_groups
from slowfast.solver.schedule import LR_POLICY_REGISTRY, Schedule, get_lr_at_epoch

__all__ = [
    "LR_POLICY_REGISTRY",
    "OPTIMIZER_REGISTRY",
    "Rule",
    "Schedule",
    "build_param_groups",
    "construct_optimizer",
    "get_lr_at_epoch",
    "grad_norm",
    "set_lr",
]
