"""Proofs about a folder of ``label_db``: classes, subsets and descriptors fit together.

K classes, N descriptors of a class and kind.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
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
    """What was found in one descriptor file.

    ``longest`` counts tokens inside the prompt; ``named`` says of how many of the classes that have
    an object a text names it ("88 of 89"), and is empty where that is not asked for.
    """

    path: Path
    kind: str
    num: int
    classes: int = 0
    longest: int = 0
    named: str = ""
    problems: Sequence[str] = ()


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
    Of the sets of one kind, each stands within the next larger one, in the same order. With an
    ``objects.json`` ({class: words of which one must stand in a spatial text}), that it is so.
    """
    vocabulary = load_classes(folder / "classes.csv")
    objects, wrong = _read_objects(folder / "objects.json", vocabulary)
    smaller: dict[str, tuple[Path, Descriptors]] = {}
    for path in sorted((folder / "descriptors").glob("*.json"), key=_kind_and_number):
        kind, num = _kind_and_number(path)
        if not num:
            yield DescriptorFile(path, "", 0, problems=[f"{path}: expected <kind>_<N>.json"])
            continue
        try:
            descriptors = load_descriptors(path, vocabulary, kind=kind, num=num)
        except UsageError as error:
            yield DescriptorFile(path, kind, num, problems=[str(error)])
            continue
        problems = [f"{path}: {p}" for p in _check_texts(vocabulary, descriptors)]
        if not (path.parent / "README.md").is_file():
            problems.append(f"{path.parent}: no README.md that says where the texts are from")
        longest = _longest_prompt(vocabulary, descriptors, kind, prompts)
        if longest > CONTEXT_LENGTH:
            problems.append(f"{path}: a prompt of {longest} tokens, {CONTEXT_LENGTH} at most")
        if kind in smaller:
            within, texts = smaller[kind]
            apart = [n for n, few, all_ in zip(vocabulary.names, texts, descriptors)
                     if not _is_within(few, all_)]  # fmt: skip
            if apart:
                problems.append(f"{path}: does not hold {within.name} of {shorten(apart)} in order")
        smaller[kind] = path, descriptors
        named = ""
        if kind == "spatial" and objects:
            held = dict(zip(vocabulary.names, descriptors))
            unnamed = [name for name, words in objects.items() if not _names(held[name], words)]
            named = f"{len(objects) - len(unnamed)} of {len(objects)}"
            if unnamed:
                problems.append(f"{path}: no text names the object of {shorten(unnamed)}")
        problems, wrong = [*wrong, *problems], []
        yield DescriptorFile(path, kind, num, len(vocabulary), longest, named, problems)


def _kind_and_number(path: Path) -> tuple[str, int]:
    match = FILE_NAME.fullmatch(path.name)
    return (match[1], int(match[2])) if match else (path.name, 0)


def _read_objects(
    path: Path, vocabulary: ClassVocabulary
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the words that name each class's object, and what is wrong with their file."""
    if not path.is_file():
        return {}, []
    found = json.loads(path.read_text(encoding="utf-8"))
    unknown = sorted(set(found) - set(vocabulary.names))
    if unknown:
        return {}, [f"{path}: not among the classes: {shorten(unknown)}"]
    return found, []


def _names(texts: Sequence[str], words: Sequence[str]) -> bool:
    pattern = "|".join(map(re.escape, words))
    return any(re.search(rf"\b(?:{pattern})\b", text, re.IGNORECASE) for text in texts)


def _is_within(few: Sequence[str], many: Sequence[str]) -> bool:
    """Whether all of ``few`` stand in ``many``, in the same order."""
    rest = iter(many)
    return all(text in rest for text in few)


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
