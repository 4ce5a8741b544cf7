import pytest

from slowfast.config import cli


@pytest.fixture
def yaml(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("TASK: a\n")
    return str(path)


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


def test_a_line_of_an_older_fork_loads(yaml):
    """All pairs behind ``--cfg``, and the backslash that the shell leaves at the end."""
    line = f"--cfg {yaml} NUM_GPUS 4 TRAIN.BATCH_SIZE 32 SOLVER.BASE_LR 3.33e-6 TEST.ENABLE False"
    cfg = cli.load_all(cli.parse_args([*line.split(), "DATA.PATH_LABEL_SEPARATOR", ",", "\\"]))[0]
    assert (cfg.NUM_GPUS, cfg.TRAIN.BATCH_SIZE, cfg.SOLVER.BASE_LR) == (4, 32, 3.33e-6)
    assert (cfg.TEST.ENABLE, cfg.DATA.PATH_LABEL_SEPARATOR) == (False, ",")
