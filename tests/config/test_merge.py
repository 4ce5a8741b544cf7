import pytest

from slowfast.config import get_cfg
from slowfast.config.merge import Assignment, merge, nearest, pairs, read_yaml
from slowfast.config.tree import leaves
from slowfast.errors import UsageError


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / f"{next(iter(files))}.yaml"


def values(path):
    return {item.key: item.value for item in read_yaml(path)}


def test_a_base_is_relative_to_its_file_and_comes_first(tmp_path):
    (tmp_path / "sub").mkdir()
    write(tmp_path, base="A: {X: 1, Y: 1}")
    leaf = write(tmp_path / "sub", leaf="_BASE_: ../base.yaml\nA: {X: 2}")
    assert values(leaf) == {"A.X": 2, "A.Y": 1}
    assert [item.source for item in read_yaml(leaf)][0] == str(tmp_path / "base.yaml")


def test_a_base_may_be_one_that_the_checkout_ships_but_a_file_beside_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    leaf = write(tmp_path, leaf="_BASE_: configs/_base_/model/ost_tiny.yaml\nOST: {N: 2}")
    shipped = values(leaf)
    assert shipped["MODEL.MODEL_NAME"] == "OST"
    assert shipped["OST.N"] == 2
    own = tmp_path / "configs" / "_base_" / "model"
    own.mkdir(parents=True)
    write(own, ost_tiny="A: {X: 1}")
    assert values(leaf) == {"A.X": 1, "OST.N": 2}


def test_later_bases_win_and_the_file_wins_over_all(tmp_path):
    leaf = write(
        tmp_path,
        leaf="_BASE_: [one.yaml, two.yaml]\nA: {Z: 3}",
        one="A: {X: 1, Y: 1, Z: 1}",
        two="A: {Y: 2, Z: 2}",
    )
    assert values(leaf) == {"A.X": 1, "A.Y": 2, "A.Z": 3}


def test_a_base_may_be_shared(tmp_path):
    leaf = write(
        tmp_path,
        leaf="_BASE_: [one.yaml, two.yaml]",
        one="_BASE_: root.yaml\nA: {X: 1}",
        two="_BASE_: root.yaml",
        root="A: {X: 0}",
    )
    assert values(leaf) == {"A.X": 0}


def test_a_name_that_stands_twice_is_said(tmp_path, caplog):
    path = write(tmp_path, leaf="A: {X: 1}\nB: 1\nA: {Y: 2, Y: 3}\n")
    assert values(path) == {"B": 1, "A.Y": 3}
    assert f"{path}:3: A stands twice; only this one counts" in caplog.text
    assert f"{path}:3: Y stands twice" in caplog.text


