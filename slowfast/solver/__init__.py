"""Optimizers, parameter groups and learning-rate schedules; knows no model by name."""

from slowfast.solver.optimizer import construct_optimizer, grad_norm, set_lr
from slowfast.solver.param_groups import Rule, build_param_groups
from slowfast.solver.schedule import Schedule, get_lr_at_epoch, register_policy

__all__ = [
    "Rule",
    "Schedule",
    "build_param_groups",
    "construct_optimizer",
    "get_lr_at_epoch",
    "grad_norm",
    "register_policy",
    "set_lr",
]
