"""Every registered model, encoder and head; what an outsider's file may rely on."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from slowfast.errors import UsageError
from slowfast.models import (
    ENCODER_REGISTRY,
    HEAD_REGISTRY,
    MODEL_REGISTRY,
    VideoTextModel,
    build_loss,
    build_model,
    call_model,
)
from slowfast.solver.optimizer import construct_optimizer
from slowfast.structures import Encoded, VideoBatch
from slowfast.text import tokenize

OURS = [name for name in MODEL_REGISTRY.names() if hasattr(MODEL_REGISTRY.get(name), "from_cfg")]
HEADS = HEAD_REGISTRY.names()


def batch_of(videos: torch.Tensor) -> VideoBatch:
    index = torch.arange(len(videos))
    return VideoBatch([videos], index % 3, index)


@pytest.mark.parametrize("name", OURS)
def test_forward_in_evaluation(name, tiny_cfg, videos):
    model = build_model(tiny_cfg(name)).eval()
    with torch.no_grad():
        output = call_model(model, batch_of(videos))
    assert output.logits.shape == (2, 3)
    assert output.logits.dtype == torch.float32
    assert output.logits.isfinite().all()
    assert output.video_BTD.shape == (2, 3, 32)
    assert_close(model.score(Encoded(output.video_BTD, output.extras)), output.logits)


@pytest.mark.parametrize("name", OURS)
def test_scores_belong_to_a_video(name, tiny_cfg, videos):
    model = build_model(tiny_cfg(name)).eval()
    with torch.no_grad():
        together = model(torch.cat([videos, videos.flip(2)])).logits
        alone = torch.cat([model(part).logits for part in [videos[:1], videos[1:], videos.flip(2)]])
    assert_close(alone, together, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("loss_name", ["cross_entropy", "ost_contrastive"])
def test_one_training_step(name, loss_name, tiny_cfg, videos):
    cfg = tiny_cfg(name, "MODEL.LOSS_FUNC", loss_name)
    model, loss, batch = build_model(cfg), build_loss(cfg), batch_of(videos)
    assert model.training
    assert model.needs_labels == (loss_name == "ost_contrastive")
    terms = loss(call_model(model, batch), batch.labels)
    sum(terms.values()).backward()
    for parameter_name, parameter in model.named_parameters():
        has_gradient = parameter.grad is not None and parameter.grad.isfinite().all()
        assert has_gradient == parameter.requires_grad, parameter_name


@pytest.mark.parametrize("encoder", ENCODER_REGISTRY.names())
@pytest.mark.parametrize("head", HEADS)
def test_either_side_can_be_chosen(encoder, head, tiny_cfg, videos):
    cfg = tiny_cfg("CLIP", "MODEL.ENCODER", encoder, "MODEL.HEAD_NAME", head)
    model = build_model(cfg).eval()
    assert type(model.encoder).__name__ == encoder
    assert type(model.head).__name__ == head
    with torch.no_grad():
        assert model([videos]).logits.shape == (2, 3)


@pytest.mark.parametrize("name", OURS)
def test_a_checkpoint_holds_no_texts(name, tiny_cfg):
    keys = build_model(tiny_cfg(name)).state_dict()
    assert {key.split(".")[0] for key in keys} == {"clip"}
    assert {key.split(".")[1] for key in keys} == {"visual", "text", "logit_scale"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OST", "a video of a person pouring tea."),
        ("ViFiCLIP", "a photo of a pouring tea."),
        ("CLIP", "pouring tea"),
    ],
)
def test_published_prompts_unless_others_are_named(name, text, tiny_cfg):
    def second_name(*opts):
        bank = build_model(tiny_cfg(name, "MODEL.HEAD_NAME", "CategoryHead", *opts)).head.bank
        where = int(bank.where_KN[1, 0])
        return bank.ids_UL[where, : int(bank.lengths_U[where])].tolist()

    assert second_name() == tokenize([text])[0].tolist()
    assert second_name("TEXT.TEMPLATES", "vanilla_clip") == tokenize(["pouring tea"])[0].tolist()


def test_training_without_labels_is_refused(tiny_cfg, videos):
    model = build_model(tiny_cfg("OST"))
    with pytest.raises(UsageError, match="pass labels, or call eval"):
        model(videos)


def test_labels_are_ignored_in_evaluation(tiny_cfg, videos):
    model = build_model(tiny_cfg("OST")).eval()
    assert model(videos, torch.tensor([0, 1])).logits.shape == (2, 3)


def test_ost_says_when_it_is_trained_with_another_loss(tiny_cfg, caplog):
    build_model(tiny_cfg("OST", "MODEL.LOSS_FUNC", "cross_entropy"))
    assert "published objective is ost_contrastive" in caplog.text


def test_linear_head_refuses_the_contrastive_loss(tiny_cfg):
    with pytest.raises(UsageError, match="LinearHead has none: use cross_entropy"):
        build_model(tiny_cfg("OST", "MODEL.HEAD_NAME", "LinearHead"))


class NeedsContext(nn.Module):
    requires = {"context_BLD": "its texts depend on the video"}


def test_an_unsuitable_pair_is_refused_with_the_reason(tiny_clip):
    encoder = ENCODER_REGISTRY.get("FrameWise")()
    with pytest.raises(
        UsageError,
        match=r"NeedsContext needs \['context_BLD'\] of the encoder \(its texts depend on the video"
        r"\), which MODEL.ENCODER FrameWise does not provide",
    ):
        VideoTextModel(clip=tiny_clip, encoder=encoder, head=NeedsContext())


class ContextEncoder(nn.Module):
    """Frame means, and one context token."""

    provides = frozenset({"context_BLD"})

    def forward(self, clip, video_BCTHW):
        features = ENCODER_REGISTRY.get("FrameWise")()(clip, video_BCTHW).video_BTD
        return Encoded(features, {"context_BLD": features[:, :1]})


class ContextHead(NeedsContext):
    """Texts that depend on the video."""

    def forward(self, clip, encoded, labels=None):
        return torch.einsum(
            "btd,bld->bl", encoded.video_BTD, encoded.extras["context_BLD"].expand(-1, 4, -1)
        )


def test_a_head_may_use_what_its_encoder_provides(tiny_clip, videos):
    model = VideoTextModel(clip=tiny_clip, encoder=ContextEncoder(), head=ContextHead())
    output = model(videos)
    assert output.logits.shape == (2, 4)
    assert "context_BLD" in output.extras


def test_linear_head_trains_without_the_text_tower(tiny_cfg):
    options = ("MODEL.HEAD_NAME", "LinearHead", "MODEL.LOSS_FUNC", "cross_entropy")
    model = build_model(tiny_cfg("CLIP", *options))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert not any(name.startswith(("clip.text.", "clip.logit")) for name in trained)


def test_the_backbone_learns_at_its_own_rate(tiny_cfg):
    options = ("MODEL.HEAD_NAME", "LinearHead", "MODEL.LOSS_FUNC", "cross_entropy")
    cfg = tiny_cfg("CLIP", *options, "SOLVER.BACKBONE_LR_RATIO", 0.1)
    groups = construct_optimizer(build_model(cfg), cfg).param_groups
    scales = {group["lr_scale"]: group["param_names"] for group in groups}
    assert set(scales) == {0.1, 1.0}
    assert all(name.startswith("clip.") for name in scales[0.1])
    assert all(name.startswith("head.") for name in scales[1.0])


def test_evaluation_may_use_a_scale_of_its_own(tiny_cfg, videos):
    model = build_model(tiny_cfg("CLIP", "TEST.LOGIT_SCALE", 100.0))
    cosines = model(videos).logits / model.clip.logit_scale.exp()
    assert_close(model.eval()(videos).logits, 100 * cosines)


def test_unknown_names_list_the_known_ones(tiny_cfg):
    for key, known in (("MODEL.HEAD_NAME", "OSTHead"), ("MODEL.ENCODER", "FrameWise")):
        with pytest.raises(UsageError, match=f"named 'osthead'; known: .*{known}"):
            build_model(tiny_cfg("OST", key, "osthead"))
    with pytest.raises(UsageError, match="no MODEL named 'Ost'.*did you mean 'OST'"):
        build_model(tiny_cfg("OST", "MODEL.MODEL_NAME", "Ost"))
