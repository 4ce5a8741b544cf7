from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pytest
import torch

from slowfast.engine.setup import with_views
from slowfast.engine.test import chunks, test
from slowfast.engine.train import train
from slowfast.errors import DataError, UsageError
from slowfast.evaluation.metrics import one_label_map
from slowfast.evaluation.results import read_scores, to_plain
from slowfast.structures import Encoded, ModelOutput, VideoBatch
from tests.distributed import run_two_processes
from tests.engine.tiny import SIZES, TinyClips, TinyNet, last_state, tiny_cfg

RANDOM = ("TEST.ALLOW_RANDOM_WEIGHTS", True)


def predictions(folder):
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]


def by_hand(cfg, views):
    """Return the mean of softmax over views, video by video, from the data set's own samples."""
    torch.manual_seed(cfg.RNG_SEED)
    model = TinyNet(cfg).eval()
    dataset = TinyClips(with_views(cfg, views), "test")
    frames = torch.stack([dataset[i][0][0] for i in range(len(dataset))])
    with torch.no_grad():
        return model([frames]).view(SIZES["test"], views, -1).mean(1)


@pytest.mark.parametrize("views", [1, 3])
@pytest.mark.parametrize("batch", [1, 4, 64])
def test_scores_are_means_of_probabilities_whatever_the_batch(tmp_path, views, batch):
    opts = ("TEST.NUM_ENSEMBLE_VIEWS", views, "TEST.BATCH_SIZE", batch)
    cfg = tiny_cfg(tmp_path, *RANDOM, *opts, "TEST.SAVE_RESULTS_PATH", "scores.npz")
    result = test(cfg)
    scores, labels = read_scores(tmp_path / "scores.npz")
    expected = by_hand(cfg, views)
    torch.testing.assert_close(scores, expected, atol=1e-6, rtol=1e-5)
    assert labels.tolist() == [i % 3 for i in range(5)]
    assert result["num_videos_scored"] == result["num_videos_listed"] == 5
    accuracy = 100.0 * (expected.argmax(1) == labels).float().mean().item()
    assert result["top1"] == pytest.approx(accuracy)


def test_the_files_of_a_test(tmp_path):
    opts = ("TEST.PROTOCOL", "zero-shot", "TEST.SPLIT", "split1")
    result = test(tiny_cfg(tmp_path, *RANDOM, *opts))
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["protocol"] == "zero-shot"
    assert written["split"] == "split1"
    assert (written["num_clips"], written["num_crops"]) == (2, 1)
    assert written["ensemble"] == "sum of prob"
    assert written["top1"] == result["top1"]
    assert set(written["per_class"]) == {"0", "1", "2"}
    assert [row["id"] for row in predictions(tmp_path)] == list(range(5))
    with (tmp_path / "confusion_matrix.csv").open() as file:
        rows = list(csv.reader(file))
    assert sum(int(value) for row in rows[1:] for value in row[1:]) == 5
    header, *classes = (tmp_path / "per_class.txt").read_text().splitlines()
    assert header.split() == ["%", "right/videos", "class"]
    assert len(classes) == 3
    log = (tmp_path / "stdout.log").read_text()
    assert "Finalized testing with 2 temporal clips and 1 spatial crops" in log
    assert "_p0.00_f0.00_2a" in log
    assert "scored 5 of 5 videos" in log
    assert '"split": "test_final"' in (tmp_path / "json_stats.log").read_text()


@pytest.mark.parametrize("space", ["prob", "logit"])
def test_halves_of_the_classes_and_map_beside_the_accuracies(tmp_path, space):
    more = ("TEST.HALF_CLASS_DRAWS", 4, "TEST.MAP", "softmax", "TEST.ENSEMBLE_SPACE", space)
    cfg = tiny_cfg(tmp_path, *RANDOM, *more, "TEST.SAVE_RESULTS_PATH", "scores.npz")
    result = test(cfg)
    written = json.loads((tmp_path / "results.json").read_text())
    scores, labels = read_scores(tmp_path / "scores.npz")
    plain = test(tiny_cfg(tmp_path / "plain", *RANDOM, "TEST.ENSEMBLE_SPACE", space))
    assert {key: result[key] for key in ("top1", "top5")} == {
        key: plain[key] for key in ("top1", "top5")
    }
    assert "map" not in plain
    assert "half_class" not in plain
    assert written["views"] == "8x1x2"
    assert written["map_of"] == "softmax"
    probabilities = scores if space == "prob" else scores.softmax(dim=1)
    assert written["map"] == pytest.approx(one_label_map(probabilities, labels), abs=1e-4)
    half = written["half_class"]  # of 3 classes one: nothing to confuse it with
    assert (half["draws"], half["num_classes"], len(half["runs"])) == (4, 1, 4)
    assert (half["top1"], half["top1_std"]) == (100.0, 0.0)
    log = (tmp_path / "stdout.log").read_text()
    assert f"mAP {written['map']:.2f} (of softmax)" in log
    assert "half-class: top-1 100.00 ± 0.00, top-5 100.00 ± 0.00 (mean ± population" in log
    assert "over 4 draws of 1 of 3 classes)" in log
    assert f"_2a{result['top1']:.2f} Top5 Acc" in log


