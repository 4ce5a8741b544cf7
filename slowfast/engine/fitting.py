"""A batch that a GPU's memory does not hold: found before the data are read, told in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from slowfast.config.arch import frame_size
from slowfast.datasets.loader import processes_here
from slowfast.engine.stepper import AMP_DTYPES
from slowfast.errors import UsageError
from slowfast.models.build import call_model
from slowfast.models.losses import is_in_batch
from slowfast.models.video_text import VideoTextModel
from slowfast.structures import ModelOutput, VideoBatch
from slowfast.utils import distributed as du

Loss = Callable[[ModelOutput, Tensor], dict[str, Tensor]]


def check_fit(cfg: Any, model: nn.Module, loss: Loss, num_classes: int) -> None:
    """Try a made-up batch of TRAIN.BATCH_SIZE on the model's device, forward and backward.

    Nothing stays of it: no gradient, no statistics, no random draw. Only a process that
    is alone tries: where several gather features, one that fails would leave the others waiting.
    There, and with models that are not ours, ``too_large`` tells what the first step finds.

    Args:
        cfg: the config.
        model: not wrapped.
        loss: of ``build_loss``.
        num_classes: K, of the labels that are made up.

    Raises:
        UsageError: it does not fit; names what does, and the accumulation that keeps the step.
    """
    if du.get_world_size() > 1 or not isinstance(model, VideoTextModel):
        return
    share = clips_of(cfg)
    for clips in divisors(share):
        if _fits(cfg, model, loss, clips, num_classes):
            if clips < share:
                raise too_large(cfg, clips)
            return
    raise too_large(cfg, 0)


def clips_of(cfg: Any) -> int:
    """Return the clips that one process sees in a training step."""
    share: int = cfg.TRAIN.BATCH_SIZE // processes_here(cfg) * cfg.AUG.NUM_SAMPLE
    return share


def divisors(number: int) -> list[int]:
    """Return the divisors of ``number``, the largest first.

    >>> divisors(12)
    [12, 6, 4, 3, 2, 1]
    """
    return [d for d in range(number, 0, -1) if number % d == 0]


def _fits(cfg: Any, model: nn.Module, loss: Loss, clips: int, num_classes: int) -> bool:
    device = next(model.parameters()).device
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    labels = torch.arange(clips, device=device) % num_classes
    index = torch.arange(clips)
    amp = AMP_DTYPES.get(cfg.TRAIN.AMP_DTYPE)
    try:
        with (
            torch.random.fork_rng([device] if device.type == "cuda" else []),
            torch.autocast(device.type, dtype=amp, enabled=cfg.TRAIN.MIXED_PRECISION),
        ):
            if cfg.MIXUP.ENABLE or cfg.DATA.MULTI_LABEL:
                labels = nn.functional.one_hot(labels, num_classes).float()
            shape = (clips, 3, cfg.DATA.NUM_FRAMES, *frame_size(cfg))
            batch = VideoBatch([torch.zeros(shape, device=device)], labels, index)
            terms = loss(call_model(model.train(), batch), batch.labels).values()
            torch.stack([term.float() for term in terms if term.requires_grad]).sum().backward()
    except torch.OutOfMemoryError:
        return False
    finally:
        model.zero_grad(set_to_none=True)
        for name, value in model.named_buffers():
            value.copy_(buffers[name])
    return True


def too_large(cfg: Any, fits: int | None = None) -> UsageError:
    """Return the error of a batch that ran out of memory.

    Args:
        cfg: the config.
        fits: clips of a process that were found to fit; 0 = not even one, None = not tried.
    """
    train, processes = cfg.TRAIN, processes_here(cfg)
    share = clips_of(cfg)
    found = f"TRAIN.BATCH_SIZE {train.BATCH_SIZE}: {share} clips do not fit into a GPU's memory"
    smaller = divisors(share)[1:]
    if fits == 0 or not smaller:
        return UsageError(
            f"{found}, nor does one; set MODEL.ACT_CHECKPOINT True, or lower DATA.NUM_FRAMES"
        )
    batch = (smaller[0] if fits is None else fits) // cfg.AUG.NUM_SAMPLE * processes
    total = train.BATCH_SIZE * train.ACCUMULATION_STEPS * cfg.NUM_SHARDS
    steps = total // (batch * cfg.NUM_SHARDS)
    compared = "; its contrastive loss then compares fewer videos"
    return UsageError(
        f"{found}; {'try' if fits is None else 'what fits is'} TRAIN.BATCH_SIZE {batch} with "
        f"TRAIN.TOTAL_BATCH_SIZE {total}, which accumulates {steps} steps"
        f"{compared * is_in_batch(cfg.MODEL.LOSS_FUNC)}"
    )
