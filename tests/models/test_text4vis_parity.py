"""Text4Vis against the recorded outputs of its released code, loaded as one of its checkpoints."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from slowfast.checkpoint.load import load_weights
from slowfast.config.load import load_cfg
from slowfast.errors import UsageError
from slowfast.models import VideoTextModel, build_model

pytestmark = pytest.mark.parity
ARCH = {
    "embed_dim": 64,
    "quick_gelu": True,
    "vision_cfg": {
        "image_size": 64,
        "layers": 3,
        "width": 128,
        "head_width": 64,
        "patch_size": 16,
    },
    "text_cfg": {"width": 64, "heads": 1, "layers": 2},
}


class Variant:
    """One recorded variant: its own arrays, and those of the base file where it has none."""

    def __init__(self, parity, name: str) -> None:
        self.base = np.load(parity("text4vis/model_base_transf.npz"))
        self.own = np.load(parity(f"text4vis/model_{name}.npz"))
        self.meta = json.loads(str(self.own["meta_json"]))
        self.texts = json.loads(str(self.base["texts_json"]))

    def __getitem__(self, key: str) -> Tensor:
        held = self.own if key in self.own.files else self.base
        return torch.from_numpy(np.asarray(held[key]))

    @property
    def state(self) -> dict[str, Tensor]:
        """The checkpoint's tensors in its order, under its keys."""
        alias = self.meta.get("sd_alias_to_base", {})
        return {key: self[f"sd/{alias.get(key, key)}"] for key in self.meta["sd_key_order"]}

    @property
    def clip(self) -> dict[str, Tensor]:
        """The original CLIP that supplies the text tower; another image tower than the tuned."""
        text = {k[5:]: torch.from_numpy(self.base[k]) for k in self.base.files if k[:5] == "clip/"}
        image = {k: v * 0 for k, v in self.state.items() if k.startswith(("visual.", "logit"))}
        return {**image, **text}


@pytest.fixture(scope="module", params=["base_transf", "none"])
def variant(parity, request) -> Variant:
    return Variant(parity, request.param)


@pytest.fixture
def make(variant, tmp_path):
    """Return ``make(*opts)``: the model as a user builds it, with the recorded checkpoint."""

    def build(*opts: object) -> VideoTextModel:
        (tmp_path / "arch.json").write_text(json.dumps(ARCH))
        (tmp_path / "classes.txt").write_text("\n".join(variant.texts["class_names"]) + "\n")
        torch.save(variant.clip, tmp_path / "clip.pt")
        envelope = {"epoch": 29, "model_state_dict": variant.state, "optimizer_state_dict": {}}
        torch.save(envelope, tmp_path / "model_best.pt")
        options = {
            "MODEL.MODEL_NAME": "Text4Vis",
            "MODEL.LOSS_FUNC": "cross_entropy",
            "CLIP.ARCH": str(tmp_path / "arch.json"),
            "CLIP.PRETRAINED": str(tmp_path / "clip.pt"),
            "TEXT.CLASSES": str(tmp_path / "classes.txt"),
            "TEXT4VIS.HEAD": {"Transf": "transf", "None": "none"}[variant.meta["sim_header"]],
            "TEST.LOGIT_SCALE": 100.0,
            "NUM_GPUS": 0,
        }
        flat = [item for pair in options.items() for item in pair]
        model = build_model(load_cfg([], [*flat, *opts], env={}))
        report = load_weights(model, tmp_path / "model_best.pt", pretrained=True)
        assert report.kind == "text4vis"
        assert report.clean
        assert all(key.startswith("clip.text.") for key in report.kept)
        assert set(report.matched) | set(report.kept) == set(model.state_dict())
        return model

    return build


@pytest.fixture
def video(variant) -> Tensor:
    return variant["video"].transpose(1, 2)


def close(found: Tensor, expected: Tensor) -> None:
    assert_close(found, expected.to(found.dtype), atol=1e-5, rtol=0)


def ours(key: str) -> str:
    """Return our name of a checkpoint's key."""
    return key.replace("fusion_model.", "encoder.temporal.") if "fusion" in key else f"clip.{key}"


@torch.no_grad()
def test_texts_features_and_scores(variant, make, video):
    model = make().eval()
    bank, clip = model.head.bank, model.clip
    ids = bank.ids_UL[bank.where_KN[:, 0]]
    recorded = variant["token_ids"]
    assert torch.equal(ids, recorded[:, : ids.shape[1]].to(ids.dtype))
    assert not recorded[:, ids.shape[1] :].any()
    text_KD = bank.features(clip.text)[:, 0]
    close(text_KD, variant["text_features"])
    close(F.normalize(text_KD, dim=1), variant["text_features_normalised"])
    frames_MD = clip.visual(video.transpose(1, 2).flatten(0, 1))
    close(frames_MD, variant["out/frame_features"])
    output = model([video])
    assert output.video_BTD.shape == (3, 8, 64)
    close(output.video_BTD.mean(dim=1), variant["out/video_features"])
    assert_close(output.logits, variant["out/eval_similarity_raw"], atol=1e-4, rtol=0)
    close(output.logits.softmax(dim=-1), variant["out/eval_similarity_softmax"])


def test_loss_and_gradients(variant, make, video):
    model = make().train()
    logits = model(video).logits
    close(logits, variant["out/train_logits"])
    loss = F.cross_entropy(logits, variant["labels"])
    close(loss, variant["out/train_loss"])
    loss.backward()
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    norms = variant.meta["grad_norms"]
    assert set(parameters) == {ours(key) for key in norms}
    for key, norm in norms.items():
        found = parameters[ours(key)].grad.double().norm().item()
        assert found == pytest.approx(norm, rel=1e-3, abs=1e-7), key
    recorded = [key[5:] for key in variant.own.files if key.startswith("grad/")]
    assert len(recorded) >= 12
    for key in recorded:
        expected = variant[f"grad/{key}"]
        found = parameters[ours(key)].grad
        assert (found - expected).abs().max() <= 1e-3 * expected.abs().max(), key


@pytest.mark.parametrize("recompute", [False, True])
def test_activation_checkpointing_changes_nothing(variant, make, video, recompute):
    model = make("MODEL.ACT_CHECKPOINT", recompute)
    close(model(video).logits, variant["out/train_logits"])


def test_file_and_model_must_agree_about_the_head(variant, make):
    other = "none" if variant.meta["sim_header"] == "Transf" else "transf"
    with pytest.raises(UsageError, match=r"encoder\.temporal\..*set TEXT4VIS.HEAD as for the wei"):
        make("TEXT4VIS.HEAD", other)
