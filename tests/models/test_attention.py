"""CLIP's attention through its weights: torch's own module is the oracle, and open_clip's next
attention class, which has the same weights and another signature, gives the same features."""

from __future__ import annotations

import math

import pytest
import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import nn
from torch.testing import assert_close

from slowfast.models import build_model
from slowfast.models.clip.attention import attend, project_heads

HEADS, WIDTH = 2, 32


@pytest.fixture
def attention() -> nn.MultiheadAttention:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).eval()
    nn.init.normal_(module.in_proj_bias)
    nn.init.normal_(module.out_proj.bias)
    return module


@torch.no_grad()
@pytest.mark.parametrize("tokens_asked", [None, 7])
@pytest.mark.parametrize("masked", ["not", "by truth", "by a bias for each head"])
def test_it_is_torchs_attention(attention, tokens_asked, masked):
    tokens = torch.randn(3, 5, WIDTH)
    context = None if tokens_asked is None else torch.randn(3, tokens_asked, WIDTH)
    asked = tokens if context is None else context
    mask = theirs = None
    if masked == "by truth":
        mask = torch.rand(5, asked.shape[1]) > 0.4
        mask[:, 0] = True
        theirs = ~mask  # torch's module takes what is hidden
    elif masked != "not":
        mask = torch.randn(HEADS, 1, asked.shape[1])
        theirs = mask.expand(HEADS, 5, -1).repeat(3, 1, 1)
    expected, _ = attention(tokens, asked, asked, attn_mask=theirs)
    assert_close(attend(attention, tokens, context, mask=mask), expected, rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_the_class_tokens_row_of_attention_comes_from_the_projected_heads(attention):
    tokens = torch.randn(3, 5, WIDTH)
    _, weights = attention(tokens, tokens, tokens, average_attn_weights=False)
    query, key, _ = project_heads(attention, tokens)
    row = (query[:, :, :1] @ key.mT / math.sqrt(WIDTH // HEADS)).softmax(dim=-1)
    assert_close(row, weights[:, :, :1])


def test_gradients_are_torchs(attention):
    tokens = torch.randn(3, 5, WIDTH)
    found = torch.autograd.grad(
        attend(attention, tokens).square().sum(), list(attention.parameters())
    )
    whole = attention.train()(tokens, tokens, tokens, need_weights=False)[0]
    for own, theirs in zip(
        found, torch.autograd.grad(whole.square().sum(), [*attention.parameters()])
    ):
        assert_close(own, theirs, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_all_weights_dropped_leave_the_bias(attention):
    tokens = torch.randn(3, 5, WIDTH)
    found = attend(attention, tokens, dropout=1.0)
    assert_close(found, attention.out_proj.bias.expand(3, 5, -1))


class NextAttention(nn.Module):
    """Attention as open_clip's main branch has it: no ``need_weights``, one tensor is returned."""

    def __init__(self, width: int, num_heads: int, **options: object) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.attn_drop = nn.Dropout(0.0)
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x, k_x=None, v_x=None, attn_mask=None):
        packed = x @ self.in_proj_weight.T + self.in_proj_bias
        query, key, value = (
            part.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)
            for part in packed.chunk(3, dim=-1)
        )
        products = query @ key.mT / math.sqrt(query.shape[-1])
        weights = (products if attn_mask is None else products + attn_mask).softmax(dim=-1)
        return self.out_proj(self.attn_drop(weights @ value).transpose(1, 2).flatten(2))


@pytest.fixture
def update_open_clip(monkeypatch):
    """Return a call after which open_clip builds its towers as its main branch does."""

    def update() -> None:
        monkeypatch.setattr(nn, "MultiheadAttention", NextAttention)
        monkeypatch.setattr(
            ResidualAttentionBlock,
            "attention",
            lambda block, q_x, k_x, v_x, attn_mask: block.attn(q_x, k_x, v_x, attn_mask),
        )

    return update


# Each way in which an encoder changes blocks, and the encoder that runs the towers as they are.
ENCODERS = [
    ("CLIP",),
    ("Text4Vis", "TEXT4VIS.HEAD", "transf"),
    *(("Text4Vis", "TEXT4VIS.TEMPORAL", name) for name in ("tsm", "tokenshift", "tokent1d")),
    ("Text4Vis", "TEXT4VIS.JOINT", True, "TEXT4VIS.HEAD", "none"),
    ("Text4Vis", "TEXT4VIS.DROP_PATH", 0.3, "TEXT4VIS.EMB_DROPOUT", 0.1),
]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("options", ENCODERS, ids=lambda options: "-".join(map(str, options[:3])))
def test_the_next_open_clip_gives_the_same_features(
    tiny_cfg, videos, update_open_clip, options, training
):
    cfg = tiny_cfg(*options, "DATA.NUM_FRAMES", 3)
    ordinary = build_model(cfg).train(training)

    def encode(model):
        torch.manual_seed(3)
        with torch.set_grad_enabled(training):
            return model.encoder(model.clip, videos).video_BTD

    def texts(model):
        with torch.no_grad():
            return model.eval().head.bank.features(model.clip.text)

    expected, expected_texts = encode(ordinary), texts(ordinary)
    update_open_clip()
    model = build_model(cfg).train(training)
    model.load_state_dict(ordinary.state_dict())
    kinds = {type(block.attn) for block in model.clip.visual.transformer.resblocks}
    assert kinds == {NextAttention}
    assert_close(encode(model), expected, rtol=1e-6, atol=1e-6)
    assert_close(texts(model), expected_texts, rtol=1e-6, atol=1e-6)
