"""Descriptor files: read, checked, and joined to the classes by name."""

from __future__ import annotations

import logging
import operator
import re
from collections import Counter
from pathlib import Path
from typing import Any

from slowfast.config.paths import find_file
from slowfast.errors import UsageError
from slowfast.text.labels import ClassVocabulary, load_classes, parse_json, shorten, spelling_key

logger = logging.getLogger(__name__)
PROVEN_SHARE = 0.9
STEM = 3  # letters of a word that its forms share
Descriptors = tuple[tuple[str, ...], ...]


def load_descriptors(
    path: str | Path,
    vocabulary: ClassVocabulary,
    *,
    kind: str,
    num: int = 0,
    used: ClassVocabulary | None = None,
) -> Descriptors:
    """Read N descriptors for each of the K classes, in the order of ``used``.

    The file is ``{"class name": ["descriptor", ... N]}``. The released files of OST have decimal
    ids ("0", "1", ...) for keys, positions in a list of classes that they do not name. They are
    joined by id where it is proven that this list is ``vocabulary``, for 90 % of the classes: by a
    list of classes beside the file (classes.csv, .txt or .json), or by texts that name their class,
    in the file itself or in the temporal one that belongs to a spatial one.

    Args:
        vocabulary: all classes that the file may be about.
        kind: "spatial" or "temporal", for messages.
        num: the expected N; 0 takes what the file has.
        used: those of ``vocabulary`` whose descriptors are wanted and must be there (default: all).

    Raises:
        UsageError: no file, no JSON object of lists of strings, missing or surplus class, lists of
            different or wrong length, an empty text, the same text twice in a class (a warning for
            the released files, which hold some), ids without a proof.
    """
    path = find_file(path, f"file of {kind} descriptors (TEXT.{kind.upper()})")
    table = _read_table(path)
    by_id = bool(table) and set(table) == {str(label) for label in range(len(table))}
    if by_id and len(table) == len(vocabulary):
        _prove_ids(path, table, vocabulary, kind)
        table = {name: table[str(label)] for label, name in enumerate(vocabulary.names)}
    elif by_id:
        raise UsageError(
            f"{path}: {kind} descriptors for ids 0 to {len(table) - 1}, "
            f"but there are {len(vocabulary)} classes"
        )
    used = used or vocabulary
    _check_classes(path, table, vocabulary, used, kind)
    count = num or len(table[used.names[0]])
    for name in table:
        _check_texts(path, name, table[name], count, kind, tolerate_repeats=by_id)
    return tuple(tuple(table[name]) for name in used.names)


def _read_table(path: Path) -> dict[str, list[str]]:
    def refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if twice := [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]:
            raise UsageError(f"{path}: the same class twice: {shorten(twice)}")
        return dict(pairs)

    text = path.read_text(encoding="utf-8-sig")
    table = parse_json(text, path, object_pairs_hook=refuse_repeats)
    if not isinstance(table, dict):
        raise UsageError(f"{path}: expected an object of class name to list of descriptors")
    for name, texts in table.items():
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise UsageError(f"{path}: class {name!r}: expected a list of strings")
    return table


def _prove_ids(
    path: Path, table: dict[str, list[str]], vocabulary: ClassVocabulary, kind: str
) -> None:
    """Refuse ids that nothing shows to count ``vocabulary``: other splits have the same ids."""
    beside = (path.with_name(f"classes{suffix}") for suffix in (".csv", ".txt", ".json"))
    proof = next((own for own in beside if own.is_file()), None)
    if proof:
        names, ours = (list(map(spelling_key, v.names)) for v in (load_classes(proof), vocabulary))
        agreeing = sum(map(operator.eq, names, ours)) if len(names) == len(ours) else 0
    else:
        tables = [table, *map(_read_table, _temporal_of(path))]
        agreeing = max(_count_named(own, vocabulary) for own in tables)
    if agreeing >= PROVEN_SHARE * len(vocabulary):
        return
    found = (
        f"by {proof}" if proof else "as no list of classes is beside it, by texts that name them"
    )
    raise UsageError(
        f"{path}: {kind} descriptors for the ids 0 to {len(table) - 1}, which are proven to count "
        f"the classes (TEXT.CLASSES) for {agreeing} of {len(vocabulary)} only, {found}; "
        f"{PROVEN_SHARE:.0%} are needed. Take the file of these classes, put the list that its ids "
        "count beside it as classes.csv, or key it by class names"
    )


def _temporal_of(path: Path) -> list[Path]:
    """Return the temporal file that belongs to a spatial one, by the released files' names."""
    name, folder = (re.sub("spatio|spatial", "temporal", p) for p in (path.name, path.parent.name))
    others = path.with_name(name), path.parent.with_name(folder) / path.name
    return [other for other in others if other != path and other.is_file()]


def _count_named(table: dict[str, list[str]], vocabulary: ClassVocabulary) -> int:
    """Return for how many classes the texts of their id name them."""
    return sum(_is_named(name, table.get(str(i), [])) for i, name in enumerate(vocabulary.names))


def _is_named(name: str, texts: list[str]) -> bool:
    """Whether ``texts`` hold the beginning of each word of ``name``: words are inflected.

    >>> _is_named("riding a bike", ["A man rides his bike."]), _is_named("ski jump", ["A jump"])
    (True, False)
    """
    words = re.findall(r"[a-z]+|[A-Z]+[a-z]*|\d+", name)
    found = spelling_key(" ".join(texts))
    return all(word.casefold()[:STEM] in found for word in words)


def _check_classes(
    path: Path,
    table: dict[str, list[str]],
    vocabulary: ClassVocabulary,
    used: ClassVocabulary,
    kind: str,
) -> None:
    if missing := [name for name in used.names if name not in table]:
        raise UsageError(f"{path}: no {kind} descriptors for {shorten(missing)}")
    known = set(vocabulary.names)
    if surplus := [name for name in table if name not in known]:
        raise UsageError(
            f"{path}: {kind} descriptors for {shorten(surplus)}, not among the classes; "
            "check TEXT.CLASSES (a subset of classes is chosen by TEXT.SUBSET)"
        )


def _check_texts(
    path: Path, name: str, texts: list[str], count: int, kind: str, *, tolerate_repeats: bool
) -> None:
    where = f"{path}: class {name!r}"
    if len(texts) != count or not texts:
        raise UsageError(f"{where}: {len(texts)} {kind} descriptors, expected {max(count, 1)}")
    if any(not text.strip() for text in texts):
        raise UsageError(f"{where}: a {kind} descriptor is empty")
    if len(set(texts)) < len(texts):
        twice = [text for text, times in Counter(texts).items() if times > 1]
        if not tolerate_repeats:
            raise UsageError(f"{where}: the same {kind} descriptor twice: {shorten(twice)}")
        logger.warning("%s: the same %s descriptor twice: %s", where, kind, shorten(twice))
