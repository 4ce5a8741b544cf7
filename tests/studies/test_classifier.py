"""Discriminant rows of videos, and the command line that makes files of rows."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize
from torch.testing import assert_close

from ost.cli import call
from slowfast.datasets.build import build_dataset
from slowfast.errors import DataError, UsageError
from slowfast.models import build_model
from slowfast.models.classifiers import read_classifier
from slowfast.models.classifiers.rows import lda_rows
from slowfast.models.classifiers.texts import transformers_rows
from slowfast.models.clip.text import TextBank
from slowfast.studies.classifier import choose_videos, load_feature_cfg, make_lda, read_features
from tests.video_files import write_video

TINY_CLIP = Path(__file__).parents[1] / "assets" / "tiny_clip.json"
NAMES = ("opening a door", "closing a door", "petting a cat")

main = partial(call, "classifier")


def discriminants(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return S^-1 (mean of class - weighted mean of all), S pooled, as Fisher wrote it down."""
    classes = range(labels.max() + 1)
    means = np.stack([features[labels == k].mean(axis=0) for k in classes])
    inner = features - means[labels]
    pooled = inner.T @ inner / (len(features) - len(means))
    return np.linalg.solve(pooled, (means - features.mean(axis=0)).T).T


@pytest.mark.parametrize("classes", [2, 4])
def test_rows_by_hand(classes):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % classes
    features = rng.normal(size=(60, 5)) + 2 * rng.normal(size=(classes, 5))[labels]
    rows = lda_rows(torch.from_numpy(features).float(), torch.from_numpy(labels), classes)
    assert rows.shape == (classes, 5)
    assert rows.dtype == torch.float32
    expected = torch.from_numpy(discriminants(features, labels)).float()
    assert_close(normalize(rows), normalize(expected), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("labels", "classes", "error", "message"),
    [
        ([0, 0, 0], 1, UsageError, "at least two classes"),
        ([0, 0, 2, 2], 3, DataError, r"no features for 1 classes, of labels \[1\]"),
        ([0, 1], 2, DataError, "2 videos of 2 classes: .* more videos than classes"),
    ],
)
def test_impossible_analyses(labels, classes, error, message):
    with pytest.raises(error, match=message):
        lda_rows(torch.randn(len(labels), 4), torch.tensor(labels), classes)


@pytest.mark.parametrize(
    ("call", "module", "package"),
    [
        (
            lambda: lda_rows(torch.randn(5, 4), torch.tensor([0, 1, 0, 1, 0]), 2),
            "sklearn",
            "scikit",
        ),
        (lambda: transformers_rows(["a"], "nowhere"), "transformers", "transformers"),
    ],
)
def test_a_missing_package_names_the_extra(call, module, package, monkeypatch):
    for name in (module, "sklearn.discriminant_analysis"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(
        UsageError, match=rf"{package}.* not installed: .*\[classifiers\]"
    ) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_drawn_videos_depend_on_the_seed_and_the_class_alone():
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 1, 2, 0])
    first = choose_videos(labels, "abc", per_class=3, seed=1)
    assert first == choose_videos(labels, "abc", per_class=3, seed=1) == sorted(first)
    assert np.bincount(labels[first]).tolist() == [3, 3, 1]
    fewer = choose_videos(labels[:8], "ab", per_class=3, seed=1)
    assert [i for i in fewer if labels[i] == 1] == [i for i in first if labels[i] == 1]
    draws = {tuple(choose_videos(labels, "abc", per_class=3, seed=s)) for s in range(8)}
    assert len(draws) > 1
    assert choose_videos(labels, "abc", per_class=0, seed=1) == list(range(10))


