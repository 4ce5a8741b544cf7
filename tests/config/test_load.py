import pickle
import sys

import pytest

from slowfast.config import (
    CfgNode,
    assert_and_infer_cfg,
    get_cfg,
    load_cfg,
    override,
    view_counts,
)
from slowfast.config.custom_config import register_options
from slowfast.config.defaults import _C
from slowfast.config.extensions import installed_extensions
from slowfast.config.load import load_cfg_with_sources
from slowfast.errors import UsageError


def test_the_order_is_defaults_files_overrides(tmp_path):
    (tmp_path / "a.yaml").write_text("SOLVER: {BASE_LR: 1, MOMENTUM: 0.1, GAMMA: 0.1}\nTASK: a\n")
    (tmp_path / "b.yaml").write_text("SOLVER: {BASE_LR: 2.0}\n")
    files = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    cfg, sources = load_cfg_with_sources(files, ["TASK", "c"], env={})
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.MOMENTUM, cfg.TASK) == (2.0, 0.1, "c")
    assert sources["SOLVER.BASE_LR"] == str(files[1])
    assert sources["SOLVER.MOMENTUM"] == str(files[0])
    assert sources["TASK"] == "--opts"
    assert "SOLVER.WEIGHT_DECAY" not in sources


def test_the_result_is_frozen(tmp_path):
    cfg = load_cfg([], env={})
    with pytest.raises(AttributeError):
        cfg.NUM_GPUS = 3
    with pytest.raises(AttributeError):
        cfg.SOLVER.BASE_LR = 3.0
    with pytest.raises(AttributeError, match="immutable"):
        cfg.merge_from_list(["NUM_GPUS", 3])
    (tmp_path / "a.yaml").write_text("SOLVER: {BASE_LR: 3.0}")
    with pytest.raises(AttributeError, match="immutable"):
        cfg.merge_from_file(str(tmp_path / "a.yaml"))


def test_it_travels_to_another_process():
    cfg = load_cfg([], ["TASK", "x"], env={})
    copy = pickle.loads(pickle.dumps(cfg))
    assert copy == cfg
    assert copy.is_frozen()
    assert copy.SOLVER.is_frozen()


def test_two_loads_share_nothing():
    first = get_cfg()
    first.DATA.MEAN[0] = 9.0
    assert get_cfg().DATA.MEAN[0] == 0.45 == _C.DATA.MEAN[0]


def test_a_dump_loads_to_the_same_config(tmp_path):
    opts = ["SOLVER.BETAS", "(0.9, 0.98)", "TRAIN.TOTAL_BATCH_SIZE", 128, "OST.KINDS", "[spatial]"]
    cfg = load_cfg([], opts, env={})
    path = tmp_path / "config.yaml"
    path.write_text(cfg.dump())
    assert load_cfg(path, env={}) == cfg


def test_merging_by_hand_as_pyslowfast_scripts_do(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("SOLVER: {WARMUP_EPOCHS: 2}\nRESNET: {DEPTH: 101}\n")
    cfg = get_cfg()
    cfg.merge_from_file(str(path))
    cfg.merge_from_list(["NUM_SHARDS", "2", "SOLVER.BASE_LR_SCALE_NUM_SHARDS", "True"])
    cfg.SHARD_ID = 1
    assert assert_and_infer_cfg(cfg) is cfg
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.WARMUP_EPOCHS) == (0.2, 2.0)
    assert_and_infer_cfg(cfg)
    assert cfg.SOLVER.BASE_LR == 0.2


def test_a_frozen_config_may_be_checked_again():
    cfg = load_cfg([], ["NUM_SHARDS", 2, "SOLVER.BASE_LR_SCALE_NUM_SHARDS", True], env={})
    assert_and_infer_cfg(cfg)
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.WARMUP_START_LR) == (0.2, 0.02)


def test_the_total_batch_is_kept_by_accumulation():
    opts = ["TRAIN.TOTAL_BATCH_SIZE", 256, "TRAIN.BATCH_SIZE", 32]
    cfg, sources = load_cfg_with_sources([], opts, env={})
    assert cfg.TRAIN.ACCUMULATION_STEPS == 8
    assert sources["TRAIN.ACCUMULATION_STEPS"] == "derived, was 1 (default)"
    assert load_cfg([], [*opts, "NUM_SHARDS", 2], env={}).TRAIN.ACCUMULATION_STEPS == 4


