import pytest

from slowfast.config import assert_and_infer_cfg
from slowfast.errors import UsageError
from slowfast.utils.parser import load_config, parse_args


def test_a_launch_script_of_the_clip_forks(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("SOLVER: {BASE_LR: 1}\nNUM_GPUS: 0\n")
    args = parse_args(["--cfg", str(path), "--opts", "TASK", "ssl"])
    args.rng_seed, args.output_dir = 7, str(tmp_path / "out")
    cfg = load_config(args, args.cfg_files[0])
    cfg.NUM_SHARDS, cfg.SHARD_ID = 2, 1
    cfg = assert_and_infer_cfg(cfg)
    assert (7, str(tmp_path / "out"), "ssl") == (cfg.RNG_SEED, cfg.OUTPUT_DIR, cfg.TASK)
    assert (cfg.SOLVER.BASE_LR, cfg.SHARD_ID) == (1.0, 1)


def test_flags_win_and_the_file_may_be_left_out(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("NUM_SHARDS: 5\n")
    args = parse_args(["--cfg", str(path), "--num_shards", "3"])
    assert load_config(args, str(path)).NUM_SHARDS == 3
    assert load_config(args).NUM_SHARDS == 3


def test_checks_come_with_assert_and_infer(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("SHARD_ID: 4\n")
    cfg = load_config(parse_args(["--cfg", str(path)]), str(path))
    with pytest.raises(UsageError, match="SHARD_ID"):
        assert_and_infer_cfg(cfg)
