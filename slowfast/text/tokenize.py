"""Sentences to token ids with CLIP's byte-pair vocabulary (open_clip's tokenizer)."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from slowfast.errors import UsageError

logger = logging.getLogger(__name__)
CONTEXT_LENGTH = 77


@functools.lru_cache(maxsize=1)
def _tokenizer():  # type: ignore[no-untyped-def]  # noqa: ANN202 - open_clip has no stubs
    # Imported here: it takes seconds, and reading labels or prompts does not need it.
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


def tokenize(
    texts: Sequence[str],
    *,
    context_length: int = CONTEXT_LENGTH,
    long_text: Literal["error", "truncate"] = "error",
) -> Tensor:
    """Return int64 ids M x L: start token, text, end token, zeros; L is the longest text's length.

    CLIP's text tower is causal and reads its feature at the end token, so what lies behind it
    changes nothing and the ids need not be padded to the context length.

    Args:
        context_length: the most tokens of a text, start and end token included.
        long_text: what a longer one does: raise, or lose its tail (with a warning), keeping the
            end token last.

    Raises:
        UsageError: a text is too long and ``long_text`` is "error"; it names the text.

    >>> tokenize(["a", "a dog"]).tolist()
    [[49406, 320, 49407, 0], [49406, 320, 1929, 49407]]
    """
    assert texts, "nothing to tokenize"
    tokenizer = _tokenizer()
    start, end = tokenizer.sot_token_id, tokenizer.eot_token_id
    rows = []
    for text in texts:
        row = [start, *tokenizer.encode(text), end]
        if len(row) > context_length:
            _report_long(text, len(row), context_length, long_text)
            row = [*row[: context_length - 1], end]
        rows.append(row)
    ids_ML = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
    for ids_L, row in zip(ids_ML, rows):
        ids_L[: len(row)] = torch.tensor(row)
    return ids_ML


def _report_long(text: str, found: int, allowed: int, long_text: str) -> None:
    message = f"text of {found} tokens, at most {allowed} are allowed: {text!r}"
    if long_text == "error":
        raise UsageError(f"{message}; shorten it, or set TEXT.LONG_TEXT truncate")
    logger.warning("%s; its tail is cut", message)
