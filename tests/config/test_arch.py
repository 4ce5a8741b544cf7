"""What open_clip's names and files stand for; its own tables are the oracle."""

from __future__ import annotations

import json

import open_clip
import pytest
from open_clip.constants import INCEPTION_MEAN, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.pretrained import get_pretrained_cfg
from open_clip.transform import PreprocessCfg

from slowfast.config.arch import context_length, read_arch, read_preprocessing, refusal
from slowfast.errors import UsageError

TINY = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "layers": 1, "width": 64},
    "text_cfg": {"context_length": 12},
}


@pytest.fixture
def write(tmp_path):
    def to_file(content) -> str:
        path = tmp_path / "arch.json"
        path.write_text(json.dumps(content))
        return str(path)

    return to_file


def test_every_arch_of_open_clip_is_accepted_or_refused_with_a_reason():
    refused = set()
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        if refusal(config):
            refused.add(name)
            with pytest.raises(UsageError, match=f"CLIP.ARCH {name}: a captioning model"):
                read_arch(name)
        else:
            assert {"embed_dim", "vision_cfg", "text_cfg"} <= set(read_arch(name))
            assert 16 <= context_length(config) <= 77
    assert all(name.startswith("coca") for name in refused)
    assert 0 < len(refused) < len(open_clip.list_models()) / 10


@pytest.mark.parametrize(
    ("name", "tokens"),
    [("ViT-B-16-SigLIP2", 64), ("PE-Core-B-16", 32), ("ViT-B-32", 77), ("roberta-ViT-B-32", 77)],
)
def test_the_length_of_texts(name, tokens):
    assert context_length(read_arch(name)) == tokens


def test_every_tag_of_an_accepted_arch_has_its_preprocessing():
    for name, tag in open_clip.list_pretrained():
        config = open_clip.get_model_config(name)
        if config is None or refusal(config):
            continue
        source, found = get_pretrained_cfg(name, tag), read_preprocessing(name, tag)
        assert source["hf_hub"] or source["url"]
        size = config["vision_cfg"].get("image_size", 224)
        assert found.size == (size, size)
        assert (found.mean, found.std) == (tuple(source["mean"]), tuple(source["std"]))
        assert found.interpolation == source["interpolation"]
        assert found.resize_mode == source["resize_mode"]


def test_without_a_tag_it_is_what_all_tags_share():
    assert read_preprocessing("ViT-B-16-SigLIP2") == read_preprocessing("ViT-B-16-SigLIP2", "webli")
    assert read_preprocessing("ViT-B-16-SigLIP2", "my/file.pt").mean == INCEPTION_MEAN
    mixed = read_preprocessing("ViT-H-14-378-quickgelu", "file.pt")
    assert mixed.size == (378, 378)


def test_where_tags_differ_it_is_open_clips_default(monkeypatch):
    tags = {"one": {"mean": (0.1, 0.1, 0.1)}, "two": {"mean": (0.2, 0.2, 0.2)}}
    monkeypatch.setattr(open_clip.pretrained, "list_pretrained_tags_by_model", lambda _: list(tags))
    monkeypatch.setattr(
        open_clip.pretrained, "get_pretrained_cfg", lambda _, tag: tags.get(tag, {})
    )
    assert read_preprocessing("ViT-B-32", "file.pt").mean == OPENAI_DATASET_MEAN
    assert read_preprocessing("ViT-B-32", "two").mean == (0.2, 0.2, 0.2)


def test_a_file_may_hold_its_preprocessing(write):
    plain = read_preprocessing(write(TINY))
    assert plain.size == (32, 32)
    assert (plain.mean, plain.std) == (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
    assert plain.resize_mode == PreprocessCfg().resize_mode
    own = {"mean": [0.5, 0.5, 0.5], "resize_mode": "squash", "size": 99, "interpolation": None}
    found = read_preprocessing(write({"model_cfg": TINY, "preprocess_cfg": own}))
    assert (found.size, found.mean, found.resize_mode) == ((32, 32), (0.5, 0.5, 0.5), "squash")
    assert found.interpolation == "bicubic"


def test_folders_are_found_beside_the_file(write, tmp_path):
    (tmp_path / "words").mkdir()
    config = {**TINY, "text_cfg": {"hf_tokenizer_name": "words", "hf_model_name": "not/here"}}
    text = read_arch(write(config))["text_cfg"]
    assert text["hf_tokenizer_name"] == str(tmp_path / "words")
    assert text["hf_model_name"] == "not/here"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"embed_dim": 8}, r"lacks \['text_cfg', 'vision_cfg'\]"),
        ({**TINY, "multimodal_cfg": {}}, "captioning"),
        ({"model_cfg": []}, "expected a JSON object as model_cfg"),
    ],
)
def test_unusable_files(write, content, message):
    with pytest.raises(UsageError, match=message):
        read_arch(write(content))
