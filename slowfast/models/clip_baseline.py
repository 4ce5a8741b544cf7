"""Vanilla CLIP as the video papers evaluate it: no training, bare class names."""

from __future__ import annotations

from slowfast.models.registry import MODEL_REGISTRY
from slowfast.models.video_text import VideoTextModel


@MODEL_REGISTRY.register()
class CLIP(VideoTextModel):
    """The mean of frame features against the class names without a template."""

    encoder_name = "FrameWise"
    head_name = "CategoryHead"
    templates = "vanilla_clip"
