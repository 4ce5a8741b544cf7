"""ENCODER_REGISTRY: from videos to frame features."""

from __future__ import annotations

from typing import Any

from open_clip import CustomTextCLIP
from torch import nn

from slowfast.utils.registry import Registry

ENCODER_REGISTRY = Registry(
    "ENCODER",
    key="MODEL.ENCODER",
    contract=(
        "obj(cfg, clip) -> module holding its own parameters only; "
        "module(clip, video_BCTHW) -> Encoded; it may replace blocks of clip.visual when built; "
        "`provides` names its extras, and 'frames' where video_BTD has one feature "
        "for each of several times; `frozen` patterns of CLIP's parameters that it does not use; "
        "`added` patterns of those that it adds to CLIP's modules, which learn at the full rate "
        "unless `added_at_backbone_rate` lists them too"
    ),
)


def build_encoder(cfg: Any, clip: CustomTextCLIP, *, default: str) -> nn.Module:
    """Build ``MODEL.ENCODER``, or ``default`` where that is empty, over ``clip``."""
    return ENCODER_REGISTRY.get(cfg.MODEL.ENCODER or default)(cfg, clip)