@pytest.mark.parametrize(
    ("opts", "classes"),
    [([], 400), (["TEXT.CLASSES", "a.csv"], 0), (["MODEL.NUM_CLASSES", 5], 5)],
)
def test_the_number_of_classes(opts, classes):
    assert classes == load_cfg([], opts, env={}).MODEL.NUM_CLASSES


@pytest.mark.parametrize(
    ("opts", "views"),
    [
        ([], [10]),
        (["TEST.NUM_ENSEMBLE_VIEWS", -1], [1, 3, 5, 7, 10]),
        (["TEST.NUM_TEMPORAL_CLIPS", "[1, 4]", "TEST.NUM_ENSEMBLE_VIEWS", 3], [1, 4]),
    ],
)
def test_view_counts(opts, views):
    assert view_counts(load_cfg([], opts, env={})) == views


def test_override_gives_a_frozen_copy():
    cfg = load_cfg([], env={})
    other = override(cfg, {"TEST.NUM_ENSEMBLE_VIEWS": 3})
    assert (cfg.TEST.NUM_ENSEMBLE_VIEWS, other.TEST.NUM_ENSEMBLE_VIEWS) == (10, 3)
    assert other.is_frozen()
    assert cfg.is_frozen()
    with pytest.raises(UsageError, match="nearest known"):
        override(cfg, {"TEST.NUM_VIEWS": 3})


EXTENSION = """
from slowfast.config.custom_config import register_options
from slowfast.config import CfgNode

COUNT = globals().get("COUNT", 0) + 1

@register_options
def add(_C):
    _C.MINE_{name} = CfgNode()
    _C.MINE_{name}.WIDTH = 8
"""


@pytest.fixture
def extension(tmp_path):
    before = set(sys.modules)
    path = tmp_path / "mine.py"
    path.write_text(EXTENSION.format(name="A"))
    yield path
    from slowfast.config import custom_config

    for name in set(sys.modules) - before:
        if name.startswith("slowfast_extension_mine"):
            custom_config._REGISTERED.pop(f"{name}.add", None)
            del sys.modules[name]


@pytest.mark.parametrize("how", ["yaml", "opts", "argument"])
def test_an_extension_declares_options_before_they_are_merged(tmp_path, extension, how):
    path = tmp_path / "a.yaml"
    named = {"yaml": "EXTENSIONS: [mine.py]\n"}.get(how, "")
    path.write_text(named + "MINE_A: {WIDTH: 16}\n")
    opts = ["EXTENSIONS", f"['{extension}']"] if how == "opts" else []
    more = [str(extension)] if how == "argument" else []
    cfg = load_cfg(path, opts, extensions=more, env={})
    assert cfg.MINE_A.WIDTH == 16
    assert [str(extension.resolve())] == cfg.EXTENSIONS
    assert load_cfg(path, opts, extensions=more, env={}).MINE_A.WIDTH == 16


def test_without_its_extension_an_option_is_unknown(tmp_path):
    with pytest.raises(UsageError, match="unknown option MINE_B.WIDTH"):
        load_cfg([], ["MINE_B.WIDTH", 16], env={})


@pytest.mark.parametrize("name", ["no_such_module_here", "json.no_such_part", "gone.py"])
def test_a_missing_extension_is_refused(name):
    with pytest.raises(UsageError, match=f"EXTENSIONS: no .*{name}"):
        load_cfg([], extensions=[name], env={})


def test_a_fault_inside_an_extension_keeps_its_traceback(tmp_path):
    (tmp_path / "bad.py").write_text("import no_such_module_either\n")
    with pytest.raises(ModuleNotFoundError):
        load_cfg([], extensions=[str(tmp_path / "bad.py")], env={})
    (tmp_path / "worse.py").write_text("1 / 0\n")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            load_cfg([], extensions=[str(tmp_path / "worse.py")], env={})


def test_a_module_may_be_an_extension():
    assert load_cfg([], extensions=["json"], env={}).EXTENSIONS == ["json"]
    assert list(installed_extensions()) == []


def test_options_may_be_registered_twice_under_one_name():
    from slowfast.config import custom_config

    def add(tree):
        tree.TWICE = CfgNode()
        tree.TWICE.X = 1

    register_options(add)
    register_options(add)
    try:
        assert get_cfg().TWICE.X == 1
        assert "TWICE" not in _C
    finally:
        custom_config._REGISTERED.pop(f"{add.__module__}.{add.__qualname__}")
