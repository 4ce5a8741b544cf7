"""Heads under the names that PySlowFast-style model files import."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from slowfast.errors import UsageError

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "softmax": partial(nn.Softmax, dim=-1),
    "sigmoid": nn.Sigmoid,
    "none": nn.Identity,
}


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
        if act_func not in _ACTIVATIONS:
            raise UsageError(f"MODEL.HEAD_ACT {act_func!r}: choose from {sorted(_ACTIVATIONS)}")
        self.dropout = nn.Dropout(dropout_rate)
        self.projection = nn.Linear(dim_in, num_classes)
        self.act = _ACTIVATIONS[act_func]()

    def forward(self, features_BC: Tensor) -> Tensor:
        """Return logits B x K in training, activated scores in evaluation."""
        scores_BK = self.projection(self.dropout(features_BC))
        return scores_BK if self.training else self.act(scores_BK)


LinearHead = TransformerBasicHead
