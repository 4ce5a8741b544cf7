"""PySlowFast's networks that classify clips without any text: the first baselines of a study.

SlowFast, Slow, C2D, I3D (ResNets), X3D and MViT as pytorchvideo builds them, from PySlowFast's own
options and YAML files. What those say and pytorchvideo cannot build is refused by name.

Shapes: B clips, K classes, T frames, S side of a frame, T' H' W' places at which a larger clip
than the trained one is scored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from slowfast.config import tree
from slowfast.config.configurable import configurable
from slowfast.errors import UsageError
from slowfast.models.heads.texts import build_vocabulary
from slowfast.models.video_networks import create_network, import_networks
from slowfast.models.video_text import MODEL_REGISTRY

DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
# Lengths in time of the kernels of the stem and of the four stages, repeated over a stage's blocks.
TEMPORAL_KERNELS: dict[str, tuple[tuple[int, ...], ...]] = {
    "c2d": ((1,), (1,), (1,), (1,), (1,)),
    "i3d": ((5,), (3,), (3, 1), (3, 1), (1, 3)),
    "slow": ((1,), (1,), (1,), (3,), (3,)),
    "fast": ((5,), (3,), (3,), (3,), (3,)),
}
HALVED_IN_TIME = ("c2d", "i3d")  # behind the first stage
PIXELS_PER_PLACE = 32
# What pytorchvideo builds, where PySlowFast has a choice.
OF_ALL = {
    "CLIP.FREEZE": [],
    "CLIP.TRAINABLE": "both",
    "MODEL.DETACH_FINAL_FC": False,
    "SOLVER.BACKBONE_LR_RATIO": 1.0,
}
OF_RESNETS = {
    "RESNET.TRANS_FUNC": "bottleneck_transform",
    "RESNET.STRIDE_1X1": False,
    "RESNET.NUM_GROUPS": 1,
    "RESNET.ZERO_INIT_FINAL_CONV": False,
}
OF_X3D = {
    "RESNET.TRANS_FUNC": "x3d_transform",
    "RESNET.STRIDE_1X1": False,
    "RESNET.ZERO_INIT_FINAL_CONV": False,
    "X3D.SCALE_RES2": False,
    "X3D.CHANNELWISE_3x3x3": True,
}
OF_MVIT = {
    "MVIT.NORM": "layernorm",
    "MVIT.PATCH_2D": False,
    "MVIT.LAYER_SCALE_INIT_VALUE": 0.0,
    "MVIT.USE_ABS_POS": True,
    "MVIT.USE_FIXED_SINCOS_POS": False,
    "MVIT.REL_POS_SPATIAL": False,
    "MVIT.REL_POS_TEMPORAL": False,
    "MVIT.RESIDUAL_POOLING": False,
    "MVIT.DIM_MUL_IN_ATT": False,
    "MVIT.SEPARATE_QKV": False,
    "MVIT.HEAD_INIT_SCALE": 1.0,
    "MVIT.USE_MEAN_POOLING": False,
    "MVIT.REV.ENABLE": False,
}


class ClassicalModel(nn.Module):
    """A network of pytorchvideo that is trained on labels alone.

    Args:
        network: takes a clip B x 3 x T x S x S, or a list of ``num_pathways`` of them, and returns
            logits B x K or, of each place, B x K x T' x H' x W'.
        activation: over the classes of a place, before places are averaged in evaluation
            (``MODEL.HEAD_ACT``): "softmax", "sigmoid" or "none".
        undecayed: names of parameters without weight decay, or parts of names.
    """

    num_pathways: ClassVar[int] = 1

    @configurable
    def __init__(
        self, *, network: nn.Module, activation: str = "softmax", undecayed: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.network = network
        self.activation = activation
        self.undecayed = tuple(undecayed)

    def no_weight_decay(self) -> tuple[str, ...]:
        """Return fragments of the names of parameters that are not decayed."""
        return self.undecayed

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return logits B x K of PySlowFast's list of pathways.

        In evaluation of several places they are those of the mean of their activated scores.
        """
        scores = self.network(self.pack(inputs))
        places_BKP = scores.flatten(2) if scores.ndim > 2 else scores[..., None]
        if self.training or places_BKP.shape[-1] == 1 or self.activation == "none":
            return places_BKP.mean(dim=-1)
        if self.activation == "sigmoid":
            return places_BKP.sigmoid().mean(dim=-1).logit(eps=1e-6)
        number = math.log(places_BKP.shape[-1])
        return places_BKP.log_softmax(dim=1).logsumexp(dim=-1) - number

    def pack(self, inputs: Sequence[Tensor]) -> Any:
        """Return what the network takes: of a list of pathways the one with all frames."""
        return inputs[-1]


