"""Text4Vis's video side: CLIP's image tower, time inside it or over its frame features.

Shapes: B videos, T frames, M = B * T images, N patches, W the tower's width, D joint dimension,
C H image. Source: the released code (AAAI 2023, arXiv 2207.01297).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from open_clip import CustomTextCLIP
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.config.configurable import configurable
from slowfast.errors import UsageError
from slowfast.models.clip.vision import (
    embed_patches,
    encode_frames,
    pool_tokens,
    replace_blocks,
    require_transformer,
    run_blocks,
    split_frames,
)
from slowfast.models.encoders.build import ENCODER_REGISTRY
from slowfast.models.encoders.frame_transformer import FrameTransformer
from slowfast.models.encoders.temporal_shift import ShiftedConv, TemporalBlock, shift_resnet
from slowfast.structures import Encoded

logger = logging.getLogger(__name__)
HEAD_WIDTH = 64


@dataclass(frozen=True)
class TowerOptions:
    """What happens inside the image tower.

    Args:
        temporal: channels that are shifted between frames; see ``temporal_shift``.
        joint: one sequence of all frames' patches with one class token, instead of one a frame.
        drop_path: stochastic depth and attention dropout of the last block; rises linearly from 0.
        emb_dropout: dropout behind the position embeddings.
    """

    temporal: Literal["off", "tsm", "tokenshift", "tokent1d"] = "off"
    joint: bool = False
    drop_path: float = 0.0
    emb_dropout: float = 0.0

    @property
    def changed(self) -> str:
        """Return the first option that is on, as the user wrote it; empty if the tower stays."""
        settings = {
            f"TEXT4VIS.TEMPORAL {self.temporal}": self.temporal != "off",
            "TEXT4VIS.JOINT": self.joint,
            "TEXT4VIS.DROP_PATH": self.drop_path > 0,
            "TEXT4VIS.EMB_DROPOUT": self.emb_dropout > 0,
        }
        return next((name for name, is_on in settings.items() if is_on), "")


@ENCODER_REGISTRY.register()
class Text4VisEncoder(nn.Module):
    """Frame features, with time inside the tower, over its features, both or neither.

    ``video_BTD`` is what the published code averages over time: un-normalised f, or
    blocks(f + P) + f with ``head`` "transf". With ``joint`` a video has one feature, B x 1 x D, and
    the head is not used; nor is it for clips of one frame (both published).

    Building it changes ``clip.visual``: the blocks compute something else under the same names.
    What is new there: ``resblocks.{i}.control_point.conv.weight`` (tokent1d), ``time_embedding``
    (joint).

    Args:
        clip: the towers.
        head: "transf" or "none".
        tower: the options inside the image tower.
        num_frames: T; binding with ``joint`` only.

    Raises:
        UsageError: options that exclude each other or that this image tower does not allow.
    """

    options: ClassVar[tuple[str, ...]] = ("TEXT4VIS",)
    provides: frozenset[str] = frozenset({"frames"})
    # parity: the published groups go by name, so this one learns at the backbone's rate.
    added_at_backbone_rate = ("clip.visual.time_embedding",)

    @configurable
    def __init__(
        self,
        *,
        clip: CustomTextCLIP,
        head: Literal["transf", "none"] = "transf",
        tower: TowerOptions | None = None,
        num_frames: int = 8,
    ) -> None:
        super().__init__()
        self.tower = tower or TowerOptions()
        if self.tower.joint:
            self.provides = frozenset()
        self.added = (
            *("clip.visual.*.control_point.*",) * (self.tower.temporal == "tokent1d"),
            *("clip.visual.time_embedding",) * self.tower.joint,
        )
        # What weights may name that were trained with it (checkpoint.load).
        self.marks = (f"TEXT4VIS.TEMPORAL {self.tower.temporal}",)
        self.temporal = FrameTransformer(*_head_size(clip)) if head == "transf" else None
        self.frozen: tuple[str, ...] = ()
        if self.temporal is not None and (self.tower.joint or num_frames == 1):
            self.frozen = ("encoder.temporal.*",)
            logger.warning(
                "TEXT4VIS.HEAD transf is not used %s (as published), so its parameters are not "
                "trained; TEXT4VIS.HEAD none leaves them out",
                "with TEXT4VIS.JOINT" if self.tower.joint else "on clips of one frame",
            )
        self.shifted: tuple[ShiftedConv, ...] = ()
        self._prepare(clip.visual, num_frames)

    @classmethod
    def from_cfg(cls, cfg: Any, clip: CustomTextCLIP) -> dict[str, Any]:
        """Read the ``TEXT4VIS`` options."""
        own = cfg.TEXT4VIS
        return {
            "clip": clip,
            "head": own.HEAD,
            "tower": TowerOptions(own.TEMPORAL, own.JOINT, own.DROP_PATH, own.EMB_DROPOUT),
            "num_frames": cfg.DATA.NUM_FRAMES,
        }

    @staticmethod
    def describe(options: Mapping[str, Any]) -> list[str]:
        """Say where time is seen, unless as published: in the head alone."""
        temporal = "joint" if options["TEXT4VIS.JOINT"] else options["TEXT4VIS.TEMPORAL"]
        words = [] if temporal == "off" else [f"temporal {temporal}"]
        return words + ["frame head none"] * (options.get("TEXT4VIS.HEAD") == "none")

    def forward(self, clip: CustomTextCLIP, video_BCTHW: Tensor) -> Encoded:
        """Return features B x T x D (B x 1 x D with ``joint``) of normalised frames.

        Raises:
            UsageError: frames of another size than the tower's, more of them than the head has
                positions, or with ``joint`` another number than it was built for.
        """
        features_BTD = self._encode(clip.visual, video_BCTHW)
        if self.temporal is not None and features_BTD.shape[1] > 1:
            features_BTD = self.temporal(features_BTD)
        return Encoded(features_BTD, {})

    def _prepare(self, visual: nn.Module, num_frames: int) -> None:
        """Change the tower as the options say."""
        options = self.tower
        if options.joint and options.temporal != "off":
            raise UsageError(
                f"TEXT4VIS.JOINT and TEXT4VIS.TEMPORAL {options.temporal} exclude each other: "
                "joint attention leaves no separate frames to shift; choose one"
            )
        if options.temporal == "tsm" and isinstance(visual, ModifiedResNet):
            self.shifted = tuple(shift_resnet(visual))
            options = replace(options, temporal="off")
        if options.changed:
            _change_blocks(require_transformer(visual, options.changed), options)
        if options.joint:
            _add_times(visual, num_frames)

    def _encode(self, visual: nn.Module, video_BCTHW: Tensor) -> Tensor:
        if self.shifted:
            frames = video_BCTHW.shape[2] if video_BCTHW.ndim == 5 else 1
            for conv in self.shifted:
                conv.frames = frames
        if self.shifted or not self.tower.changed:
            return encode_frames(visual, video_BCTHW)
        assert isinstance(visual, VisionTransformer)
        images_MCHW, frames = split_frames(visual, video_BCTHW)
        tokens = embed_patches(visual, images_MCHW)
        if self.tower.joint:
            tokens, frames = _join_frames(tokens, frames, visual.time_embedding), 1
        tokens = F.dropout(tokens, self.tower.emb_dropout, self.training)
        tokens = run_blocks(visual, visual.ln_pre(tokens), frames)
        return pool_tokens(visual, tokens).unflatten(0, (-1, frames))


def _head_size(clip: CustomTextCLIP) -> tuple[int, int]:
    """Return D and the number of attention heads of the temporal head."""
    joint = clip.text.output_dim
    # parity: the text tower's width and not D. One of another library may not tell it.
    width = getattr(clip.text, "width", joint)
    return joint, max(1, width // HEAD_WIDTH)


def _change_blocks(visual: VisionTransformer, options: TowerOptions) -> None:
    width = visual.transformer.width
    drops = torch.linspace(0, options.drop_path, visual.transformer.layers).tolist()
    replace_blocks(
        visual,
        lambda number, block: TemporalBlock(
            block, width=width, temporal=options.temporal, drop=drops[number]
        ),
    )


def _add_times(visual: VisionTransformer, num_frames: int) -> None:
    width = visual.transformer.width
    visual.time_embedding = nn.Parameter(width**-0.5 * torch.randn(num_frames, width))


def _join_frames(tokens_MLW: Tensor, frames: int, times_TW: Tensor) -> Tensor:
    """Return one sequence a video, B x (1 + N * T) x W: class token, then patch by patch all T."""
    if frames != len(times_TW):
        raise UsageError(
            f"clips of {frames} frames, but TEXT4VIS.JOINT has time embeddings for "
            f"{len(times_TW)}: DATA.NUM_FRAMES must be the same in training and in tests"
        )
    tokens_BTLW = tokens_MLW.unflatten(0, (-1, frames))
    times_T1W = times_TW.to(tokens_MLW.dtype)[:, None]
    patches_BNTW = (tokens_BTLW[:, :, 1:] + times_T1W).transpose(1, 2)
    # The class token of every frame is the same here.
    return torch.cat([tokens_BTLW[:, 0, :1], patches_BNTW.flatten(1, 2)], dim=1)
