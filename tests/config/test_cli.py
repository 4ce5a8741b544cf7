import subprocess
import sys
import types
from pathlib import Path

import pytest

from slowfast.config import cli
from slowfast.errors import DataError, Interrupted, UsageError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def yaml(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("TASK: a\n")
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


def test_flags(yaml):
    words = ["--cfg", yaml, "--num_shards", "2", "--shard_id", "1", "--init_method", "tcp://h:1"]
    args = cli.parse_args(
        [*words, "--extension", "x.py", "--extension", "y", "--opts", "TASK", "-1"]
    )
    assert args.cfg_files == [yaml]
    assert args.opts == ["TASK", "-1"]
    assert args.init_method == "tcp://h:1"
    assert args.extensions == ["x.py", "y"]
    assert cli.given_flags(args) == {"NUM_SHARDS": 2, "SHARD_ID": 1}
    assert cli.given_flags(cli.parse_args(["--cfg", yaml])) == {}


@pytest.mark.parametrize("pair", [["NUM_GPUS", "0"], ["TEST.NUM_ENSEMBLE_VIEWS", "-1"]])
def test_the_old_form_takes_pairs_behind_the_files(yaml, pair, caplog):
    args = cli.parse_args(["--cfg", yaml, yaml, *pair, "--opts", "TASK", "b"])
    assert args.cfg_files == [yaml, yaml]
    assert args.opts == [*pair, "TASK", "b"]
    assert f"behind --opts now: --cfg ... --opts {pair[0]} ..." in caplog.text


def test_a_file_that_looks_like_an_option_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "RUN").write_text("TASK: x\n")
    assert cli.parse_args(["--cfg", "RUN", "RUN"]).cfg_files == ["RUN", "RUN"]


def test_each_file_is_a_job_of_its_own(yaml, tmp_path, runs):
    other = tmp_path / "b.yaml"
    other.write_text("RNG_SEED: 5\n")
    assert cli.main(["--cfg", yaml, str(other), "--opts", "NUM_GPUS", "0"]) == 0
    seen = [(cfg.TASK, cfg.RNG_SEED, cfg.NUM_GPUS, method) for cfg, method in runs.made]
    assert seen == [("a", 1, 0, None), ("", 5, 0, None)]


def test_flags_reach_the_config(yaml, runs):
    words = ["--cfg", yaml, "--num_shards", "3", "--shard_id", "2", "--init_method", "tcp://h:1"]
    assert cli.main(words) == 0
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
    assert cli.main(["--cfg", yaml]) == code
    out = capsys.readouterr()
    assert out.err.startswith("error: ")
    assert out.err.count("\n") == 1
    assert out.out == ""


def test_a_bug_keeps_its_traceback(yaml, runs):
    runs.error = ZeroDivisionError("bug")
    with pytest.raises(ZeroDivisionError):
        cli.main(["--cfg", yaml])


def test_a_mistake_in_the_last_config_shows_before_the_first_runs(yaml, tmp_path, runs, capsys):
    bad = tmp_path / "bad.yaml"
    bad.write_text("SOLVER: {BASELR: 1}\n")
    assert cli.main(["--cfg", yaml, str(bad)]) == 2
    assert runs.made == []
    assert "nearest known: SOLVER.BASE_LR" in capsys.readouterr().err


def test_without_arguments_the_help_is_shown(capsys):
    assert cli.main([]) == 2
    assert "--cfg" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--opts", "TASK", "a"], ["--cfg"], ["--shard_id", "x"]])
def test_wrong_usage_ends_with_2(words):
    with pytest.raises(SystemExit) as end:
        cli.main(words)
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
    assert refused.stderr == "error: cannot read the config gone.yaml: No such file or directory\n"


def test_a_line_of_an_older_fork_loads(yaml):
    """All pairs behind ``--cfg``, and the backslash that the shell leaves at the end."""
    line = f"--cfg {yaml} NUM_GPUS 4 TRAIN.BATCH_SIZE 32 SOLVER.BASE_LR 3.33e-6 TEST.ENABLE False"
    cfg = cli.load_all(cli.parse_args([*line.split(), "DATA.PATH_LABEL_SEPARATOR", ",", "\\"]))[0]
    assert (cfg.NUM_GPUS, cfg.TRAIN.BATCH_SIZE, cfg.SOLVER.BASE_LR) == (4, 32, 3.33e-6)
    assert (cfg.TEST.ENABLE, cfg.DATA.PATH_LABEL_SEPARATOR) == (False, ",")
