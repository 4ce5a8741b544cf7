from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity
from torch.testing import assert_close

from slowfast.errors import UsageError
from slowfast.models import CLIP, FrameWise, FrozenClassifier, build_model
from slowfast.models.classifiers import (
    ClassifierFile,
    fit_width,
    orthogonal_rows,
    random_rows,
    read_classifier,
    write_classifier,
)
from slowfast.models.clip.text import TextBank
from slowfast.structures import Encoded
from slowfast.text import ClassVocabulary, expand_names, get_prompts, tokenize
from tests.models.conftest import NAMES, Recorded, recorded_clip

HEAD = ("MODEL.HEAD_NAME", "FrozenClassifier")
DRAWN = (*HEAD, "CLASSIFIER.KIND")


@pytest.fixture
def encoded() -> Encoded:
    return Encoded(torch.randn(4, 5, 32), {})


def test_logits_by_hand(tiny_clip, tiny_vocab, encoded):
    rows = torch.randn(3, 32) * torch.tensor([[1.0], [7.0], [0.1]])
    head = FrozenClassifier(vocabulary=tiny_vocab, rows=rows)
    mean = encoded.video_BTD.mean(dim=1)
    expected = cosine_similarity(mean[:, None], rows[None], dim=-1)
    assert_close(head(tiny_clip, encoded), tiny_clip.logit_scale.exp() * expected)


