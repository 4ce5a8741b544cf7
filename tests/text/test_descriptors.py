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


RELEASED = {"0": ["He runs.", "A running track"], "1": ["She jumps.", "jump over a bar"]}


def test_released_files_are_joined_by_id_where_their_texts_name_the_class(write):
    assert load(write(RELEASED), num=2) == (tuple(RELEASED["0"]), tuple(RELEASED["1"]))
    exchanged = {"0": RELEASED["1"], "1": RELEASED["0"]}
    with pytest.raises(
        UsageError, match=r"ids 0 to 1, .*\(TEXT\.CLASSES\) for 0 of 2 only.*90% are"
    ):
        load(write(exchanged))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.csv", "id,name\n0,Run\n1,jump\n"),
        ("classes.txt", "run\njump\n"),
        ("classes.json", '["run", "jump"]'),
    ],
)
def test_a_list_beside_a_released_file_proves_its_ids(write, tmp_path, name, text):
    path = write({"0": ["a", "b"], "1": ["c", "d"]})
    with pytest.raises(UsageError, match="for 0 of 2 only, as no list of classes is beside"):
        load(path)
    (tmp_path / name).write_text(text)
    assert load(path) == (("a", "b"), ("c", "d"))


@pytest.mark.parametrize("other", ["jump\nrun\n", "run\njump\nfly\n"])
def test_a_list_of_other_classes_disproves_the_ids_whatever_the_texts_say(write, tmp_path, other):
    (tmp_path / "classes.txt").write_text(other)
    with pytest.raises(UsageError, match=r"for 0 of 2 only, by .*classes\.txt"):
        load(write(RELEASED))


@pytest.mark.parametrize(
    "files",
    [
        ("spatio_4_descriptors.json", "temporal_4_descriptors.json"),
        ("spatio_descriptors/4_descriptors.json", "temporal_descriptors/4_descriptors.json"),
    ],
)
def test_a_spatial_file_is_proven_by_its_temporal_one(tmp_path, files):
    spatial, temporal = (tmp_path / name for name in files)
    for path in (spatial, temporal):
        path.parent.mkdir(exist_ok=True)
    spatial.write_text(json.dumps({"0": ["Track", "Shoes"], "1": ["Bar", "Mat"]}))
    with pytest.raises(UsageError, match="for 0 of 2"):
        load(spatial)
    temporal.write_text(json.dumps(RELEASED))
    assert load(spatial) == (("Track", "Shoes"), ("Bar", "Mat"))


@pytest.mark.parametrize(("wrong", "proven"), [(1, True), (2, False)])
def test_nine_of_ten_ids_must_agree(write, wrong, proven):
    # The published names of HMDB-51 are exchanged for 4 of 51 classes, in another split nearly all.
    names = [f"sport {letter * 3}" for letter in "abcdefghij"]
    texts = {str(i): [f"A {name} is seen" if i >= wrong else "x"] for i, name in enumerate(names)}

    def load_ten():
        return load_descriptors(write(texts), ClassVocabulary(tuple(names)), kind="temporal")

    if proven:
        assert load_ten()[9] == ("A sport jjj is seen",)
    else:
        with pytest.raises(UsageError, match="for 8 of 10"):
            load_ten()


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
        assert load(write({**RELEASED, "0": ["run", "run"]}))[0] == ("run", "run")
    assert "class 'run': the same spatial descriptor twice: 'run'" in caplog.text
