"""The command ``ost``: its list, its start, its refusals, and the same tools from a checkout."""

import importlib
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from ost import cli, demo_data, label_db, miniature
from slowfast import __version__
from slowfast.datasets.demo_actions import Sizes
from slowfast.datasets.demo_actions import miniature as layouts
from slowfast.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
SHELLS = sorted([*(ROOT / "tools").glob("[!_]*.py"), ROOT / "weight_average_tool.py"])


def python(*words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}  # what an editable installation does
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )


def test_help_is_one_screen_with_a_line_for_each_tool(capsys) -> None:
    assert cli.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 80
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    modules = {path.stem.replace("_", "-") for path in (ROOT / "ost").glob("[!_]*.py")}
    assert len(listed) == len(set(listed))
    assert set(listed) == modules - {"cli"}


def test_help_imports_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; from ost import cli; cli.main(['--help'])\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'yaml', 'rich', 'numpy'}))"
    )
    assert python("-c", code).stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", cli.TOOLS)
def test_every_tool_answers_help_under_its_own_name(name, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([name, "--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: ost {name} ")


def test_no_tool_needs_torch_for_its_help() -> None:
    code = (
        "import sys; from ost import cli\n"
        "for name in cli.TOOLS:\n"
        "    try: cli.main([name, '--help'])\n"
        "    except SystemExit: assert 'torch' not in sys.modules, name\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: ost ") == len(cli.TOOLS)


def test_sizes_in_a_help_are_those_of_the_generators() -> None:
    assert Sizes()._asdict() == demo_data.SIZES
    assert layouts.Sizes()._asdict() == miniature.SIZES
    assert list(layouts.LAYOUTS) == list(label_db.BENCHMARKS)


def test_an_unknown_tool_is_one_line_with_the_nearest(capsys) -> None:
    assert cli.main(["predcit", "x"]) == 2
    error = capsys.readouterr().err
    assert error == "error: no tool 'predcit'; nearest: predict; ost --help lists all\n"


def test_without_words_the_list_is_shown_as_an_error(capsys) -> None:
    assert cli.main([]) == 2
    assert capsys.readouterr().err == cli.help_text()


def test_version(capsys) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"ost {__version__}\n"


@pytest.mark.parametrize(
    ("ends", "code", "said"),
    [
        (DataError("no such list"), 3, "error: no such list\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (None, 7, ""),
    ],
)
def test_how_a_tool_ends_is_the_exit_code(monkeypatch, capsys, ends, code, said) -> None:
    def main(words):
        assert words == ["--quick"]
        if ends is not None:
            raise ends
        return code

    stub = types.ModuleType("ost.label_db")
    stub.main = main
    monkeypatch.setitem(sys.modules, "ost.label_db", stub)
    assert cli.main(["label-db", "--quick"]) == code
    assert capsys.readouterr().err == said


def test_a_closed_pipe_has_no_traceback(tmp_path) -> None:
    code = (
        "import sys, types; from ost import cli\n"
        "sys.modules['ost.check'] = stub = types.ModuleType('ost.check')\n"
        "stub.main = lambda words: [print('line', i, flush=True) for i in range(10**5)] and 0\n"
        "sys.exit(cli.main(['check']))\n"
    )
    (tmp_path / "much.py").write_text(code)
    shell = f"{sys.executable} {tmp_path}/much.py | head -1; echo ${{PIPESTATUS[0]}}"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", shell], env=env, capture_output=True, text=True)
    assert done.stdout.split("\n") == ["line 0", "141", ""]
    assert done.stderr == ""


def test_a_file_that_may_not_be_used_is_one_line(monkeypatch, capsys) -> None:
    def main(words):
        raise PermissionError(13, "Permission denied", "/root/good.csv")

    stub = types.ModuleType("ost.check")
    stub.main = main
    monkeypatch.setitem(sys.modules, "ost.check", stub)
    assert cli.main(["check"]) == 2
    said = "error: /root/good.csv cannot be used (Permission denied)\n"
    assert capsys.readouterr().err == said


def test_no_classes_to_show_are_refused(capsys) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", "a.mp4", "--cfg", "OST/zero_shot/ucf101", "--topk", "-1"])
    assert end.value.code == 2
    assert "--topk -1: expected 1 or more" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(monkeypatch) -> None:
    stub = types.ModuleType("ost.check")
    stub.main = lambda words: 1 / 0
    monkeypatch.setitem(sys.modules, "ost.check", stub)
    with pytest.raises(ZeroDivisionError):
        cli.main(["check"])


def test_each_tool_has_a_file_in_a_checkout() -> None:
    named = [re.findall(r'run_tool\("(.+)"\)', path.read_text()) for path in SHELLS]
    assert sorted(name for (name,) in named) == sorted(cli.TOOLS)


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        (["tools/check_videos.py", "--help"], "usage: ost check "),
        (["weight_average_tool.py", "mix", "--help"], "usage: ost average mix "),
        (["-m", "ost", "config", "--help"], "usage: ost config "),
    ],
)
def test_from_a_checkout(words, usage) -> None:
    done = python(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(usage)


def test_training_and_test_are_functions_where_their_scripts_look_for_them() -> None:
    for name in ("train", "test"):
        engine = importlib.import_module(f"slowfast.engine.{name}")
        tool = importlib.import_module(f"tools.{name}_net")
        assert getattr(tool, name) is getattr(engine, name)


@pytest.mark.parametrize(("name", "phase"), [("train", "TEST"), ("test", "TRAIN")])
def test_one_phase_switches_the_other_off(name, phase, monkeypatch, tmp_path) -> None:
    seen = []
    stub = types.ModuleType("slowfast.engine.run")
    stub.run = lambda cfg, init_method: seen.append(cfg)
    monkeypatch.setitem(sys.modules, "slowfast.engine.run", stub)
    (tmp_path / "a.yaml").write_text("{TASK: a, TRAIN: {DATASET: mine}, TEST: {DATASET: mine}}\n")
    assert cli.main([name, "--cfg", str(tmp_path / "a.yaml"), "--opts", "NUM_GPUS", "0"]) == 0
    (cfg,) = seen
    assert cfg.TASK == "a"
    assert cfg[phase].ENABLE is False
