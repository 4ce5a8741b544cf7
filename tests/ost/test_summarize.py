from __future__ import annotations

import json
from functools import partial

import pytest

from ost.cli import call
from tests.evaluation.results_data import content

main = partial(call, "summarize")


def put(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(content(**changes)))


@pytest.fixture
def runs(tmp_path):
    for split in "123":
        put(tmp_path / "runs" / f"split{split}", split=split, top1=78.0 + int(split))
    return tmp_path / "runs"


def test_a_folder_of_runs_becomes_a_table(runs, capsys):
    assert main([str(runs)]) == 0
    out = capsys.readouterr().out
    assert "80.0 ±1.0" in out
    assert "published (OST paper, Table 1)" in out
    assert "79.7 ±1.1" in out


def test_half_classes_and_map_are_columns(tmp_path, capsys):
    runs = [{"seed": s, "top1": 70.0 + s, "top5": 90.0} for s in range(10)]
    half = {"draws": 10, "num_classes": 50, "runs": runs}
    put(tmp_path, split="all", half_class=half, map=61.25, map_of="softmax")
    assert main([str(tmp_path), "--format", "markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    header, _, row = [line for line in lines if line.startswith("|")][:3]
    cells = dict(zip(*([word.strip() for word in line.split("|")] for line in (header, row))))
    assert cells["half-class top-1"] == "74.5 ±2.9"
    assert cells["half-class top-5"] == "90.0 ±0.0"
    assert cells["mAP"] == "61.2"


@pytest.mark.parametrize(
    ("kind", "words"),
    [("markdown", "| data set"), ("latex", "\\toprule"), ("csv", "protocol,data set")],
)
def test_forms_go_to_a_file(runs, tmp_path, kind, words, capsys):
    out = tmp_path / "tables" / "t.txt"
    assert main([str(runs), "--format", kind, "--out", str(out)]) == 0
    assert words in out.read_text()
    assert capsys.readouterr().out == ""


def test_folders_that_overlap_count_once(runs, capsys):
    assert main([str(runs), str(runs / "split1"), str(runs / "split2" / "results.json")]) == 0
    assert "3 splits" in capsys.readouterr().out


def test_the_copy_above_several_view_counts_is_left_out(tmp_path, capsys):
    put(tmp_path, num_clips=4, num_crops=3)
    put(tmp_path / "views_1x3", num_clips=1, num_crops=3)
    put(tmp_path / "views_4x3", num_clips=4, num_crops=3)
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("measured") == 2


def test_one_protocol_of_several(runs, capsys):
    put(runs / "k400", protocol="fully_supervised", dataset="kinetics400", top1=77.7)
    assert main([str(runs), "--protocol", "zero_shot", "--std", "population"]) == 0
    out = capsys.readouterr().out
    assert "80.0 ±0.8" in out
    assert "77.7" not in out
    assert main([str(runs), "--protocol", "few_shot"]) == 3
    assert "no result of protocol few_shot" in capsys.readouterr().err


def test_label_lists_are_refused_then_shown_apart(runs, capsys):
    put(runs / "other", split="4", classes="label_db/ucf101/classes_words.csv")
    assert main([str(runs)]) == 2
    assert "--by labels" in capsys.readouterr().err
    assert main([str(runs), "--by", "labels"]) == 0
    assert "classes_words.csv" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["gone"], 3, "gone: no such folder or file"),
        (["empty"], 3, "empty: no results.json below it"),
        (["bad/results.json"], 3, "cannot be read as JSON"),
        (["list/results.json"], 3, "expected the object"),
        (["runs", "--method", "OTS"], 2, "known: "),
        (["runs", "--published", "gone.yaml"], 2, "gone.yaml: cannot be read"),
        (["runs", "--published", "bad.yaml"], 2, "bad.yaml: cannot be read"),
    ],
)
def test_mistakes_are_one_line(arguments, code, words, runs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in (("bad", "{"), ("list", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(text)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.yaml").write_text("a: [\n")
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
