"""HEAD_REGISTRY: from frame features to class logits.

What an entry may say of itself besides is in docs/add_a_method.md.
"""

from __future__ import annotations

from typing import Any

from open_clip import CustomTextCLIP
from torch import nn

from slowfast.utils.registry import Registry

HEAD_REGISTRY = Registry(
    "HEAD",
    key="MODEL.HEAD_NAME",
    contract="obj(cfg, clip, templates=name) -> module; module(clip, encoded, labels=None) -> "
    "logits B x K (with labels, in training: global batch x global batch)",
)


def build_head(cfg: Any, clip: CustomTextCLIP, *, default: str, templates: str) -> nn.Module:
    """Build ``MODEL.HEAD_NAME``, or ``default`` where that is empty.

    ``templates`` is the prompt set of the published system, used where ``TEXT.TEMPLATES`` is empty.
    """
    name = cfg.MODEL.HEAD_NAME or default
    return HEAD_REGISTRY.build(name, cfg, clip, templates=cfg.TEXT.TEMPLATES or templates)
