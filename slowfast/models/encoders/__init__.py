"""Video encoders: one file each, registered in ENCODER_REGISTRY."""

from slowfast.models.encoders.build import ENCODER_REGISTRY, build_encoder
from slowfast.models.encoders.framewise import FrameWise

__all__ = ["ENCODER_REGISTRY", "FrameWise", "build_encoder"]
