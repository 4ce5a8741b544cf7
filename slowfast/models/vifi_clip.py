"""ViFi-CLIP (CVPR 2023): all of CLIP fine-tuned on the mean of frame features and class names."""

from slowfast.models.video_text import MODEL_REGISTRY, VideoTextModel


@MODEL_REGISTRY.register()
class ViFiCLIP(VideoTextModel):
    """Cosine with "a photo of a {name}.", cross-entropy over all classes."""

    encoder_name = "FrameWise"
    head_name = "CategoryHead"
    templates = "vifi_clip"
    # parity: the released code looks token embeddings up once, before training.
    frozen = ("clip.text.token_embedding.*",)
