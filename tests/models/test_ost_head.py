from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from slowfast.errors import UsageError
from slowfast.models.clip.text import TextBank
from slowfast.models.heads import FeatureError, Matching, OSTHead
from slowfast.models.heads import ost as ost_module
from slowfast.ops.similarity import cosines, normalize
from slowfast.ops.sinkhorn import sinkhorn
from slowfast.structures import Encoded
from slowfast.text import ClassVocabulary

TEXTS = {
    "spatial": [["a ball", "grass"], ["a cup", "a pot"], ["a horse", "a field"]],
    "temporal": [["step", "swing"], ["lift", "tilt"], ["climb", "gallop"]],
}


@pytest.fixture
def make(tiny_vocab):
    def build(texts=TEXTS, **options) -> OSTHead:
        in_batch = options.pop("in_batch", True)
        return OSTHead(
            vocabulary=tiny_vocab,
            banks={kind: TextBank(rows) for kind, rows in texts.items()},
            matching=Matching(**options),
            in_batch=in_batch,
        ).eval()

    return build


@pytest.fixture
def encoded():
    return Encoded(torch.randn(4, 5, 32), {})


def by_hand(head, clip, encoded, factor=0.5):
    """Return the fused logits written out for each video and class (paper eq. 9-13)."""
    video = normalize(encoded.video_BTD)
    logits = torch.zeros(len(video), len(head.vocabulary))
    for bank in head.banks.values():
        text = normalize(bank.features(clip.text))
        for b in range(len(video)):
            for k in range(len(text)):
                similarity = video[b] @ text[k].T
                plan = sinkhorn(1 - similarity).plan
                logits[b, k] += similarity.mean() + (plan * similarity).sum()
    return factor * clip.logit_scale.exp() * logits


