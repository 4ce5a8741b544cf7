"""Let a class be built from a config or from plain arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from yacs.config import CfgNode


def configurable(init: Callable[..., None]) -> Callable[..., None]:
    """Decorate ``__init__`` so that ``Class(cfg, ...)`` builds from a config.

    With a config node as first argument (or ``cfg=``) the class method ``from_cfg(cfg, ...)`` gets
    all arguments and returns those of ``__init__``; without one ``__init__`` gets them unchanged.

    >>> class Scale:
    ...     @configurable
    ...     def __init__(self, *, factor):
    ...         self.factor = factor
    ...     @classmethod
    ...     def from_cfg(cls, cfg, extra=0):
    ...         return {"factor": cfg.FACTOR + extra}
    >>> Scale(factor=3).factor, Scale(CfgNode({"FACTOR": 2})).factor
    (3, 2)
    >>> Scale(CfgNode({"FACTOR": 2}), extra=5).factor
    7
    """

    @functools.wraps(init)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(args[0] if args else kwargs.get("cfg"), CfgNode):
            init(self, **type(self).from_cfg(*args, **kwargs))
        else:
            init(self, *args, **kwargs)

    return wrapped
