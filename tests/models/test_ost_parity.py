"""OST against the recorded outputs of its released code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from slowfast.models import OST, FrameWise, OSTHead
from slowfast.models.clip.text import TextBank
from slowfast.models.heads import Matching
from slowfast.models.losses import OSTContrastive
from slowfast.text import ClassVocabulary, expand_descriptors, expand_names, get_prompts, tokenize
from tests.models.conftest import Recorded, recorded_clip, released_training, rename

pytestmark = pytest.mark.parity
KINDS = ("spatial", "temporal")


@pytest.fixture(scope="module")
def record(parity) -> Recorded:
    return Recorded(parity("ost/ost_tiny.npz"))


@pytest.fixture
def video(record) -> Tensor:
    return record["video"].transpose(1, 2)


@pytest.fixture
def make(record):
    def build(state=None, **options) -> OST:
        texts = record.json("texts.json")
        banks = {kind: TextBank(texts[f"prompts_{kind}"]) for kind in KINDS}
        head = OSTHead(
            vocabulary=ClassVocabulary(tuple(texts["classes"])),
            banks=banks,
            matching=Matching(**options),
            gather_gradient="local",
        )
        clip = recorded_clip(state or record.under("sd"))
        return OST(clip=clip, encoder=FrameWise(), head=head).eval()

    return build


def close(found: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    assert_close(found, expected.to(found.dtype), atol=atol, rtol=0)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def test_prompts_and_token_ids_are_the_recorded_ones(record):
    texts = record.json("texts.json")
    vocabulary, prompts = ClassVocabulary(tuple(texts["classes"])), get_prompts("ost")
    expanded = {
        "spatial": expand_descriptors(prompts, vocabulary, texts["spatio"], conditioned=False),
        "temporal": expand_descriptors(prompts, vocabulary, texts["temporal"], conditioned=True),
        "category": [row[0] for row in expand_names(prompts, vocabulary)],
    }
    for kind, found in expanded.items():
        assert found == texts[f"prompts_{kind}"]
        flat = found if kind == "category" else [text for own in found for text in own]
        ids = tokenize(flat)
        expected = record[f"tok/{kind}"].flatten(0, -2)
        assert torch.equal(ids, expected[:, : ids.shape[1]])
        assert not expected[:, ids.shape[1] :].any()


@torch.no_grad()
def test_features(record, make, video):
    model = make()
    encoded = model.encoder(model.clip, video)
    close(encoded.video_BTD, record["frame_feat_raw"])
    for kind in KINDS:
        close(model.head.banks[kind].features(model.clip.text), record[f"desc_{kind}_raw"])


@torch.no_grad()
@pytest.mark.parametrize("rule", ["pair", "batch"])
def test_plans_scores_and_logits(record, make, video, rule):
    # On these features both rules stop after the same iterations for every pair but a few.
    model = make(stop_rule=rule)
    close(model([video]).logits, record["eval/logits"])
    scores = model.head.explain(model.clip, model.encoder(model.clip, video))
    close(scores.logits, record["eval/logits"])
    for kind in KINDS:
        close(scores.plans[kind].flatten(0, 1), record[f"eval/P_{kind}"])
        close(scores.pool[kind], record[f"eval/score_pool_{kind}"])
        close(scores.transport[kind], record[f"eval/score_ot_{kind}"])


@torch.no_grad()
@pytest.mark.parametrize("size", [1, 2])
def test_calls_of_other_sizes_under_the_released_stopping_rule(record, make, video, size):
    model = make(stop_rule="batch")
    logits = torch.cat([model(part).logits for part in video.split(size)])
    close(logits, record[f"eval_bs{size}/logits"])


@torch.no_grad()
def test_three_views(record, make, video):
    model = make()
    views = [video, video.flip(-1), video.flip(2)]
    logits = torch.stack([model(view).logits for view in views], dim=1)
    close(logits, record["mv/logits"])
    close(logits.softmax(dim=-1).sum(dim=1), record["mv/score"])


def test_training_logits_loss_and_every_gradient(record, make, video):
    model = make().train()
    output = model([video], record["labels"])
    close(output.logits, record["train/logits"])
    assert torch.equal(output.extras["labels"], record["labels"])
    terms = OSTContrastive().directions(output.logits, output.extras["labels"])
    close(terms["video_to_text"], record["train/loss_v2t"])
    close(terms["text_to_video"], record["train/loss_t2v"])
    sum(terms.values()).backward()
    parameters = dict(model.clip.named_parameters())
    for name, gradient in record.under("grad").items():
        assert relative(parameters[name].grad, gradient) < 1e-4, name
    norms = dict(zip(record.json("gradnorm_names.json"), record["gradnorm"]))
    for name, norm in norms.items():
        found = parameters[rename(name)].grad.double().norm()
        assert_close(found, norm, rtol=1e-4, atol=1e-7, msg=name)
    rows = record["grad_token_embedding/nonzero_rows"]
    embedding = parameters["text.token_embedding.weight"].grad
    assert torch.equal(embedding.any(dim=1).nonzero().flatten(), rows)
    assert relative(embedding[rows], record["grad_token_embedding/rows"]) < 1e-4


@pytest.mark.parametrize("accumulation", [1, 2])
def test_trajectory_of_ten_steps(record, make, accumulation):
    model, loss = make(stop_rule="batch"), OSTContrastive()

    def loss_of(video: Tensor, labels: Tensor) -> list[Tensor]:
        return list(loss.directions(model(video, labels).logits, labels).values())

    losses, rates = released_training(
        model, loss_of, record["video"], record["labels"], accumulation=accumulation
    )
    prefix = f"traj_acc{accumulation}"
    rates_before = record[f"{prefix}/lr_at_optimizer_step"]
    assert_close(torch.tensor(rates, dtype=torch.float64), rates_before, rtol=1e-12, atol=0)
    found, expected = torch.tensor(losses), record[f"{prefix}/loss_v2t_t2v"].float()
    assert_close(found, expected, rtol=1e-4, atol=1e-5)
    parameters = dict(model.clip.named_parameters())
    for name, value in record.under(f"{prefix}/param").items():
        found = parameters[name].detach()
        if name.endswith("in_proj_bias"):
            # A key bias shifts a whole row of attention: its gradient is rounding noise, which
            # AdamW scales to full steps. Query and value biases are compared.
            width = len(value) // 3
            found, value = (torch.cat([x[:width], x[2 * width :]]) for x in (found, value))
        assert relative(found, value) < 1e-4, name


@torch.no_grad()
def test_mix_with_the_original_weights(record, make):
    original, tuned, fused = (record.under(p) for p in ("sd", "fuse/finetuned", "fuse/fused"))
    for name, value in fused.items():
        assert_close(0.2 * original[name] + 0.8 * tuned[name], value, atol=1e-6, rtol=0)


def test_released_fusion_is_twice_the_papers(record, make, video):
    with torch.no_grad():
        paper, released = make(fusion_factor=0.25)(video), make()(video)
    assert_close(2 * paper.logits, released.logits)
