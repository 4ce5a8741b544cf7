"""Video networks of pytorchvideo (X3D, Slow, MViT, ...) as encoders of the joint space.

Shapes: B videos, T frames, T' times of the feature map, C its channels, D joint dimension, H W
pixels.
"""

from __future__ import annotations

import copy
import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any, ClassVar

import torch
from open_clip import CustomTextCLIP
from torch import Tensor, nn

from slowfast.checkpoint.load import check_values
from slowfast.checkpoint.reader import read_checkpoint
from slowfast.config.configurable import configurable
from slowfast.config.paths import resolve_path
from slowfast.errors import UsageError
from slowfast.models.encoders.build import ENCODER_REGISTRY
from slowfast.models.video_networks import create_network, import_networks
from slowfast.structures import Encoded

logger = logging.getLogger(__name__)
MESSAGE_WIDTH = 300
# Networks of pytorchvideo's hub that take one clip B x 3 x T x H x W. The others take two pathways
# (slowfast_*), boxes (*_detection) or single images (mvit_base_16).
HUB_ARCHS = (
    "c2d_r50",
    "csn_r101",
    "i3d_r50",
    "mvit_base_16x4",
    "mvit_base_32x3",
    "r2plus1d_r50",
    "slow_r50",
    "x3d_l",
    "x3d_m",
    "x3d_s",
    "x3d_xs",
)
# Modules and functions of pytorchvideo.models.
BUILDERS = {
    "mvit": ("vision_transformers", "create_multiscale_vision_transformers"),
    "slow": ("resnet", "create_resnet"),
    "x3d": ("x3d", "create_x3d"),
}


class NoImageTower(nn.Module):
    """Stands where CLIP's image tower was: no parameters, only the facts that others ask for.

    Args:
        output_dim: the joint dimension D.
        image_size: what the tower took; a trunk may take another size.
    """

    def __init__(self, output_dim: int, image_size: int | tuple[int, int] | None = None) -> None:
        super().__init__()
        self.output_dim = output_dim
        # Under another name than a tower's, so that no frame is refused for its size alone.
        self.replaced_size = image_size

    def forward(self, images_MCHW: Tensor) -> Tensor:
        """Raise UsageError: there is no image tower."""
        raise UsageError(
            "MODEL.ENCODER VideoTrunk removes CLIP's image tower, so frames cannot be encoded "
            "with it: choose MODEL.ENCODER FrameWise"
        )

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Raise UsageError: pytorchvideo's networks keep all their activations."""
        raise UsageError(
            "MODEL.ACT_CHECKPOINT: MODEL.ENCODER VideoTrunk cannot recompute activations; "
            "switch it off"
        )


def build_trunk(arch: str) -> nn.Module:
    """Return a network of pytorchvideo with random weights; nothing is downloaded.

    Args:
        arch: one of HUB_ARCHS, or the path of a JSON object: "builder" (one of BUILDERS) and
            keyword arguments of pytorchvideo's create_x3d, create_resnet or
            create_multiscale_vision_transformers.

    Raises:
        UsageError: pytorchvideo is not installed; unknown name, builder or argument; no such file.
    """
    models = import_networks("MODEL.ENCODER VideoTrunk")
    if not arch.endswith(".json"):
        if arch not in HUB_ARCHS:
            raise UsageError(
                f"TRUNK.ARCH {arch!r}: choose from {', '.join(HUB_ARCHS)}, or name a .json file"
            )
        return getattr(models.hub, arch)(pretrained=False)
    path = resolve_path(arch)
    arguments = _read_arguments(path)
    builder = arguments.pop("builder", "")
    if builder not in list(BUILDERS):  # which may be unhashable
        raise UsageError(
            f"TRUNK.ARCH {path}: builder {builder!r}: choose from {', '.join(BUILDERS)}"
        )
    module, function = BUILDERS[builder]
    create = getattr(getattr(models, module), function)
    return create_network(create, arguments, f"TRUNK.ARCH {path}")


