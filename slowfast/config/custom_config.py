"""Where options are added that the package does not declare."""

from __future__ import annotations

from collections.abc import Callable

from slowfast.config.node import CfgNode

_REGISTERED: dict[str, Callable[[CfgNode], None]] = {}


def add_custom_config(_C: CfgNode) -> None:
    """Add your own options here (``_C.MY = CfgNode()``), as in PySlowFast.

    A file named in EXTENSIONS does the same with ``register_options`` and leaves this one alone.
    """


def register_options(function: Callable[[CfgNode], None]) -> Callable[[CfgNode], None]:
    """Let ``function(_C)`` add options to every tree that ``get_cfg`` returns from now on.

    Usable as a decorator. A second registration under the same module and name replaces the first,
    so that importing a file twice is harmless.
    """
    _REGISTERED[f"{function.__module__}.{function.__qualname__}"] = function
    return function


def apply(cfg: CfgNode) -> None:
    """Add the options of this file and of every registered function to ``cfg``."""
    add_custom_config(cfg)
    for function in _REGISTERED.values():
        function(cfg)
