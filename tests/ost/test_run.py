import subprocess
import sys
import types
from functools import partial
from pathlib import Path

import pytest

from ost.cli import call
from slowfast.errors import DataError, Interrupted, UsageError

ROOT = Path(__file__).resolve().parents[2]
main = partial(call, "run")


@pytest.fixture
def yaml(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("TASK: a\n_BASE_: own_data.yaml\n")
    (tmp_path / "own_data.yaml").write_text("{TRAIN: {DATASET: mine}, TEST: {DATASET: mine}}\n")
    return str(path)


@pytest.fixture
def runs(monkeypatch):
    """Stub the engine; returns what it was called with, or raises what ``error`` holds."""
    calls = types.SimpleNamespace(made=[], error=None)

    def run(cfg, init_method=None):
        calls.made.append((cfg, init_method))
        if calls.error is not None:
            raise calls.error

    module = types.ModuleType("slowfast.engine.run")
    module.run = run
    monkeypatch.setitem(sys.modules, "slowfast.engine.run", module)
    for name in ("RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    return calls


def test_each_file_is_a_job_of_its_own(yaml, tmp_path, runs):
    other = tmp_path / "b.yaml"
    other.write_text("RNG_SEED: 5\n_BASE_: own_data.yaml\n")
    assert main(["--cfg", yaml, str(other), "--opts", "NUM_GPUS", "0"]) == 0
    seen = [(cfg.TASK, cfg.RNG_SEED, cfg.NUM_GPUS, method) for cfg, method in runs.made]
    assert seen == [("a", 1, 0, None), ("", 5, 0, None)]


def test_flags_reach_the_config(yaml, runs):
    words = ["--cfg", yaml, "--num_shards", "3", "--shard_id", "2", "--init_method", "tcp://h:1"]
    assert main(words) == 0
    cfg, method = runs.made[0]
    assert (cfg.NUM_SHARDS, cfg.SHARD_ID, method) == (3, 2, "tcp://h:1")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no such arch"), 2),
        (DataError("no such list"), 3),
        (Interrupted("saved"), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(yaml, runs, capsys, error, code):
    runs.error = error
    assert main(["--cfg", yaml]) == code
    out = capsys.readouterr()
    assert out.err.startswith("error: ")
    assert out.err.count("\n") == 1
    assert out.out == ""


def test_a_bug_keeps_its_traceback(yaml, runs):
    runs.error = ZeroDivisionError("bug")
    with pytest.raises(ZeroDivisionError):
        main(["--cfg", yaml])


def test_a_mistake_in_the_last_config_shows_before_the_first_runs(yaml, tmp_path, runs, capsys):
    bad = tmp_path / "bad.yaml"
    bad.write_text("SOLVER: {BASELR: 1}\n")
    assert main(["--cfg", yaml, str(bad)]) == 2
    assert runs.made == []
    assert "nearest known: SOLVER.BASE_LR" in capsys.readouterr().err


def test_without_arguments_the_help_is_shown(capsys):
    assert main([]) == 2
    assert "--cfg" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--opts", "TASK", "a"], ["--cfg"], ["--shard_id", "x"]])
def test_wrong_usage_ends_with_2(words):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2


def test_help_and_a_refusal_import_no_torch(tmp_path):
    code = (
        "import runpy, sys\n"
        "sys.argv = ['run_net.py', *sys.argv[1:]]\n"
        "try: runpy.run_path('tools/run_net.py', run_name='__main__')\n"
        "except SystemExit as end: print('code', end.code, 'torch' in sys.modules)\n"
    )

    def run(*words):
        command = [sys.executable, "-c", code, *words]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
        )

    assert run("--help").stdout.splitlines()[-1] == "code 0 False"
    refused = run("--cfg", "gone.yaml")
    assert refused.stdout.splitlines()[-1] == "code 2 False"
    assert refused.stderr.startswith(f"error: no config gone.yaml in {ROOT} or ")
    assert refused.stderr.count("\n") == 1

    other = ("TRAIN.ENABLE", "False", "TEST.DATASET", "own", "TEXT.CLASSES", "gone.csv")
    for words, ends, said in [
        (["SOLVER.BASELR", "1"], 2, "nearest known: SOLVER.BASE_LR"),
        (["TRAIN.BATCH_SIZE", "many"], 2, "TRAIN.BATCH_SIZE"),
        (["MIXUP.ENABLE", "True"], 2, "MIXUP.ENABLE is True with MODEL.LOSS_FUNC ost_contrastive"),
        (["DATA.TRAIN_FILE", "gone.csv"], 3, "gone.csv: no such list of videos"),
        (other, 2, "gone.csv: no such file of class names"),
    ]:
        found = run("--cfg", "OST/fully_supervised/kinetics400", "--opts", *words)
        assert found.stdout.splitlines()[-1] == f"code {ends} False"
        assert said in found.stderr
        assert found.stderr.count("\n") == 1
