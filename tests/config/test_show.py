import yaml

from ost.cli import call
from slowfast.config import get_cfg, load_cfg
from slowfast.config.load import load_cfg_with_sources
from slowfast.config.show import annotated_yaml, changed, diff_yaml, full_yaml
from slowfast.config.tree import leaves

# Of PySlowFast's sections that nothing here reads, one option is set.
OPTS = [
    "X3D.DIM_C1",
    13,
    "TASK",
    "1",
    "SOLVER.BETAS",
    "(0.9, 0.98)",
    "TENSORBOARD.HISTOGRAM.TOPK",
    3,
]


def test_the_difference_loads_to_the_same_config(tmp_path):
    cfg = load_cfg([], OPTS, env={})
    path = tmp_path / "diff.yaml"
    path.write_text(diff_yaml(cfg))
    assert load_cfg(path, env={}) == cfg
    assert set(changed(cfg)) == {*OPTS[::2], "MODEL.NUM_CLASSES"}


def test_the_full_file_loads_to_the_same_config_and_leaves_out_what_nothing_reads(tmp_path):
    cfg = load_cfg([], OPTS, env={})
    path = tmp_path / "config.yaml"
    path.write_text(full_yaml(cfg))
    assert load_cfg(path, env={}) == cfg
    written = yaml.safe_load(path.read_text())
    assert written["X3D"] == {"DIM_C1": 13}
    assert written["SOLVER"]["MOMENTUM"] == 0.9
    assert not {"AVA", "MVIT", "DEMO"} & written.keys()


def test_no_difference_is_an_empty_mapping():
    assert diff_yaml(get_cfg()) == "{}\n"
    assert changed(get_cfg()) == []


def test_every_option_says_where_it_was_set():
    cfg, sources = load_cfg_with_sources([], OPTS, env={})
    text = annotated_yaml(cfg, sources)
    lines = text.splitlines()
    assert "TASK: '1'  # --opts" in lines
    assert "    TOPK: 3  # --opts" in lines
    assert "NUM_GPUS: -1  # default" in lines
    assert "  DIM_C1: 13  # --opts" in lines
    shown = dict(leaves(yaml.safe_load(text)))
    assert shown.items() <= dict(leaves(yaml.safe_load(cfg.dump()))).items()
    assert not {"X3D.DIM_C5", "AVA.BGR", "SOLVER.GAMMA"} & shown.keys()
    assert {"SOLVER.MOMENTUM", "TENSORBOARD.ENABLE"} <= shown.keys()
    assert "default\n" not in annotated_yaml(cfg, {"TASK": "x"}, only_set=True)


def test_the_tool_prints_sources(tmp_path, capsys):
    (tmp_path / "base.yaml").write_text("SOLVER: {MOMENTUM: 0.5}\n")
    leaf = tmp_path / "leaf.yaml"
    leaf.write_text("_BASE_: base.yaml\nTASK: x\n")
    assert call("config", ["--cfg", str(leaf), "--opts", "RNG_SEED", "7"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"# {leaf}\n")
    assert f"  MOMENTUM: 0.5  # {tmp_path / 'base.yaml'}\n" in out
    assert "RNG_SEED: 7  # --opts\n" in out
    assert "NUM_GPUS: -1  # default\n" in out


def test_the_tool_prints_less_on_request(tmp_path, capsys):
    leaf = tmp_path / "leaf.yaml"
    leaf.write_text("TASK: x\nRNG_SEED: 1\n")
    assert call("config", ["--cfg", str(leaf), "--set"]) == 0
    assert "RNG_SEED: 1" in capsys.readouterr().out
    assert call("config", ["--cfg", str(leaf), "--diff"]) == 0
    out = capsys.readouterr().out
    assert "TASK: x" in out
    assert "RNG_SEED" not in out


def test_the_tool_refuses_in_one_line(tmp_path, capsys):
    assert call("config", ["--cfg", str(tmp_path / "gone.yaml")]) == 2
    assert capsys.readouterr().err.startswith("error: no config")
