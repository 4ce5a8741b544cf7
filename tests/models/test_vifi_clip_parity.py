"""ViFi-CLIP and vanilla CLIP against the recorded outputs of ViFi-CLIP's released code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from slowfast.models import CLIP, CategoryHead, FrameWise, ViFiCLIP
from slowfast.models.clip.text import TextBank
from slowfast.models.losses import SoftTargetCrossEntropy
from slowfast.ops.similarity import normalize
from slowfast.text import ClassVocabulary, expand_names, get_prompts
from tests.models.conftest import Recorded, recorded_clip, released_training, rename

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def record(parity) -> Recorded:
    return Recorded(parity("vificlip/vifi_tiny.npz"))


@pytest.fixture
def video(record) -> Tensor:
    return record["video"].transpose(1, 2)


@pytest.fixture
def make(record):
    def build(system=ViFiCLIP, **options):
        state = record.under("sd")
        del state["prompt_learner.complete_text_embeddings"]
        state["text.token_embedding.weight"] = record["clip/token_embedding.weight"]
        vocabulary = ClassVocabulary(tuple(record.json("texts.json")["classes"]))
        texts = expand_names(get_prompts(system.templates), vocabulary)
        head = CategoryHead(vocabulary=vocabulary, bank=TextBank(texts))
        clip = recorded_clip(state)
        return system(clip=clip, encoder=FrameWise(), head=head, **options).eval()

    return build


def close(found: Tensor, expected: Tensor) -> None:
    assert_close(found, expected.to(found.dtype), atol=1e-5, rtol=0)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@torch.no_grad()
def test_features_and_logits(record, make, video):
    model = make()
    encoded = model.encoder(model.clip, video)
    close(encoded.video_BTD, record["frame_feat_raw"])
    close(normalize(encoded.video_BTD.mean(dim=1)), record["video_feat"])
    close(model.head.bank.features(model.clip.text)[:, 0], record["text_feat_raw"])
    close(model([video]).logits, record["eval/logits"])


@torch.no_grad()
def test_three_views(record, make, video):
    model = make()
    logits = torch.stack([model(v).logits for v in (video, video.flip(-1), video.flip(2))], dim=1)
    close(logits, record["mv/logits"])
    close(logits.softmax(dim=-1).sum(dim=1), record["mv/score"])


@torch.no_grad()
def test_vanilla_clip_takes_bare_names(record, make, video):
    model = make(CLIP)
    ids = model.head.bank.ids_UL[model.head.bank.where_KN[:, 0]]
    assert torch.equal(ids, record["zs/tok"][:, : ids.shape[1]])
    close(model.head.bank.features(model.clip.text)[:, 0], record["zs/text_feat_raw"])
    close(model(video).logits, record["zs/logits"])


def test_losses_and_gradients(record, make, video):
    model = make().train()
    logits, labels = model(video).logits, record["labels"]
    close(logits, record["train/logits"])
    smooth = torch.full_like(logits, 0.1 / 6).scatter_(1, labels[:, None], 0.9 + 0.1 / 6)
    close(SoftTargetCrossEntropy()(logits, smooth), record["train/loss_label_smooth_0.1"])
    loss = SoftTargetCrossEntropy()(logits, labels)
    close(loss, record["train/loss_ce"])
    loss.backward()
    parameters = dict(model.clip.named_parameters())
    assert parameters["text.token_embedding.weight"].grad is None
    for name, gradient in record.under("grad_ce").items():
        assert relative(parameters[name].grad, gradient) < 1e-4, name
    for name, norm in zip(record.json("gradnorm_names.json"), record["gradnorm_ce"]):
        found = parameters[rename(name)].grad.double().norm()
        assert_close(found, norm, rtol=1e-4, atol=1e-7, msg=name)


def test_mixed_videos_with_soft_targets(record, make, video):
    model = make().train()
    weight, partner = record["mixup/lam"], video[record["mixup/perm"]]
    logits = model(weight * video + (1 - weight) * partner).logits
    close(logits, record["mixup/logits"])
    loss = SoftTargetCrossEntropy()(logits, record["mixup/target"])
    close(loss, record["mixup/loss"])
    loss.backward()
    parameters = dict(model.clip.named_parameters())
    for name, gradient in record.under("grad_mixup").items():
        assert relative(parameters[name].grad, gradient) < 1e-4, name


def test_cut_videos_with_soft_targets(record, make, video):
    model = make()
    left, top, right, bottom = record["cutmix/box_x1y1x2y2"].tolist()
    mixed, partner = video.clone(), video[record["cutmix/perm"]]
    box = (..., slice(top, bottom), slice(left, right))
    mixed[box] = partner[box]
    with torch.no_grad():
        logits = model(mixed).logits
    close(logits, record["cutmix/logits"])
    close(SoftTargetCrossEntropy()(logits, record["cutmix/target"]), record["cutmix/loss"])


def test_trajectory_of_ten_steps(record, make):
    model = make()

    def loss_of(video: Tensor, labels: Tensor) -> list[Tensor]:
        return [F.cross_entropy(model(video).logits, labels)]

    losses, _ = released_training(model, loss_of, record["video"], record["labels"], accumulation=1)
    assert_close(torch.tensor(losses)[:, 0], record["traj/loss"].float(), rtol=1e-4, atol=1e-5)
    parameters = dict(model.clip.named_parameters())
    for name, value in record.under("traj/param").items():
        assert relative(parameters[name].detach(), value) < 1e-4, name


@pytest.mark.parametrize("choice", ["both", "image", "text"])
def test_what_is_trained(record, make, choice):
    model = make(trainable=choice)
    found = {name for name, p in model.clip.named_parameters() if p.requires_grad}
    listed = record.json("trainable_by_USE.json")[choice]
    assert found == {rename(name) for name in listed}
