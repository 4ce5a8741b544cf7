"""Tokenizers that are not CLIP's; open_clip's own wrapper is the oracle."""

from __future__ import annotations

import logging

import pytest
import torch

from slowfast.errors import UsageError
from slowfast.text.tokenize import HuggingFaceTokenizer, byte_pairs, tokenize
from tests.hf_files import write_tokenizer

TEXTS = ["Kicking a ball", "a photo of pouring tea", "riding, a horse."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(write_tokenizer(tmp_path_factory.mktemp("tokenizer"), pad_id=3))


@pytest.mark.parametrize("options", [{}, {"clean": "canonicalize"}, {"clean": "lower"}])
def test_the_ids_are_open_clips(folder, options):
    from open_clip.tokenizer import HFTokenizer

    expected = HFTokenizer(folder, context_length=12, **options)(TEXTS)
    ids, lengths = HuggingFaceTokenizer(folder, positions=12, options=options)(TEXTS, 77, "error")
    assert torch.equal(ids, expected)
    assert ids.shape == (3, 12)
    assert lengths.tolist() == [12, 12, 12]
    assert ids[0, -1] == 3, "padded with the tokenizer's own token"


def test_lengths_without_padding_where_the_tower_may_be_trimmed(folder):
    tokenizer = HuggingFaceTokenizer(folder, positions=12, trim=True, options={"clean": "lower"})
    ids, lengths = tokenizer(TEXTS[:2], 77, "error")
    assert lengths.tolist() == [4, 6]
    assert ids[0, 3] == ids[1, 5] == 1


def test_a_long_text_is_named_or_cut_in_front_of_the_end(folder, caplog):
    tokenizer = HuggingFaceTokenizer(folder, positions=8, trim=True)
    with pytest.raises(UsageError, match=r"text of 6 tokens, at most 4 .*'a photo of pouring tea'"):
        tokenizer(TEXTS, 4, "error")
    with caplog.at_level(logging.WARNING):
        ids, lengths = tokenizer([TEXTS[1]], 4, "truncate")
    assert "its tail is cut" in caplog.text
    assert ids.tolist() == [[5, 10, 9, 1, 3, 3, 3, 3]]
    assert lengths.tolist() == [4]


def test_positions_are_the_limit_where_more_are_allowed(folder):
    with pytest.raises(UsageError, match="at most 5 are allowed"):
        HuggingFaceTokenizer(folder, positions=5)(TEXTS, 77, "error")


def test_a_tokenizer_that_cannot_be_loaded_is_one_line(tmp_path):
    with pytest.raises(
        UsageError, match="tokenizer .* could not be loaded .*local folder"
    ) as error:
        HuggingFaceTokenizer(str(tmp_path / "none"), positions=8)(["a"], 8, "error")
    assert "\n" not in str(error.value)


def test_a_missing_package_is_named(monkeypatch):
    import open_clip.tokenizer

    def fail(*args, **kwargs):
        raise ImportError("No module named 'transformers'")

    monkeypatch.setattr(open_clip.tokenizer, "HFTokenizer", fail)
    with pytest.raises(UsageError, match="No module named 'transformers'.*pip install"):
        HuggingFaceTokenizer("some/where", positions=8)(["a"], 8, "error")


def test_nothing_is_loaded_before_the_first_text():
    HuggingFaceTokenizer("no/such/repository", positions=8)


def test_clips_own_ids_and_their_lengths():
    ids, lengths = byte_pairs(["a", "a dog"], 77, "error")
    assert torch.equal(ids, tokenize(["a", "a dog"]))
    assert lengths.tolist() == [3, 4]
