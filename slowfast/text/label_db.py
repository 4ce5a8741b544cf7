"""Proofs about a folder of ``label_db``: classes, subsets and descriptors fit together.

K classes, N descriptors of a class and kind.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from slowfast.errors import UsageError
from slowfast.text.descriptors import Descriptors, load_descriptors
from slowfast.text.labels import ClassVocabulary, load_classes, shorten
from slowfast.text.prompts import expand_descriptors, get_prompts
from slowfast.text.tokenize import CONTEXT_LENGTH, tokenize

MOST_WORDS = 12
COLUMNS = ["id", "name", "folder", "readable"]
LETTERS = re.compile(r"[A-Za-z][A-Za-z ,'\-]*")
FILE_NAME = re.compile(r"(spatial|temporal)_(\d+)\.json")


class DescriptorFile(NamedTuple):
    """What was found in one descriptor file; ``longest`` counts tokens inside the prompt."""

    path: Path
    kind: str
    num: int
    classes: int
    longest: int
    problems: list[str]


def check_classes(folder: Path) -> list[str]:
    """Return what is wrong with ``classes.csv`` and the subsets beside it.

    Subsets are text files of names; ``base.txt`` and ``novel.txt`` must part the classes.
    """
    path = folder / "classes.csv"
    try:
        names = set(load_classes(path).names)
    except UsageError as error:
        return [str(error)]
    with path.open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    problems = []
    if header not in (COLUMNS, COLUMNS[:2]):
        problems.append(f"{path}: columns {header}, expected {COLUMNS} or {COLUMNS[:2]}")
    subsets = {}
    for subset in sorted(folder.glob("*.txt")):
        subsets[subset.stem] = own = set(load_classes(subset).names)
        if own - names:
            problems.append(f"{subset}: not among the classes: {shorten(sorted(own - names))}")
    if "base" in subsets:
        base, novel = subsets["base"], subsets.get("novel", set())
        if base & novel or base | novel != names:
            problems.append(f"{folder}: base.txt and novel.txt do not part the classes")
    return problems


def check_descriptors(folder: Path, *, prompts: str = "ost") -> Iterator[DescriptorFile]:
    """Check each ``descriptors/<kind>_<N>.json`` of ``folder``.

    Counts and joins by name (``load_descriptors``), at most 12 words of letters, no text twice in
    the file, no text that only repeats its class name, no prompt over 77 tokens, a README beside.
    """
    vocabulary = load_classes(folder / "classes.csv")
    for path in sorted((folder / "descriptors").glob("*.json")):
        match = FILE_NAME.fullmatch(path.name)
        if match is None:
            yield DescriptorFile(path, "", 0, 0, 0, [f"{path}: expected <kind>_<N>.json"])
            continue
        kind, num = match[1], int(match[2])
        try:
            descriptors = load_descriptors(path, vocabulary, kind=kind, num=num)
        except UsageError as error:
            yield DescriptorFile(path, kind, num, 0, 0, [str(error)])
            continue
        problems = [f"{path}: {p}" for p in _check_texts(vocabulary, descriptors)]
        if not (path.parent / "README.md").is_file():
            problems.append(f"{path.parent}: no README.md that says where the texts are from")
        longest = _longest_prompt(vocabulary, descriptors, kind, prompts)
        if longest > CONTEXT_LENGTH:
            problems.append(f"{path}: a prompt of {longest} tokens, {CONTEXT_LENGTH} at most")
        yield DescriptorFile(path, kind, num, len(vocabulary), longest, problems)


def _check_texts(vocabulary: ClassVocabulary, descriptors: Descriptors) -> Iterator[str]:
    homes: dict[str, list[str]] = defaultdict(list)
    for name, texts in zip(vocabulary.names, descriptors):
        for text in texts:
            homes[text.lower()].append(name)
            if len(text.split()) > MOST_WORDS:
                yield f"class {name!r}: over {MOST_WORDS} words: {text!r}"
            if not LETTERS.fullmatch(text):
                yield f"class {name!r}: other signs than letters: {text!r}"
            if text.lower() == name.lower():
                yield f"class {name!r}: a descriptor is the class name"
    for text, names in homes.items():
        if len(names) > 1:
            yield f"{text!r} stands in {len(names)} classes: {shorten(names)}"
    sets = Counter(frozenset(texts) for texts in descriptors)
    if sets and max(sets.values()) > 1:
        yield "two classes have the same set of descriptors"


def _longest_prompt(
    vocabulary: ClassVocabulary, descriptors: Descriptors, kind: str, prompts: str
) -> int:
    sentences = expand_descriptors(
        get_prompts(prompts), vocabulary, descriptors, conditioned=kind == "temporal"
    )
    flat = [sentence for own in sentences for sentence in own]
    ids_ML = tokenize(flat, context_length=4 * CONTEXT_LENGTH)
    return int(ids_ML.shape[1])
