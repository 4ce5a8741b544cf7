"""Files that come with the package, named from anywhere; the user's own win."""

from pathlib import Path

import pytest

from slowfast.config import load_cfg, resolve_path
from slowfast.config.paths import SHIPPED, find_config, find_file
from slowfast.errors import UsageError
from slowfast.text import load_classes

UCF101 = SHIPPED / "configs/OST/zero_shot/ucf101.yaml"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_paths_are_found_from_anywhere(tmp_path) -> None:
    assert resolve_path("configs").is_dir()
    (tmp_path / "configs").mkdir()
    assert not resolve_path("configs").is_absolute()
    assert str(resolve_path("gone.csv")) == "gone.csv"
    assert resolve_path(tmp_path) == tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "OST/zero_shot/ucf101",
        "OST/zero_shot/ucf101.yaml",
        "configs/OST/zero_shot/ucf101",
        "configs/OST/zero_shot/ucf101.yaml",
        str(UCF101),
    ],
)
def test_a_recipe_has_several_names(name) -> None:
    assert find_config(name).samefile(UCF101)
    assert load_cfg(name).TEXT.CLASSES == "label_db/ucf101/classes.csv"


@pytest.mark.parametrize("name", ["OST/zero_shot/ucf101", "configs/OST/zero_shot/ucf101.yaml"])
def test_the_users_file_at_that_path_wins(elsewhere, name) -> None:
    own = elsewhere / f"{name.removesuffix('.yaml')}.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("TASK: mine\n")
    assert load_cfg(name).TASK == "mine"


def test_a_folder_of_that_name_is_no_config(elsewhere) -> None:
    (elsewhere / "OST/zero_shot/ucf101").mkdir(parents=True)
    assert find_config("OST/zero_shot/ucf101").samefile(UCF101)


@pytest.mark.parametrize("base", ["OST/zero_shot/ucf101", "configs/OST/zero_shot/ucf101.yaml"])
def test_the_users_config_builds_on_a_recipe(elsewhere, base) -> None:
    (elsewhere / "mine").mkdir()
    (elsewhere / "mine/own.yaml").write_text(f"_BASE_: {base}\nTASK: own\n")
    cfg = load_cfg("mine/own")
    assert cfg.TASK == "own"
    assert cfg.MODEL.MODEL_NAME == "OST"


def test_a_base_beside_its_file_wins(elsewhere) -> None:
    (elsewhere / "OST/zero_shot").mkdir(parents=True)
    (elsewhere / "OST/zero_shot/ucf101.yaml").write_text("TASK: beside\n")
    (elsewhere / "own.yaml").write_text("_BASE_: OST/zero_shot/ucf101\n")
    assert load_cfg("own.yaml").TASK == "beside"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("OST/zero_shot/ucf10", "OST/zero_shot/ucf101, "),
        ("configs/ost/Zero_Shot/ucf101.yaml", "OST/zero_shot/ucf101, "),
        ("demo/osst", "demo/ost"),
        ("mine", "mien"),
    ],
)
def test_a_miss_says_where_it_looked_and_what_is_alike(elsewhere, name, near) -> None:
    (elsewhere / "mien.yaml").write_text("TASK: x\n")
    with pytest.raises(UsageError) as error:
        find_config(name)
    said = str(error.value)
    place = (elsewhere / name).parent
    assert said.startswith(f"no config {name} in {place} or {SHIPPED / 'configs'}; nearest: {near}")
    assert "\n" not in said


def test_a_miss_like_nothing_names_nothing() -> None:
    with pytest.raises(UsageError, match="no config qqqqqqqq in ") as error:
        find_config("qqqqqqqq")
    assert "nearest" not in str(error.value)


def test_class_lists_are_found_from_anywhere(elsewhere) -> None:
    name = "label_db/ucf101/classes.csv"
    assert len(load_classes(name).names) == 101
    own = elsewhere / name
    own.parent.mkdir(parents=True)
    own.write_text("id,name\n0,jump\n")
    assert load_classes(name).names == ("jump",)


def test_a_missing_list_names_its_neighbours(elsewhere) -> None:
    message = (
        f"label_db/ucf11/classes.csv: no such list in {elsewhere}/label_db/ucf11 or "
        f"{SHIPPED}/label_db/ucf11; nearest: label_db/ucf101/classes.csv"
    )
    with pytest.raises(UsageError) as error:
        find_file("label_db/ucf11/classes.csv", "list")
    assert str(error.value).startswith(message)
    (elsewhere / "names.txt").write_text("jump\n")
    with pytest.raises(UsageError, match=r"namse\.txt: no such list in .*; nearest: .*names\.txt"):
        find_file(elsewhere / "namse.txt", "list")