def test_the_published_map_has_another_value_and_name(tmp_path):
    opts = (*RANDOM, "TEST.MAP", "double_softmax", "TEST.SAVE_RESULTS_PATH", "scores.npz")
    result = test(tiny_cfg(tmp_path, *opts))
    scores, labels = read_scores(tmp_path / "scores.npz")
    assert result["map_of"] == "double_softmax"
    assert result["map"] == pytest.approx(one_label_map(scores, labels, double_softmax=True))


def test_predictions_can_be_left_out(tmp_path):
    test(tiny_cfg(tmp_path, *RANDOM, "TEST.SAVE_PREDICTIONS", False))
    assert not (tmp_path / "predictions.jsonl").exists()


@pytest.mark.parametrize(
    ("opts", "clips"),
    [
        (("TEST.NUM_TEMPORAL_CLIPS", [1, 2]), ["1", "2"]),
        (("TEST.NUM_ENSEMBLE_VIEWS", -1), ["1", "3", "5", "7", "10"]),
    ],
)
def test_several_view_counts_in_one_job(tmp_path, opts, clips):
    cfg = tiny_cfg(tmp_path, *RANDOM, *opts)
    before = cfg.dump()
    result = test(cfg)
    assert list(result["sweep"]) == clips
    assert cfg.dump() == before
    single = test(tiny_cfg(tmp_path / "one", *RANDOM, "TEST.NUM_ENSEMBLE_VIEWS", clips[0]))
    assert result["sweep"][clips[0]]["top1"] == single["top1"]
    assert json.loads((tmp_path / "results.json").read_text())["sweep"] == result["sweep"]
    one = json.loads((tmp_path / f"views_{clips[0]}x1" / "results.json").read_text())
    assert one["top1"] == single["top1"]


def test_failed_videos_are_named_and_fail_the_test(tmp_path):
    opts = (*RANDOM, "DATA.PATH_PREFIX", "1,4")
    with pytest.raises(DataError, match="2 of 5 videos .* video1.mp4: no video stream") as caught:
        test(tiny_cfg(tmp_path, *opts))
    assert caught.value.exit_code == 3
    rows = predictions(tmp_path)
    assert [row["id"] for row in rows if "failed" in row] == [1, 4]
    result = test(tiny_cfg(tmp_path, *opts, "TEST.ALLOW_FAILED", True))
    assert result["num_videos_scored"] == 3
    assert [entry["path"] for entry in result["failed"]] == ["video1.mp4", "video4.mp4"]


@pytest.mark.parametrize("space", ["prob", "logit"])
def test_measures_of_nothing_do_not_hide_why(tmp_path, space):
    opts = ("DATA.PATH_PREFIX", "0,1,2,3,4", "TEST.MAP", "softmax", "TEST.HALF_CLASS_DRAWS", 2)
    with pytest.raises(DataError, match="5 of 5 videos could not be scored"):
        test(tiny_cfg(tmp_path, *RANDOM, *opts, "TEST.ENSEMBLE_SPACE", space))
    written = json.loads((tmp_path / "results.json").read_text())
    assert len(written["failed"]) == 5
    assert {"map", "half_class"}.isdisjoint(written)


def test_max_over_views(tmp_path):
    cfg = tiny_cfg(
        tmp_path, *RANDOM, "DATA.ENSEMBLE_METHOD", "max", "TEST.SAVE_RESULTS_PATH", "scores.pt"
    )
    test(cfg)
    torch.manual_seed(cfg.RNG_SEED)
    model, dataset = TinyNet(cfg).eval(), TinyClips(cfg, "test")
    frames = torch.stack([dataset[i][0][0] for i in range(len(dataset))])
    with torch.no_grad():
        expected = model([frames]).view(5, 2, -1).amax(1)
    torch.testing.assert_close(read_scores(tmp_path / "scores.pt")[0], expected)


def test_features_need_a_model_that_can_score_them(tmp_path):
    with pytest.raises(UsageError, match="feature needs a model with score.*TinyNet has none"):
        test(tiny_cfg(tmp_path, *RANDOM, "TEST.ENSEMBLE_SPACE", "feature"))


def test_features_are_averaged_and_then_classified(tmp_path, monkeypatch):
    def forward(self, x):
        features = x[0].mean((3, 4)).transpose(1, 2)
        return ModelOutput(self.score(Encoded(features, {})), features)

    monkeypatch.setattr(TinyNet, "forward", forward)
    score = lambda self, encoded: self.head(torch.relu(self.body(encoded.video_BTD.mean(1))))  # noqa: E731
    monkeypatch.setattr(TinyNet, "score", score, raising=False)
    opts = ("TEST.ENSEMBLE_SPACE", "feature", "TEST.SAVE_RESULTS_PATH", "scores.pt")
    cfg = tiny_cfg(tmp_path, *RANDOM, *opts)
    test(cfg)
    torch.manual_seed(cfg.RNG_SEED)
    model, dataset = TinyNet(cfg).eval(), TinyClips(cfg, "test")
    frames = torch.stack([dataset[i][0][0] for i in range(len(dataset))])
    with torch.no_grad():
        mean = frames.mean((3, 4)).transpose(1, 2).view(5, 2, 2, 3).mean(1)
        expected = model.score(Encoded(mean, {})).softmax(dim=1)
    torch.testing.assert_close(read_scores(tmp_path / "scores.pt")[0], expected)


