"""MODEL_REGISTRY, apart from build.py so that models can register without importing it."""

from __future__ import annotations

from functools import partial
from typing import Any

from slowfast.utils.registry import Registry


class ModelRegistry(Registry):
    """A registry in which people's own SlowFast, MViT, ... take the place of ours.

    PySlowFast's users edit those classes under their names; ours say so by ``replaceable``.
    """

    def register(self, obj: Any = None, **options: Any) -> Any:
        """Register a class or function, as a decorator or called, and return it."""
        if obj is None:
            return partial(self.register, **options)
        name = options.get("name") or obj.__name__
        if name in self and getattr(self.get(name), "replaceable", False):
            del self._obj_map[name]
        super().register(obj, **options)
        return obj


MODEL_REGISTRY = ModelRegistry(
    "MODEL",
    contract=(
        "obj(cfg) -> module; module([B x 3 x T x H x W, ...]) -> logits B x K "
        "or ModelOutput; with a true `needs_labels` it is called with labels, too, in training"
    ),
)
