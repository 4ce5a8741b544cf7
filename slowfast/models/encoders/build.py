"""ENCODER_REGISTRY: from videos to frame features.

What an entry may say of itself besides is in docs/add_a_method.md.
"""

from __future__ import annotations

from typing import Any

from open_clip import CustomTextCLIP
from torch import nn

from slowfast.utils.registry import Registry

ENCODER_REGISTRY = Registry(
    "ENCODER",
    key="MODEL.ENCODER",
    contract="obj(cfg, clip) -> module; module(clip, video_BCTHW) -> Encoded(video_BTD, extras)",
)


def build_encoder(cfg: Any, clip: CustomTextCLIP, *, default: str) -> nn.Module:
    """Build ``MODEL.ENCODER``, or ``default`` where that is empty, over ``clip``."""
    return ENCODER_REGISTRY.build(cfg.MODEL.ENCODER or default, cfg, clip)
