"""Each option is described and read; those said to be without an effect are not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from slowfast.config import compat
from slowfast.config.tree import leaves

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "slowfast/config"
LINE = re.compile(r"^_C\.([\w.]+) = (?!CfgNode)[^#]+(?:# (.+))?$", re.MULTILINE)
OURS = dict(LINE.findall((CONFIG / "defaults.py").read_text()))
UPSTREAM = {part: dict(leaves(tree)) for part, tree in compat.UPSTREAM.items()}
CODE = "\n".join(
    path.read_text()
    for folder in ("slowfast", "ost")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.name != "defaults.py"
)
# What holds without being read.
TRUE_ANYWAY = {"TRAIN.CHECKPOINT_EPOCH_RESET"}


def is_read(key: str) -> bool:
    """Return whether code reads the option by its name, as an attribute or a literal."""
    return (
        re.search(rf"\.{key.rpartition('.')[2]}\b|\"{key.rpartition('.')[2]}\"", CODE) is not None
    )


def test_our_own_options_are_few():
    assert 100 < len(OURS) <= 180


@pytest.mark.parametrize("key", sorted({**OURS, **UPSTREAM["acted_upon"]}))
def test_an_option_is_read_by_code(key):
    assert is_read(key) != (key in TRUE_ANYWAY)


def test_every_option_has_a_description():
    assert [key for key, words in OURS.items() if len(words) < 3] == []
    table = (CONFIG / "upstream.yaml").read_text()
    acted_upon = table.partition("acted_upon:")[2].partition("# For a model")[0]
    plain = [line for line in acted_upon.splitlines() if re.search(r": .", line)]
    assert len(plain) == len(UPSTREAM["acted_upon"])
    assert [line for line in plain if "  # " not in line] == []


def test_no_option_stands_in_two_places():
    places = [OURS, *UPSTREAM.values(), dict(leaves(compat.FORKS))]
    assert sum(map(len, places)) == len({key for place in places for key in place})


@pytest.mark.parametrize("key", sorted(UPSTREAM["without_effect"]))
def test_what_is_said_to_be_without_an_effect_is_not_read(key):
    section, _, name = key.rpartition(".")
    assert not re.search(rf"\b{section}\.{name}\b", CODE.replace('"' + key + '"', ""))
