from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from slowfast.errors import UsageError
from slowfast.models import losses
from slowfast.models.losses import (
    LOSS_REGISTRY,
    OSTContrastive,
    SoftTargetCrossEntropy,
    build_loss,
    get_loss_func,
)
from slowfast.structures import ModelOutput


def test_contrastive_target_by_hand():
    # Uniform predictions: KL = log B minus the target's entropy, the same in both directions.
    labels = torch.arange(32)
    terms = OSTContrastive().directions(torch.zeros(32, 32), labels)
    on = math.exp(10) / (math.exp(10) + 31)
    off = 1 / (math.exp(10) + 31)
    assert on == pytest.approx(0.99859, abs=1e-5)
    expected = math.log(32) + on * math.log(on) + 31 * off * math.log(off)
    assert terms["video_to_text"].item() == pytest.approx(expected, abs=1e-5)
    assert terms["text_to_video"].item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["bce", "bce_logit", "mse"])
def test_a_loss_of_single_classes_refuses_one_label_a_video(name, tiny_cfg):
    loss = build_loss(tiny_cfg("CLIP", "MODEL.LOSS_FUNC", name))
    output = ModelOutput(torch.full((2, 3), 0.5))
    assert set(loss(output, torch.eye(3)[:2])) == {name}
    with pytest.raises(UsageError, match=f"LOSS_FUNC {name} needs a target for each class"):
        loss(output, torch.tensor([0, 1]))


def test_contrastive_written_out():
    logits, labels = torch.randn(5, 5), torch.tensor([2, 0, 2, 5, 3])
    terms = OSTContrastive(temperature=3.0).directions(logits, labels)
    target = (3.0 * (labels[:, None] == labels).float()).softmax(dim=1)
    for name, matrix in (("video_to_text", logits), ("text_to_video", logits.T)):
        expected = 0.0
        for i in range(5):
            for j in range(5):
                q = target[i, j]
                expected += q * (q.log() - matrix[i].log_softmax(0)[j])
        assert_close(terms[name], expected / 5)
    total = OSTContrastive(temperature=3.0)(logits, labels)
    assert_close(total, terms["video_to_text"] + terms["text_to_video"])
    assert OSTContrastive("none")(logits, labels).shape == (2,)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (torch.zeros(2, 2), torch.rand(2, 2), "mixed or smoothed"),
        (torch.zeros(2, 3), torch.arange(2), r"found \(2, 3\) for 2 labels"),
    ],
)
def test_contrastive_refuses_what_it_cannot_use(logits, labels, message):
    with pytest.raises(UsageError, match=message):
        OSTContrastive()(logits, labels)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_soft_cross_entropy_of_labels_one_hot_and_smoothed(reduction):
    logits, labels = torch.randn(4, 6), torch.tensor([1, 5, 0, 1])
    loss = SoftTargetCrossEntropy(reduction)
    expected = F.cross_entropy(logits, labels, reduction=reduction)
    assert_close(loss(logits, labels), expected)
    assert_close(loss(logits, F.one_hot(labels, 6).float()), expected)
    smoothed = F.one_hot(labels, 6) * 0.9 + 0.1 / 6
    expected = F.cross_entropy(logits, labels, reduction=reduction, label_smoothing=0.1)
    assert_close(loss(logits, smoothed), expected)
    # Targets are not normalised.
    assert_close(loss(logits, 2 * smoothed), 2 * expected)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cross_entropy", nn.CrossEntropyLoss),
        ("bce", nn.BCELoss),
        ("bce_logit", nn.BCEWithLogitsLoss),
        ("soft_cross_entropy", SoftTargetCrossEntropy),
        ("mse", nn.MSELoss),
        ("ost_contrastive", OSTContrastive),
    ],
)
def test_pyslowfasts_names(name, kind):
    assert get_loss_func(name) is kind
    get_loss_func(name)(reduction="mean")


def test_unknown_name_lists_the_known_ones(tiny_cfg):
    with pytest.raises(
        UsageError, match=r"MODEL.LOSS_FUNC: no LOSS named 'nce'; known: .*ost_contrastive"
    ):
        build_loss(tiny_cfg("CLIP", "MODEL.LOSS_FUNC", "nce"))


def test_plain_losses_are_one_term(tiny_cfg):
    loss = build_loss(tiny_cfg("ViFiCLIP"))
    logits, labels = torch.randn(2, 3), torch.tensor([0, 2])
    terms = loss(ModelOutput(logits), labels)
    assert list(terms) == ["cross_entropy"]
    assert_close(terms["cross_entropy"], F.cross_entropy(logits, labels))


def test_contrastive_takes_the_gathered_labels(tiny_cfg):
    loss = build_loss(tiny_cfg("OST", "OST.TARGET_TEMPERATURE", 2.0))
    logits, labels = torch.randn(4, 4), torch.tensor([0, 2, 1, 1])
    terms = loss(ModelOutput(logits, None, {"labels": labels}), labels[:2])
    assert sum(terms.values()).item() == pytest.approx(
        OSTContrastive(temperature=2.0)(logits, labels).item()
    )


