"""Time inside CLIP's image tower: channels that are shifted between neighbouring frames.

Text4Vis offers three forms for vision transformers, of which the first also exists for ResNets:
"tsm" (all patch tokens), "tokenshift" (class token) and "tokent1d" (class token, learned).

Shapes: B videos, T frames, M = B * T images (video-major), L tokens (class token first), W width,
C H image.
"""

from __future__ import annotations

import torch
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor, nn
from torchvision.ops import stochastic_depth

from slowfast.models.clip.vision import AdoptedBlock

# parity: in deep ResNets (RN101 on) only every second bottleneck is shifted.
SHIFT_ALL_BELOW = 23


def shift_channels(frames_BT: Tensor, fold: int, dim: int) -> Tensor:
    """Take the first ``fold`` channels from the next frame, the next ``fold`` from the previous.

    What would come from outside the clip is zero; the other channels stay.

    Args:
        frames_BT: B x T x ..., channels along ``dim``.
        fold: number of channels of each kind.
        dim: the channels' dimension.
    """
    rest = frames_BT.shape[dim] - 2 * fold
    ahead, behind, same = frames_BT.split([fold, fold, rest], dim=dim)
    zero = torch.zeros_like(ahead[:, :1])
    ahead = torch.cat([ahead[:, 1:], zero], dim=1)
    behind = torch.cat([zero, behind[:, :-1]], dim=1)
    return torch.cat([ahead, behind, same], dim=dim)


class PatchShift(nn.Module):
    """TSM: an eighth of the patch tokens' channels each way; the class token stays."""

    def forward(self, tokens_MLW: Tensor, frames: int) -> Tensor:
        """Return the shifted tokens, M x L x W."""
        first, patches = tokens_MLW[:, :1], tokens_MLW[:, 1:].unflatten(0, (-1, frames))
        shifted = shift_channels(patches, tokens_MLW.shape[-1] // 8, dim=-1)
        return torch.cat([first, shifted.flatten(0, 1)], dim=1)


class TokenShift(nn.Module):
    """A quarter of the class token's channels each way; the patch tokens stay."""

    def forward(self, tokens_MLW: Tensor, frames: int) -> Tensor:
        """Return the tokens, M x L x W."""
        first_BTW = tokens_MLW[:, 0].unflatten(0, (-1, frames))
        shifted = shift_channels(first_BTW, tokens_MLW.shape[-1] // 4, dim=-1)
        return torch.cat([shifted.flatten(0, 1)[:, None], tokens_MLW[:, 1:]], dim=1)


class TokenConv(nn.Module):
    """A learned filter over three frames for each channel of the class token.

    It begins as ``TokenShift``.

    Args:
        width: W, a multiple of 4.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False)
        fold = width // 4
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[:fold, 0, 2] = 1
            self.conv.weight[fold : 2 * fold, 0, 0] = 1
            self.conv.weight[2 * fold :, 0, 1] = 1

    def forward(self, tokens_MLW: Tensor, frames: int) -> Tensor:
        """Return the tokens, M x L x W."""
        first_BWT = tokens_MLW[:, 0].unflatten(0, (-1, frames)).transpose(1, 2)
        mixed_MW = self.conv(first_BWT).transpose(1, 2).flatten(0, 1).to(tokens_MLW.dtype)
        return torch.cat([mixed_MW[:, None], tokens_MLW[:, 1:]], dim=1)


class TemporalBlock(AdoptedBlock):
    """A block of the image tower with a shift in it, stochastic depth, or both.

    Args:
        block: CLIP's.
        width: W.
        temporal: "off", "tsm", "tokenshift" or "tokent1d".
        drop: probability of leaving out a branch for a whole video, and of attention dropout.
    """

    def __init__(
        self, block: nn.Module, *, width: int, temporal: str = "off", drop: float = 0.0
    ) -> None:
        super().__init__(block)
        self.entry = PatchShift() if temporal == "tsm" else None
        self.control_point: nn.Module | None = None
        if temporal == "tokenshift":
            self.control_point = TokenShift()
        elif temporal == "tokent1d":
            self.control_point = TokenConv(width)
        self.drop = drop
        self.attention_dropout = drop

    def forward(self, tokens_MLW: Tensor, frames: int) -> Tensor:
        """Return the tokens, M x L x W; the residual stream is shifted as well."""
        if self.entry is not None:
            tokens_MLW = self.entry(tokens_MLW, frames)
        # parity: the same control point twice, with the same weights.
        tokens_MLW = self._control(tokens_MLW, frames)
        tokens_MLW = tokens_MLW + self._thin(self.attend(tokens_MLW), frames)
        tokens_MLW = self._control(tokens_MLW, frames)
        return tokens_MLW + self._thin(self.transform(tokens_MLW), frames)

    def _control(self, tokens_MLW: Tensor, frames: int) -> Tensor:
        return tokens_MLW if self.control_point is None else self.control_point(tokens_MLW, frames)

    def _thin(self, branch_MLW: Tensor, frames: int) -> Tensor:
        """Drop the branch for some videos. (The published code drops token positions.)"""
        if not self.drop or not self.training:
            return branch_MLW
        videos = branch_MLW.unflatten(0, (-1, frames))
        return stochastic_depth(videos, self.drop, "row").flatten(0, 1)


class ShiftedConv(nn.Conv2d):
    """A convolution whose input is shifted: TSM in a ResNet, an eighth of the channels each way.

    ``frames`` is set before each forward, since nothing can be handed through the bottleneck.

    Args:
        conv: whose weight it takes over.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(
            conv.in_channels, conv.out_channels, 1, bias=False, device="meta", dtype=torch.float32
        )
        self.weight = conv.weight
        self.frames = 1

    def forward(self, images_MCHH: Tensor) -> Tensor:
        """Return the convolved images."""
        videos = images_MCHH.unflatten(0, (-1, self.frames))
        shifted = shift_channels(videos, images_MCHH.shape[1] // 8, dim=2)
        return super().forward(shifted.flatten(0, 1))


def shift_resnet(visual: ModifiedResNet) -> list[ShiftedConv]:
    """Shift before the first convolution of the bottlenecks and return those convolutions."""
    stages = (visual.layer1, visual.layer2, visual.layer3, visual.layer4)
    step = 2 if len(visual.layer3) >= SHIFT_ALL_BELOW else 1
    shifted = []
    for stage in stages:
        for bottleneck in stage[::step]:
            bottleneck.conv1 = ShiftedConv(bottleneck.conv1)
            shifted.append(bottleneck.conv1)
    return shifted
