"""Frames through CLIP's image tower, whole or piece by piece.

``encode_frames`` runs any tower as it is. An encoder that changes what happens inside CLIP's own
vision transformer composes the pieces: ``embed_patches`` (tokens before ``ln_pre``),
``replace_blocks`` (other computation, same parameter names) with ``run_blocks`` (hands them what
they need, such as the number of frames), ``pool_tokens`` or ``project_tokens``.

Shapes: B batch, T frames, M = B * T images (video-major), N patches, L tokens, W the tower's width,
D joint dimension, C H image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from slowfast.errors import UsageError
from slowfast.models.clip.attention import attend


def encode_frames(visual: nn.Module, video_BCTHW: Tensor) -> Tensor:
    """Return the un-normalised feature of every frame, B x T x D.

    Args:
        visual: an image tower of open_clip.
        video_BCTHW: normalised frames B x 3 x T x H x W; a batch of images B x 3 x H x W is a
            batch of videos of one frame.

    Raises:
        UsageError: the frames' size is not the tower's.
    """
    images_MCHW, frames = split_frames(visual, video_BCTHW)
    return visual(images_MCHW).unflatten(0, (-1, frames))


def split_frames(visual: nn.Module, video_BCTHW: Tensor) -> tuple[Tensor, int]:
    """Return a batch's frames as images M x 3 x H x W, video by video, and T.

    Raises:
        UsageError: the frames' size is not the tower's.
    """
    if video_BCTHW.ndim == 4:
        video_BCTHW = video_BCTHW.unsqueeze(2)
    size = getattr(visual, "image_size", None)
    found = tuple(video_BCTHW.shape[-2:])
    if size is not None and found != _pair(size):
        raise UsageError(
            f"frames of {found[0]}x{found[1]} pixels, but the image tower takes "
            f"{_pair(size)[0]}x{_pair(size)[1]}: set DATA.TRAIN_CROP_SIZE and DATA.TEST_CROP_SIZE, "
            "or DATA.TRANSFORMS open_clip, or another CLIP.ARCH"
        )
    return video_BCTHW.transpose(1, 2).flatten(0, 1), video_BCTHW.shape[2]


def require_transformer(visual: nn.Module, wanted: str) -> VisionTransformer:
    """Return ``visual`` if it is a vision transformer that the functions below can take apart.

    Args:
        visual: an image tower of open_clip.
        wanted: the option (and value) that needs this, for the message.

    Raises:
        UsageError: another kind of tower (ResNet, timm), or one whose pooling or blocks differ
            from CLIP's.
    """
    if not isinstance(visual, VisionTransformer):
        reason = f"that of CLIP.ARCH is a {type(visual).__name__}"
    elif visual.attn_pool is not None or visual.pool_type not in ("tok", "avg"):
        reason = "that of CLIP.ARCH pools by attention"
    elif not isinstance(visual.patch_dropout, nn.Identity):
        reason = "that of CLIP.ARCH drops random patches of each frame (patch_dropout)"
    elif not all(isinstance(b, ResidualAttentionBlock) for b in visual.transformer.resblocks):
        reason = "the blocks of CLIP.ARCH have further norms or scales"
    else:
        return visual
    raise UsageError(
        f"{wanted} changes CLIP's own vision transformer, but the image tower cannot be changed: "
        f"{reason}; choose an arch such as ViT-B-16-quickgelu, or switch the option off"
    )


def embed_patches(visual: VisionTransformer, images_MCHW: Tensor) -> Tensor:
    """Return class token and patches with their positions, before ``ln_pre``: M x (1 + N) x W."""
    patches_MNW = visual.conv1(images_MCHW).flatten(2).transpose(1, 2)
    first_M1W = visual.class_embedding.to(patches_MNW.dtype).expand(len(patches_MNW), 1, -1)
    tokens_MLW = torch.cat([first_M1W, patches_MNW], dim=1)
    return tokens_MLW + visual.positional_embedding.to(patches_MNW.dtype)


class AdoptedBlock(nn.Module):
    """A block that takes over a residual block's parts under their own names.

    CLIP's weights therefore load into a tower with such blocks, and its optimizer groups and
    checkpoints keep their names. A subclass defines ``forward(tokens, *arguments)``.

    Args:
        block: of open_clip's vision transformer, batch first.
    """

    attn: nn.Module
    ln_1: nn.Module
    ls_1: nn.Module
    ln_2: nn.Module
    mlp: nn.Module
    ls_2: nn.Module
    attention_dropout = 0.0

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        for name, part in block.named_children():
            self.add_module(name, part)

    def attend(self, tokens_MLW: Tensor) -> Tensor:
        """Return the attention branch (without the residual)."""
        dropout = self.attention_dropout if self.training else 0.0
        return self.ls_1(attend(self.attn, self.ln_1(tokens_MLW), dropout=dropout))

    def transform(self, tokens_MLW: Tensor) -> Tensor:
        """Return the MLP branch (without the residual)."""
        return self.ls_2(self.mlp(self.ln_2(tokens_MLW)))


def replace_blocks(
    visual: VisionTransformer, make: Callable[[int, nn.Module], AdoptedBlock]
) -> None:
    """Replace block i by ``make(i, block)`` throughout; from then on ``run_blocks`` runs them."""
    blocks = visual.transformer.resblocks
    for number, block in enumerate(blocks):
        blocks[number] = make(number, block)


def run_blocks(visual: VisionTransformer, tokens: Tensor, *arguments: Any) -> Tensor:
    """Return ``tokens`` after all blocks, each called ``block(tokens, *arguments)``.

    The arguments are handed over anew when activation checkpointing (MODEL.ACT_CHECKPOINT) runs a
    block a second time, so that they cannot have changed meanwhile.
    """
    recompute = visual.transformer.grad_checkpointing and torch.is_grad_enabled()
    for block in visual.transformer.resblocks:
        if recompute:
            tokens = cast(Tensor, checkpoint(block, tokens, *arguments, use_reentrant=False))
        else:
            tokens = block(tokens, *arguments)
    return tokens


def pool_tokens(visual: VisionTransformer, tokens_MLW: Tensor) -> Tensor:
    """Return the feature of each image M x D: the class token's, or as the tower pools."""
    if visual.pool_type == "tok":
        return project_tokens(visual, tokens_MLW[:, 0])
    patches_MNW = tokens_MLW[:, 1:]
    if visual.final_ln_after_pool:
        return project_tokens(visual, patches_MNW.mean(dim=1))
    # The projection is linear, so that it may come before the mean.
    return project_tokens(visual, patches_MNW).mean(dim=1)


def project_tokens(visual: VisionTransformer, tokens: Tensor) -> Tensor:
    """Return tokens (... x W, after the blocks) in the joint space, ... x D."""
    normed = visual.ln_post(tokens)
    return normed if visual.proj is None else normed @ visual.proj


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
