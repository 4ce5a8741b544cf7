"""Attention with the weights of CLIP's blocks, whatever class of open_clip holds them.

What an attention module's ``forward`` takes and returns differs between open_clip's versions. All
have ``num_heads``, ``in_proj_weight``, ``in_proj_bias`` and ``out_proj``; only those are used.

Shapes: M sequences (or any leading dimensions), L tokens that ask, S tokens that are asked, W
width, H heads, E = W / H.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F


def project_heads(
    attention: Any, tokens_MLW: Tensor, context_MSW: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries M x H x L x E of ``tokens``, keys and values M x H x S x E of ``context``.

    Args:
        attention: an attention module of open_clip.
        tokens_MLW: the normed tokens that ask.
        context_MSW: those that are asked; the same ones unless given.
    """
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    if context_MSW is None:
        parts = F.linear(tokens_MLW, weight, bias).chunk(3, dim=-1)
    else:
        width = tokens_MLW.shape[-1]
        query = F.linear(tokens_MLW, weight[:width], bias[:width])
        parts = (query, *F.linear(context_MSW, weight[width:], bias[width:]).chunk(2, dim=-1))
    query, key, value = (
        p.unflatten(-1, (attention.num_heads, -1)).transpose(-3, -2) for p in parts
    )
    return query, key, value


def attend(
    attention: Any,
    tokens_MLW: Tensor,
    context_MSW: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Return what ``tokens`` read from ``context`` (themselves unless given), M x L x W.

    Args:
        attention: an attention module of open_clip.
        tokens_MLW: normed tokens.
        context_MSW: normed tokens.
        mask: broadcast to M x H x L x S; True where a token may be read, or numbers that are added
            to the scaled products (one bias a head is H x 1 x S).
        dropout: probability of leaving out an attention weight.
    """
    query, key, value = project_heads(attention, tokens_MLW, context_MSW)
    mixed_MHLE = F.scaled_dot_product_attention(query, key, value, mask, dropout)
    return attention.out_proj(mixed_MHLE.transpose(-3, -2).flatten(-2))