@MODEL_REGISTRY.register()
class SlowFast(ClassicalModel):
    """Two ResNets side by side: one sees few frames, the other all of them with few channels.

    Args:
        alpha: frames of the fast pathway for one of the slow one.
        others: as of ``ClassicalModel``.
    """

    num_pathways = 2
    replaceable = True

    @configurable
    def __init__(self, *, alpha: int, **others: Any) -> None:
        super().__init__(**others)
        self.alpha = alpha

    @classmethod
    def from_cfg(cls, cfg: Any) -> dict[str, Any]:
        """Read ``SLOWFAST``, ``RESNET`` and the clips' size."""
        own, width, frames = cfg.SLOWFAST, cfg.RESNET.WIDTH_PER_GROUP, cfg.DATA.NUM_FRAMES
        if frames % own.ALPHA:
            raise UsageError(
                f"DATA.NUM_FRAMES {frames} is no multiple of SLOWFAST.ALPHA {own.ALPHA}: the fast "
                "pathway has that many frames for each of the slow one"
            )
        slow, fast = (_build_stages(cfg, kind, i, 2) for i, kind in enumerate(("slow", "fast")))
        side = cfg.DATA.TRAIN_CROP_SIZE // PIXELS_PER_PLACE
        arguments = {
            "slowfast_channel_reduction_ratio": own.BETA_INV,
            "slowfast_conv_channel_fusion_ratio": own.FUSION_CONV_CHANNEL_RATIO,
            "slowfast_fusion_conv_kernel_size": (own.FUSION_KERNEL_SZ, 1, 1),
            "slowfast_fusion_conv_stride": (own.ALPHA, 1, 1),
            "input_channels": tuple(cfg.DATA.INPUT_CHANNEL_NUM),
            "model_depth": cfg.RESNET.DEPTH,
            "stem_dim_outs": (width, width // own.BETA_INV),
            "stem_conv_kernel_sizes": (slow["stem"], fast["stem"]),
            "stage_conv_a_kernel_sizes": (slow["kernels"], fast["kernels"]),
            "stage_conv_b_dilations": (slow["dilations"], fast["dilations"]),
            "stage_spatial_strides": (slow["strides"], fast["strides"]),
            "head_pool_kernel_sizes": ((frames // own.ALPHA, side, side), (frames, side, side)),
            "head_output_with_global_average": False,
        }
        models = import_networks("MODEL.MODEL_NAME SlowFast")
        parts = _build_convolutions(cfg, models.slowfast.create_slowfast, arguments, OF_RESNETS)
        return {"alpha": own.ALPHA, **parts}

    def pack(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return both pathways; of the fast one alone, the slow one takes evenly spread frames."""
        if len(inputs) == self.num_pathways:
            return list(inputs)
        frames = inputs[0].shape[2]
        chosen = torch.linspace(0, frames - 1, frames // self.alpha, device=inputs[0].device).long()
        return [inputs[0].index_select(2, chosen), inputs[0]]


@MODEL_REGISTRY.register()
class ResNet(ClassicalModel):
    """C2D, I3D or Slow, as ``MODEL.ARCH`` says."""

    replaceable = True
    arch: ClassVar[str] = ""

    @classmethod
    def from_cfg(cls, cfg: Any) -> dict[str, Any]:
        """Read ``RESNET`` and the clips' size."""
        arch = cls.arch or cfg.MODEL.ARCH
        if arch not in ("c2d", "i3d", "slow"):
            raise UsageError(
                f"MODEL.ARCH {arch!r} is no {cls.__name__} that pytorchvideo builds: choose c2d, "
                "i3d or slow, or another MODEL.MODEL_NAME"
            )
        stages, halving = _build_stages(cfg, arch, 0, 1), 1 + (arch in HALVED_IN_TIME)
        side = cfg.DATA.TRAIN_CROP_SIZE // PIXELS_PER_PLACE
        arguments = {
            "input_channel": cfg.DATA.INPUT_CHANNEL_NUM[0],
            "model_depth": cfg.RESNET.DEPTH,
            "stem_dim_out": cfg.RESNET.WIDTH_PER_GROUP,
            "stem_conv_kernel_size": stages["stem"],
            "stage1_pool": nn.MaxPool3d if halving > 1 else None,
            "stage1_pool_kernel_size": (halving, 1, 1),
            "stage_conv_a_kernel_size": stages["kernels"],
            "stage_conv_b_dilation": stages["dilations"],
            "stage_spatial_h_stride": stages["strides"],
            "stage_spatial_w_stride": stages["strides"],
            "head_pool_kernel_size": (cfg.DATA.NUM_FRAMES // halving, side, side),
            "head_output_with_global_average": False,
        }
        models = import_networks(f"MODEL.MODEL_NAME {cls.__name__}")
        return _build_convolutions(cfg, models.resnet.create_resnet, arguments, OF_RESNETS)


@MODEL_REGISTRY.register()
class Slow(ResNet):
    """SlowFast's slow pathway alone."""

    arch = "slow"


@MODEL_REGISTRY.register()
class C2D(ResNet):
    """A ResNet of images, which sees time where it is halved and averaged."""

    arch = "c2d"


@MODEL_REGISTRY.register()
class I3D(ResNet):
    """A ResNet whose kernels have a length in time."""

    arch = "i3d"


@MODEL_REGISTRY.register()
class X3D(ClassicalModel):
    """A small network, grown along time, space, width and depth."""

    replaceable = True

    @classmethod
    def from_cfg(cls, cfg: Any) -> dict[str, Any]:
        """Read ``X3D`` and the clips' size."""
        own = cfg.X3D
        arguments = {
            "input_channel": cfg.DATA.INPUT_CHANNEL_NUM[0],
            "input_clip_length": cfg.DATA.NUM_FRAMES,
            "input_crop_size": cfg.DATA.TRAIN_CROP_SIZE,
            "width_factor": own.WIDTH_FACTOR,
            "depth_factor": own.DEPTH_FACTOR,
            "stem_dim_in": own.DIM_C1,
            "bottleneck_factor": own.BOTTLENECK_FACTOR,
            "head_dim_out": own.DIM_C5,
            "head_bn_lin5_on": own.BN_LIN5,
            "head_activation": None,
            "head_output_with_global_average": False,
        }
        models = import_networks("MODEL.MODEL_NAME X3D")
        return _build_convolutions(cfg, models.x3d.create_x3d, arguments, OF_X3D)


@MODEL_REGISTRY.register()
class MViT(ClassicalModel):
    """A transformer that pools its tokens from stage to stage (the first version)."""

    replaceable = True

    @classmethod
    def from_cfg(cls, cfg: Any) -> dict[str, Any]:
        """Read ``MVIT`` and the clips' size, which its positions are made for."""
        own, side = cfg.MVIT, cfg.DATA.TRAIN_CROP_SIZE
        if cfg.TEST.ENABLE and side != cfg.DATA.TEST_CROP_SIZE:
            raise UsageError(
                f"DATA.TEST_CROP_SIZE is {cfg.DATA.TEST_CROP_SIZE}, but MODEL.MODEL_NAME MViT has "
                f"positions for DATA.TRAIN_CROP_SIZE {side}: make them equal"
            )
        arguments = {
            "spatial_size": side,
            "temporal_size": cfg.DATA.NUM_FRAMES,
            "input_channels": cfg.DATA.INPUT_CHANNEL_NUM[0],
            "cls_embed_on": own.CLS_EMBED_ON,
            "sep_pos_embed": own.SEP_POS_EMBED,
            "depth": own.DEPTH,
            "patch_embed_dim": own.EMBED_DIM,
            "conv_patch_embed_kernel": own.PATCH_KERNEL,
            "conv_patch_embed_stride": own.PATCH_STRIDE,
            "conv_patch_embed_padding": own.PATCH_PADDING,
            "enable_patch_embed_norm": own.NORM_STEM,
            "num_heads": own.NUM_HEADS,
            "mlp_ratio": own.MLP_RATIO,
            "qkv_bias": own.QKV_BIAS,
            "dropout_rate_block": own.DROPOUT_RATE,
            "droppath_rate_block": own.DROPPATH_RATE,
            "pooling_mode": own.MODE,
            "pool_first": own.POOL_FIRST,
            "embed_dim_mul": own.DIM_MUL,
            "atten_head_mul": own.HEAD_MUL,
            "pool_q_stride_size": own.POOL_Q_STRIDE,
            "pool_kv_stride_size": None if own.POOL_KV_STRIDE_ADAPTIVE else own.POOL_KV_STRIDE,
            "pool_kv_stride_adaptive": own.POOL_KV_STRIDE_ADAPTIVE,
            "pool_kvq_kernel": own.POOL_KVQ_KERNEL,
            "head_dropout_rate": cfg.MODEL.DROPOUT_RATE,
            "head_num_classes": _build_num_classes(cfg),
        }
        models = import_networks("MODEL.MODEL_NAME MViT")
        create = models.vision_transformers.create_multiscale_vision_transformers
        undecayed = ("cls_token", "pos_embed") if own.ZERO_DECAY_POS_CLS else ()
        return {
            "network": _build_network(cfg, create, arguments, OF_MVIT),
            "activation": cfg.MODEL.HEAD_ACT,
            "undecayed": undecayed,
        }


def _build_stages(cfg: Any, kind: str, pathway: int, pathways: int) -> dict[str, Any]:
    """Return one pathway's kernels, strides and dilations."""
    own = cfg.RESNET
    depths = DEPTHS.get(own.DEPTH)
    if depths is None:
        raise UsageError(f"RESNET.DEPTH is {own.DEPTH}: pytorchvideo has {list(DEPTHS)}")

    def of_pathway(option: str) -> list[int]:
        stages = own[option]
        if len(stages) != len(depths) or any(len(stage) != pathways for stage in stages):
            raise UsageError(
                f"RESNET.{option} is {stages}: expected a list for each of {len(depths)} stages, "
                f"of one number for each of {pathways} pathways"
            )
        return [stage[pathway] for stage in stages]

    stem, *patterns = TEMPORAL_KERNELS[kind]
    limits = of_pathway("NUM_BLOCK_TEMP_KERNEL")
    kernels = [
        [(k, 1, 1) for k in ((pattern * depth)[:limit] + (1,) * depth)[:depth]]
        for pattern, depth, limit in zip(patterns, depths, limits)
    ]
    return {
        "stem": (stem[0], 7, 7),
        "kernels": kernels,
        "strides": of_pathway("SPATIAL_STRIDES"),
        "dilations": [(1, d, d) for d in of_pathway("SPATIAL_DILATIONS")],
    }


def _build_num_classes(cfg: Any) -> int:
    return len(build_vocabulary(cfg)) if cfg.TEXT.CLASSES else cfg.MODEL.NUM_CLASSES


def _build_network(
    cfg: Any,
    create: Callable[..., nn.Module],
    arguments: Mapping[str, Any],
    built: dict[str, Any],
) -> Any:
    """Return what ``create`` makes, unless the options ask for more than it can."""
    name = f"MODEL.MODEL_NAME {cfg.MODEL.MODEL_NAME}"
    who = f"pytorchvideo, which builds {name} here,"
    for key, value in (OF_ALL | built).items():
        found = tree.get(cfg, key)
        if found != value:
            raise UsageError(f"{key} is {found!r}: {who} has {value!r} only")
    if any(blocks for stage in cfg.NONLOCAL.LOCATION for blocks in stage):
        raise UsageError(
            f"NONLOCAL.LOCATION is {cfg.NONLOCAL.LOCATION}: {who} has no non-local blocks; leave "
            "its lists empty"
        )
    return create_network(create, arguments, name)


def _build_convolutions(
    cfg: Any,
    create: Callable[..., nn.Module],
    arguments: Mapping[str, Any],
    built: dict[str, Any],
) -> dict[str, Any]:
    """Return a convolutional network, with PySlowFast's initial weights, and its activation."""
    classifier = {
        "model_num_class": _build_num_classes(cfg),
        "dropout_rate": cfg.MODEL.DROPOUT_RATE,
    }
    network = _build_network(cfg, create, {**arguments, **classifier}, built)
    nn.init.normal_(network.blocks[-1].proj.weight, std=cfg.MODEL.FC_INIT_STD)
    for module in network.modules():
        # pytorchvideo leaves the last norm of each block at zero.
        if getattr(module, "block_final_bn", False) and not cfg.RESNET.ZERO_INIT_FINAL_BN:
            nn.init.ones_(module.weight)
    return {"network": network, "activation": cfg.MODEL.HEAD_ACT}
