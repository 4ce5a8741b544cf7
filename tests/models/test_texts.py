"""From options and files to the texts of a head."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from slowfast.errors import UsageError
from slowfast.models import build_model
from slowfast.text import tokenize
from tests.models.conftest import NAMES, SPATIAL, TEMPORAL


def texts_of(bank) -> list[list[list[int]]]:
    """Return the ids of every text, without padding."""
    return [
        [bank.ids_UL[where][: bank.lengths_U[where]].tolist() for where in own]
        for own in bank.where_KN
    ]


def ids_of(*texts: str) -> list[list[int]]:
    return [tokenize([text])[0].tolist() for text in texts]


def test_descriptors_in_their_sentences(tiny_cfg):
    banks = build_model(tiny_cfg("OST")).head.banks
    for k, name in enumerate(NAMES):
        plain = [f"This is a video about {d}" for d in SPATIAL[k]]
        conditioned = [f"A video of {name} usually includes {d}" for d in TEMPORAL[k]]
        assert texts_of(banks["spatial"])[k] == ids_of(*plain)
        assert texts_of(banks["temporal"])[k] == ids_of(*conditioned)


@pytest.mark.parametrize("condition", [[], ["spatial"], ["spatial", "temporal"]])
def test_conditioning_of_each_kind(tiny_cfg, condition):
    banks = build_model(tiny_cfg("OST", "OST.CONDITION", condition)).head.banks
    for kind, own in (("spatial", SPATIAL[0]), ("temporal", TEMPORAL[0])):
        before = f"A video of {NAMES[0]} usually includes" if kind in condition else None
        before = before or "This is a video about"
        assert texts_of(banks[kind])[0] == ids_of(*(f"{before} {d}" for d in own))


@pytest.mark.parametrize("kind", ["spatial", "temporal"])
def test_a_single_kind_needs_only_its_file(tiny_cfg, kind):
    other = "TEXT.TEMPORAL" if kind == "spatial" else "TEXT.SPATIAL"
    model = build_model(tiny_cfg("OST", "OST.KINDS", [kind], other, ""))
    assert list(model.head.banks) == [kind]


def test_category_matching_needs_no_descriptors(tiny_cfg):
    empty = ("TEXT.TEMPORAL", "", "TEXT.SPATIAL", "")
    model = build_model(tiny_cfg("OST", "OST.MATCHING", "category", *empty))
    expected = [ids_of(f"a video of a person {name}.") for name in NAMES]
    assert texts_of(model.head.banks["category"]) == expected


def test_a_subset_keeps_its_order_and_finds_its_descriptors_by_name(tiny_cfg, tmp_path):
    subset = tmp_path / "novel.txt"
    subset.write_text(f"{NAMES[2]}\n{NAMES[0]}\n")
    model = build_model(tiny_cfg("OST", "TEXT.SUBSET", str(subset))).eval()
    whole = build_model(tiny_cfg("OST")).eval()
    whole.load_state_dict(model.state_dict())
    assert model.head.vocabulary.names == (NAMES[2], NAMES[0])
    videos = torch.randn(1, 3, 2, 32, 32)
    with torch.no_grad():
        found, everything = model(videos).logits, whole(videos).logits
    torch.testing.assert_close(found, everything[:, [2, 0]], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (("TEXT.CLASSES", ""), r"TEXT\.CLASSES is empty"),
        (("TEXT.SPATIAL", ""), r"TEXT\.SPATIAL is empty: name the file of spatial"),
        (("TEXT.TEMPORAL", "nowhere.json"), r"nowhere\.json: no such file of temporal"),
        (("MODEL.NUM_CLASSES", 400), r"NUM_CLASSES 400, but .* has 3 classes: set .* 3, or 0"),
        (("OST.N", 4), "2 spatial descriptors, expected 4"),
        (("TEXT.TEMPLATES", "osst"), "no such prompt set; known: .*, ost"),
        (("CLIP.CONTEXT_LENGTH", 78), "CONTEXT_LENGTH 78, but the text tower .* 77 positions"),
        (("CLIP.CONTEXT_LENGTH", 6), "text of 9 tokens, at most 6 are allowed"),
        (("CLIP.ARCH", "ViT-B-17"), "not a model name of open_clip; nearest: ViT-B-16"),
        (("CLIP.FREEZE", ["clip.txet.*"]), r"'clip\.txet\.\*' matches no parameter"),
    ],
)
def test_mistakes_are_one_line(tiny_cfg, opts, message):
    # NUM_CLASSES follows from the file where the loader of configs leaves it open.
    with pytest.raises(UsageError, match=message) as caught:
        build_model(tiny_cfg("OST", "MODEL.NUM_CLASSES", 0, *opts))
    assert "\n" not in str(caught.value)


def test_a_class_without_descriptors_is_named(tiny_cfg, tiny_files):
    path = Path(tiny_files["TEXT.SPATIAL"])
    table = json.loads(path.read_text())
    del table[NAMES[1]]
    path.write_text(json.dumps(table))
    with pytest.raises(UsageError, match=f"no spatial descriptors for '{NAMES[1]}'"):
        build_model(tiny_cfg("OST"))


def test_a_long_descriptor_is_named_or_cut(tiny_cfg, tiny_files, caplog):
    path = Path(tiny_files["TEXT.SPATIAL"])
    table = json.loads(path.read_text())
    table[NAMES[1]][0] = " ".join(["dog"] * 80)
    path.write_text(json.dumps(table))
    with pytest.raises(UsageError, match="tokens, at most 77 are allowed: 'This is a video"):
        build_model(tiny_cfg("OST"))
    build_model(tiny_cfg("OST", "TEXT.LONG_TEXT", "truncate"))
    assert "its tail is cut" in caplog.text
