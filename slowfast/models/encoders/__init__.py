"""Video encoders: one file each, registered in ENCODER_REGISTRY."""

from slowfast.models.encoders.build import ENCODER_REGISTRY, build_encoder
from slowfast.models.encoders.framewise import FrameWise
from slowfast.models.encoders.text4vis import Text4VisEncoder
from slowfast.models.encoders.trunk import VideoTrunk

__all__ = ["ENCODER_REGISTRY", "FrameWise", "Text4VisEncoder", "VideoTrunk", "build_encoder"]
