from __future__ import annotations

import json
from urllib.error import URLError

import open_clip
import pytest
import torch

from slowfast.config import load_cfg
from slowfast.config.arch import read_arch
from slowfast.errors import UsageError
from slowfast.models import build_model
from slowfast.models.clip import build as build_module
from slowfast.models.clip.build import build_clip
from tests.models.conftest import TINY_CLIP


@pytest.fixture
def write(tmp_path):
    def to_file(change) -> str:
        config = json.loads(TINY_CLIP.read_text())
        change(config)
        path = tmp_path / "arch.json"
        path.write_text(json.dumps(config))
        return str(path)

    return to_file


def test_a_json_file_is_an_arch(tiny_clip):
    assert isinstance(tiny_clip, open_clip.CustomTextCLIP)
    names = {name.split(".")[0] for name, _ in tiny_clip.named_parameters()}
    assert names == {"visual", "text", "logit_scale"}
    assert tiny_clip.text.token_embedding.weight.shape == (49408, 32)
    assert type(tiny_clip.visual.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"


def test_random_weights_come_from_torchs_generator(tiny_clip):
    torch.manual_seed(1)
    again = build_clip(str(TINY_CLIP))
    assert torch.equal(again.visual.proj, tiny_clip.visual.proj)


def test_open_clips_own_file_form(write):
    def nest(config):
        inner = dict(config)
        config.clear()
        config.update({"model_cfg": inner, "preprocess_cfg": {}})

    assert build_clip(write(nest)).visual.output_dim == 32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("embed_dim"), r"lacks \['embed_dim'\]"),
        (lambda c: c["vision_cfg"].update(colour=1), "not a usable model configuration"),
        (lambda c: c.update(multimodal_cfg={}), "a captioning model"),
    ],
)
def test_wrong_configurations(write, change, message):
    with pytest.raises(UsageError, match=message):
        build_clip(write(change))


def test_unreadable_configurations(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.json: no such model configuration"):
        build_clip(str(tmp_path / "nowhere.json"))
    (tmp_path / "a.json").write_text("[1")
    with pytest.raises(UsageError, match="not valid JSON"):
        build_clip(str(tmp_path / "a.json"))
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(UsageError, match="expected a JSON object"):
        build_clip(str(tmp_path / "a.json"))


def test_unknown_arch_names_the_nearest():
    with pytest.raises(UsageError, match=r"'ViT-B-16-quikgelu'.*ViT-B-16-quickgelu"):
        build_clip("ViT-B-16-quikgelu")


def test_openai_names_with_a_slash():
    assert read_arch("ViT-B/32")["vision_cfg"]["patch_size"] == 32


def test_unknown_weights_list_the_tags():
    with pytest.raises(UsageError, match=r"'openay'.*neither a file nor a tag.*tags: openai"):
        build_module._find_weights("ViT-B-16-quickgelu", "openay", quick_gelu=True)


def test_weights_with_another_activation_are_refused():
    with pytest.raises(UsageError, match="trained with QuickGELU.*use ViT-B-16-quickgelu"):
        build_module._find_weights("ViT-B-16", "openai", quick_gelu=False)


def test_missing_weights_get_one_attempt_and_one_line(monkeypatch):
    asked = []

    def fail(request, timeout):
        asked.append((request.method, request.full_url))
        raise URLError("no route\nto host")

    monkeypatch.setattr(build_module, "urlopen", fail)
    monkeypatch.setattr(build_module, "download_pretrained", None)  # never called
    monkeypatch.setattr(build_module, "try_to_load_from_cache", lambda repository, name: None)
    with pytest.raises(UsageError) as caught:
        build_module._find_weights("ViT-B-16-quickgelu", "openai", quick_gelu=True)
    ((method, url),) = asked
    assert method == "HEAD"
    repository = "timm/vit_base_patch16_clip_224.openai"
    assert url.endswith(f"/{repository}/resolve/main/open_clip_model.safetensors")
    assert str(caught.value) == (
        "CLIP.PRETRAINED 'openai': the weights of ViT-B-16-quickgelu are not on this machine and "
        f"could not be fetched (no route): save {url} as weights/open_clip_model.safetensors and "
        "set CLIP.PRETRAINED weights/open_clip_model.safetensors"
    )


def test_cached_weights_need_no_network(monkeypatch):
    monkeypatch.setattr(build_module, "urlopen", None)
    monkeypatch.setattr(build_module, "try_to_load_from_cache", lambda *words: "/cache/it.bin")
    found = build_module._find_weights("ViT-B-16-quickgelu", "openai", quick_gelu=True)
    assert str(found) == "/cache/it.bin"


def test_texts_are_read_before_weights_are_looked_for(tmp_path):
    (tmp_path / "mine.json").write_text('{"run": ["a", "b"]}')
    words = ["NUM_GPUS", "0", "CLIP.PRETRAINED", "gone.pt", "TEXT.CLASSES", "gone.csv"]
    with pytest.raises(UsageError, match="gone.csv: no such file of class names"):
        build_model(load_cfg("OST/zero_shot/ucf101", words, env={}))
    words[-2:] = ["TEXT.SPATIAL", str(tmp_path / "mine.json")]
    with pytest.raises(UsageError, match=r"mine\.json"):
        build_model(load_cfg("OST/zero_shot/ucf101", words, env={}))


@pytest.fixture
def weights(tiny_clip, tmp_path):
    """Write the tiny towers' weights in a published form; return the path."""

    def write(form: str) -> str:
        state = tiny_clip.state_dict()
        if form != "open_clip":
            state = {key.removeprefix("text."): value for key, value in state.items()}
        if form == "openai":
            state = {key: value.half() for key, value in state.items()}
        if form == "ost":
            text = ("transformer.", "token_emb", "positional", "ln_final", "text_proj")
            state = {
                f"module.text_encoder.{key}"
                if key.startswith(text)
                else f"module.{key.replace('visual.', 'image_encoder.')}": value
                for key, value in state.items()
            }
            state = {"model": state, "epoch": 3}
        path = tmp_path / f"{form}.pt"
        torch.save(state, path)
        return str(path)

    return write


@pytest.mark.parametrize("form", ["open_clip", "flat", "openai", "ost"])
def test_weights_of_a_file(weights, tiny_clip, form):
    found = build_clip(str(TINY_CLIP), weights(form)).state_dict()
    for key, value in tiny_clip.state_dict().items():
        expected = value.half().float() if form == "openai" else value
        assert torch.equal(found[key], expected), key


def test_weights_of_another_arch(weights, write):
    arch = write(lambda config: config["vision_cfg"].update(width=48))
    with pytest.raises(UsageError, match=r"visual\.\S+ is \(32.* in the file and .*48"):
        build_clip(arch, weights("flat"))
    arch = write(lambda config: config["text_cfg"].update(layers=3))
    with pytest.raises(UsageError, match=r"text\.transformer\.resblocks\.2"):
        build_clip(arch, weights("flat"))


def test_exact_gelu_under_weights_that_look_like_openais(weights, write, caplog):
    arch = write(lambda config: config.update(quick_gelu=False))
    build_clip(arch, weights("openai"))
    assert "need QuickGELU, and CLIP.ARCH" in caplog.text
    caplog.clear()
    build_clip(arch, weights("open_clip"))
    assert "QuickGELU" not in caplog.text


def test_a_truncated_file_is_one_line(weights):
    path = weights("flat")
    with open(path, "r+b") as file:
        file.truncate(1000)
    with pytest.raises(UsageError, match=r"flat\.pt") as caught:
        build_clip(str(TINY_CLIP), path)
    assert "\n" not in str(caught.value)
