"""ViFi-CLIP and vanilla CLIP against the recorded outputs of ViFi-CLIP's released code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from slowfast.checkpoint.load import load_weights
from slowfast.datasets.transforms.mixup import MixUp, convert_to_one_hot, cutmix_box
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
    def build(system=ViFiCLIP, tuned=True, **options):
        state = record.under("sd")
        del state["prompt_learner.complete_text_embeddings"]
        if not tuned:
            state = {name: torch.randn_like(value) for name, value in state.items()}
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
    text = model.head.bank.features(model.clip.text)[:, 0]
    close(text, record["text_feat_raw"])
    close(normalize(text), record["text_feat"])
    logits = model([video]).logits
    close(logits, record["eval/logits"])
    close(logits.softmax(dim=-1), record["eval/probs"])


@torch.no_grad()
def test_prompts_and_their_saved_embeddings(record, make):
    model = make()
    ids = model.head.bank.ids_UL[model.head.bank.where_KN[:, 0]]
    assert torch.equal(ids, record["tok/prompt"][:, : ids.shape[1]])
    assert not record["tok/prompt"][:, ids.shape[1] :].any()
    names = expand_names(get_prompts("vifi_clip"), model.head.vocabulary)
    assert record.json("texts.json")["prompts"] == [text for own in names for text in own]
    saved = record["sd/module.prompt_learner.complete_text_embeddings"]
    assert torch.equal(model.clip.text.token_embedding(record["tok/prompt"]), saved)


@torch.no_grad()
def test_its_checkpoint_over_a_pretrained_clip(record, make, video, tmp_path):
    state = {n.removeprefix("sd/"): record[n] for n in record.names if n.startswith("sd/")}
    assert len(state) == 74
    torch.save({"model": state, "epoch": 9}, tmp_path / "vifi.pth")
    model = make(tuned=False)
    report = load_weights(model, tmp_path / "vifi.pth", pretrained=True)
    assert report.kind == "vifi_clip"
    assert report.kept == ["clip.text.token_embedding.weight"]
    assert len(report.matched) == 73
    close(model(video).logits, record["eval/logits"])


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
    smooth = convert_to_one_hot(labels, 6, 0.1)
    close(SoftTargetCrossEntropy()(logits, smooth), record["train/loss_label_smooth_0.1"])
    loss = SoftTargetCrossEntropy()(logits, labels)
    close(loss, record["train/loss_ce"])
    loss.backward()
    parameters = dict(model.clip.named_parameters())
    assert parameters["text.token_embedding.weight"].grad is None
    for name, gradient in record.under("grad_ce").items():
        assert relative(parameters[name].grad, gradient) < 1e-4, name
    assert len(record["gradnorm_ce"]) == sum(p.requires_grad for p in parameters.values()) == 73
    for name, norm in zip(record.json("gradnorm_names.json"), record["gradnorm_ce"]):
        found = parameters[rename(name)].grad.double().norm()
        assert_close(found, norm, rtol=1e-4, atol=1e-7, msg=name)


class FixedDraws:
    """Gives the centre (row, column) of a box instead of a draw."""

    def __init__(self, *values: int) -> None:
        self.values = list(values)

    def integers(self, low: int, high: int) -> int:
        """Return the next value."""
        return self.values.pop(0)


def mix(record, name: str, video: Tensor, monkeypatch, *centre: int) -> tuple[Tensor, Tensor]:
    """Mix each video with its recorded partner: our mixing pairs a batch of two with its mirror."""
    cut, smoothing = name == "cutmix", MixUp(label_smoothing=0.1, num_classes=6)
    monkeypatch.setattr(smoothing, "draw", lambda rng: (float(record[f"{name}/lam"]), cut))
    rows = []
    for own, partner in enumerate(record[f"{name}/perm"].tolist()):
        pair = [own, partner]
        mixed, target = smoothing(video[pair], record["labels"][pair], FixedDraws(*centre))
        rows.append((mixed[0], target[0]))
    videos, targets = zip(*rows)
    return torch.stack(videos), torch.stack(targets)


def test_mixed_videos_with_soft_targets(record, make, video, monkeypatch):
    mixed, target = mix(record, "mixup", video, monkeypatch)
    close(target, record["mixup/target"])
    model = make().train()
    logits = model(mixed).logits
    close(logits, record["mixup/logits"])
    loss = SoftTargetCrossEntropy()(logits, target)
    close(loss, record["mixup/loss"])
    loss.backward()
    parameters = dict(model.clip.named_parameters())
    for name, gradient in record.under("grad_mixup").items():
        assert relative(parameters[name].grad, gradient) < 1e-4, name


@torch.no_grad()
def test_cut_videos_with_soft_targets(record, make, video, monkeypatch):
    # The recorded box is clipped at two sides; the other two tell its centre.
    left, top, right, bottom = record["cutmix/box_x1y1x2y2"].tolist()
    half = int(64 * (1 - float(record["cutmix/lam"])) ** 0.5) // 2
    assert (left, bottom) == (0, 64)
    centre = top + half, right - half
    box, share = cutmix_box(64, 64, float(record["cutmix/lam"]), FixedDraws(*centre))
    assert box == (top, bottom, left, right)
    assert share == pytest.approx(float(record["cutmix/lam_after_area"]))
    mixed, target = mix(record, "cutmix", video, monkeypatch, *centre)
    close(target, record["cutmix/target"])
    logits = make()(mixed).logits
    close(logits, record["cutmix/logits"])
    close(SoftTargetCrossEntropy()(logits, target), record["cutmix/loss"])


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
    assert len(listed) == {"both": 73, "image": 44, "text": 28}[choice]
    assert found == {rename(name) for name in listed}
