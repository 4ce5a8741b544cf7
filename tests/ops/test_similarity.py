from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from slowfast.ops.similarity import (
    cosines,
    mean_frame_cosine,
    normalize,
    pooled_score,
    transported_score,
)


@pytest.fixture
def features():
    return normalize(torch.randn(3, 5, 8)), normalize(torch.randn(4, 2, 8))


def test_normalize_has_no_epsilon():
    assert normalize(torch.tensor([1e-15, 0.0])).tolist() == pytest.approx([1.0, 0.0])
    assert normalize(torch.zeros(2)).isnan().all()
    assert normalize(torch.ones(4, dtype=torch.bfloat16)).dtype == torch.float32


def test_cosines_one_by_one(features):
    video, text = features
    found = cosines(video, text)
    assert found.shape == (3, 4, 5, 2)
    assert_close(found[2, 3, 4, 1], video[2, 4] @ text[3, 1])


def test_pooled_is_the_uniform_plan_and_is_not_normalised_again(features):
    video, text = features
    similarity = cosines(video, text)
    uniform = torch.full_like(similarity, 1 / 10)
    assert_close(pooled_score(video, text), similarity.mean(dim=(-2, -1)))
    assert_close(pooled_score(video, text), transported_score(similarity, uniform))


def test_gradient_of_the_transported_score_is_the_plan(features):
    video, text = features
    similarity = cosines(video, text).requires_grad_()
    plan = torch.rand_like(similarity)
    transported_score(similarity, plan).sum().backward()
    assert_close(similarity.grad, plan)


def test_mean_before_the_norm_and_after_it_differ():
    video = torch.tensor([[[10.0, 0.0], [0.0, 1.0]]])
    text = torch.tensor([[1.0, 0.0]])
    assert mean_frame_cosine(video, text).item() == pytest.approx(10 / 101**0.5)
    assert pooled_score(normalize(video), text[:, None]).item() == pytest.approx(0.5)


def test_autocast_changes_nothing(features):
    video, text = features
    expected = (cosines(video, text), pooled_score(video, text), mean_frame_cosine(video, text[0]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = (cosines(video, text), pooled_score(video, text), mean_frame_cosine(video, text[0]))
    for one, other in zip(found, expected):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)
