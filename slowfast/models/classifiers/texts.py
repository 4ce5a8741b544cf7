"""Rows from the class names: features of a text encoder other than the tower of the model.

Shapes: K classes, L tokens, W the encoder's width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from slowfast.errors import UsageError
from slowfast.models.clip.build import build_clip
from slowfast.models.clip.text import TextBank

CHUNK = 64


@torch.no_grad()
def open_clip_rows(names: Sequence[str], arch: str, pretrained: str) -> Tensor:
    """Return the text features K x W of bare names by the text tower of another CLIP.

    Args:
        names: K class names, put in without a template.
        arch: see ``CLIP.ARCH``.
        pretrained: see ``CLIP.PRETRAINED``; empty is refused.

    Raises:
        UsageError: unknown arch or weights, or none.
    """
    if not pretrained:
        raise UsageError(f"{arch}: name its weights; rows of random weights know nothing")
    clip = build_clip(arch, pretrained).eval()
    bank = TextBank(
        [[name] for name in names],
        context_length=clip.text.context_length,
        tokenizer=clip.tokenizer,
    )
    return bank.features(clip.text)[:, 0].float()


@torch.no_grad()
def transformers_rows(names: Sequence[str], source: str) -> Tensor:
    """Return the mean of the last hidden states over the tokens of each bare name, K x W.

    All tokens but padding count, the encoder's start and end tokens too. Text4Vis used DistilBERT
    of a file that is not published; this mean is our choice.

    Args:
        names: K class names.
        source: a folder, or a name on the Hugging Face hub, of a text encoder with its tokenizer
            (the encoder is taken of an encoder-decoder).

    Raises:
        UsageError: transformers is not installed, or there is no usable text encoder.
    """
    tokenizer, model = _load(source)
    rows = []
    for start in range(0, len(names), CHUNK):
        ids = tokenizer(
            list(names[start : start + CHUNK]),
            padding=True,
            return_tensors="pt",
            return_token_type_ids=False,
        )
        hidden_KLW = model(**ids).last_hidden_state.float()
        mask_KL = ids["attention_mask"].float()
        total_KW = torch.einsum("klw,kl->kw", hidden_KLW, mask_KL)
        rows.append(total_KW / mask_KL.sum(dim=1, keepdim=True))
    return torch.cat(rows)


def _load(source: str) -> tuple[Any, Any]:
    try:
        import transformers
    except ImportError:
        raise UsageError(
            "transformers is not installed: pip install 'ost-slowfast[classifiers]'"
        ) from None
    if source.startswith(("/", ".", "~")) and not Path(source).is_dir():
        raise UsageError(f"{source}: no such folder; name one, or a model of the Hugging Face hub")
    transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source)
        model = transformers.AutoModel.from_pretrained(source)
    except (OSError, ValueError, KeyError) as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(f"{source}: no text encoder and tokenizer there: {line}") from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    elif model.main_input_name != "input_ids" or hasattr(model.config, "vision_config"):
        raise UsageError(f"{source}: {type(model).__name__} is no plain text encoder")
    return tokenizer, model.eval()
