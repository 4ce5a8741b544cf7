"""Frames averaged over any tower of open_clip: a baseline that nothing is trained for."""

from __future__ import annotations

from slowfast.models.registry import MODEL_REGISTRY
from slowfast.models.video_text import VideoTextModel


@MODEL_REGISTRY.register()
class FramePooling(VideoTextModel):
    """Every frame through the image tower of ``CLIP.ARCH``, against an ensemble of prompts.

    With ``DATA.TRANSFORMS open_clip`` the frames are prepared as open_clip prepares images for
    that arch, so that a tower is one option (SigLIP 2, MetaCLIP, DFN, PE-core, ...).
    """

    encoder_name = "FrameWise"
    head_name = "TemplateEnsembleHead"
    templates = "openvclip_28"
