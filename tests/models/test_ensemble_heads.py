"""TemplateEnsembleHead and PooledDescriptorHead."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize
from torch.testing import assert_close

from slowfast.errors import UsageError
from slowfast.models import (
    CategoryHead,
    OSTHead,
    PooledDescriptorHead,
    TemplateEnsembleHead,
    build_model,
)
from slowfast.models.clip.text import TextBank
from slowfast.models.heads import Matching
from slowfast.structures import Encoded
from tests.models.conftest import SPATIAL, TEMPORAL

ENSEMBLE = ("MODEL.HEAD_NAME", "TemplateEnsembleHead")
POOLED = ("MODEL.HEAD_NAME", "PooledDescriptorHead")
TEMPLATES = ("a photo of {}.", "a video of a person doing {}.", "{}")


@pytest.fixture
def encoded():
    return Encoded(torch.randn(4, 5, 32) * torch.rand(4, 5, 1), {})


def ensemble(vocabulary, templates=TEMPLATES, kind=TemplateEnsembleHead, **options):
    texts = [[template.format(name) for template in templates] for name in vocabulary.names]
    return kind(vocabulary=vocabulary, bank=TextBank(texts), **options)


def pooled(vocabulary, kind=PooledDescriptorHead, **options):
    banks = {"spatial": TextBank(SPATIAL), "temporal": TextBank(TEMPORAL)}
    return kind(vocabulary=vocabulary, banks=banks, matching=Matching("pooled"), **options)


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 3])
def test_ensemble_by_hand(tiny_clip, tiny_vocab, encoded, count):
    head = ensemble(tiny_vocab, TEMPLATES[:count]).eval()
    expected = torch.zeros(4, 3)
    for k, sentences in enumerate(head.bank.features(tiny_clip.text)):
        row = normalize(torch.stack([normalize(s, dim=0) for s in sentences]).mean(dim=0), dim=0)
        for b, frames in enumerate(encoded.video_BTD):
            expected[b, k] = torch.stack([normalize(f, dim=0) @ row for f in frames]).mean()
    assert_close(head(tiny_clip, encoded), tiny_clip.logit_scale.exp() * expected)


@torch.no_grad()
def test_the_two_orders_differ_unless_frames_have_one_length(tiny_clip, tiny_vocab, encoded):
    mean_first = ensemble(tiny_vocab, kind=CategoryHead).eval()
    unit_first = ensemble(tiny_vocab).eval()
    assert mean_first.averages_frames
    assert not unit_first.averages_frames
    apart = unit_first(tiny_clip, encoded) - mean_first(tiny_clip, encoded)
    assert apart.abs().max() > 1e-2
    single = Encoded(encoded.video_BTD[:, :1], {})
    assert_close(unit_first(tiny_clip, single), mean_first(tiny_clip, single))


@pytest.mark.parametrize("make", [ensemble, pooled])
def test_in_batch_columns_are_those_of_the_labels(make, tiny_clip, tiny_vocab, encoded):
    head = make(tiny_vocab, in_batch=True).train()
    labels = torch.tensor([2, 0, 2, 1])
    assert head.needs_labels
    expected = head(tiny_clip, encoded)[:, labels]
    assert_close(head(tiny_clip, encoded, labels), expected, rtol=0, atol=1e-5)
    soft = torch.full((4, 3), 1 / 3)
    with pytest.raises(UsageError, match="picks texts by class label"):
        head(tiny_clip, encoded, soft)


@pytest.mark.parametrize("trainable", ["both", "image", "text"])
@pytest.mark.parametrize("loss", ["cross_entropy", "ost_contrastive"])
@pytest.mark.parametrize("head", [ENSEMBLE, POOLED])
def test_either_tower_either_objective(head, loss, trainable, tiny_cfg, videos):
    options = ("MODEL.LOSS_FUNC", loss, "CLIP.TRAINABLE", trainable, "TEXT.TEMPLATES", "ost")
    model = build_model(tiny_cfg("CLIP", *head, *options))
    labels = torch.tensor([1, 0])
    logits = model(videos, labels).logits
    assert logits.shape == ((2, 2) if loss == "ost_contrastive" else (2, 3))
    logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    learning = {name.split(".")[1] for name, p in model.named_parameters() if p.requires_grad}
    sides = {"both": {"visual", "text", "logit_scale"}, "image": {"visual"}, "text": {"text"}}
    assert learning == sides[trainable]


def test_texts_of_a_frozen_tower_are_encoded_once(tiny_cfg, videos):
    options = (*ENSEMBLE, "CLIP.TRAINABLE", "image", "TEXT.TEMPLATES", "openvclip_28")
    model = build_model(tiny_cfg("CLIP", *options))
    assert model.head.bank.where_KN.shape == (3, 28)
    calls = []
    model.clip.text.transformer.register_forward_hook(lambda *_: calls.append(1))
    for _ in range(3):
        model(videos)
    assert len(calls) == 1


@torch.no_grad()
def test_pooled_is_mean_frame_times_mean_descriptor(tiny_clip, tiny_vocab, encoded):
    head = pooled(tiny_vocab).eval()
    frame = normalize(encoded.video_BTD, dim=-1).mean(dim=1)
    expected = sum(
        frame @ normalize(bank.features(tiny_clip.text), dim=-1).mean(dim=1).T
        for bank in head.banks.values()
    )
    found = head(tiny_clip, encoded)
    assert_close(found, tiny_clip.logit_scale.exp() * expected)
    assert_close(found, pooled(tiny_vocab, OSTHead).eval()(tiny_clip, encoded))


def test_pooled_takes_one_feature_for_a_video(tiny_cfg):
    assert OSTHead.requires
    assert PooledDescriptorHead.requires == {}
    model = build_model(tiny_cfg("OST", *POOLED)).eval()
    assert model.head.matching.method == "pooled"
    with torch.no_grad():
        assert model.score(Encoded(torch.randn(2, 1, 32), {})).shape == (2, 3)


@torch.no_grad()
def test_pooled_scores_are_ost_s_under_the_same_weights(tiny_cfg, videos):
    other = build_model(tiny_cfg("OST", "OST.MATCHING", "pooled")).eval()
    model = build_model(tiny_cfg("OST", *POOLED)).eval()
    model.load_state_dict(other.state_dict())
    assert_close(model(videos).logits, other(videos).logits)


def test_pooled_refuses_class_names(tiny_cfg):
    with pytest.raises(UsageError, match=r"category with MODEL\.HEAD_NAME PooledDesc.* pooled"):
        build_model(tiny_cfg("OST", *POOLED, "OST.MATCHING", "category"))