def test_scarce_and_missing_classes(caplog):
    choose_videos(np.array([0, 0, 1]), ("run", "sit"), per_class=2, seed=0)
    assert "fewer than 2 videos of 'sit'" in caplog.text
    with pytest.raises(DataError, match=r"no video of class 'sit' \(label 1\)"):
        choose_videos(np.array([0, 0]), ("run", "sit"), per_class=2, seed=0)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Write a list of four videos of each of three classes; return the options that read it."""
    (tmp_path / "classes.txt").write_text("\n".join(NAMES) + "\n")
    videos = [write_video(tmp_path / f"{n}.mp4", 12 + 5 * n) for n in range(12)]
    lines = [f"{video} {number % 3}\n" for number, video in enumerate(videos)]
    (tmp_path / "train.csv").write_text("".join(lines))
    return {
        "TEXT.CLASSES": str(tmp_path / "classes.txt"),
        "TEXT.SUBSET": "",
        "DATA.PATH_TO_DATA_DIR": str(tmp_path),
        "DATA.TRAIN_FILE": "train.csv",
        "DATA.TEST_SHORT_SIZE": "32",
        "TEST.ALLOW_RANDOM_WEIGHTS": "True",
        "LOG.PROGRESS": "none",
        "DATA_LOADER.NUM_WORKERS": "0",
    }


def words(files: dict[str, str]) -> list[str]:
    return [word for pair in files.items() for word in pair]


def test_features_are_the_unit_mean_frame_of_the_centre_view(files, tmp_path, caplog):
    (tmp_path / "3.mp4").write_bytes(b"no video")
    cfg = load_feature_cfg("configs/demo/ost.yaml", words({**files, "DATA.MAX_BROKEN": "0.25"}))
    torch.manual_seed(1)
    model = build_model(cfg).eval()
    dataset = build_dataset(cfg.TEST.DATASET, cfg, "test")
    found = read_features(cfg, model, dataset, [0, 3, 7, 8])
    assert found.labels.tolist() == [0, 1, 2]
    assert "1 of 4 videos could not be read, the first" in caplog.text
    for row, position in zip(found.features, (0, 7, 8)):
        frames = model.encoder(model.clip, dataset[position][0][0][None]).video_BTD[0]
        assert_close(row, normalize(frames.mean(dim=0), dim=0), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("broken", "share"), [(2, "0.1"), (12, "1.0")])
def test_too_many_unreadable_videos(broken, share, files, tmp_path):
    for number in range(broken):
        (tmp_path / f"{number}.mp4").write_bytes(b"no video")
    cfg = load_feature_cfg("configs/demo/ost.yaml", words({**files, "DATA.MAX_BROKEN": share}))
    message = rf"{broken} of 12 videos could not be read, the first .*0\.mp4: .*MAX_BROKEN"
    with pytest.raises(DataError, match=message):
        make_lda(cfg)


def test_the_command_line_writes_discriminant_rows(files, tmp_path, capsys):
    output = tmp_path / "out" / "lda.npz"
    call = ["lda", "--cfg", "configs/demo/ost.yaml", "--output", str(output), "--per-class", "3"]
    assert main([*call, "--opts", *words(files)]) == 0
    assert "wrote" in (said := capsys.readouterr().out)
    assert "3 rows of width" in said
    found = read_classifier(output)
    assert (found.names, found.kind) == (NAMES, "lda")
    assert "9 videos of" in found.source
    assert "at most 3 a class, seed 0" in found.source
    assert main([*call, "--opts", *words(files)]) == 2
    assert "exists: name another file, or add --force" in capsys.readouterr().err
    untold = {**files, "TEST.ALLOW_RANDOM_WEIGHTS": "False"}
    assert main([*call, "--force", "--opts", *words(untold)]) == 2
    assert "CLIP.PRETRAINED is empty: discriminant rows" in capsys.readouterr().err


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    path = tmp_path / "classes.txt"
    path.write_text("run\njump high\n")
    return path


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """Save a random BERT of two layers and width 12 with its word-piece tokenizer."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path / "bert"
    folder.mkdir()
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "run", "jump", "high", "##er"]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def test_rows_of_a_transformer_leave_padding_out(bert):
    from transformers import BertModel

    rows = transformers_rows(["run", "jump high", "jump higher"], str(bert))
    model = BertModel.from_pretrained(bert).eval()
    for row, ids in zip(rows, ([2, 5, 3], [2, 6, 7, 3], [2, 6, 7, 8, 3])):
        with torch.no_grad():
            hidden = model(torch.tensor([ids])).last_hidden_state[0]
        assert_close(row, hidden.mean(dim=0), rtol=0, atol=1e-5)


def test_the_command_line_writes_rows_of_a_transformer(bert, classes, tmp_path, capsys):
    output = tmp_path / "bert.npz"
    call = ["text", "--classes", str(classes), "--output", str(output)]
    assert main([*call, "--transformers", str(bert)]) == 0
    assert "2 rows of width 12" in capsys.readouterr().out
    found = read_classifier(output)
    assert (found.names, found.kind) == (("run", "jump high"), "text")
    assert torch.equal(found.rows, transformers_rows(found.names, str(bert)))


def test_a_folder_without_an_encoder(classes, tmp_path, capsys):
    call = ["text", "--classes", str(classes), "--output", str(tmp_path / "x.npz")]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main([*call, "--transformers", str(empty)]) == 2
    said = capsys.readouterr().err
    assert "no text encoder and tokenizer there" in said
    assert said.count("\n") == 1
    assert main([*call, "--transformers", str(tmp_path / "nowhere")]) == 2
    assert "nowhere: no such folder" in capsys.readouterr().err
    assert not (tmp_path / "x.npz").exists()


def test_the_command_line_writes_rows_of_another_clip(classes, tmp_path, capsys):
    from slowfast.models.clip.build import build_clip

    clip = build_clip(str(TINY_CLIP)).eval()
    weights = tmp_path / "clip.pt"
    torch.save(clip.state_dict(), weights)
    output = tmp_path / "clip.npz"
    call = ["text", "--classes", str(classes), "--output", str(output)]
    assert main([*call, "--open-clip", str(TINY_CLIP)]) == 2
    assert "name its weights" in capsys.readouterr().err
    assert main([*call, "--open-clip", str(TINY_CLIP), "--pretrained", str(weights)]) == 0
    with torch.no_grad():
        expected = TextBank([["run"], ["jump high"]]).features(clip.text)[:, 0]
    assert_close(read_classifier(output).rows, expected)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["text", "--classes", "c.txt", "--output", "x.pt"], "must end in .npz"),
        (["lda", "--cfg", "c.yaml", "--output", "x.npz", "--per-class", "-1"], "at least 0"),
        (["text", "--classes", "c.txt", "--output", "x.npz"], "c.txt: no such file"),
    ],
)
def test_wrong_words(more, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    where = ["--transformers", "here"] if more[0] == "text" else []
    assert main([*more, *where]) == 2
    assert message in capsys.readouterr().err
