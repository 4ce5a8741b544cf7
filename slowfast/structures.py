"""What models, data and evaluation hand to each other.

Shapes: B batch, T frames, K classes, D joint dimension, S frame side.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor


class View(NamedTuple):
    """One view of a video: which temporal clip and which spatial crop (both counted from 0).

    ``clip == -1`` stands for a random clip and ``crop == -1`` for a random crop, as in training.
    """

    clip: int
    crop: int


class Encoded(NamedTuple):
    """What a video encoder hands to a text head.

    ``video_BTD`` holds un-normalised frame features; ``extras`` whatever else a head may need
    (context tokens, a frozen teacher's features), by name. A tuple and not a dataclass, because
    DistributedDataParallel looks for gradients inside tuples and dicts only.
    """

    video_BTD: Tensor
    extras: dict[str, Tensor]


class ModelOutput(NamedTuple):
    """What every model of this project returns.

    ``logits`` is B x K, with the scale applied; in the contrastive training of OST both axes are
    the global batch. ``video_BTD`` holds un-normalised frame features (None for a foreign model),
    ``extras`` named tensors that a loss may need, and ``further`` what stands behind the logits in
    the tuple of a foreign model.
    """

    logits: Tensor
    video_BTD: Tensor | None = None
    extras: dict[str, Tensor] = {}
    further: tuple[Any, ...] = ()


@dataclass
class VideoBatch:
    """A collated batch in PySlowFast's five-tuple order.

    ``inputs`` is a list with one float tensor B x 3 x T x S x S per pathway, ``labels`` int64 B (or
    float B x K after mixing or for several labels per video), ``index`` int64 B the clip's position
    in the expanded data set, ``time`` float64 B x 1 x 3 (first frame, last frame, gap), ``meta``
    anything else (``broken`` and ``failed`` videos).
    """

    inputs: list[Tensor]
    labels: Tensor
    index: Tensor
    time: Tensor | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.index)

    def to(self, device: torch.device | str) -> VideoBatch:
        """Return the batch on ``device``; the only place where data moves to a device."""
        return VideoBatch(
            [x.to(device, non_blocking=True) for x in self.inputs],
            self.labels.to(device, non_blocking=True),
            self.index.to(device, non_blocking=True),
            self.time,
            self.meta,
        )
