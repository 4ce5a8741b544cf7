"""Sentences to token ids: CLIP's byte-pair vocabulary, or the tokenizer of another text tower."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from slowfast.errors import UsageError

logger = logging.getLogger(__name__)
CONTEXT_LENGTH = 77
LongText = Literal["error", "truncate"]


class Tokens(NamedTuple):
    """Ids int64 M x L, and how many of each row a text tower must see, int64 M."""

    ids_ML: Tensor
    lengths_M: Tensor


class Tokenizer(Protocol):
    """What turns sentences into the ids of one text tower."""

    def __call__(self, texts: Sequence[str], context_length: int, long_text: LongText) -> Tokens:
        """Return the ids of ``texts``; arguments as of ``tokenize``."""


@functools.lru_cache(maxsize=1)
def _tokenizer():  # type: ignore[no-untyped-def]  # noqa: ANN202 - open_clip has no stubs
    # Imported here: it takes seconds, and reading labels or prompts does not need it.
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


def tokenize(
    texts: Sequence[str],
    *,
    context_length: int = CONTEXT_LENGTH,
    long_text: LongText = "error",
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
    return byte_pairs(texts, context_length, long_text).ids_ML


def byte_pairs(texts: Sequence[str], context_length: int, long_text: LongText) -> Tokens:
    """Return the ids of CLIP's own tokenizer, as ``tokenize``; the default Tokenizer."""
    assert texts, "nothing to tokenize"
    tokenizer = _tokenizer()
    lengths = [
        _allowed(text, len(tokenizer.encode(text)) + 2, context_length, long_text) for text in texts
    ]
    ids_ML = tokenizer(list(texts), context_length=max(lengths))
    return Tokens(ids_ML, torch.tensor(lengths))


@dataclass(eq=False)
class HuggingFaceTokenizer:
    """The tokenizer of a text tower that does not use CLIP's: exactly the ids of open_clip's.

    Its files are read (or downloaded) when the first text is tokenized.

    Args:
        name: a repository of Hugging Face, or a local folder.
        positions: tokens that the tower is fed with; shorter texts are padded with the
            tokenizer's own token.
        trim: whether the tower's feature depends on nothing behind the end of a text, so that it
            need not see the padding.
        mode: ``tokenizer_mode`` of open_clip's model configuration.
        options: ``tokenizer_kwargs`` of it (``clean``, ``strip_sep_token``).
    """

    name: str
    _: KW_ONLY
    positions: int
    trim: bool = False
    mode: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, texts: Sequence[str], context_length: int, long_text: LongText) -> Tokens:
        """Return ids M x ``positions``; of texts, at most ``context_length`` tokens.

        Raises:
            UsageError: a text is too long, or the tokenizer cannot be loaded.
        """
        assert texts, "nothing to tokenize"
        tokenizer = self._tokenizer
        limit = min(context_length, self.positions)
        lengths = [_allowed(text, self._count(tokenizer, text), limit, long_text) for text in texts]
        ids_ML = tokenizer(list(texts), context_length=limit)
        if limit < self.positions:
            padded = tokenizer([""] * len(texts), context_length=self.positions)
            ids_ML = torch.cat([ids_ML, padded[:, limit:]], dim=1)
        seen = lengths if self.trim else [self.positions] * len(texts)
        return Tokens(ids_ML, torch.tensor(seen))

    def _count(self, tokenizer: Any, text: str) -> int:
        clean = tokenizer.clean_fn(text)
        # A tokenizer that was not built for this warns of each long text by itself.
        return len(tokenizer.tokenizer(clean, verbose=False).input_ids)

    @functools.cached_property
    def _tokenizer(self) -> Any:
        from open_clip.tokenizer import HFTokenizer

        try:
            return HFTokenizer(
                self.name, context_length=self.positions, tokenizer_mode=self.mode, **self.options
            )
        except ImportError as error:
            raise UsageError(
                f"CLIP.ARCH: the tokenizer {self.name} needs a package that is not installed "
                f"({error}): pip install transformers sentencepiece"
            ) from None
        except (OSError, ValueError, RuntimeError) as error:
            line = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError(
                f"CLIP.ARCH: the tokenizer {self.name} could not be loaded ({line}); give a JSON "
                "model configuration whose hf_tokenizer_name is a local folder instead"
            ) from None


def _allowed(text: str, found: int, allowed: int, long_text: LongText) -> int:
    """Return how many of the ``found`` tokens of a text are kept; see ``tokenize``."""
    if found > allowed:
        message = f"text of {found} tokens, at most {allowed} are allowed: {text!r}"
        if long_text == "error":
            raise UsageError(f"{message}; shorten it, or set TEXT.LONG_TEXT truncate")
        logger.warning("%s; its tail is cut", message)
    return min(found, allowed)
