from __future__ import annotations

import copy

import pytest
import torch
from torch.testing import assert_close

from slowfast.errors import UsageError
from slowfast.models.clip import text as text_module
from slowfast.models.clip.text import TextBank, encode_tokens
from slowfast.text import tokenize

TEXTS = [
    ["a dog", "a much longer sentence about a dog"],
    ["a cat", "a dog"],
    ["!", "one two three"],
]


@pytest.fixture
def counted(monkeypatch):
    """Return the shapes of all ids that went through the tower."""
    shapes = []

    def spy(tower, ids):
        shapes.append(tuple(ids.shape))
        return encode_tokens(tower, ids)

    monkeypatch.setattr(text_module, "encode_tokens", spy)
    return shapes


def direct(tower, texts) -> torch.Tensor:
    return torch.stack([encode_tokens(tower, tokenize(own)) for own in texts])


@torch.no_grad()
@pytest.mark.parametrize("chunk", [1, 2, 512])
def test_features_are_in_place_and_distinct_texts_encoded_once(tiny_clip, counted, chunk):
    bank = TextBank(TEXTS, chunk_size=chunk).eval()
    found = bank.features(tiny_clip.text)
    assert_close(found, direct(tiny_clip.text, TEXTS), atol=1e-5, rtol=0)
    assert sum(shape[0] for shape in counted) == 5
    assert max(shape[1] for shape in counted) == tokenize([TEXTS[0][1]]).shape[1]


def test_rows_encode_each_label_once(tiny_clip, counted):
    bank = TextBank(TEXTS)
    found = bank.rows(tiny_clip.text, torch.tensor([1, 1, 2, 1]))
    assert counted == [(4, 5)]
    assert_close(found, direct(tiny_clip.text, TEXTS)[[1, 1, 2, 1]], atol=1e-5, rtol=0)
    assert found.requires_grad


def test_an_exclamation_mark_has_token_id_0_inside_a_text():
    # Not the padding: a length must not be counted by non-zero ids.
    bank = TextBank([["a !b", "c"]])
    assert bank.lengths_U.tolist() == [3, int(tokenize(["a !b"]).argmax()) + 1]


@torch.no_grad()
def test_kept_between_calls_until_the_weights_change(tiny_clip, counted):
    bank = TextBank(TEXTS).eval()
    first = bank.features(tiny_clip.text)
    assert bank.features(tiny_clip.text) is first
    assert len(counted) == 1
    tiny_clip.text.ln_final.weight.mul_(2.0)
    assert not torch.equal(bank.features(tiny_clip.text), first)
    other = copy.deepcopy(tiny_clip.state_dict())
    tiny_clip.load_state_dict(other)
    bank.features(tiny_clip.text)
    tiny_clip.state_dict()["text.ln_final.weight"].mul_(2.0)
    bank.features(tiny_clip.text)
    assert len(counted) == 4


def test_an_optimizer_step_and_train_drop_the_features(tiny_clip, counted):
    bank = TextBank(TEXTS).eval()
    optimizer = torch.optim.AdamW(tiny_clip.text.parameters(), lr=0.1)
    with torch.no_grad():
        before = bank.features(tiny_clip.text)
    bank.features(tiny_clip.text).sum().backward()
    optimizer.step()
    with torch.no_grad():
        assert not torch.allclose(bank.features(tiny_clip.text), before)
    assert len(counted) == 3
    bank.train()
    assert bank._cached is None


def test_gradients_flow_whenever_they_are_wanted(tiny_clip):
    bank = TextBank(TEXTS).eval()
    with torch.no_grad():
        assert not bank.features(tiny_clip.text).requires_grad
    assert bank.features(tiny_clip.text).requires_grad


def test_a_frozen_tower_is_run_once_even_in_training(tiny_clip, counted):
    tiny_clip.text.requires_grad_(False)
    bank = TextBank(TEXTS).train()
    first = bank.rows(tiny_clip.text, torch.tensor([0, 2]))
    second = bank.rows(tiny_clip.text, torch.tensor([2]))
    assert len(counted) == 1
    assert torch.equal(first[1], second[0])


def test_features_made_in_inference_mode_are_usable_outside(tiny_clip):
    bank = TextBank(TEXTS).eval()
    with torch.inference_mode():
        bank.features(tiny_clip.text)
    with torch.no_grad():
        kept = bank.features(tiny_clip.text)
    weight = torch.ones(32, requires_grad=True)
    (kept @ weight).sum().backward()
    assert weight.grad is not None


@torch.no_grad()
def test_autocast_has_its_own_features(tiny_clip, counted):
    bank = TextBank(TEXTS).eval()
    full = bank.features(tiny_clip.text)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = bank.features(tiny_clip.text)
    assert half.dtype == torch.bfloat16
    assert full.dtype == torch.float32
    assert len(counted) == 2


def test_ids_follow_the_module_but_are_not_saved():
    bank = TextBank(TEXTS)
    assert bank.state_dict() == {}
    assert bank.to("meta").ids_UL.device.type == "meta"
    assert "classes=3, texts=2, distinct=5" in repr(bank)


def test_long_texts():
    long = " ".join(["dog"] * 90)
    with pytest.raises(UsageError, match="text of 92 tokens, at most 77"):
        TextBank([[long]])
    assert TextBank([[long]], long_text="truncate").ids_UL.shape == (1, 77)


class Dropping(torch.nn.Module):
    """A text tower of another library: dropout, and no forward that could be cut short."""

    context_length = 77

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(49408, 8)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, ids):
        return self.dropout(self.table(ids)).sum(dim=1)


def test_kept_features_are_made_without_dropout():
    tower, bank = Dropping().train(), TextBank(TEXTS)
    with torch.no_grad():
        kept = bank.features(tower)
    assert tower.dropout.training
    tower.eval()
    assert_close(kept, TextBank(TEXTS).features(tower).detach())
