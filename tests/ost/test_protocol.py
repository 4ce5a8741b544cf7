"""Running the steps of a protocol: in turn, up to the first failure, and on from there."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from ost.cli import call
from ost.protocol import (
    call_process,
    forget,
    is_done,
    mark,
    parse_request,
    run_steps,
    summary_words,
)
from slowfast.errors import UsageError
from slowfast.studies.protocol import Request, plan

ROOT = Path(__file__).resolve().parents[2]

main = partial(call, "protocol")


class Calls:
    """Stands for running commands: notes them, and fails where it is told to."""

    def __init__(self) -> None:
        self.outputs: list[str] = []
        self.words: list[list[str]] = []
        self.fail_at, self.code = "", 0

    def __call__(self, words) -> int:
        self.words.append(list(words))
        if "OUTPUT_DIR" not in words:
            self.outputs.append("table")
            return 0
        output = words[words.index("OUTPUT_DIR") + 1]
        self.outputs.append("/".join(Path(output).parts[-2:]))
        return self.code if self.fail_at and output.endswith(self.fail_at) else 0


@pytest.fixture
def calls() -> Calls:
    return Calls()


def steps_of(folder, *overrides, seeds=(1, 2)):
    return plan(
        Request(
            "base_to_novel",
            "OST",
            "ucf101",
            Path("/data"),
            seeds=seeds,
            overrides=overrides,
            output=folder,
        )
    )


ALL = ["16shot_seed1/base", "16shot_seed1/novel", "16shot_seed2/base", "16shot_seed2/novel"]


def test_steps_run_in_turn_and_end_with_the_table(tmp_path, calls, capsys) -> None:
    steps = steps_of(tmp_path)
    assert run_steps(steps, call=calls) == 0
    assert calls.outputs == [*ALL, "table"]
    assert calls.words[0][0] == sys.executable
    assert calls.words[0][1:5] == ["-m", "ost", "run", "--cfg"]
    assert calls.words[-1] == [sys.executable, *summary_words(steps)]
    said = capsys.readouterr().out
    assert "step 1 of 4: train on base classes of ucf101 (list 1), test them" in said
    assert "python" in said


def test_failure_stops_with_its_exit_code_and_the_same_call_goes_on(tmp_path, calls, capsys):
    calls.fail_at, calls.code = "seed2/base", 3
    assert run_steps(steps_of(tmp_path), call=calls) == 3
    assert calls.outputs == ALL[:3]
    error = capsys.readouterr().err
    assert "step 3 of 4" in error
    assert "exit code 3" in error
    again = Calls()
    assert run_steps(steps_of(tmp_path), call=again) == 0
    assert again.outputs == [*ALL[2:], "table"]
    assert "step 1 of 4: train on base classes of ucf101 (list 1), test them: done before" in (
        capsys.readouterr().out
    )


def test_what_depends_on_a_repeated_training_is_repeated(tmp_path, calls) -> None:
    steps = steps_of(tmp_path)
    run_steps(steps, call=calls)
    Path(steps[0].output, "step.json").unlink()
    again = Calls()
    run_steps(steps, call=again)
    assert again.outputs == [*ALL[:2], "table"]


def test_results_of_other_settings_are_refused(tmp_path, calls) -> None:
    run_steps(steps_of(tmp_path), call=calls)
    assert is_done(steps_of(tmp_path, "NUM_GPUS", "8")[0])
    with pytest.raises(
        UsageError, match=r"seed1/base/step.json was made with other.*1e-3.*--fresh"
    ):
        run_steps(steps_of(tmp_path, "SOLVER.BASE_LR", "1e-3"), call=calls)


def test_fresh_deletes_what_it_made_and_nothing_else(tmp_path, calls) -> None:
    steps = steps_of(tmp_path)
    run_steps(steps[:2], call=calls)
    foreign = Path(steps[2].output, "kept.txt")
    foreign.parent.mkdir(parents=True)
    foreign.touch()
    forget(steps)
    assert not Path(steps[0].output).exists()
    assert foreign.exists()


def test_only_the_leader_writes_and_prints(tmp_path, calls, capsys) -> None:
    assert run_steps(steps_of(tmp_path), call=calls, leader=False) == 0
    assert calls.outputs == ALL
    assert capsys.readouterr().out == ""
    assert not any(tmp_path.rglob("step.json"))


def test_launcher_stands_in_front_of_steps_but_not_of_the_table(tmp_path, calls) -> None:
    run_steps(steps_of(tmp_path), call=calls, launch=["torchrun", "--nproc_per_node", "8"])
    assert calls.words[0][:3] == ["torchrun", "--nproc_per_node", "8"]
    assert calls.words[-1][0] == sys.executable


def test_files_are_read_before_anything_is_run_or_deleted(tmp_path, capsys) -> None:
    words = ["fully_supervised", "OST", "ssv2", "--data-root", "/data", "--output", str(tmp_path)]
    (step,) = plan(parse_request(words)[1])
    mark(step, done=True)
    assert main([*words, "--fresh"]) == 3
    line = capsys.readouterr().err
    assert line.startswith("error: step 'train and test on ssv2' would fail: /data/ssv2/lists/")
    assert line.count("\n") == 1
    assert is_done(step)


# ---- the command line ----


def test_words_behind_dashes_are_overrides() -> None:
    args, asked = parse_request(
        ["few_shot", "OST", "hmdb51", "4", "1", "2", "--from", "w.pyth", "--data-root", "/d"]
        + ["--dry-run", "--", "NUM_GPUS", "8", "TASK", "--x"]
    )
    assert args.dry_run
    assert (asked.shots, asked.seeds, asked.start) == ((4,), (1, 2), "w.pyth")
    assert asked.overrides == ("NUM_GPUS", "8", "TASK", "--x")
    assert parse_request(["few_shot", "OST", "x", "2,4", "--data-root", "d"])[1].shots == (2, 4)


def test_dry_run_prints_commands_and_runs_nothing(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("DATA_ROOT", "/data sets")
    monkeypatch.chdir(ROOT)
    assert main(["few_shot", "OST", "hmdb51", "4", "--dry-run", "--output", str(tmp_path)]) == 0
    train, table = capsys.readouterr().out.splitlines()
    assert train == (
        f"{sys.executable} -m ost run --cfg configs/OST/few_shot/hmdb51_4shot.yaml --opts "
        "DATA.PATH_TO_DATA_DIR '/data sets/hmdb51/lists' "
        "DATA.PATH_PREFIX '/data sets/hmdb51/videos' DATA.TRAIN_FILE train_4shot_seed1.csv "
        "DATA.VAL_FILE val.csv DATA.TEST_FILE val.csv TEST.SPLIT 4shot_seed1 "
        f"OUTPUT_DIR {tmp_path}/ost/few_shot/hmdb51/4shot_seed1"
    )
    assert table == f"{sys.executable} -m ost summarize {tmp_path}/ost/few_shot/hmdb51/4shot_seed1"
    assert not any(tmp_path.iterdir())


def test_what_is_shown_runs_from_any_folder(tmp_path, capsys, monkeypatch) -> None:
    """Folders, and files that are there, are named by their whole paths."""
    monkeypatch.chdir(tmp_path)
    for name in ("k400.pyth", "clip.pt"):
        (tmp_path / name).touch()
    words = ["--from", "k400.pyth", "--data-root", "data", "--output", "out"]
    assert main(["few_shot", "OST", "ssv2", "2", *words, "--dry-run", "--", "CLIP.PRETRAINED",
                 "clip.pt", "SOLVER.BASE_LR", "4.5e-6"]) == 0  # fmt: skip
    step, table = map(shlex.split, capsys.readouterr().out.splitlines())
    options = dict(zip(step[7::2], step[8::2]))
    assert options["DATA.PATH_PREFIX"] == f"{tmp_path}/data/ssv2/videos"
    assert options["TRAIN.CHECKPOINT_FILE_PATH"] == f"{tmp_path}/k400.pyth"
    assert (options["CLIP.PRETRAINED"], options["SOLVER.BASE_LR"]) == (
        f"{tmp_path}/clip.pt",
        "4.5e-6",
    )
    assert options["OUTPUT_DIR"] == table[-1]
    assert table[-1].startswith(f"{tmp_path}/out/ost/few_shot/ssv2_from_k400/")


def in_short(line: str) -> str:
    """Return a step's command as: leaf, training list, test list, subset, weights -> folder."""
    leaf, _, *words = shlex.split(line.removeprefix(f"{sys.executable} -m ost run --cfg "))
    found = dict(zip(words[::2], words[1::2]))
    keys = ("DATA.TRAIN_FILE", "DATA.TEST_FILE", "TEXT.SUBSET", "TEST.CHECKPOINT_FILE_PATH")
    facts = [Path(found.get(key) or "-").name for key in keys]
    return " ".join(
        [leaf.removeprefix("configs/"), *facts, "->", found["OUTPUT_DIR"].removeprefix(f"{ROOT}/")]
    )


