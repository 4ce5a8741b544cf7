"""PySlowFast's import path for ``slowfast.solver.schedule``."""

from slowfast.solver.schedule import get_lr_at_epoch

__all__ = ["get_lr_at_epoch"]