def test_rows_of_clip_are_the_tower_s_in_evaluation(tiny_cfg):
    model = build_model(tiny_cfg("CLIP", *HEAD, "TEXT.TEMPLATES", "text4vis"))
    clip = model.clip
    assert clip.text.training
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rows = model.head.rows(clip)
    assert clip.text.training
    assert not rows.requires_grad
    with torch.no_grad():
        for name, row in zip(NAMES, rows):
            ids = tokenize([f"a video of a person {name}."])
            padded = torch.nn.functional.pad(ids, (0, 77 - ids.shape[1]))
            assert_close(row, clip.text(padded)[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["clip_text", "random"])
def test_only_the_image_side_is_trained(kind, tiny_cfg, videos):
    model = build_model(tiny_cfg("CLIP", *DRAWN, kind))
    model(videos).logits.sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith(("clip.text.", "clip.logit_bias")), name
    assert not any(key.startswith("head.") for key in model.state_dict())
    assert "head.rows_KD" not in dict(model.named_parameters())


def test_rows_are_computed_once_and_follow_the_weights(tiny_cfg, videos):
    model = build_model(tiny_cfg("CLIP", *HEAD))
    calls = []
    model.clip.text.transformer.register_forward_hook(lambda *_: calls.append(1))
    for _ in range(3):
        model(videos)
    assert len(calls) == 1
    with torch.no_grad():
        model.clip.text.positional_embedding.add_(1.0)
    model(videos)
    assert len(calls) == 2


@pytest.mark.parametrize("kind", ["clip_text", "random", "orthogonal"])
def test_the_label_list_can_be_swapped(kind, tiny_cfg, tmp_path, videos):
    subset = tmp_path / "novel.txt"
    subset.write_text(f"{NAMES[2]}\n{NAMES[0]}\n")
    whole = build_model(tiny_cfg("CLIP", *DRAWN, kind)).eval()
    part = build_model(tiny_cfg("CLIP", *DRAWN, kind, "TEXT.SUBSET", str(subset))).eval()
    part.load_state_dict(whole.state_dict())
    with torch.no_grad():
        assert_close(part(videos).logits, whole(videos).logits[:, [2, 0]], rtol=0, atol=1e-5)


def test_random_rows_are_the_published_stream():
    torch.manual_seed(1024)
    published = torch.nn.init.normal_(torch.empty(6, 64), std=1)
    assert torch.equal(random_rows(6, 64, seed=1024), published)
    assert not torch.equal(random_rows(6, 64, seed=1), published)


def test_orthogonal_rows_are_the_published_ones():
    np.random.seed(1024)  # noqa: NPY002 - the published generator
    normal = np.array(np.random.normal(size=(64, 64)), dtype="float32")  # noqa: NPY002
    rows = orthogonal_rows(6, 64, seed=1024)
    assert torch.equal(rows, torch.from_numpy(np.linalg.qr(normal, mode="complete")[0][:6]))
    assert_close(rows @ rows.T, torch.eye(6), rtol=0, atol=1e-5)
    assert torch.equal(orthogonal_rows(9, 64, seed=1024)[:6], rows)


@pytest.mark.parity
def test_published_control_rows(parity):
    with np.load(parity("text4vis/protocol.npz")) as record:
        meant = {name: record[name] for name in record.files if name.startswith("cls/")}
    for draw in (random_rows, orthogonal_rows):
        rows = draw(6, 64, seed=1024).numpy()
        same_shape = [array for array in meant.values() if array.shape == rows.shape]
        assert any(np.allclose(array, rows, atol=1e-5) for array in same_shape), draw.__name__


@pytest.mark.parity
def test_published_logits_over_the_mean_frame(parity):
    """Text4Vis without its temporal head is the frame-wise tower under this head."""
    base = Recorded(parity("text4vis/model_base_transf.npz"))
    plain = Recorded(parity("text4vis/model_none.npz"))
    text = {f"text.{key}": value for key, value in base.under("clip").items()}
    state = base.under("sd").items()
    vision = {k: v for k, v in state if k.startswith("visual.") or k == "logit_scale"}
    names = tuple(json.loads(str(base.arrays["texts_json"]))["class_names"])
    bank = TextBank(expand_names(get_prompts("text4vis"), ClassVocabulary(names)))
    head = FrozenClassifier(vocabulary=ClassVocabulary(names), bank=bank)
    clip = recorded_clip({**vision, **text})
    model = CLIP(clip=clip, encoder=FrameWise(), head=head, eval_scale=100.0)
    video = base["video"].transpose(1, 2)
    assert_close(head.rows(clip), base["text_features"], rtol=0, atol=1e-5)
    logits = model(video).logits
    assert_close(logits, plain["out/train_logits"], rtol=0, atol=1e-4)
    loss = torch.nn.functional.cross_entropy(logits, base["labels"])
    assert_close(loss, plain["out/train_loss"], rtol=0, atol=1e-4)
    loss.backward()
    parameters = dict(clip.named_parameters())
    for name, gradient in plain.under("grad").items():
        difference = (parameters[name].grad - gradient).abs().max() / gradient.abs().max()
        assert difference < 1e-3, name
    with torch.no_grad():
        assert_close(
            model.eval()(video).logits, plain["out/eval_similarity_raw"], rtol=0, atol=1e-4
        )


def test_several_templates_are_refused(tiny_cfg, tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("a photo of {}.\na video of {}.\n")
    with pytest.raises(UsageError, match="has 2 templates, .* one .* TemplateEnsembleHead"):
        build_model(tiny_cfg("CLIP", *HEAD, "TEXT.TEMPLATES", str(path)))


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (("MODEL.LOSS_FUNC", "ost_contrastive"), "all classes at once.* use cross_entropy"),
        (("CLASSIFIER.KIND", "file"), "CLASSIFIER.FILE is empty with CLASSIFIER.KIND file"),
        (("CLASSIFIER.KIND", "file", "CLASSIFIER.FILE", "no.npz"), "no.npz: no such file of"),
    ],
)
def test_mistakes_are_one_line(tiny_cfg, opts, message):
    with pytest.raises(UsageError, match=message) as caught:
        build_model(tiny_cfg("CLIP", *HEAD, *opts))
    assert "\n" not in str(caught.value)


def test_more_orthogonal_classes_than_dimensions():
    with pytest.raises(UsageError, match="9 classes, but only 8 orthonormal rows"):
        orthogonal_rows(9, 8, seed=0)


def test_drawn_rows_in_a_test_are_worth_a_warning(tiny_cfg, caplog):
    build_model(tiny_cfg("CLIP", *DRAWN, "random"))
    assert "drawn rows" not in caplog.text
    build_model(tiny_cfg("CLIP", *DRAWN, "random", "TRAIN.ENABLE", False))
    assert "tell nothing about classes that the weights were not trained on" in caplog.text