def test_dry_runs_of_all_methods_are_as_written_down(capsys, monkeypatch) -> None:
    """The plans in the file: ``$ words`` of a call and the steps that it makes, in short."""
    monkeypatch.chdir(ROOT)
    written = (ROOT / "tests/assets/protocol_plans.txt").read_text().splitlines()
    found: list[str] = []
    for words in (line[2:].split() for line in written if line.startswith("$ ")):
        assert main([*words, "--dry-run", "--data-root", "/data"]) == 0
        *steps, _ = capsys.readouterr().out.splitlines()
        found += [f"$ {' '.join(words)}", *map(in_short, steps)]
    assert found == written


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["few_shot", "OST", "hmdb51"], "DATA_ROOT is not set"),
        (["few_shot", "OST", "hmdb51", "many", "--data-root", "d"], "SHOTS 'many'"),
        (["few_shot", "Ost", "hmdb51", "--data-root", "d"], "method 'Ost'"),
    ],
)
def test_mistakes_exit_with_2(words, message, capsys, monkeypatch) -> None:
    monkeypatch.setenv("DATA_ROOT", "")
    assert main([*words, "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


def test_planning_needs_no_torch() -> None:
    code = "import sys, ost.protocol; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_exit_code_and_signal_of_a_command() -> None:
    assert call_process([sys.executable, "-c", "raise SystemExit(3)"]) == 3
    assert call_process([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]) == 137


WAITS = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""
PARENT = "import sys; from ost.protocol import call_process as c; sys.exit(c(sys.argv[1:]))"


def test_sigterm_is_handed_on_and_the_answer_back(tmp_path) -> None:
    started = tmp_path / "started"
    words = [sys.executable, "-c", PARENT, sys.executable, "-c", WAITS, str(started)]
    process = subprocess.Popen(words, cwd=ROOT)
    while not started.exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 130


def test_state_is_readable(tmp_path, calls) -> None:
    (base, *_) = steps = steps_of(tmp_path, seeds=(1,))
    run_steps(steps, call=calls)
    found = json.loads(Path(base.output, "step.json").read_text())
    assert found["done"] is True
    assert "base_train_16shot_seed1.csv" in found["settings"]
    assert os.fspath(tmp_path) in " ".join(found["settings"])
