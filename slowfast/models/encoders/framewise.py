"""Every frame by itself through CLIP's image tower: the encoder of CLIP, ViFi-CLIP and OST."""

from __future__ import annotations

from typing import Any, ClassVar

from open_clip import CustomTextCLIP
from torch import Tensor, nn

from slowfast.models.clip.vision import encode_frames
from slowfast.models.encoders.build import ENCODER_REGISTRY
from slowfast.structures import Encoded


@ENCODER_REGISTRY.register()
class FrameWise(nn.Module):
    """CLIP's image tower on each frame; no parameters of its own."""

    provides: ClassVar[frozenset[str]] = frozenset({"frames"})

    def __init__(self, *_: Any) -> None:
        super().__init__()  # it has no options

    def forward(self, clip: CustomTextCLIP, video_BCTHW: Tensor) -> Encoded:
        """Return un-normalised frame features B x T x D of normalised frames."""
        return Encoded(encode_frames(clip.visual, video_BCTHW), {})