def test_an_extension_registers_a_loss(tiny_cfg):
    @LOSS_REGISTRY.register()
    def twice_the_mean(cfg):
        return lambda output, labels: {"mean": 2 * output.logits.mean()}

    try:
        loss = build_loss(tiny_cfg("CLIP", "MODEL.LOSS_FUNC", "twice_the_mean"))
        assert loss(ModelOutput(torch.ones(2, 2)), torch.zeros(2))["mean"] == 2.0
    finally:
        del LOSS_REGISTRY._obj_map["twice_the_mean"]


@pytest.fixture
def register(monkeypatch):
    """Register for the time of a test, as an extension file does."""
    for name in LOSS_REGISTRY.names():  # what is put in below is taken out again
        monkeypatch.setitem(LOSS_REGISTRY._obj_map, name, LOSS_REGISTRY.get(name))
    before = set(LOSS_REGISTRY.names())
    yield LOSS_REGISTRY.register
    for name in set(LOSS_REGISTRY.names()) - before:
        del LOSS_REGISTRY._obj_map[name]


class FocalLoss(nn.Module):
    """A loss as PySlowFast's forks write them."""

    def __init__(self, reduction="mean", gamma=2.0):
        super().__init__()
        self.reduction, self.gamma = reduction, gamma

    def forward(self, preds, labels):
        loss = F.cross_entropy(preds, labels, reduction="none")
        return ((1 - (-loss).exp()) ** self.gamma * loss).mean()


def test_a_class_of_pyslowfasts_form_works_as_it_is(tiny_cfg, register):
    register(FocalLoss)
    loss = build_loss(tiny_cfg("CLIP", "MODEL.LOSS_FUNC", "FocalLoss"))
    terms = loss(ModelOutput(torch.zeros(2, 4), further=(None,)), torch.tensor([0, 3]))
    assert terms["FocalLoss"].item() == pytest.approx(0.75**2 * math.log(4))
    assert get_loss_func("FocalLoss") is FocalLoss


def test_a_loss_may_be_written_into_pyslowfasts_table(tiny_cfg, register):
    losses._LOSSES["focal"] = FocalLoss
    terms = build_loss(tiny_cfg("CLIP", "MODEL.LOSS_FUNC", "focal"))(
        ModelOutput(torch.zeros(2, 4)), torch.tensor([0, 3])
    )
    assert list(terms) == ["focal"]


def test_a_loss_that_wants_them_gets_the_further_outputs_and_logs_its_parts(tiny_cfg, register):
    @register()
    class Distil(nn.Module):
        def __init__(self, reduction="mean"):
            super().__init__()

        def forward(self, preds, labels, features, teacher):
            apart = F.mse_loss(features, teacher)
            plain = F.cross_entropy(preds, labels)
            return plain + apart, [plain, float(apart)]

    loss = build_loss(tiny_cfg("CLIP", "MODEL.LOSS_FUNC", "Distil"))
    logits = torch.zeros(1, 2, requires_grad=True)
    outputs = (torch.zeros(3), torch.full((3,), 2.0), "not wanted")
    terms = loss(ModelOutput(logits, further=outputs), torch.tensor([1]))
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {"Distil": math.log(2) + 4, "0": math.log(2), "1": 4.0}
    )
    assert [term.requires_grad for term in terms.values()] == [True, False, False]
    with pytest.raises(UsageError, match="Distil wants 2 outputs .* behind the logits, found 1"):
        loss(ModelOutput(logits, further=outputs[:1]), torch.tensor([1]))


def test_losses_that_break_the_contract_are_named_with_it(tiny_cfg, register):
    output, labels = ModelOutput(torch.zeros(2, 2)), torch.tensor([0, 1])

    @register()
    def by_hand(preds, labels):
        return F.cross_entropy(preds, labels)

    @register()
    def of_logits(cfg):
        return F.cross_entropy

    @register()
    def bare(cfg):
        return lambda output, labels: F.cross_entropy(output.logits, labels)

    @register()
    class Unreduced(nn.CrossEntropyLoss):
        def forward(self, preds, labels):
            return F.cross_entropy(preds, labels, reduction="none")

    with pytest.raises(
        UsageError, match=r"LOSS by_hand takes \(preds, labels\): missing.*expected"
    ):
        build_loss(tiny_cfg("CLIP", "MODEL.LOSS_FUNC", "by_hand"))
    for name, found in (
        ("of_logits", "LOSS of_logits made a loss of another form .*not ModelOutput"),
        ("bare", r"LOSS bare returned a Tensor of shape \(\)"),
        ("Unreduced", r"LOSS Unreduced returned a Tensor of shape \(2,\)"),
    ):
        loss = build_loss(tiny_cfg("CLIP", "MODEL.LOSS_FUNC", name))
        with pytest.raises(UsageError, match=f"{found}.*; expected obj\\(cfg\\) -> loss"):
            loss(output, labels)


def test_a_mistake_inside_a_loss_keeps_its_own_error(tiny_cfg, register):
    @register()
    def mistaken(cfg):
        return lambda output, labels: {"term": output.logits.nothing}

    loss = build_loss(tiny_cfg("CLIP", "MODEL.LOSS_FUNC", "mistaken"))
    with pytest.raises(AttributeError, match="nothing"):
        loss(ModelOutput(torch.zeros(2, 2)), torch.tensor([0, 1]))
