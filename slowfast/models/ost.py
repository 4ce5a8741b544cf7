"""OST (CVPR 2024): frame-wise CLIP, spatio-temporal descriptors, Optimal Descriptor Solver."""

from __future__ import annotations

import logging
from typing import Any

from slowfast.models.registry import MODEL_REGISTRY
from slowfast.models.video_text import VideoTextModel

logger = logging.getLogger(__name__)


@MODEL_REGISTRY.register()
class OST(VideoTextModel):
    """Both towers are fine-tuned whole, the token embedding and the scale included.

    Published objective: ``MODEL.LOSS_FUNC ost_contrastive``, which the config has to name.
    """

    encoder_name = "FrameWise"
    head_name = "OSTHead"
    loss_name = "ost_contrastive"
    templates = "ost"

    @classmethod
    def from_cfg(cls, cfg: Any) -> dict[str, Any]:
        """Build the parts; says so where training would not be the published one."""
        if cfg.TRAIN.ENABLE and cls.loss_name != cfg.MODEL.LOSS_FUNC:
            logger.warning(
                "MODEL.LOSS_FUNC %s trains OST over all classes at each step; its published "
                "objective is %s",
                cfg.MODEL.LOSS_FUNC,
                cls.loss_name,
            )
        return super().from_cfg(cfg)
