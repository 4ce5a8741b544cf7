"""MODEL_REGISTRY, apart from build.py so that models can register without importing it."""

from __future__ import annotations

from slowfast.utils.registry import Registry

MODEL_REGISTRY = Registry(
    "MODEL",
    key="MODEL.MODEL_NAME",
    contract="obj(cfg) -> module; module([B x 3 x T x H x W, ...]) -> logits B x K, a tuple that "
    "they begin, or ModelOutput",
)