def test_a_data_set_that_counts_videos_instead_of_clips_is_refused(tmp_path, monkeypatch):
    original = TinyClips.__init__

    def init(self, cfg, split):
        original(self, cfg, split)
        self.num_videos = 5

    monkeypatch.setattr(TinyClips, "__init__", init)
    with pytest.raises(UsageError, match="has 5 clips, which is no multiple of .* = 2"):
        test(tiny_cfg(tmp_path, *RANDOM))


def test_a_batch_is_split_into_parts_of_at_most_the_given_size():
    batch = VideoBatch([torch.arange(5.0)], torch.arange(5), torch.arange(5))
    parts = chunks(batch, 2)
    assert [part.index.tolist() for part in parts] == [[0, 1], [2, 3], [4]]
    assert [part.inputs[0].tolist() for part in parts] == [[0, 1], [2, 3], [4]]


def test_training_and_test_in_one_folder(tmp_path):
    train(tiny_cfg(tmp_path, "SOLVER.MAX_EPOCH", 1))
    start = tmp_path / "k400.pyth"
    start.write_bytes(b"not read by a test of other weights")
    result = test(tiny_cfg(tmp_path, "TRAIN.CHECKPOINT_FILE_PATH", start, "MVIT.DEPTH", 3))
    assert result["weights"].endswith("checkpoint_epoch_00001.pyth")
    digests = [hashlib.sha256(Path(p).read_bytes()).hexdigest() for p in (result["weights"], start)]
    assert [result["weights_digest"], result["start_digest"]] == [digest[:12] for digest in digests]
    assert (result["weights_format"], result["weights_epoch"]) == ("slowfast", 1)
    assert (result["device"], result["precision"]) == ("cpu", "float32")


def test_every_option_that_was_read_is_in_the_result(tmp_path):
    result = test(tiny_cfg(tmp_path, *RANDOM, "MVIT.DEPTH", 3, "TEST.NUM_ENSEMBLE_VIEWS", 3))
    read = json.loads((tmp_path / "results.json").read_text())["config"]
    assert read == to_plain(result["config"])
    assert (read["TEST.LOGIT_SCALE"], read["TRAIN.MIXED_PRECISION"]) == (0.0, False)
    assert (read["TEST.NUM_ENSEMBLE_VIEWS"], read["SOLVER.BASE_LR"]) == (3, 0.05)
    assert read["MVIT.DEPTH"] == 3, "a model of the user's may read what he set"
    others = {"MVIT.NUM_HEADS", "OST.EPSILON", "TEXT4VIS.HEAD", "SOLVER.MOMENTUM", "SOLVER.STEPS"}
    assert not others & set(read), "of parts that are not in use"
    tested = test(tiny_cfg(tmp_path, *RANDOM, "TRAIN.ENABLE", False))["config"]
    assert "SOLVER.BASE_LR" not in tested


def _scores(folder, *opts):
    result = test(tiny_cfg(folder, *RANDOM, *opts))
    more = [result.get(key) for key in ("map", "half_class")]
    return result["num_videos_scored"], result["top1"], len(result["failed"]), *more


def test_two_processes_score_every_video_once(tmp_path):
    opts = ("TEST.SAVE_RESULTS_PATH", "scores.pt", "TEST.NUM_ENSEMBLE_VIEWS", 3)
    opts += ("TEST.MAP", "softmax", "TEST.HALF_CLASS_DRAWS", 3)
    alone = _scores(tmp_path / "one", *opts)
    for scored in run_two_processes(_scores, tmp_path / "two", *opts):
        assert scored == alone
    one, two = (read_scores(tmp_path / name / "scores.pt") for name in ("one", "two"))
    torch.testing.assert_close(two[0], one[0])
    assert torch.equal(two[1], one[1])


def test_two_processes_report_each_failed_video_once(tmp_path):
    opts = ("DATA.PATH_PREFIX", "1,4", "TEST.ALLOW_FAILED", True)
    alone = _scores(tmp_path / "one", *opts)
    assert alone[0], alone[2] == (3, 2)
    assert run_two_processes(_scores, tmp_path / "two", *opts) == [alone, alone]


def test_loaded_weights_reach_the_model(tmp_path):
    train(tiny_cfg(tmp_path, "SOLVER.MAX_EPOCH", 1))
    state = last_state(tmp_path)["model_state"]
    state["head.weight"].zero_()
    state["head.bias"].copy_(torch.tensor([0.0, 9.0, 0.0]))
    state["poison"].zero_()
    torch.save({"model_state": state}, tmp_path / "constant.pth")
    test(tiny_cfg(tmp_path, "TEST.CHECKPOINT_FILE_PATH", tmp_path / "constant.pth"))
    assert {row["top"][0] for row in predictions(tmp_path)} == {"1"}
