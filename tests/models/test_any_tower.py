"""Towers of open_clip that are not CLIP's own; open_clip's whole model is the oracle."""

from __future__ import annotations

import json

import open_clip
import pytest
import torch
from open_clip.tokenizer import HFTokenizer
from torch.testing import assert_close

from slowfast.errors import UsageError
from slowfast.models.build import build_model
from slowfast.models.clip.build import build_clip
from slowfast.models.clip.text import TextBank, is_trimmable
from slowfast.models.clip.vision import encode_frames
from tests.hf_files import write_tokenizer

# timm's smallest transformer (160 pixels) in the place of a SigLIP or PE tower.
VISION = {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "token"}
VISION = {**VISION, "timm_model_pretrained": True, "timm_proj": "linear"}
SIGLIP_TEXT = {
    "context_length": 12,
    "vocab_size": 20,
    "hf_tokenizer_name": "words",
    "tokenizer_kwargs": {"clean": "canonicalize"},
    "width": 32,
    "heads": 2,
    "layers": 1,
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
}
WORLDWIDE_TEXT = {
    **SIGLIP_TEXT,
    "no_causal_mask": False,
    "proj_bias": False,
    "pool_type": "eos",
    "eos_id": 1,
    "tokenizer_kwargs": {"clean": "lower"},
}
PE_TEXT = {"context_length": 32, "width": 32, "heads": 2, "layers": 1}
TEXTS = [["kicking a ball", "a photo of a ball"], ["riding a horse", "horse"]]


@pytest.fixture
def make(tmp_path):
    def to_file(text, **more) -> str:
        write_tokenizer(tmp_path / "words", pad_id=3)
        config = {"embed_dim": 32, "custom_text": True, "vision_cfg": VISION, "text_cfg": text}
        path = tmp_path / "arch.json"
        path.write_text(json.dumps({**config, **more}))
        return str(path)

    return to_file


def build(arch: str, weights: str = "") -> open_clip.CustomTextCLIP:
    torch.manual_seed(0)
    return build_clip(arch, weights).eval()


@torch.no_grad()
@pytest.mark.parametrize("text", [SIGLIP_TEXT, WORLDWIDE_TEXT], ids=["siglip", "worldwide"])
def test_text_features_are_open_clips(make, tmp_path, text):
    clip = build(make(text))
    assert is_trimmable(clip.text) == (text is WORLDWIDE_TEXT)
    options = text["tokenizer_kwargs"]
    whole = HFTokenizer(str(tmp_path / "words"), context_length=12, **options)
    bank = TextBank(TEXTS, tokenizer=clip.tokenizer)
    for own, expected in zip(bank.features(clip.text), TEXTS):
        assert_close(own, clip.encode_text(whole(expected)))
    longest = 6 if text is WORLDWIDE_TEXT else 12
    assert int(bank.lengths_U.max()) == longest


@torch.no_grad()
def test_frame_features_are_open_clips(make):
    clip = build(make(PE_TEXT))
    video = torch.randn(1, 3, 2, 160, 160)
    expected = clip.encode_image(video[0].transpose(0, 1))
    assert_close(encode_frames(clip.visual, video)[0], expected)
    assert clip.visual.output_dim == 32
    with pytest.raises(UsageError, match="the image tower takes 160x160"):
        encode_frames(clip.visual, torch.randn(1, 3, 2, 96, 96))


@torch.no_grad()
def test_probabilities_of_a_sigmoid_model_are_those_of_its_cosines(make, tiny_cfg):
    opts = ("CLIP.ARCH", make(SIGLIP_TEXT, init_logit_bias=-10.0))
    torch.manual_seed(0)
    model = build_model(tiny_cfg("CLIP", *opts)).eval()
    assert "clip.logit_bias" in model.state_dict()
    assert not model.clip.logit_bias.requires_grad
    frames = torch.randn(1, 3, 1, 160, 160)
    texts = list(model.head.vocabulary.names)
    ids = model.clip.tokenizer(texts, 77, "error").ids_ML
    image, text, scale, bias = model.clip(frames[:, :, 0], ids)
    expected = scale * image @ text.T + bias
    assert_close(model(frames).logits.softmax(-1), expected.softmax(-1))


def test_a_short_text_tower_needs_no_option_and_refuses_nonsense(make, tiny_cfg):
    arch = ("CLIP.ARCH", make(PE_TEXT))
    assert build_model(tiny_cfg("CLIP", *arch)).clip.text.context_length == 32
    build_model(tiny_cfg("CLIP", *arch, "CLIP.CONTEXT_LENGTH", 20))
    with pytest.raises(UsageError, match=r"CONTEXT_LENGTH 40, but .* has 32 positions"):
        build_model(tiny_cfg("CLIP", *arch, "CLIP.CONTEXT_LENGTH", 40))


