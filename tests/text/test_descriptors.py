from __future__ import annotations

import json
import logging

import pytest

from slowfast.errors import UsageError
from slowfast.text import ClassVocabulary, load_descriptors

VOCABULARY = ClassVocabulary(("run", "jump"))
TABLE = {"jump": ["c", "d"], "run": ["a", "b"]}


@pytest.fixture
def write(tmp_path):
    def to_file(content) -> str:
        path = tmp_path / "spatial.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return to_file


def load(path, **options):
    return load_descriptors(path, VOCABULARY, kind="spatial", **options)


def test_joined_by_name_and_never_by_order(write):
    assert load(write(TABLE)) == (("a", "b"), ("c", "d"))


def test_released_files_are_joined_by_id(write):
    assert load(write({"0": ["a", "b"], "1": ["c", "d"]}), num=2) == (("a", "b"), ("c", "d"))


@pytest.mark.parametrize("num", [0, 1])
def test_one_descriptor_a_class(write, num):
    assert load(write({"run": ["a"], "jump": ["b"]}), num=num) == (("a",), ("b",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"run": ["a", "b"]}, "no spatial descriptors for 'jump'"),
        ({**TABLE, "fly": ["e", "f"]}, "descriptors for 'fly', not among the classes"),
        ({**TABLE, "run": ["a"]}, "class 'jump': 2 spatial descriptors, expected 1"),
        ({"run": [], "jump": []}, "class 'run': 0 spatial descriptors, expected 1"),
        ({**TABLE, "jump": ["c", " "]}, "class 'jump': a spatial descriptor is empty"),
        ({**TABLE, "jump": ["c", "c"]}, "class 'jump': the same spatial descriptor twice: 'c'"),
        ({**TABLE, "jump": "cd"}, "class 'jump': expected a list of strings"),
        ({**TABLE, "jump": [1, 2]}, "class 'jump': expected a list of strings"),
        ({"0": ["a"], "1": ["b"], "2": ["c"]}, "ids 0 to 2, but there are 2 classes"),
        (["a"], "expected an object"),
        ('{"run": ["a"], "run": ["b"]}', "the same class twice: 'run'"),
        ('{"run": ', "not valid JSON"),
    ],
)
def test_wrong_files_are_refused_by_file_and_class(write, content, message):
    path = write(content)
    with pytest.raises(UsageError, match=message) as caught:
        load(path)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_number_and_missing_file(write, tmp_path):
    with pytest.raises(UsageError, match="2 spatial descriptors, expected 4"):
        load(write(TABLE), num=4)
    with pytest.raises(UsageError, match=r"no such file .*TEXT\.SPATIAL"):
        load(tmp_path / "nowhere.json")


def test_repeats_in_released_files_are_a_warning(write, caplog):
    with caplog.at_level(logging.WARNING):
        assert load(write({"0": ["a", "a"], "1": ["c", "d"]}))[0] == ("a", "a")
    assert "class 'run': the same spatial descriptor twice: 'a'" in caplog.text
