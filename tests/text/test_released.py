"""The authors' descriptor files, keyed by position, become ours, keyed by name."""

import json
from pathlib import Path

import pytest

from ost.label_db import main
from slowfast.config.paths import SHIPPED
from slowfast.errors import UsageError
from slowfast.text import load_classes, load_descriptors
from slowfast.text.released import convert_released
from slowfast.text.tokenize import tokenize

LABEL_DB = SHIPPED / "label_db"
HMDB = load_classes(LABEL_DB / "hmdb51/classes.csv")
SPLIT1 = load_classes(LABEL_DB / "kinetics600/zero_shot_split1.txt")


def checkout(root: Path, labels: str, names, files: dict[str, dict]) -> Path:
    """Return a folder like the released repository: one label table and some files."""
    lines = ["id,name", *(f'{i},"{name}"' for i, name in enumerate(names))]
    files = {f"descriptors/{name}": json.dumps(table) for name, table in files.items()}
    for name, text in {f"labels/{labels}": "\n".join(lines), **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def numbered(count: int, word: str = "sign") -> dict[str, list[str]]:
    return {str(i): [f"{word} {i}", f"other {word} {i}"] for i in range(count)}


def test_files_of_every_kind_and_number_are_keyed_by_name(tmp_path, capsys) -> None:
    files = {
        "hmdb/spatio_descriptors/2_descriptors.json": numbered(51),
        "hmdb/temporal_descriptors/2_descriptors.json": numbered(51, "step"),
        "k600/split1/spatio_8_descriptors.json": numbered(160),
        "k600/spatio_descriptors/4_descriptors.json": numbered(217),  # the union: no recipe's
    }
    source = checkout(tmp_path / "OST", "hmdb_51_labels.csv", HMDB.names, files)
    checkout(source, "ZS_split1_K600.csv", SPLIT1.names, {})
    assert main(["--released", str(source), "--out", str(tmp_path / "texts")]) == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.relative_to(tmp_path / "texts").as_posix() for path in written] == [
        "hmdb51/spatial_2.json", "hmdb51/temporal_2.json", "kinetics600/split1/spatial_8.json"
    ]  # fmt: skip
    texts = load_descriptors(written[1], HMDB, kind="temporal", num=2)
    assert texts[HMDB.index("kick ball")] == ("step 21", "other step 21")
    # A file for a split's 160 classes serves a test of just these.
    listed = load_classes(LABEL_DB / "kinetics600/classes.csv")
    assert len(load_descriptors(written[2], listed, kind="spatial", used=SPLIT1)) == 160
    with pytest.raises(UsageError, match=r"no spatial descriptors for .*\(440 in all\)"):
        load_descriptors(written[2], listed, kind="spatial")


def test_hmdb51s_exchanged_names_are_no_other_order(tmp_path) -> None:
    """The released table exchanges four names; the descriptors stand in the right order."""
    names = load_classes(LABEL_DB / "hmdb51/classes_published.csv").names
    assert sum(one != other for one, other in zip(names, HMDB.names)) == 4
    file = {"hmdb/spatio_descriptors/4_descriptors.json": numbered(51)}
    source = checkout(tmp_path / "OST", "hmdb_51_labels.csv", names, file)
    (path,) = convert_released(source, tmp_path, LABEL_DB)
    assert json.loads(path.read_text())["kick ball"][0] == "sign 21"


def test_a_repeated_text_stays_the_same_for_the_tower(tmp_path) -> None:
    table = numbered(51) | {"3": ["flic flac", "flic flac"]}
    file = {"hmdb/spatio_descriptors/2_descriptors.json": table}
    source = checkout(tmp_path / "OST", "hmdb_51_labels.csv", HMDB.names, file)
    (path,) = convert_released(source, tmp_path, LABEL_DB)
    first, second = load_descriptors(path, HMDB, kind="spatial")[3]
    ids = tokenize([f"This is a video about {text}" for text in (first, second)])
    assert ids[0].tolist() == ids[1].tolist()


@pytest.mark.parametrize(
    ("names", "table", "message"),
    [
        (sorted(HMDB.names, reverse=True), numbered(51), "1 of its 51 class names are ours"),
        (HMDB.names[:50], numbered(50), "50 of its 50 class names are ours .* of 51"),
        (HMDB.names, numbered(50), "keys of 50 classes, expected 0 to 50"),
    ],
)
def test_texts_that_would_go_to_other_classes_are_refused(tmp_path, names, table, message) -> None:
    file = {"hmdb/spatio_descriptors/2_descriptors.json": table}
    source = checkout(tmp_path / "OST", "hmdb_51_labels.csv", names, file)
    with pytest.raises(UsageError, match=message):
        list(convert_released(source, tmp_path / "out", LABEL_DB))


def test_a_folder_without_descriptors_is_no_checkout(tmp_path) -> None:
    with pytest.raises(UsageError, match="no folder descriptors .* checkout of OST's repository"):
        list(convert_released(tmp_path, tmp_path / "out", LABEL_DB))
    with pytest.raises(UsageError, match="need each other"):
        main(["--released", str(tmp_path)])
