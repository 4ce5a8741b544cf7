"""Every benchmark runs on tiny sizes, prints its table and writes its file; speed is not judged."""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from ost.benchmarks import core
from ost.benchmarks.clips import make_clips
from ost.benchmarks.core import Report, Settings, peak_memory, race
from ost.benchmarks.decode import difference, read_ours, read_window
from ost.benchmarks.solver import dense_loop, equal_tolerance, pot_batch
from ost.benchmarks.texts import descriptor_prompts, vocabulary
from ost.cli import call
from slowfast.ops.sinkhorn import sinkhorn
from tests.video_files import write_video

TINY = str(Path(__file__).resolve().parent.parent / "assets" / "tiny_clip.json")
CLIPS = ["--seconds", "0.5", "--size", "64", "48", "--gops", "6"]
MODEL = ["--arch", TINY, "--batch", "2", "--frames", "2", "--classes", "5", "--descriptors", "2"]
CASES = {
    "decode": [*CLIPS, "--frames", "2", "--span", "8"],
    "loader": [*CLIPS, "--frames", "2", "--rate", "2", "--crop-size", "32", "--samples", "2"],
    "text": ["--arch", TINY, "--texts", "3"],
    "solver": ["--videos", "2", "--classes", "3", "--frames", "4", "--descriptors", "2"],
    "inference": [*MODEL, "--published-classes", "2"],
    "train-step": MODEL,
}

main = partial(call, "benchmark")


def run(tmp_path, capsys, *words):
    file = tmp_path / "out.json"
    code = main([*words, "--json", str(file)] if "--opts" not in words else list(words))
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out, json.loads(file.read_text()) if file.exists() else {}


@pytest.mark.parametrize("name", CASES)
def test_each_prints_a_table_and_writes_its_file(name, tmp_path, capsys):
    words = [name, *CASES[name], "--repeats", "1", "--warmup", "0", "--device", "cpu"]
    out, found = run(tmp_path, capsys, *words, "--threads", "1")
    assert name in out
    assert "contender" in out
    assert found["benchmark"] == name
    assert found["machine"]["versions"]["torch"]
    assert "host" not in found["machine"]["machine"]
    assert len(found["rows"]) >= 2
    for row in found["rows"]:
        assert row["seconds"] > 0
        assert row["contender"] in out or len(row["contender"]) > 20
    assert any(row["ratio"] for row in found["rows"])


def test_start_measures_fresh_processes(capsys, tmp_path):
    _, found = run(tmp_path, capsys, "start", "--repeats", "1", "--warmup", "0")
    assert [row["contender"] for row in found["rows"]][0] == "ost run --help"


@pytest.fixture
def config(tmp_path):
    for i in range(4):
        write_video(tmp_path / f"{i}.mp4", 20)
    (tmp_path / "train.csv").write_text("".join(f"{tmp_path}/{i}.mp4 {i % 2}\n" for i in range(4)))
    text = f"""
        DATA: {{PATH_TO_DATA_DIR: "{tmp_path}", NUM_FRAMES: 2, SAMPLING_RATE: 2,
               TRAIN_CROP_SIZE: 32, TRAIN_JITTER_SCALES: [32, 40], TEST_CROP_SIZE: 32}}
        DATA_LOADER: {{NUM_WORKERS: 0}}
        TRAIN: {{BATCH_SIZE: 2}}
        CLIP: {{ARCH: "{TINY}"}}
        BENCHMARK: {{NUM_EPOCHS: 2, LOG_PERIOD: 1}}
        NUM_GPUS: 0
    """
    file = tmp_path / "c.yaml"
    file.write_text(text)
    return str(file)


def test_a_config_first_means_the_loader_as_in_pyslowfast(config, tmp_path, capsys):
    out, _ = run(
        tmp_path, capsys, "--cfg", config, "--samples", "1", "--opts", "BENCHMARK.NUM_EPOCHS", "1"
    )
    assert "epoch 0, batch 2 of 2: 2 clips in" in out
    assert "epoch 1" not in out
    for stage in ("open", "decode", "transform", "collate"):
        assert stage in out


