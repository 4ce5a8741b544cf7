from __future__ import annotations

import logging

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast.errors import UsageError
from slowfast.text import tokenize

TEXTS = [
    "a video of a person ApplyEyeMakeup.",
    "Wow! &amp;amp; caf\u00e9  \n twice, 3.5!!x",
    "!;",
    "",
    "Throwing something in the air and letting it fall",
]


def same_as_open_clip(texts: list[str]) -> bool:
    expected, found = open_clip.tokenize(texts), tokenize(texts)
    length = found.shape[1]
    return torch.equal(found, expected[:, :length]) and not expected[:, length:].any()


def test_ids_are_open_clips_without_the_padding():
    assert same_as_open_clip(TEXTS)
    assert tokenize(TEXTS).shape[1] == max(int(row.argmax()) + 1 for row in tokenize(TEXTS))
    assert tokenize(TEXTS).dtype == torch.int64


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=15), min_size=1, max_size=3))
def test_any_text_agrees_with_open_clip(texts):
    assert same_as_open_clip(texts)


@pytest.mark.parametrize("words", [75, 76, 200])
def test_longest_text_and_one_more(words):
    text = " ".join(["dog"] * words)
    if words == 75:
        assert tokenize([text]).shape == (1, 77)
        return
    with pytest.raises(UsageError, match=f"text of {words + 2} tokens, at most 77.*'dog dog"):
        tokenize(["short", text])


def test_truncation_warns_and_keeps_the_end_token(caplog):
    text = " ".join(["dog"] * 100)
    with caplog.at_level(logging.WARNING):
        ids = tokenize([text], long_text="truncate")
    assert torch.equal(ids, open_clip.tokenize([text]))
    assert ids[0, -1] == 49407
    assert "102 tokens" in caplog.text


def test_shorter_context():
    with pytest.raises(UsageError, match="at most 8 are allowed"):
        tokenize(["one two three four five six seven"], context_length=8)