def test_long_texts_follow_the_option(make, tiny_cfg, tmp_path):
    classes = tmp_path / "long.txt"
    classes.write_text("riding a horse\n" + "ball " * 20 + "\n")
    opts = ("CLIP.ARCH", make(SIGLIP_TEXT), "TEXT.CLASSES", str(classes))
    with pytest.raises(UsageError, match="text of 21 tokens, at most 12"):
        build_model(tiny_cfg("CLIP", *opts))
    build_model(tiny_cfg("CLIP", *opts, "TEXT.LONG_TEXT", "truncate"))


def test_weights_of_a_file_are_loaded_strictly(make, tmp_path):
    arch = make(SIGLIP_TEXT, init_logit_bias=-10.0)
    torch.manual_seed(7)
    state = build_clip(arch).state_dict()
    torch.save(state, tmp_path / "weights.pt")
    found = build(arch, str(tmp_path / "weights.pt")).state_dict()
    assert set(found) == set(state)
    assert all(torch.equal(found[key], value) for key, value in state.items())
    torch.save({k: v for k, v in state.items() if "trunk" not in k}, tmp_path / "weights.pt")
    with pytest.raises(UsageError, match=r"visual\.trunk"):
        build(arch, str(tmp_path / "weights.pt"))


def test_released_spellings_of_weights(make, tmp_path):
    """A flat file, as open_clip's CLIP class saves, and a scale that is a vector of one."""
    arch = make(PE_TEXT)
    torch.manual_seed(7)
    config = {"vision_cfg": {**VISION, "timm_model_pretrained": False}, "text_cfg": PE_TEXT}
    state = open_clip.CLIP(embed_dim=32, **config).state_dict()
    state["logit_scale"] = state["logit_scale"].reshape(1)
    torch.save(state, tmp_path / "weights.pt")
    found = build(arch, str(tmp_path / "weights.pt"))
    assert torch.equal(found.logit_scale, state["logit_scale"][0])
    for key in ("visual.trunk.norm.weight", "visual.head.proj.weight"):
        assert torch.equal(found.state_dict()[key], state[key])
    assert torch.equal(found.text.text_projection, state["text_projection"])


@pytest.mark.parametrize("tag", [True, False])
def test_only_a_file_of_unknown_origin_is_suspected(make, tmp_path, monkeypatch, caplog, tag):
    from slowfast.models.clip import build as build_module

    arch, path = make(PE_TEXT), tmp_path / "weights.pt"
    config = {"vision_cfg": {**VISION, "timm_model_pretrained": False}, "text_cfg": PE_TEXT}
    torch.save(open_clip.CLIP(embed_dim=32, **config).state_dict(), path)
    if tag:
        monkeypatch.setattr(build_module, "_find_weights", lambda *_, **__: path)
    build_clip(arch, "some_tag" if tag else str(path))
    assert ("need QuickGELU" in caplog.text) is not tag


@torch.no_grad()
def test_a_text_tower_of_hugging_face(make, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.RobertaConfig(
        vocab_size=20,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
        pad_token_id=3,
    )
    config.save_pretrained(tmp_path / "tower")
    text = {
        "hf_model_name": "tower",
        "hf_tokenizer_name": "words",
        "hf_proj_type": "mlp",
        "hf_pooler_type": "mean_pooler",
        "context_length": 12,
    }
    clip = build(make(text))
    assert clip.text.context_length == 12
    old = {**clip.state_dict(), "text.transformer.embeddings.position_ids": torch.arange(40)}
    torch.save(old, tmp_path / "weights.pt")
    build(make(text), str(tmp_path / "weights.pt"))
    ids = HFTokenizer(str(tmp_path / "words"), context_length=12)(TEXTS[0])
    bank = TextBank(TEXTS, tokenizer=clip.tokenizer)
    assert_close(bank.features(clip.text)[0], clip.encode_text(ids))


def test_a_text_tower_that_cannot_be_had_is_one_line(make, tmp_path):
    text = {"hf_model_name": str(tmp_path / "none"), "hf_tokenizer_name": "words"}
    with pytest.raises(UsageError, match="arch.json: not a usable model configuration"):
        build(make(text))


@pytest.mark.parametrize(
    ("arch", "kind"),
    [("ViT-B-16-SigLIP2", "hf-hub"), ("PE-Core-B-16", "hf-hub"), ("RN50", "url")],
)
def test_a_tag_that_cannot_be_downloaded_is_one_line(monkeypatch, arch, kind):
    from slowfast.models.clip import build as build_module

    asked = []

    def fail(source):
        asked.append(bool(source["hf_hub"]))
        raise FileNotFoundError("Failed to download file\nfor it")

    monkeypatch.setattr(build_module, "download_pretrained", fail)
    monkeypatch.setattr(build_module, "_knock", lambda url: None)
    tag = open_clip.list_pretrained_tags_by_model(arch)[-1]
    with pytest.raises(
        UsageError, match="could not be fetched .Failed to download file.: save http"
    ):
        build_module._find_weights(arch, tag, quick_gelu=True)
    assert len(asked) == 1
    assert asked[0] or kind == "url"