def test_rows_of_a_file_are_joined_by_name(tiny_cfg, tmp_path, videos):
    rows = torch.randn(4, 32)
    path = tmp_path / "rows.npz"
    write_classifier(path, ClassifierFile(rows, (NAMES[2], "more", NAMES[1], NAMES[0]), "lda"))
    model = build_model(tiny_cfg("CLIP", *DRAWN, "file", "CLASSIFIER.FILE", str(path)))
    assert torch.equal(model.head.rows(model.clip), rows[[3, 2, 0]])
    assert model(videos).logits.shape == (2, 3)


def test_a_missing_class_and_another_width(tiny_cfg, tmp_path, caplog):
    caplog.set_level("INFO")
    path, rows = tmp_path / "rows.npz", torch.randn(3, 48)
    make = (*DRAWN, "file", "CLASSIFIER.FILE", str(path))
    write_classifier(path, ClassifierFile(rows, NAMES, "text"))
    model = build_model(tiny_cfg("CLIP", *make))
    assert torch.equal(model.head.rows(model.clip), fit_width(rows, 32))
    assert "rows of width 48 brought to 32" in caplog.text
    write_classifier(path, ClassifierFile(rows[:2], NAMES[:2]))
    with pytest.raises(UsageError, match=f"rows.npz: no rows for '{NAMES[2]}'; make it for these"):
        build_model(tiny_cfg("CLIP", *make))


def test_a_narrower_encoder_keeps_its_cosines():
    rows = torch.randn(5, 24)
    wide = fit_width(rows, 32)
    assert wide.shape == (5, 32)
    assert_close(wide @ wide.T, rows @ rows.T)
    assert torch.equal(fit_width(rows, 24), rows)


def test_a_wider_encoder_is_projected_by_one_map_for_all_lists():
    rows = torch.randn(40, 768)
    narrow = fit_width(rows, 512)
    assert narrow.shape == (40, 512)
    assert_close(fit_width(rows[[7, 3]], 512), narrow[[7, 3]])
    cosine = torch.corrcoef(rows) - torch.corrcoef(narrow)
    assert cosine.abs().max() < 5 / 512**0.5
    # Orthonormal columns: a vector inside the subspace keeps its length.
    basis = fit_width(torch.eye(768), 512)
    assert_close(basis.T @ basis, torch.eye(512), rtol=0, atol=1e-5)


def test_a_file_comes_back_as_written(tmp_path):
    written = ClassifierFile(torch.randn(2, 5), ("a", "käse, 日本"), "lda", "list.csv")
    found = read_classifier(write_classifier(tmp_path / "new" / "rows.npz", written))
    assert torch.equal(found.rows, written.rows)
    assert (found.names, found.kind, found.source) == (written.names, "lda", "list.csv")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["rows.npz"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"rows", "empty", "pickle"])
def test_another_file_is_refused(content, tmp_path):
    path = tmp_path / "rows.npz"
    if content == "empty":
        np.savez(path, rows=np.zeros((2, 2)))
    elif content == "pickle":
        np.savez(path, rows=np.array([{}]), names=["a"], kind="", source="")
    else:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"rows\.npz: not a file of ost classifier") as error:
        read_classifier(path)
    assert "allow_pickle" not in str(error.value)


@pytest.mark.parametrize(
    ("rows", "names", "message"),
    [
        (torch.ones(2, 3), ("a",), r"shape \(2, 3\) for 1 names"),
        (torch.ones(2), ("a", "b"), r"shape \(2,\)"),
        (torch.ones(2, 3), ("a", "a"), "must differ"),
        (torch.tensor([[1.0], [0.0], [float("nan")]]), ("a", "b", "c"), "infinite: 'b', 'c'"),
    ],
)
def test_rows_that_are_no_classifier(rows, names, message):
    with pytest.raises(UsageError, match=message):
        ClassifierFile(rows, names)
