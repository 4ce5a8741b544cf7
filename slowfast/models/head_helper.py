"""Heads under the names that PySlowFast-style model files import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from slowfast.errors import UsageError

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "softmax": partial(nn.Softmax, dim=-1),
    "sigmoid": nn.Sigmoid,
    "none": nn.Identity,
}


def _activation(name: str) -> nn.Module:
    if name not in _ACTIVATIONS:
        raise UsageError(f"MODEL.HEAD_ACT {name!r}: choose from {sorted(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]()


class TransformerBasicHead(nn.Module):
    """Dropout, a linear layer, and in evaluation an activation over the classes.

    Args:
        dim_in: channels of the input.
        num_classes: K.
        dropout_rate: before the layer.
        act_func: "softmax", "sigmoid" or "none" (PySlowFast: ``MODEL.HEAD_ACT``).
        cfg: accepted and unused; PySlowFast's callers pass it.
    """

    def __init__(
        self,
        dim_in: int,
        num_classes: int,
        dropout_rate: float = 0.0,
        act_func: str = "softmax",
        cfg: Any = None,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout_rate)
        self.projection = nn.Linear(dim_in, num_classes)
        self.act = _activation(act_func)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits in training, activated scores in evaluation, for features ... x C."""
        scores = self.projection(self.dropout(features))
        return scores if self.training else self.act(scores)


class ResNetBasicHead(TransformerBasicHead):
    """The same over the pooled feature maps of one or several pathways, side by side.

    Maps that are larger than what is pooled are classified at every place, and the places averaged
    in evaluation.

    Args:
        dim_in: channels of each pathway.
        num_classes: K.
        pool_size: T, H and W of each pathway's average pooling; None pools a whole map.
        dropout_rate: before the layer.
        act_func: see TransformerBasicHead.
        detach_final_fc: stop the gradient before the layer.
        cfg: accepted and unused; PySlowFast's callers pass it.
    """

    def __init__(
        self,
        dim_in: Sequence[int],
        num_classes: int,
        pool_size: Sequence[Sequence[int] | None],
        dropout_rate: float = 0.0,
        act_func: str = "softmax",
        detach_final_fc: bool = False,
        cfg: Any = None,
    ) -> None:
        if len(pool_size) != len(dim_in):
            raise UsageError(
                f"ResNetBasicHead: {len(dim_in)} pathways in dim_in, {len(pool_size)} in pool_size"
            )
        super().__init__(sum(dim_in), num_classes, dropout_rate, act_func)
        self.detach_final_fc = detach_final_fc
        self.pools = nn.ModuleList(
            nn.AvgPool3d((size[0], size[1], size[2]), stride=1) if size else nn.AdaptiveAvgPool3d(1)
            for size in pool_size
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:  # type: ignore[override] # maps
        """Return B x K scores of one map B x C x T x H x W for each pathway.

        In training B x (T' * H' * W' * K) where the pooled maps have more than one place.
        """
        pooled = [pool(map_BCTHW) for pool, map_BCTHW in zip(self.pools, inputs, strict=True)]
        features_BTHWC = torch.cat(pooled, dim=1).movedim(1, -1)
        if self.detach_final_fc:
            features_BTHWC = features_BTHWC.detach()
        scores = super().forward(features_BTHWC)
        return (scores if self.training else scores.mean(dim=(1, 2, 3))).flatten(1)


LinearHead = TransformerBasicHead