@torch.no_grad()
@pytest.mark.parametrize("num", [1, 2, 3])
@pytest.mark.parametrize("frames", [1, 5])
def test_logits_by_hand_for_any_number_of_descriptors_and_frames(tiny_clip, make, num, frames):
    texts = {
        kind: [[f"{own[0]} {n}" for n in range(num)] for own in rows]
        for kind, rows in TEXTS.items()
    }
    head, encoded = make(texts), Encoded(torch.randn(4, frames, 32), {})
    assert_close(head(tiny_clip, encoded), by_hand(head, tiny_clip, encoded), rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("chunk", [1, 2, 0])
def test_chunks_of_classes_change_nothing(tiny_clip, make, encoded, chunk, monkeypatch):
    expected = make()(tiny_clip, encoded)
    monkeypatch.setattr(ost_module, "CHUNK_ELEMENTS", 1)  # the automatic choice: one class
    assert_close(make(class_chunk=chunk)(tiny_clip, encoded), expected, rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_score_does_not_depend_on_its_batch(tiny_clip, make, encoded):
    head = make()
    together = head(tiny_clip, encoded)
    alone = [head(tiny_clip, Encoded(part, {})) for part in encoded.video_BTD.split(1)]
    assert_close(torch.cat(alone), together, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_released_stopping_rule_couples_the_batch(tiny_clip, make, monkeypatch):
    # Cosines over the whole range: every pair needs its own number of iterations.
    plane = torch.randn(2, 32)
    texts = torch.randn(3, 4, 2) @ plane
    monkeypatch.setattr(TextBank, "features", lambda bank, tower: texts)
    video = torch.randn(6, 8, 2) @ plane

    def change(rule) -> float:
        head = make(stop_rule=rule)
        together = head(tiny_clip, Encoded(video, {}))
        alone = [head(tiny_clip, Encoded(part, {})) for part in video.split(1)]
        return float((together - torch.cat(alone)).abs().max())

    assert change("pair") < 2e-6
    assert change("batch") > 2e-5


@torch.no_grad()
def test_pooled_has_the_scale_of_four_scores(tiny_clip, make, encoded):
    scores = make(method="pooled").explain(tiny_clip, encoded)
    assert_close(scores.logits, scores.pool["spatial"] + scores.pool["temporal"])
    assert_close(make(method="pooled")(tiny_clip, encoded), scores.logits)


@torch.no_grad()
def test_category_names_alone(tiny_clip, make, encoded):
    names = {"category": [["ball"], ["tea"], ["horse"]]}
    head = make(names, method="category")
    text = normalize(head.banks["category"].features(tiny_clip.text)[:, 0])
    expected = tiny_clip.logit_scale.exp() * normalize(encoded.video_BTD).mean(dim=1) @ text.T
    assert_close(head(tiny_clip, encoded), expected)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["spatial", "temporal"])
def test_one_kind_drops_the_other_kinds_two_scores(tiny_clip, make, encoded, kind):
    scores = make().explain(tiny_clip, encoded)
    alone = make({kind: TEXTS[kind]})(tiny_clip, encoded)
    assert_close(alone, 0.5 * (scores.pool[kind] + scores.transport[kind]))


@torch.no_grad()
def test_explain_gives_plans_with_exact_descriptor_marginals(tiny_clip, make, encoded):
    scores = make().explain(tiny_clip, encoded)
    assert list(scores.plans) == ["spatial", "temporal"]
    for plan in scores.plans.values():
        assert plan.shape == (4, 3, 5, 2)
        assert_close(plan.sum(dim=-2), torch.full((4, 3, 2), 0.5))
    some = make().explain(tiny_clip, encoded, classes=torch.tensor([2]))
    assert_close(some.logits, scores.logits[:, 2:])
    assert_close(scores.logits, make()(tiny_clip, encoded))


def test_in_training_the_columns_are_the_labels_descriptors(tiny_clip, make, encoded):
    head = make().train()
    labels = torch.tensor([2, 0, 2, 1])
    all_classes = head(tiny_clip, encoded)
    logits = head(tiny_clip, encoded, labels)
    assert logits.shape == (4, 4)
    assert_close(logits, all_classes[:, labels], rtol=0, atol=1e-5)
    assert_close(logits[:, 0], logits[:, 2])


def test_no_gradient_through_the_plan(tiny_clip, make):
    video = torch.randn(2, 5, 32, requires_grad=True)
    head = make({"spatial": TEXTS["spatial"]})
    head(tiny_clip, Encoded(video, {})).sum().backward()
    text = normalize(head.banks["spatial"].features(tiny_clip.text)).detach()
    leaf = video.detach().clone().requires_grad_()
    similarity = cosines(normalize(leaf), text)
    weight = sinkhorn(1 - similarity.detach()).plan + 1 / 10
    (0.5 * tiny_clip.logit_scale.exp().detach() * weight * similarity).sum().backward()
    assert_close(video.grad, leaf.grad)


@torch.no_grad()
def test_autocast_leaves_the_head_in_float32(tiny_clip, make, encoded):
    head = make()
    for bank in head.banks.values():
        bank.features(tiny_clip.text)
    expected = head(tiny_clip, encoded)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = head(tiny_clip, encoded)
    assert logits.dtype == torch.float32
    # Only the texts went through a bfloat16 tower.
    assert_close(logits, expected, rtol=0, atol=0.2)


def test_a_broken_frame_names_its_video(tiny_clip, make, encoded):
    encoded.video_BTD[2, 3, 7] = float("nan")
    with pytest.raises(FeatureError, match=r"videos at positions \[2\] of the batch") as caught:
        make(class_chunk=2)(tiny_clip, encoded)
    assert caught.value.positions == [2]
    assert caught.value.exit_code == 1


def test_broken_texts_name_their_classes(tiny_clip, make, encoded, monkeypatch):
    head = make(class_chunk=1)
    features = TextBank.features

    def spoiled(bank, tower):
        found = features(bank, tower).clone()
        found[1] = float("inf")
        return found

    monkeypatch.setattr(TextBank, "features", spoiled)
    with pytest.raises(FeatureError, match=r"text features of the classes \[1\]"):
        head(tiny_clip, encoded)


@pytest.mark.parametrize("labels", [torch.rand(4, 3), torch.rand(4), torch.ones(4, 3).long()])
def test_mixed_labels_are_refused(tiny_clip, make, encoded, labels):
    with pytest.raises(UsageError, match=r"mixed or smoothed: switch MIXUP\.ENABLE"):
        make().train()(tiny_clip, encoded, labels)


def test_options_are_checked(tiny_vocab):
    with pytest.raises(UsageError, match=r"OST\.MATCHING 'sinkhorn': choose from"):
        Matching("sinkhorn")
    with pytest.raises(UsageError, match=r"CLASS_CHUNK and OST\.STOP_RULE batch exclude"):
        Matching(stop_rule="batch", class_chunk=3)
    with pytest.raises(UsageError, match=r"OST\.GATHER_GRADIENT 'mean': choose from"):
        OSTHead(
            vocabulary=ClassVocabulary(("a",)),
            banks={"spatial": TextBank([["a"]])},
            gather_gradient="mean",
        )
