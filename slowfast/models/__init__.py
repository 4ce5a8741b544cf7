"""Models, encoders, heads and losses."""

from slowfast.models import classical
from slowfast.models.build import MODEL_REGISTRY, build_model, call_model, unwrap
from slowfast.models.clip_baseline import CLIP, FramePooling
from slowfast.models.encoders import ENCODER_REGISTRY, FrameWise, Text4VisEncoder, VideoTrunk
from slowfast.models.heads import (
    HEAD_REGISTRY,
    CategoryHead,
    FrozenClassifier,
    LinearHead,
    OSTHead,
    PooledDescriptorHead,
    TemplateEnsembleHead,
)
from slowfast.models.losses import LOSS_REGISTRY, build_loss, get_loss_func
from slowfast.models.ost import OST
from slowfast.models.ost_text4vis import OSTText4Vis
from slowfast.models.text4vis import Text4Vis
from slowfast.models.video_text import VideoTextModel
from slowfast.models.vifi_clip import ViFiCLIP

__all__ = [
    "CLIP",
    "ENCODER_REGISTRY",
    "HEAD_REGISTRY",
    "LOSS_REGISTRY",
    "MODEL_REGISTRY",
    "OST",
    "CategoryHead",
    "FramePooling",
    "FrameWise",
    "FrozenClassifier",
    "LinearHead",
    "OSTHead",
    "OSTText4Vis",
    "PooledDescriptorHead",
    "TemplateEnsembleHead",
    "Text4Vis",
    "Text4VisEncoder",
    "VideoTextModel",
    "VideoTrunk",
    "ViFiCLIP",
    "build_loss",
    "build_model",
    "call_model",
    "classical",
    "get_loss_func",
    "unwrap",
]
