"""OST's head over Text4Vis's frames: what it is by hand, and what the two recipes train."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from slowfast.errors import UsageError
from slowfast.models import build_loss, build_model
from slowfast.models.clip.text import TextBank
from slowfast.ops.sinkhorn import sinkhorn

CONTRASTIVE = ("MODEL.LOSS_FUNC", "ost_contrastive")
FROZEN_TEXT = ("CLIP.FREEZE", ["clip.text.*"])


@torch.no_grad()
def test_one_descriptor_that_is_the_class_prompt(tiny_cfg, videos):
    """The four terms are then the mean cosine of the frames, before any mean over time."""
    model = build_model(tiny_cfg("OSTText4Vis")).eval()
    names = [["a video of a person pouring tea."], ["run"], ["a video of a person riding."]]
    for kind in model.head.banks:
        model.head.banks[kind] = TextBank(names)
    frames_BTD = F.normalize(model.encoder(model.clip, videos).video_BTD, dim=-1)
    text_KD = F.normalize(TextBank(names).features(model.clip.text)[:, 0], dim=-1)
    cosine_BK = torch.einsum("btd,kd->btk", frames_BTD, text_KD).mean(dim=1)
    expected = 4 * 0.5 * model.clip.logit_scale.exp() * cosine_BK
    logits = model(videos).logits
    assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    pooled_BD = F.normalize(frames_BTD.mean(dim=1), dim=-1)
    assert torch.equal(logits.argsort(), (pooled_BD @ text_KD.T).argsort())


def test_the_plan_spreads_all_frames_over_all_descriptors():
    plan = sinkhorn(torch.rand(2, 3, 8, 4), epsilon=0.1, max_iter=1000, tolerance=1e-7).plan
    assert_close(plan.sum(dim=-1), torch.full((2, 3, 8), 1 / 8), rtol=1e-3, atol=1e-6)
    assert_close(plan.sum(dim=-2), torch.full((2, 3, 4), 1 / 4), rtol=1e-3, atol=1e-6)


@torch.no_grad()
def test_frames_are_taken_behind_the_temporal_head(tiny_cfg, videos):
    model = build_model(tiny_cfg("OSTText4Vis")).eval()
    before = model(videos).logits
    other = build_model(tiny_cfg("OSTText4Vis", "TEXT4VIS.HEAD", "none")).eval()
    other.load_state_dict(model.state_dict(), strict=False)
    assert not torch.allclose(other(videos).logits, before)
    assert_close(other.clip.state_dict(), model.clip.state_dict())


@pytest.mark.parametrize(
    ("options", "text_trains", "shape"),
    [(FROZEN_TEXT, False, (2, 3)), (CONTRASTIVE, True, (2, 2))],
)
def test_what_the_two_recipes_train(tiny_cfg, videos, options, text_trains, shape):
    cfg = tiny_cfg("OSTText4Vis", *options)
    model, labels = build_model(cfg), torch.tensor([0, 2])
    output = model(videos, labels)
    assert output.logits.shape == shape
    assert output.video_BTD.shape == (2, 3, 32)
    sum(build_loss(cfg)(output, labels).values()).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.requires_grad == (text_trains or not name.startswith("clip.text.")), name


def test_joint_attention_leaves_no_frames_for_it(tiny_cfg):
    with pytest.raises(UsageError, match=r"OSTHead needs \['frames'\].*Text4VisEncoder does not"):
        build_model(tiny_cfg("OSTText4Vis", "TEXT4VIS.JOINT", True, "TEXT4VIS.HEAD", "none"))


def test_text4vis_weights_fit(tiny_cfg):
    one, two = (build_model(tiny_cfg(name)).state_dict() for name in ("OSTText4Vis", "Text4Vis"))
    assert list(one) == list(two)
    assert {key: value.shape for key, value in one.items()} == {
        key: value.shape for key, value in two.items()
    }
