"""Texts through CLIP's text tower: only as long as they are, only once each.

Shapes: M texts, L tokens, D joint dimension, W tower width, U distinct texts, K classes, N texts
per class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from open_clip.transformer import TextTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.text.tokenize import CONTEXT_LENGTH, LongText, Tokenizer, byte_pairs


def is_trimmable(tower: TextTransformer) -> bool:
    """Return whether the tower's feature does not depend on what lies behind the end token.

    True for CLIP's own towers: causal attention, and the feature read at the end token.
    """
    return (
        getattr(tower, "attn_mask", None) is not None
        and getattr(tower, "cls_emb", None) is None
        and getattr(tower, "pool_type", "") in ("argmax", "eos")
    )


def encode_tokens(tower: TextTransformer, ids_ML: Tensor) -> Tensor:
    """Return the un-normalised text features M x D of token ids padded to any common length L.

    open_clip's own forward wants the full context length; this runs its submodules on L tokens
    with the causal mask cut to L x L, which gives the same features. A tower for which that does
    not hold (bidirectional, or pooled elsewhere) gets the ids padded to its context length.
    """
    if not is_trimmable(tower):
        return tower(F.pad(ids_ML, (0, tower.context_length - ids_ML.shape[1])))
    return encode_embeddings(tower, tower.token_embedding(ids_ML), end_positions(tower, ids_ML))


def encode_embeddings(tower: TextTransformer, tokens_MLW: Tensor, end_M: Tensor) -> Tensor:
    """Return text features M x D of token embeddings (before positions) read at ``end_M``.

    The entry for prompts that are learned or computed instead of looked up.
    """
    dtype, length = tower.transformer.get_cast_dtype(), tokens_MLW.shape[1]
    hidden_MLW = tokens_MLW.to(dtype) + tower.positional_embedding[:length].to(dtype)
    hidden_MLW = tower.transformer(hidden_MLW, attn_mask=tower.attn_mask[:length, :length])
    rows_M = torch.arange(len(end_M), device=end_M.device)
    # The last norm works on each token alone, so it is applied to the one that is read.
    pooled_MW = tower.ln_final(hidden_MLW[rows_M, end_M])
    projection = tower.text_projection
    if projection is None:
        return pooled_MW
    return projection(pooled_MW) if isinstance(projection, nn.Linear) else pooled_MW @ projection


def end_positions(tower: TextTransformer, ids_ML: Tensor) -> Tensor:
    """Return where each text's feature is read, M: its first end token."""
    if tower.pool_type == "eos":
        return (ids_ML == tower.eos_id).int().argmax(dim=-1)
    return ids_ML.argmax(dim=-1)


class TextBank(nn.Module):
    """The texts of a vocabulary, as token ids, and their features.

    Distinct texts are encoded once per call, in chunks of similar length, each as long as its
    longest text. The features of the whole bank are kept and given out again as long as they cannot
    change: no gradient is wanted (or no parameter of the tower is trained), and the tower's
    weights, device and precision are the same. ``train()`` drops them. Kept features are made
    without dropout, whatever mode the model is in.

    Args:
        texts: K lists of N texts.
        context_length: the most tokens of a text.
        long_text: "error" or "truncate", see ``tokenize``.
        chunk_size: texts per call of the tower.
        tokenizer: the tower's own; CLIP's byte pairs unless given.

    The ids are buffers, so that they follow ``.to()``, but not part of the state dict: a checkpoint
    does not depend on the vocabulary.
    """

    ids_UL: Tensor

    def __init__(
        self,
        texts: Sequence[Sequence[str]],
        *,
        context_length: int = CONTEXT_LENGTH,
        long_text: LongText = "error",
        chunk_size: int = 512,
        tokenizer: Tokenizer = byte_pairs,
    ) -> None:
        super().__init__()
        distinct = list(dict.fromkeys(text for own in texts for text in own))
        ids_UL, lengths_U = tokenizer(distinct, context_length, long_text)
        order_U = lengths_U.argsort(stable=True)
        position = {distinct[int(old)]: new for new, old in enumerate(order_U)}
        self.chunk_size = chunk_size
        self.register_buffer("ids_UL", ids_UL[order_U], persistent=False)
        # On the CPU: choosing rows and lengths must not wait for the device.
        self.lengths_U = lengths_U[order_U]
        self.where_KN = torch.tensor([[position[text] for text in own] for own in texts])
        self._cached: tuple[object, Tensor] | None = None

    def extra_repr(self) -> str:
        """Return the bank's size for printing."""
        classes, number = self.where_KN.shape
        return f"classes={classes}, texts={number}, distinct={len(self.ids_UL)}"

    def train(self, mode: bool = True) -> TextBank:
        """Switch the mode; entering training drops the kept features."""
        if mode:
            self._cached = None
        return super().train(mode)

    def features(self, tower: TextTransformer) -> Tensor:
        """Return the un-normalised features of all texts, K x N x D."""
        if _is_trained(tower):
            return self._encode(tower, self.where_KN)
        key = self._key(tower)
        if self._cached is None or self._cached[0] != key:
            # Ordinary tensors, also when called in inference mode: they may be used outside it.
            with torch.inference_mode(False), torch.no_grad(), _evaluating(tower):
                self._cached = (key, self._encode(tower, self.where_KN))
        return self._cached[1]

    def rows(self, tower: TextTransformer, classes_J: Tensor) -> Tensor:
        """Return the features of the given classes, J x N x D; repeated ones are encoded once."""
        if _is_trained(tower):
            return self._encode(tower, self.where_KN[classes_J.cpu()])
        return self.features(tower)[classes_J]

    def _encode(self, tower: TextTransformer, where: Tensor) -> Tensor:
        device = self.ids_UL.device
        chosen, inverse = torch.unique(where, return_inverse=True)
        parts = []
        for part in chosen.split(self.chunk_size):
            ids = self.ids_UL[part.to(device), : int(self.lengths_U[part].max())]
            parts.append(encode_tokens(tower, ids))
        features = torch.cat(parts) if len(parts) > 1 else parts[0]
        return features[inverse.to(device)]

    def _key(self, tower: TextTransformer) -> object:
        device = self.ids_UL.device.type
        autocast = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device)
        weights = tuple((id(p), p.data_ptr(), p._version) for p in tower.parameters())
        return (weights, self.ids_UL.device, autocast)


def _is_trained(tower: TextTransformer) -> bool:
    return torch.is_grad_enabled() and any(p.requires_grad for p in tower.parameters())


@contextmanager
def _evaluating(tower: nn.Module) -> Iterator[None]:
    """Switch dropout off for the while; towers of other libraries have it."""
    training = tower.training
    tower.eval()
    try:
        yield
    finally:
        tower.train(training)
