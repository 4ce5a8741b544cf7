"""OST on Text4Vis: descriptors matched to what Text4Vis's temporal head makes of the frames.

The paper's fully-supervised setting (its Table 3), of which nothing was released; what is our
reading of it is in docs/text4vis.md.
"""

from slowfast.models.video_text import MODEL_REGISTRY, VideoTextModel


@MODEL_REGISTRY.register()
class OSTText4Vis(VideoTextModel):
    """Text4Vis whose classifier is OST's head, before the mean over frames.

    With ``MODEL.LOSS_FUNC cross_entropy`` the text tower is meant to be frozen
    (``CLIP.FREEZE ["clip.text.*"]``), with ``ost_contrastive`` tuned.
    """

    encoder_name = "Text4VisEncoder"
    head_name = "OSTHead"
    templates = "ost"