def test_an_empty_file_says_nothing(tmp_path):
    assert read_yaml(write(tmp_path, leaf="# only a comment\n")) == []


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"leaf": "_BASE_: leaf.yaml"}, "circle: leaf.yaml -> leaf.yaml"),
        ({"leaf": "_BASE_: b.yaml", "b": "_BASE_: leaf.yaml"}, "leaf.yaml -> b.yaml -> leaf.yaml"),
        ({"leaf": "_BASE_: gone.yaml"}, r"leaf\.yaml: _BASE_: no config gone\.yaml in "),
        ({"leaf": "_BASE_: [3]"}, "must name files, found 3"),
        ({"leaf": "A: 1\nB: {x\n}: ]\n"}, r"leaf\.yaml:3: this is no YAML"),
        ({"leaf": "A:\n\t- 1"}, r"leaf\.yaml:2: this is no YAML"),
        ({"leaf": "- 1\n- 2"}, "expected sections and options, found list"),
        ({"leaf": "1: 2"}, "1 is no option name"),
        ({"leaf": "A: {on: 2}"}, "A.True is no option name"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(tmp_path, files, message):
    with pytest.raises(UsageError, match=message) as error:
        read_yaml(write(tmp_path, **files))
    assert "\n" not in str(error.value)


def test_a_missing_and_a_binary_file_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no config .*gone\.yaml in "):
        read_yaml(tmp_path / "gone.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="no text file"):
        read_yaml(tmp_path / "binary.yaml")


def test_pairs_survive_what_shell_scripts_leave_behind():
    words = ["NUM_GPUS", "8", "\\", "DATA.PATH_LABEL_SEPARATOR", " ", "TASK", "x", " ", "\\", ""]
    found = [(item.key, item.value) for item in pairs(words)]
    assert found == [("NUM_GPUS", "8"), ("DATA.PATH_LABEL_SEPARATOR", " "), ("TASK", "x")]


@pytest.mark.parametrize(
    ("words", "message"),
    [(["NUM_GPUS"], "NUM_GPUS has no value"), (["--cfg", "x"], "flags go before --opts")],
)
def test_broken_pairs_are_refused(words, message):
    with pytest.raises(UsageError, match=message):
        pairs(words)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("SOLVER.BASELR", "unknown option SOLVER.BASELR .*nearest known: SOLVER.BASE_LR"),
        ("TRAIN.BASE_LR", "nearest known: SOLVER.BASE_LR"),
        ("solver.base_lr", "nearest known: SOLVER.BASE_LR"),
        ("NUM_GPU", "nearest known: NUM_GPUS"),
        ("TRAIN.ENABLE.X", "unknown option TRAIN.ENABLE.X"),
        ("ZZZZZZ", r"unknown option ZZZZZZ \(a.yaml\); .*register_options"),
    ],
)
def test_an_unknown_option_names_the_nearest(key, message):
    with pytest.raises(UsageError, match=message):
        merge(get_cfg(), [Assignment(key, 1, "a.yaml")])


def test_all_unknown_options_are_named_at_once(tmp_path):
    path = write(tmp_path, fork="SOLVER: {BASELR: 1}\nMY: {ADAPTER: 2}\nTASK: x\n")
    with pytest.raises(UsageError) as error:
        merge(get_cfg(), [*read_yaml(path), *pairs(["NUM_GPU", "2"])])
    assert str(error.value) == (
        f"unknown options SOLVER.BASELR ({path}; nearest known: SOLVER.BASE_LR, "
        f"SOLVER.BETAS), MY.ADAPTER ({path}), NUM_GPU (--opts; nearest known: NUM_GPUS); "
        "an option of your own is declared with register_options, or in add_custom_config "
        "(docs/add_a_method.md)"
    )


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("SOLVER.BASE_LR", "fast", r"SOLVER.BASE_LR: expected a number, found 'fast' \(a.yaml\)"),
        ("TRAIN.ENABLE", 1, "TRAIN.ENABLE: expected true or false, found 1"),
        ("TRAIN", 1, "TRAIN is a section, found the value 1"),
        ("TRAIN", "x", "its options: ACCUMULATION_STEPS"),
    ],
)
def test_a_wrong_type_names_option_value_and_type(key, value, message):
    with pytest.raises(UsageError, match=message):
        merge(get_cfg(), [Assignment(key, value, "a.yaml")])


def test_an_empty_section_changes_nothing():
    cfg = get_cfg()
    assert merge(cfg, [Assignment("TRAIN", None, "a.yaml")]) == {}
    assert cfg == get_cfg()


def test_sources_name_the_last_writer():
    sources = merge(get_cfg(), [Assignment("TASK", "a", "one"), Assignment("TASK", "b", "two")])
    assert sources == {"TASK": "two"}


def test_nearest_is_silent_without_a_candidate():
    assert nearest({"A": 1}, "SOMETHING.ELSE") == ""


def test_every_option_is_spelled_in_capitals_but_two_of_pyslowfasts():
    small = {key for key, _ in leaves(get_cfg()) if key.upper() != key}
    assert small == {"DATA.IN22k_VAL_IN1K", "X3D.CHANNELWISE_3x3x3"}
