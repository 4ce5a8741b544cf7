"""From a config to a model on its device, and how a loop calls it."""

from __future__ import annotations

import logging
from inspect import signature
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from slowfast.errors import UsageError
from slowfast.models.video_text import MODEL_REGISTRY, VideoTextModel
from slowfast.solver.optimizer import unwrap
from slowfast.structures import ModelOutput, VideoBatch
from slowfast.utils.distributed import get_world_size

logger = logging.getLogger(__name__)
__all__ = ["MODEL_REGISTRY", "build_model", "call_model", "unwrap"]


def build_model(cfg: Any, gpu_id: int | None = None) -> nn.Module:
    """Build ``MODEL.MODEL_NAME`` on its device, wrapped for several processes if there are any.

    Args:
        cfg: the config. Options read: ``MODEL``, ``CLIP``, ``TEXT`` and ``OST`` (by the model),
            ``NUM_GPUS``, ``BN.NORM_TYPE``, ``TRAIN.COMPILE``.
        gpu_id: the device's number; None takes torch's current one. Without GPUs and with
            ``NUM_GPUS`` -1 it is the CPU.

    Returns:
        The model; inside DistributedDataParallel when a process group of more than one process
        exists and something is trained. ``find_unused_parameters`` comes from the model's
        attribute of that name.

    Raises:
        UsageError: unknown model, encoder or head, unsuitable pair, texts or weights; GPUs asked
            for that are not there.
    """
    device = _choose_device(cfg.NUM_GPUS, gpu_id)
    model: nn.Module = MODEL_REGISTRY.build(cfg.MODEL.MODEL_NAME, cfg)
    if cfg.BN.NORM_TYPE == "sync_batchnorm":
        if device.type == "cpu" and get_world_size() > 1:
            raise UsageError(
                "BN.NORM_TYPE sync_batchnorm needs GPUs, and NUM_GPUS is 0: use batchnorm"
            )
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    if cfg.MODEL.FROZEN_BN:
        _keep_statistics(model)
    if cfg.MODEL.ACT_CHECKPOINT:
        _checkpoint_activations(model)
    model.to(device)
    if cfg.TRAIN.COMPILE:
        _compile(model)
    if get_world_size() > 1 and any(p.requires_grad for p in model.parameters()):
        return _distribute(model, device, fp16_allreduce=cfg.MODEL.FP16_ALLREDUCE)
    return model


def call_model(model: nn.Module, batch: VideoBatch) -> ModelOutput:
    """Score a batch with any registered model.

    One of ours gets the labels in training if it needs them. A plain PySlowFast model gets the list
    of pathways and returns logits, or a list or tuple whose first entry they are; the others are
    ``further``.

    Raises:
        UsageError: the model returned something else.
    """
    if model.training and getattr(unwrap(model), "needs_labels", False):
        output = model(batch.inputs, batch.labels)
    else:
        output = model(batch.inputs)
    if isinstance(output, ModelOutput):
        return output
    logits, further = output, ()
    while isinstance(logits, list | tuple) and logits:
        logits, *rest = logits
        further = (*rest, *further)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(batch.labels):
        raise MODEL_REGISTRY.returned(unwrap(model), output)
    return ModelOutput(logits, further=further)


def _choose_device(num_gpus: int, gpu_id: int | None) -> torch.device:
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if num_gpus == 0 or (num_gpus < 0 and not present):
        return torch.device("cpu")
    if num_gpus > present:
        raise UsageError(
            f"NUM_GPUS {num_gpus}, but this machine has {present or 'no'} usable CUDA "
            f"device{'' if present == 1 else 's'}: set NUM_GPUS {present}"
        )
    return torch.device("cuda", torch.cuda.current_device() if gpu_id is None else gpu_id)


def _keep_statistics(model: nn.Module) -> None:
    """Keep batch norms in evaluation mode, whatever mode the model is switched to."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.train = MethodType(_stay_in_evaluation, module)  # type: ignore[method-assign]
            module.eval()


def _stay_in_evaluation(norm: nn.Module, mode: bool = True) -> nn.Module:
    return nn.Module.train(norm, False)


def _checkpoint_activations(model: nn.Module) -> None:
    towers: Any = getattr(model, "clip", model)
    if not hasattr(towers, "set_grad_checkpointing"):
        raise UsageError(
            f"MODEL.ACT_CHECKPOINT: {type(model).__name__} has no set_grad_checkpointing; "
            "switch it off"
        )
    towers.set_grad_checkpointing(True)


def _compile(model: nn.Module) -> None:
    """Compile what has fixed shapes: the video encoder of ours, the whole of a foreign model."""
    if not torch._dynamo.is_dynamo_supported():
        raise UsageError("TRAIN.COMPILE: torch.compile does not support this Python; switch it off")
    part = model.encoder if isinstance(model, VideoTextModel) else model
    part.compile()
    logger.info("torch.compile is on for %s", type(part).__name__)


def _buffer_option() -> str:
    """Return the name under which this torch takes "send buffers before each forward"."""
    new = "forward_sync_buffers"
    return new if new in signature(DistributedDataParallel).parameters else "broadcast_buffers"


def _distribute(model: nn.Module, device: torch.device, *, fp16_allreduce: bool) -> nn.Module:
    # Only running statistics differ between processes; token ids need not travel each step.
    differ = any(isinstance(module, _BatchNorm) for module in model.modules())
    buffers: dict[str, Any] = {_buffer_option(): differ}
    wrapped = DistributedDataParallel(
        model,
        device_ids=[device] if device.type == "cuda" else None,
        find_unused_parameters=bool(getattr(model, "find_unused_parameters", False)),
        **buffers,
    )
    if fp16_allreduce:
        wrapped.register_comm_hook(None, default_hooks.fp16_compress_hook)
    return wrapped