def _read_arguments(path: Path) -> dict[str, Any]:
    try:
        arguments = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UsageError(f"TRUNK.ARCH {path}: no such file") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"TRUNK.ARCH {path}:{error.lineno}: not valid JSON: {error.msg}") from None
    if not isinstance(arguments, dict):
        raise UsageError(f"TRUNK.ARCH {path}: expected a JSON object")
    return arguments


def cut_head(trunk: nn.Module) -> set[str]:
    """Remove pooling over time and the classifier, in place; return the names of the weights lost.

    What stays keeps its name. X3D keeps the convolution that its pooling starts with.
    """
    from pytorchvideo.models.head import ResNetBasicHead

    before = set(trunk.state_dict())
    if hasattr(trunk, "cls_positional_encoding"):
        trunk.head = None  # type: ignore[assignment]
    elif isinstance(head := trunk.blocks[-1], ResNetBasicHead):  # type: ignore[index]
        if hasattr(head.pool, "pre_conv"):
            head.pool.pool = head.pool.post_conv = nn.Identity()
            head.pool.post_norm = head.pool.post_act = None
            head.dropout = head.proj = head.activation = head.output_pool = None
        else:
            trunk.blocks = trunk.blocks[:-1]  # type: ignore[index]
    return before - set(trunk.state_dict())


def load_trunk(trunk: nn.Module, path: str, lost: set[str]) -> None:
    """Load a released file of pytorchvideo into a trunk whose head was cut off.

    Args:
        trunk: what ``cut_head`` left.
        path: its ``model_state`` (or a bare state dict); tensors only are read.
        lost: names that the file may hold in vain.

    Raises:
        UsageError: unreadable file, weights of another network, or what cannot be weights.
    """
    state = read_checkpoint(path).state
    kept = {key: tensor for key, tensor in state.items() if key not in lost}
    check_values(f"TRUNK.PRETRAINED {path}", kept, trunk.state_dict())
    try:
        trunk.load_state_dict(kept)
    except RuntimeError as error:
        reason = shorten(" ".join(str(error).splitlines()[1:]), MESSAGE_WIDTH)
        raise UsageError(
            f"TRUNK.PRETRAINED {path}: these are weights of another TRUNK.ARCH: {reason}"
        ) from None
    logger.info("%s: %d tensors read, %d of its head left", path, len(kept), len(state) - len(kept))


