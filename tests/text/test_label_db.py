"""The checker of label_db, on small folders with one fault each, and on what is shipped."""

from __future__ import annotations

import json
from functools import partial
from itertools import product
from pathlib import Path

import pytest

from ost.cli import call
from ost.label_db import BENCHMARKS
from slowfast.text.label_db import check_classes, check_descriptors
from slowfast.text.labels import load_classes
from tests.conftest import ROOT

NAMES = ("kick", "sit, slowly")
SPATIAL = {"kick": ["a raised leg", "a ball"], "sit, slowly": ["a chair", "bent knees"]}

main = partial(call, "label-db")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = ['0,kick,kick,kick', '1,"sit, slowly",sit,sit slowly']  # fmt: skip
    (tmp_path / "classes.csv").write_text("id,name,folder,readable\n" + "\n".join(rows) + "\n")
    (tmp_path / "base.txt").write_text("kick\n")
    (tmp_path / "novel.txt").write_text("sit, slowly\n")
    (tmp_path / "descriptors").mkdir()
    (tmp_path / "descriptors" / "README.md").write_text("written by hand\n")
    write(tmp_path, SPATIAL)
    return tmp_path


def write(folder: Path, table: dict[str, list[str]], name: str = "spatial_2.json") -> None:
    (folder / "descriptors" / name).write_text(json.dumps(table))


def problems(folder: Path) -> list[str]:
    found = check_classes(folder)
    return found + [p for file in check_descriptors(folder) for p in file.problems]


def test_a_sound_folder_has_no_problems(folder: Path) -> None:
    assert problems(folder) == []
    (file,) = check_descriptors(folder)
    # start token, this is a video about a raised leg, end token
    assert (file.kind, file.num, file.classes, file.longest) == ("spatial", 2, 2, 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kick": ["a ball"]}, "1 spatial descriptors, expected 2"),
        ({"kick": ["a ball", "a chair"]}, "'a chair' stands in 2 classes: 'kick', 'sit, slowly'"),
        ({"kick": ["a ball", "A ball"]}, "'a ball' stands in 2 classes"),
        ({"kick": ["a ball", "1. a leg"]}, "other signs than letters: '1. a leg'"),
        ({"kick": ["a ball", "Kick"]}, "a descriptor is the class name"),
        ({"kick": ["a ball", " ".join(["word"] * 13)]}, "over 12 words"),
        ({"run": ["a", "b"]}, "spatial descriptors for 'run', not among the classes"),
    ],
)
def test_each_fault_is_named(folder: Path, change: dict[str, list[str]], message: str) -> None:
    write(folder, {**SPATIAL, **change})
    assert any(message in problem for problem in problems(folder)), problems(folder)


def test_smaller_sets_stand_within_larger_ones_in_order(folder: Path) -> None:
    four = {"kick": ["a goal", "a raised leg", "grass", "a ball"], "sit, slowly": ["a chair", "bent knees", "a table", "a lamp"]}  # fmt: skip  # noqa: E501
    write(folder, four, "spatial_4.json")
    assert problems(folder) == []
    write(folder, {**four, "kick": ["a goal", "a ball", "grass", "a raised leg"]}, "spatial_4.json")
    (problem,) = problems(folder)
    assert "spatial_4.json: does not hold spatial_2.json of 'kick' in order" in problem


def test_the_object_of_a_class_is_named_as_a_whole_word(folder: Path) -> None:
    (folder / "objects.json").write_text(json.dumps({"kick": ["football", "ball"]}))
    (file,) = check_descriptors(folder)
    assert (file.named, list(file.problems)) == ("1 of 1", [])
    write(folder, {**SPATIAL, "kick": ["a raised leg", "a balloon"]})
    (file,) = check_descriptors(folder)
    assert file.named == "0 of 1"
    assert "no text names the object of 'kick'" in file.problems[0]
    (folder / "objects.json").write_text(json.dumps({"run": ["shoe"]}))
    assert any("objects.json: not among the classes: 'run'" in p for p in problems(folder))


def test_a_prompt_that_is_too_long_is_named(folder: Path) -> None:
    long = "x" + "qxzkjwvbgh" * 30
    write(folder, {**SPATIAL, "kick": ["a ball", long]})
    assert any("tokens, 77 at most" in problem for problem in problems(folder))


def test_subsets_must_part_the_classes(folder: Path) -> None:
    (folder / "novel.txt").write_text("kick\n")
    assert any("do not part" in problem for problem in problems(folder))
    (folder / "novel.txt").write_text("kick\nrun\n")
    assert any("not among the classes: 'run'" in problem for problem in problems(folder))


def test_file_names_and_provenance_are_checked(folder: Path) -> None:
    write(folder, SPATIAL, "spatial.json")
    (folder / "descriptors" / "README.md").unlink()
    found = problems(folder)
    assert any("expected <kind>_<N>.json" in problem for problem in found)
    assert any("no README.md" in problem for problem in found)


def test_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder)]) == 0
    assert "0 problems" in capsys.readouterr().out
    write(folder, {"kick": ["a", "b"]})
    assert main([str(folder)]) == 2
    assert "no spatial descriptors for 'sit, slowly'" in capsys.readouterr().err


def test_the_density_is_printed_with_weights(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    from slowfast.models.clip.build import build_clip

    arch = str(ROOT / "tests" / "assets" / "tiny_clip.json")
    torch.save(build_clip(arch).state_dict(), tmp_path / "w.pt")
    assert main([str(folder), "--arch", arch, "--pretrained", str(tmp_path / "w.pt")]) == 0
    assert "density of names" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_what_is_shipped_is_sound(name: str) -> None:
    folder = ROOT / "label_db" / name
    assert check_classes(folder) == []
    files = list(check_descriptors(folder))
    assert {(f.kind, f.num) for f in files} == set(product(("spatial", "temporal"), (2, 4, 8)))
    assert all(f.named for f in files if f.kind == "spatial")
    assert [p for f in files for p in f.problems] == []


def test_the_published_hmdb_names_exchange_four_classes() -> None:
    right = load_classes(ROOT / "label_db/hmdb51/classes.csv").names
    published = load_classes(ROOT / "label_db/hmdb51/classes_published.csv").names
    differ = [i for i, (a, b) in enumerate(zip(right, published, strict=True)) if a != b]
    assert differ == [20, 21, 44, 45]
    assert sorted(right) == sorted(published)
