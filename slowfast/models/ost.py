"""OST (CVPR 2024): frame-wise CLIP, spatio-temporal descriptors, Optimal Descriptor Solver."""

from slowfast.models.video_text import MODEL_REGISTRY, VideoTextModel


@MODEL_REGISTRY.register()
class OST(VideoTextModel):
    """Both towers are fine-tuned whole, the token embedding and the scale included."""

    encoder_name = "FrameWise"
    head_name = "OSTHead"
    loss_name = "ost_contrastive"
    templates = "ost"
