"""Small tokenizers of Hugging Face's form, written to a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

WORDS = ("a", "ball", "horse", "kicking", "of", "photo", "pouring", "riding", "tea", "video")


def write_tokenizer(folder: Path, *, pad_id: int = 0, start: bool = False) -> Path:
    """Write a tokenizer of lower-case words; return its folder.

    Ids: <pad> is ``pad_id`` (0 or 3), </s> 1, <unk> 2, <s> 4; words follow. Each text ends with
    </s>, and starts with <s> if asked.
    """
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    special = {"<pad>": pad_id, "</s>": 1, "<unk>": 2, "<s>": 4, "<free>": 3 - pad_id}
    vocabulary = {**special, **{word: 5 + i for i, word in enumerate(WORDS)}}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.normalizer = tokenizers.normalizers.Lowercase()
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single=("<s> $A </s>" if start else "$A </s>"),
        special_tokens=[("</s>", 1), ("<s>", 4)],
    )
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
    )
    made.save_pretrained(folder)
    return folder
