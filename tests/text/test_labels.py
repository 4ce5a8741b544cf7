from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slowfast.errors import UsageError
from slowfast.text.labels import ClassVocabulary, load_classes, load_vocabulary

NAMES = ("brush hair", "kick, ball", "run")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'id,name\n0,brush hair\n1,"kick, ball"\n2,run\n'),
        ("a.csv", '\ufeffid,name,folder\r\n0,brush hair,x\r\n1,"kick, ball",y\r\n2,run,z\r\n'),
        ("a.csv", 'name\nbrush hair\n"kick, ball"\nrun\n'),
        ("a.txt", "brush hair\nkick, ball\nrun\n\n"),
        ("a.json", json.dumps(NAMES)),
        ("a.json", json.dumps({str(i): name for i, name in enumerate(NAMES)})),
        ("a.json", json.dumps({f'"{name}"': i for i, name in enumerate(NAMES)})),
    ],
)
def test_every_form_gives_the_same_names(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    vocabulary = load_classes(tmp_path / name)
    assert vocabulary.names == NAMES
    assert [vocabulary.index(name) for name in NAMES] == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "id,name\n0,a\n2,b\n", r"a\.csv:3: id '2', expected 1"),
        ("a.csv", "0,a\n1,b\n", "first line must name the columns"),
        ("a.csv", "", "first line must name the columns"),
        ("a.txt", "a\n\nb\n", r"a\.txt:2: empty line"),
        ("a.txt", "", "list of classes is empty"),
        ("a.txt", "a\nb\na\n", "occur twice: 'a'"),
        ("a.json", "{", "not valid JSON"),
        ("a.json", '{"a": 0, "b": 2}', "without gaps"),
        ("a.json", "3", "expected a list of names"),
        ("a.json", '{"0": ""}', "class 0 has an empty name"),
    ],
)
def test_wrong_files_are_refused_with_their_place(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        load_classes(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_names_the_option(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.txt: no such file .*TEXT\.CLASSES"):
        load_classes(tmp_path / "nowhere.txt")


def test_subset_keeps_its_own_order_and_refuses_strangers():
    vocabulary = ClassVocabulary(NAMES)
    assert vocabulary.subset(["run", "brush hair"]).names == ("run", "brush hair")
    with pytest.raises(UsageError, match="1 names of the subset are not among the classes: 'fly'"):
        vocabulary.subset(["run", "fly"])
    with pytest.raises(UsageError, match="no class is called 'fly'"):
        vocabulary.index("fly")


def test_a_subset_of_other_classes_names_the_options_and_the_remedy(tmp_path):
    classes, subset = tmp_path / "classes.csv", tmp_path / "base.txt"
    classes.write_text("id,name,folder\n0,brush hair,brush_hair\n1,run,\n")
    subset.write_text("run\nbrush hair\n")
    found = load_vocabulary(classes, subset)
    assert (found.names, found.folders) == (("run", "brush hair"), ("run", "brush_hair"))
    assert load_vocabulary(classes).names == ("brush hair", "run")
    subset.write_text("run\nfly\n")
    words = f"TEXT.SUBSET {subset} with TEXT.CLASSES {classes}: 1 names .* 'fly'. Set TEXT.CLASSES"
    with pytest.raises(UsageError, match=words):
        load_vocabulary(classes, subset)


@given(st.lists(st.text(min_size=1), min_size=1, unique=True))
def test_index_inverts_names(names):
    vocabulary = ClassVocabulary(tuple(names))
    assert [vocabulary.index(name) for name in vocabulary.names] == list(range(len(names)))
