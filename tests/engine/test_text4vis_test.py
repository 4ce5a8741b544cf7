"""Text4Vis's tests end to end: its ActivityNet recipe on generated videos, against plain loops."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from ost import summarize
from ost.run import main
from slowfast.config import load_cfg
from slowfast.datasets.build import build_dataset
from slowfast.evaluation.results import read_scores
from slowfast.models import build_model
from slowfast.structures import Encoded
from tests.conftest import ROOT
from tests.video_files import write_video

RECIPE = str(ROOT / "configs/Text4Vis/fully_supervised/activitynet200.yaml")
LABELS = [3, 150, 3, 77, 150]
TINY = {
    "CLIP.ARCH": str(ROOT / "tests/assets/tiny_clip.json"),
    "CLIP.PRETRAINED": "",
    "NUM_GPUS": "0",
    "LOG_MODEL_INFO": "False",
    "LOG.PROGRESS": "none",
    "DATA.NUM_FRAMES": "3",
    "DATA.TEST_CROP_SIZE": "32",
    "DATA.TEST_SHORT_SIZE": "36",
    "DATA_LOADER.NUM_WORKERS": "0",
    "TRAIN.ENABLE": "False",
    "TEST.BATCH_SIZE": "4",
    "TEST.ALLOW_RANDOM_WEIGHTS": "True",
    "TEST.NUM_ENSEMBLE_VIEWS": "2",
    "TEST.NUM_SPATIAL_CROPS": "3",
    "TEST.HALF_CLASS_DRAWS": "3",
    "TEST.SAVE_RESULTS_PATH": "scores.npz",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("anet")
    paths = [write_video(folder / f"v_{i}.mp4", 20 + 7 * i) for i in range(len(LABELS))]
    lines = [f"{path} {label}\n" for path, label in zip(paths, LABELS)]
    (folder / "val.csv").write_text("".join(lines))
    return folder


@pytest.fixture
def words(data, tmp_path):
    pairs = {**TINY, "DATA.PATH_TO_DATA_DIR": str(data), "OUTPUT_DIR": str(tmp_path / "run")}
    return [word for pair in pairs.items() for word in pair]


def encoded_views(cfg):
    """Return the model and the features V x M x T x D of the data set's own samples."""
    torch.manual_seed(cfg.RNG_SEED)
    model = build_model(cfg).eval()
    dataset = build_dataset(cfg.TEST.DATASET, cfg, "test")
    frames = torch.stack([dataset[i][0][0] for i in range(len(dataset))])
    with torch.no_grad():
        features = model.encoder(model.clip, frames).video_BTD
    return model, features.unflatten(0, (len(LABELS), -1))


@pytest.fixture
def start(words, tmp_path):
    """Return the options for weights from Kinetics-400, as the published figures have them."""
    cfg, path = load_cfg(RECIPE, words), tmp_path / "kinetics400.pyth"
    torch.manual_seed(cfg.RNG_SEED)
    torch.save({"model_state": build_model(cfg).state_dict()}, path)
    return ["TRAIN.CHECKPOINT_FILE_PATH", str(path)]


def test_activitynet_top1_and_map_in_one_run(words, start, tmp_path, capsys):
    assert main(["--cfg", RECIPE, "--opts", *words, *start]) == 0
    result = json.loads((tmp_path / "run" / "results.json").read_text())
    scores, labels = read_scores(tmp_path / "run" / "scores.npz")
    model, video_VMTD = encoded_views(load_cfg(RECIPE, words))
    assert video_VMTD.shape[1] == 6
    mean_VD = video_VMTD.mean(dim=(1, 2))
    rows_KD = model.head.rows(model.clip)
    cosines = torch.nn.functional.cosine_similarity(mean_VD[:, None], rows_KD[None], dim=-1)
    torch.testing.assert_close(scores, (100 * cosines).softmax(dim=1), atol=1e-5, rtol=1e-3)
    assert labels.tolist() == LABELS
    assert (result["views"], result["ensemble"]) == ("3x3x2", "sum of feature")
    assert result["top1"] == 100 * (scores.argmax(1) == labels).float().mean().item()

    probabilities, precisions = (100 * cosines).softmax(1).numpy(), []
    for label in sorted(set(LABELS)):
        order = np.argsort(-probabilities[:, label])
        ranks = [r for r, video in enumerate(order) if LABELS[video] == label]
        precisions.append(np.mean([(n + 1) / (r + 1) for n, r in enumerate(ranks)]))
    assert result["map"] == pytest.approx(100 * np.mean(precisions), abs=1e-3)

    half = result["half_class"]
    assert (half["draws"], half["num_classes"]) == (3, 100)
    for run in half["runs"]:
        drawn = np.random.RandomState(run["seed"]).permutation(200)[:100]
        videos = [v for v, label in enumerate(LABELS) if label in drawn]
        present = sorted({LABELS[v] for v in videos})
        hits = [max(present, key=lambda c, v=v: float(cosines[v, c])) == LABELS[v] for v in videos]
        assert run["num_videos"] == len(videos)
        expected = pytest.approx(100 * np.mean(hits)) if videos else None
        assert run["top1"] == expected
    capsys.readouterr()
    assert summarize.main([str(tmp_path / "run")]) == 0
    table = capsys.readouterr().out
    for word in ("top-1", "mAP", "half-class top-1", "published (Text4Vis README, double softmax)"):
        assert word in table


def test_single_view_is_the_plain_model(words, tmp_path):
    more = ["TEST.NUM_ENSEMBLE_VIEWS", "1", "TEST.NUM_SPATIAL_CROPS", "1"]
    for space in ("feature", "prob"):
        out = ["OUTPUT_DIR", str(tmp_path / space), "TEST.ENSEMBLE_SPACE", space]
        assert main(["--cfg", RECIPE, "--opts", *words, *more, *out]) == 0
    one, two = (
        json.loads((tmp_path / space / "results.json").read_text()) for space in ("feature", "prob")
    )
    for key in ("top1", "top5", "half_class", "views"):
        assert one[key] == two[key]
    assert one["map"] == pytest.approx(two["map"], abs=1e-3)


@pytest.mark.parametrize(
    ("head", "opts"),
    [("TemplateEnsembleHead", ["TEXT.TEMPLATES", "openvclip_28"]), ("CategoryHead", [])],
)
def test_other_heads_score_the_frames_of_all_views(words, tmp_path, data, head, opts):
    (data / "few.txt").write_text("".join(f"class {i}\n" for i in range(151)))  # fewer texts
    more = ["MODEL.HEAD_NAME", head, "TEXT.CLASSES", str(data / "few.txt"), *opts]
    assert main(["--cfg", RECIPE, "--opts", *words, *more, "MODEL.ENCODER", "FrameWise"]) == 0
    scores, _ = read_scores(tmp_path / "run" / "scores.npz")
    cfg = load_cfg(RECIPE, [*words, *more, "MODEL.ENCODER", "FrameWise"])
    model, video_VMTD = encoded_views(cfg)
    with torch.no_grad():
        expected = model.score(Encoded(video_VMTD.flatten(1, 2), {})).softmax(dim=1)
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-3)
    assert model.averages_frames == (head == "CategoryHead")
