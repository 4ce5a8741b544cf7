"""The demo in a reduced form: one video of each class, four-frame clips, three short epochs."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from ost.cli import call
from ost.demo import show_table
from slowfast.datasets.demo_actions import Sizes
from slowfast.errors import UsageError
from slowfast.studies import demo as demo_module
from slowfast.studies.demo import (
    METHODS,
    Demo,
    DemoResult,
    SeedResult,
    run_demo,
    table,
)
from slowfast.studies.records import epoch_lines

ROOT = Path(__file__).resolve().parents[2]
OPTS = (
    *("SOLVER.MAX_EPOCH", "3", "DATA.NUM_FRAMES", "4", "DATA_LOADER.NUM_WORKERS", "0"),
    *("TRAIN.BATCH_SIZE", "16"),
)
SIZES = Sizes(1, 1, 1)

main = partial(call, "demo")


def reduced(folder: Path, name: str = "run", **changes) -> Demo:
    return Demo(folder / name, folder / "data", sizes=SIZES, **{"opts": OPTS, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def unbroken(folder):
    return run_demo(reduced(folder))


def test_it_measures_every_method_on_both_parts(unbroken, folder) -> None:
    (seed,) = unbroken.seeds
    assert seed.seed == 1
    assert {part: set(row) for part, row in seed.top1.items()} == {
        "unseen": set(METHODS),
        "seen": set(METHODS),
    }
    assert all(0 <= value <= 100 for row in seed.top1.values() for value in row.values())
    assert unbroken.chance == {"unseen": 6.25, "seen": 1.5625}
    for part, listed in (("unseen", 16), ("seen", 64)):
        for method in METHODS:
            path = folder / "run" / "seed_1" / f"test_{part}_{method}" / "results.json"
            found = json.loads(path.read_text())
            assert (found["num_videos_listed"], found["num_videos_scored"]) == (listed, listed)
            assert found["top1"] == pytest.approx(seed.top1[part][method])


def test_the_same_weights_are_tested_but_for_the_baseline(unbroken, folder) -> None:
    tested = {
        method: json.loads(
            (folder / "run" / "seed_1" / f"test_unseen_{method}" / "results.json").read_text()
        )["weights"]
        for method in METHODS
    }
    assert tested["names"] == tested["pooled"] == tested["ost"] != tested["names_own"]
    assert "seed_1/ost/checkpoints/checkpoint_epoch_00003" in tested["ost"]


def test_it_learns(unbroken, folder) -> None:
    stats = (folder / "run" / "seed_1" / "ost" / "json_stats.log").read_text().splitlines()
    losses = [
        record["loss"]
        for record in (json.loads(line.partition(": ")[2]) for line in stats)
        if record["_type"] == "train_epoch"
    ]
    assert len(losses) == 3
    assert unbroken.seeds[0].loss["ost"] == losses[-1] < losses[0]


def test_it_draws_a_picture(unbroken) -> None:
    if unbroken.picture is None:
        pytest.skip("after so little training no video was recognised")
    assert unbroken.picture.read_bytes().startswith(b"\x89PNG")


def test_finished_run_is_shown_again_without_training(unbroken, folder, monkeypatch) -> None:
    monkeypatch.setattr(demo_module, "run", lambda cfg: pytest.fail("it trained again"))
    monkeypatch.setattr(demo_module, "_draw", lambda *args: None)
    said: list[str] = []
    again = run_demo(reduced(folder, say=said.append))
    assert again.seeds == unbroken.seeds
    assert any("seed 1 is finished" in line for line in said)


def test_other_settings_are_refused_and_fresh_replaces(unbroken, folder, monkeypatch) -> None:
    other = ("SOLVER.MAX_EPOCH", "4")
    with pytest.raises(UsageError, match=r"demo\.json was made with .*--fresh"):
        run_demo(reduced(folder, opts=other))
    kept = folder / "run" / "seed_7" / "demo.json"
    kept.parent.mkdir()
    kept.write_text("old")
    monkeypatch.setattr(demo_module, "_run_seed", lambda demo, seed: unbroken.seeds[0])
    monkeypatch.setattr(demo_module, "_draw", lambda *args: None)
    run_demo(reduced(folder, seeds=(7,), fresh=True))
    assert json.loads(kept.read_text())["settings"]["sizes"] == SIZES._asdict()


DRIVER = """
import sys
from pathlib import Path
from slowfast.datasets.demo_actions import Sizes
from slowfast.studies.demo import Demo, run_demo
output, data, *opts = sys.argv[1:]
run_demo(Demo(Path(output), Path(data), sizes=Sizes(1, 1, 1), opts=tuple(opts)))
"""


def test_killed_run_continues_to_the_same_figures(unbroken, folder) -> None:
    output = folder / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(output), str(folder / "data"), *OPTS],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    first = output / "seed_1" / "ost" / "checkpoints" / "checkpoint_epoch_00001.pyth"
    deadline = time.monotonic() + 100
    while not first.exists():
        assert process.poll() is None, "it ended before its first checkpoint"
        assert time.monotonic() < deadline, "it is stuck"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (output / "seed_1" / "category").exists()  # it was killed in the first training
    said: list[str] = []
    result = run_demo(reduced(folder, "killed", say=said.append))
    assert any("continuing" in line for line in said)
    assert result.seeds == unbroken.seeds


# ---- the parts ----


def results(*seeds: int) -> DemoResult:
    made = [
        SeedResult(
            seed,
            {
                "unseen": dict.fromkeys(METHODS, 10.0 * seed),
                "seen": dict.fromkeys(METHODS, 5.0),
            },
            {"ost": 1.5, "category": 2.5},
        )
        for seed in seeds
    ]
    return DemoResult(made, {"unseen": 6.25, "seen": 1.5625}, Path("runs/picture.png"))


def test_table_of_one_seed() -> None:
    rows = dict(table(results(3)))
    assert list(rows) == ["chance", *(method.title for method in METHODS.values())]
    assert rows["OST"] == {"unseen": "30.0", "seen": "5.0"}


def test_table_of_several_seeds_has_the_mean_and_each_seed() -> None:
    assert dict(table(results(1, 2, 6)))["OST"]["unseen"] == "30.0  (10.0, 20.0, 60.0)"


def test_printed_table(capsys) -> None:
    show_table(results(1), 61.0)
    words = capsys.readouterr().out
    for expected in (
        "16 unseen classes",
        "64 seen classes",
        "category names, same weights",
        "loss of the last epoch: ost 1.5, category 2.5",
        "runs/picture.png",
        "took 61 s",
    ):
        assert expected in words


def test_the_epochs_of_a_log_are_those_of_the_training(tmp_path) -> None:
    records = [("train_epoch", 3.0), ("train_iter", 9.0), ("train_epoch", 2.0), ("val_epoch", 8.0)]
    lines = [f"json_stats: {json.dumps({'_type': kind, 'loss': loss})}" for kind, loss in records]
    (tmp_path / "json_stats.log").write_text("\n".join(lines))
    assert [line["loss"] for line in epoch_lines(tmp_path / "json_stats.log")] == [3.0, 2.0]


def test_command_line_maps_mistakes_to_exit_codes(tmp_path, capsys) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "mine.txt").touch()
    where = ["--output", str(tmp_path / "out"), "--data", str(data)]
    assert main(where) == 3
    assert "error: " in capsys.readouterr().err
    with pytest.raises(SystemExit) as exit_info:
        main(["--seeds", "0"])
    assert exit_info.value.code == 2
