"""Text4Vis (AAAI 2023): CLIP's image tower with a temporal head, tuned against frozen texts."""

from slowfast.models.video_text import MODEL_REGISTRY, VideoTextModel


@MODEL_REGISTRY.register()
class Text4Vis(VideoTextModel):
    """Cosine with constant rows, cross-entropy over all classes; see docs/text4vis.md.

    The text tower only computes the rows; it is never trained.
    """

    encoder_name = "Text4VisEncoder"
    head_name = "FrozenClassifier"
    templates = "text4vis"
    frozen = ("clip.text.*",)
    # Published with it for all videos, and without it for few of them and for new classes.
    unstated = ("TEXT4VIS.HEAD",)