@ENCODER_REGISTRY.register()
class VideoTrunk(nn.Module):
    """A video network, its feature map averaged over space, and a linear map to the joint space.

    CLIP's image tower is removed when this is built; its text tower is used as it is.

    Args:
        trunk: a network of pytorchvideo without its head.
        channels: C of its feature map.
        joint_dim: D.
        times: T' of its feature map; with more than one, the encoder provides "frames".
    """

    options: ClassVar[tuple[str, ...]] = ("TRUNK",)
    provides: frozenset[str] = frozenset({"frames"})
    frozen: ClassVar[tuple[str, ...]] = ()
    added: ClassVar[tuple[str, ...]] = ()

    @configurable
    def __init__(self, *, trunk: nn.Module, channels: int, joint_dim: int, times: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.projection = nn.Linear(channels, joint_dim)
        self.provides = frozenset({"frames"} if times > 1 else ())

    @classmethod
    def from_cfg(cls, cfg: Any, clip: CustomTextCLIP) -> dict[str, Any]:
        """Build ``TRUNK.ARCH``, load ``TRUNK.PRETRAINED``, and remove CLIP's image tower."""
        if cfg.DATA.TRANSFORMS == "open_clip":
            raise UsageError(
                "DATA.TRANSFORMS open_clip prepares frames for CLIP's image tower, which "
                "MODEL.ENCODER VideoTrunk does not use: choose slowfast or clip"
            )
        trunk = build_trunk(cfg.TRUNK.ARCH)
        lost = cut_head(trunk)
        if cfg.TRUNK.PRETRAINED:
            load_trunk(trunk, cfg.TRUNK.PRETRAINED, lost)
        if cfg.TEST.ENABLE or not cfg.TRAIN.ENABLE:
            channels, times = measure(trunk, cfg.DATA.NUM_FRAMES, cfg.DATA.TEST_CROP_SIZE)
        if cfg.TRAIN.ENABLE:
            channels, times = measure(trunk, cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE)
        visual: Any = clip.visual
        joint_dim = int(visual.output_dim)
        clip.visual = NoImageTower(joint_dim, getattr(visual, "image_size", None))
        return {"trunk": trunk, "channels": channels, "joint_dim": joint_dim, "times": times}

    @staticmethod
    def describe(options: Mapping[str, Any]) -> list[str]:
        """Name the trunk."""
        return [f"trunk {Path(options['TRUNK.ARCH']).stem}"]

    def forward(self, clip: CustomTextCLIP, video_BCTHW: Tensor) -> Encoded:
        """Return un-normalised features B x T' x D of normalised frames."""
        return Encoded(self.projection(encode_times(self.trunk, video_BCTHW)), {})


def encode_times(trunk: nn.Module, video_BCTHW: Tensor) -> Tensor:
    """Return a headless trunk's feature map averaged over space, B x T' x C.

    Raises:
        UsageError: frames of a number or size that the trunk's positions do not have.
    """
    if hasattr(trunk, "cls_positional_encoding"):
        return _multiscale_times(trunk, video_BCTHW)
    return trunk(video_BCTHW).mean(dim=(3, 4)).transpose(1, 2)


def _multiscale_times(trunk: Any, video_BCTHW: Tensor) -> Tensor:
    positions, patches = trunk.cls_positional_encoding, trunk.patch_embed.patch_model
    map_BCTHW = patches(video_BCTHW)
    size_THW = list(positions.patch_embed_shape)
    if list(map_BCTHW.shape[2:]) != size_THW:
        wanted = " x ".join(str(n * step) for n, step in zip(size_THW, patches.stride))
        raise UsageError(
            f"clips of {' x '.join(map(str, video_BCTHW.shape[2:]))} (frames, height, width), but "
            f"TRUNK.ARCH has positions for {wanted}: set DATA.NUM_FRAMES, DATA.TRAIN_CROP_SIZE "
            "and DATA.TEST_CROP_SIZE, or choose another trunk"
        )
    tokens_BLC = positions(map_BCTHW.flatten(2).transpose(1, 2))
    for step in (trunk.pos_drop, trunk.norm_patch_embed):
        tokens_BLC = tokens_BLC if step is None else step(tokens_BLC)
    for block in trunk.blocks:
        tokens_BLC, size_THW = block(tokens_BLC, size_THW)
    if trunk.norm_embed is not None:
        tokens_BLC = trunk.norm_embed(tokens_BLC)
    # The class token, if there is one, stands before the patches.
    patches_BLC = tokens_BLC[:, tokens_BLC.shape[1] - math.prod(size_THW) :]
    return patches_BLC.unflatten(1, size_THW).mean(dim=(2, 3))


@torch.no_grad()
def measure(trunk: nn.Module, num_frames: int, side: int) -> tuple[int, int]:
    """Return (C, T') of a trunk for such clips, by shapes alone: nothing is computed.

    Raises:
        UsageError: the trunk does not take such clips.
    """
    shadow = copy.deepcopy(trunk).to("meta").eval()
    clip_BCTHW = torch.empty(1, 3, num_frames, side, side, device="meta")
    try:
        features_BTC = encode_times(shadow, clip_BCTHW)
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"TRUNK.ARCH does not take clips of {num_frames} frames of {side} x {side} pixels: "
            f"{str(error).splitlines()[0]}"
        ) from None
    return features_BTC.shape[2], features_BTC.shape[1]