def test_a_config_gives_arch_and_frames(config, tmp_path, capsys):
    words = ("train-step", "--cfg", config, "--batch", "2", "--classes", "4", "--repeats", "1")
    _, found = run(tmp_path, capsys, *words)
    assert found["settings"]["arch"] == TINY
    assert found["settings"]["frames"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["solver", "--repeats", "0"], "--repeats"),
        (["loader", "--opts", "RNG_SEED", "1"], "name one with --cfg"),
        (["train-step", "--opts", "RNG_SEED", "1"], "name one with --cfg"),
        (["loader", "--cfg", "absent.yaml"], "absent.yaml"),
        (["text", "--arch", "ViT-Z-1"], "ViT-Z-1"),
    ],
)
def test_mistakes_are_one_line(words, message, capsys):
    assert main(words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_no_cuda_is_said(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["start", "--device", "cuda"]) == 2
    assert "no usable CUDA device" in capsys.readouterr().err


def test_a_library_that_is_absent_is_named_in_the_notes(monkeypatch):
    monkeypatch.setitem(sys.modules, "decord", None)
    report = Report("decode", {})
    assert not core.importable(report, "decord")
    assert report.notes[0].startswith("decord is not measured")


def test_ratios_compare_within_rounds():
    report = Report("x", {})
    report.add("a", {"ours": [1.0, 10.0, 1.0], "other": [4.0, 40.0, 6.0]}, (2, "clips"))
    report.add("b", {"ours": [1.0], "other": [2.0]})
    report.summarize("other", goal=3)
    report.summarize("nobody", goal=3)
    assert report.notes == ["other: 3.00x in the mean, least 2.00x (goal 3x)"]
    assert [row.ratio for row in report.rows] == [None, 4.0, None, 2.0]
    assert [row.rate for row in report.rows] == ["2 clips/s", "0.3333 clips/s", "", ""]


def test_a_race_calls_each_contender_once_a_round():
    order = []
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    rounds = race(calls, Settings(repeats=2, warmup=1))
    assert order == ["a", "b"] * 3
    assert [len(seconds) for seconds in rounds.values()] == [2, 2]


def test_peak_memory_sees_what_a_call_holds():
    assert peak_memory(lambda: np.ones(16 << 20, np.uint8).sum()) > 8


def test_the_baselines_give_the_right_answers(tmp_path):
    path = str(make_clips(tmp_path, [5], seconds=1, size=(64, 48))["gop 5"])
    for indices in (np.array([0, 3, 9]), np.array([11, 20, 29])):
        frames = read_ours(path, indices)
        assert difference(read_window(path, indices), frames) == "same frames"
    assert difference(frames[:1], frames).startswith("shape")
    assert difference(255 - frames, frames) == "3 frames differ by > 2"
    cost = torch.rand(3, 5, 2)
    plan, count = dense_loop(cost)
    torch.testing.assert_close(plan.sum(1), torch.full((3, 2), 0.5))
    assert 1 < count <= 100
    exact = sinkhorn(cost, tolerance=0, max_iter=500).plan
    for method in ("sinkhorn", "log_sinkhorn"):
        tolerance = equal_tolerance(cost, exact, method, 1e-4)
        assert (pot_batch(cost, method, tolerance) - exact).abs().mean() <= 1e-4


def test_made_up_texts_are_as_many_and_as_long_as_real_ones():
    prompts = descriptor_prompts(vocabulary(1200), 4, "temporal")
    assert len({name for own in prompts for name in own}) > 4700
    assert all(prompt.startswith("A video of ") for own in prompts for prompt in own)


@pytest.mark.gpu
def test_on_the_device(tmp_path, capsys):
    for name in ("text", "solver", "inference", "train-step"):
        words = [name, *CASES[name], "--repeats", "1", "--device", "cuda"]
        amp = [] if name == "solver" else ["--bf16"]
        assert run(tmp_path, capsys, *words, *amp)[1]["settings"]["device"] == "cuda"
