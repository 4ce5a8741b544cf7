"""Baselines that nothing is trained for: frames averaged over the image tower of a CLIP."""

from slowfast.models.video_text import MODEL_REGISTRY, VideoTextModel


@MODEL_REGISTRY.register()
class CLIP(VideoTextModel):
    """As the video papers evaluate it: mean frame feature, class names without a template."""

    encoder_name = "FrameWise"
    head_name = "CategoryHead"
    templates = "vanilla_clip"


@MODEL_REGISTRY.register()
class FramePooling(VideoTextModel):
    """Every frame through the image tower of ``CLIP.ARCH``, against an ensemble of prompts.

    With ``DATA.TRANSFORMS open_clip`` the frames are prepared as open_clip prepares images for
    that arch, so that a tower is one option (SigLIP 2, MetaCLIP, DFN, PE-core, ...).
    """

    encoder_name = "FrameWise"
    head_name = "TemplateEnsembleHead"
    templates = "openvclip_28"
