from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from slowfast.errors import UsageError
from slowfast.models.clip.text import TextBank
from slowfast.models.head_helper import ResNetBasicHead, TransformerBasicHead
from slowfast.models.heads import CategoryHead, LinearHead
from slowfast.ops.similarity import normalize
from slowfast.structures import Encoded


@pytest.fixture
def encoded():
    return Encoded(torch.randn(4, 5, 32), {})


def category(tiny_vocab, templates=("a photo of {}.",), **options) -> CategoryHead:
    texts = [[template.format(name) for template in templates] for name in tiny_vocab.names]
    return CategoryHead(vocabulary=tiny_vocab, bank=TextBank(texts), **options)


@torch.no_grad()
@pytest.mark.parametrize("templates", [("{}",), ("a photo of {}.", "a video of {}.")])
def test_category_logits_by_hand(tiny_clip, tiny_vocab, encoded, templates):
    head = category(tiny_vocab, templates).eval()
    text = normalize(head.bank.features(tiny_clip.text)).mean(dim=1)
    video = encoded.video_BTD.mean(dim=1)
    expected = torch.nn.functional.cosine_similarity(video[:, None], text[None], dim=-1)
    assert_close(head(tiny_clip, encoded), tiny_clip.logit_scale.exp() * expected)


def test_category_in_batch(tiny_clip, tiny_vocab, encoded):
    head = category(tiny_vocab, in_batch=True).train()
    labels = torch.tensor([2, 0, 2, 1])
    assert head.needs_labels
    expected = head(tiny_clip, encoded)[:, labels]
    assert_close(head(tiny_clip, encoded, labels), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("detach", [False, True])
def test_linear_head(tiny_clip, detach):
    video = torch.randn(2, 3, 32, requires_grad=True)
    head = LinearHead(32, 5, init_std=0.01, detach=detach)
    logits = head(tiny_clip, Encoded(video, {}))
    assert_close(logits, video.mean(dim=1) @ head.projection.weight.T)
    logits.sum().backward()
    assert (video.grad is None) == detach
    assert 0.001 < head.projection.weight.std() < 0.1


@pytest.mark.parametrize(
    ("act", "expected"),
    [("softmax", torch.softmax), ("sigmoid", lambda x, dim: x.sigmoid()), ("none", None)],
)
def test_pyslowfast_head_activates_in_evaluation_only(act, expected):
    head, features = (
        TransformerBasicHead(4, 3, dropout_rate=0.0, act_func=act, cfg=None),
        torch.eye(4),
    )
    logits = head.train()(features)
    scores = head.eval()(features)
    assert_close(scores, logits if expected is None else expected(logits, dim=-1))


def test_pyslowfast_head_refuses_an_unknown_activation():
    with pytest.raises(UsageError, match=r"MODEL\.HEAD_ACT 'relu': choose from"):
        TransformerBasicHead(4, 3, act_func="relu")


def test_pyslowfasts_pooled_head_by_hand():
    slow, fast = torch.randn(2, 4, 2, 3, 3), torch.randn(2, 1, 8, 3, 3)
    head = ResNetBasicHead([4, 1], 3, [[2, 3, 3], None], act_func="softmax")
    assert set(head.state_dict()) == {"projection.weight", "projection.bias"}  # upstream's names
    pooled = torch.cat([slow.mean(dim=(2, 3, 4)), fast.mean(dim=(2, 3, 4))], dim=1)
    expected = head.projection(pooled)
    assert_close(head.train()([slow, fast]), expected)
    assert_close(head.eval()([slow, fast]), expected.softmax(dim=1))


def test_the_pooled_head_averages_the_scores_of_several_places():
    map_BCTHW = torch.randn(2, 4, 1, 2, 3)
    head = ResNetBasicHead([4], 3, [[1, 2, 2]], detach_final_fc=True).eval()
    left, right = (map_BCTHW[..., i : i + 2].mean(dim=(2, 3, 4)) for i in (0, 1))
    expected = (head.projection(left).softmax(dim=1) + head.projection(right).softmax(dim=1)) / 2
    assert_close(head([map_BCTHW.requires_grad_()]), expected)
    head([map_BCTHW]).sum().backward()
    assert map_BCTHW.grad is None
    with pytest.raises(UsageError, match="2 pathways in dim_in, 1 in pool_size"):
        ResNetBasicHead([4, 1], 3, [None])
