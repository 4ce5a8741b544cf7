"""HEAD_REGISTRY: from frame features to class logits."""

from __future__ import annotations

from typing import Any

from open_clip import CustomTextCLIP
from torch import nn

from slowfast.utils.registry import Registry

HEAD_REGISTRY = Registry(
    "HEAD",
    key="MODEL.HEAD_NAME",
    contract=(
        "obj(cfg, clip, templates=name) -> module holding its own parameters only; "
        "module(clip, encoded, labels=None) -> logits B x K (with labels, in training: global "
        "batch x global batch); `requires` maps what it needs of the encoder's `provides` to the "
        "reason; `averages_frames`: scores depend on video_BTD by its mean over T only; "
        "`frozen` lists patterns of CLIP's parameters that it does not use or train"
    ),
)


def build_head(cfg: Any, clip: CustomTextCLIP, *, default: str, templates: str) -> nn.Module:
    """Build ``MODEL.HEAD_NAME``, or ``default`` where that is empty.

    ``templates`` is the prompt set of the published system, used where ``TEXT.TEMPLATES`` is empty.
    """
    head = HEAD_REGISTRY.get(cfg.MODEL.HEAD_NAME or default)
    return head(cfg, clip, templates=cfg.TEXT.TEMPLATES or templates)
