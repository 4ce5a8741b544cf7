"""OST (CVPR 2024): frame-wise CLIP, spatio-temporal descriptors, Optimal Descriptor Solver."""

from __future__ import annotations

from slowfast.models.registry import MODEL_REGISTRY
from slowfast.models.video_text import VideoTextModel


@MODEL_REGISTRY.register()
class OST(VideoTextModel):
    """Both towers are fine-tuned whole, the token embedding and the scale included.

    Published objective: ``MODEL.LOSS_FUNC ost_contrastive``.
    """

    encoder_name = "FrameWise"
    head_name = "OSTHead"
    templates = "ost"
