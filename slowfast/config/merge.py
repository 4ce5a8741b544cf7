"""Read option values from YAML files and command lines, and merge them into a tree.

Differences from yacs: an int is accepted for a float, ``true`` and ``false`` in any case for a
bool, a text option keeps its text as written, and every refusal names the option, the value, where
it stands and what was expected.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from fvcore.common.config import BASE_KEY

from slowfast.config import coerce, compat
from slowfast.config.paths import find_config
from slowfast.errors import UsageError


class Assignment(NamedTuple):
    """One value for one option: ``source`` says where it stands, ``folder`` holds that file."""

    key: str
    value: Any
    source: str
    folder: Path | None = None


def read_yaml(path: str | Path) -> list[Assignment]:
    """Return the values of the YAML file ``path``, those of its ``_BASE_`` files before its own.

    ``_BASE_`` is one file or a list of files, relative to the file that names them or among those
    that come with the package; later ones win.

    Raises:
        UsageError: the file is missing or is no YAML mapping, or its bases run in a circle.
    """
    return list(_read(find_config(path), ()))


def _read(path: Path, chain: tuple[Path, ...]) -> Iterator[Assignment]:
    here = path.resolve()
    if here in chain:
        circle = " -> ".join(p.name for p in (*chain[chain.index(here) :], here))
        raise UsageError(f"{path}: {BASE_KEY} runs in a circle: {circle}; remove one of them")
    tree = _parse(path)
    bases = tree.pop(BASE_KEY, None) or []
    for base in [bases] if isinstance(bases, str) else bases:
        if not isinstance(base, str):
            raise UsageError(f"{path}: {BASE_KEY} must name files, found {base!r}")
        yield from _read(_find_base(path, base), (*chain, here))
    for key, value in _flatten(tree, "", path):
        yield Assignment(key, value, os.path.normpath(path), path.parent)


def _find_base(path: Path, base: str) -> Path:
    try:
        return find_config(base, path.parent)
    except UsageError as error:
        raise UsageError(f"{path}: {BASE_KEY}: {error}") from None


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.safe_load(text)
        _say_duplicates(yaml.compose(text, Loader=yaml.SafeLoader), path)
    except OSError as error:
        raise UsageError(f"cannot read the config {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text file; expected a YAML config") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"{where}: this is no YAML: {problem}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UsageError(f"{path}: expected sections and options, found {type(tree).__name__}")
    return tree


def _say_duplicates(node: yaml.Node | None, path: Path) -> None:
    """Give a notice of each name that stands twice in a mapping: YAML keeps the last one only."""
    if not isinstance(node, yaml.MappingNode):
        return
    seen = set()
    for key, value in node.value:
        if key.value in seen:
            line = key.start_mark.line + 1
            coerce.notice(f"{path}:{line}: {key.value} stands twice; only this one counts")
        seen.add(key.value)
        _say_duplicates(value, path)


def _flatten(tree: Mapping[Any, Any], prefix: str, path: Path) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if not isinstance(name, str):
            raise UsageError(f"{path}: {prefix}{name!r} is no option name; names are text")
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.", path)
        else:
            yield prefix + name, value


def pairs(words: Sequence[object], source: str = "--opts") -> list[Assignment]:
    """Return the values of alternating keys and values.

    A backslash or a blank where a key is expected is what a shell script leaves behind; it is
    skipped.

    Raises:
        UsageError: a key has no value, or is none.
    """
    assignments = []
    rest = iter(words)
    for word in rest:
        key = str(word).strip()
        if key in ("", "\\"):
            continue
        if key.startswith("-"):
            raise UsageError(f"{source}: expected an option, found {key}; flags go before {source}")
        value = next(rest, None)
        if value is None:
            raise UsageError(f"{source}: {key} has no value; expected pairs KEY VALUE")
        assignments.append(Assignment(key, value, source))
    return assignments


def merge(cfg: Any, assignments: Sequence[Assignment]) -> dict[str, str]:
    """Write ``assignments`` into the tree ``cfg`` in their order, and say where each value is from.

    Options of PySlowFast without a meaning here are dropped with one notice.

    Raises:
        UsageError: an option is unknown or refused, or a value is of the wrong type.
    """
    sources: dict[str, str] = {}
    foreign: dict[str, Any] = {}
    for item in assignments:
        key = item.key if known(cfg, item.key) else compat.RENAMED.get(item.key, item.key)
        if known(cfg, key):
            if _assign(cfg, item._replace(key=key)):
                sources[key] = item.source
        elif compat.is_known(key):
            foreign[key] = _foreign_value(item)
        else:
            raise UsageError(f"unknown option {key} ({item.source}){nearest(cfg, key)}")
    for key, value in compat.carried_over(foreign).items():
        if key not in sources:
            _assign(cfg, Assignment(key, value, "a PySlowFast option"))
            sources[key] = "carried over from a PySlowFast option"
    ignored = compat.without_effect(foreign)
    if ignored:
        coerce.notice(f"PySlowFast options without an effect here: {', '.join(ignored)}")
    return sources


def _foreign_value(item: Assignment) -> Any:
    value = item.value
    if isinstance(value, str):
        value = coerce.literal(value)
    if isinstance(value, tuple):
        value = list(value)
    if reason := compat.refusal(item.key, value):
        raise UsageError(f"{reason} ({item.source})")
    return value


def _node_and_name(cfg: Any, key: str) -> tuple[Any, str]:
    *sections, name = key.split(".")
    node = cfg
    for section in sections:
        node = node[section] if isinstance(node, dict) and section in node else None
    return node, name


def known(cfg: Any, key: str) -> bool:
    """Return whether the tree ``cfg`` has the section or option ``key``.

    >>> known({"A": {"B": 1}}, "A.B"), known({"A": {"B": 1}}, "A.B.C")
    (True, False)
    """
    node, name = _node_and_name(cfg, key)
    return isinstance(node, dict) and name in node


def _assign(cfg: Any, item: Assignment) -> bool:
    """Write one value; returns False for an empty section, which says nothing."""
    node, name = _node_and_name(cfg, item.key)
    old = node[name]
    if isinstance(old, dict):
        if item.value is None:
            return False
        raise UsageError(
            f"{item.key} is a section, found the value {item.value!r} ({item.source}); "
            f"its options: {', '.join(sorted(old)) or 'none'}"
        )
    try:
        node[name] = coerce.coerce(item.value, old)
    except coerce.WrongType as error:
        raise UsageError(
            f"{item.key}: expected {error}, found {item.value!r} ({item.source})"
        ) from None
    return True


def leaves(cfg: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the full name and the value of each option of a tree.

    >>> dict(leaves({"A": {"B": 1}, "C": 2}))
    {'A.B': 1, 'C': 2}
    """
    for name, value in cfg.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def nearest(cfg: Mapping[str, Any], key: str) -> str:
    """Return "; nearest known: ..." for an unknown ``key``, or an empty text.

    The same last name in another section comes before a similar spelling.

    >>> nearest({"SOLVER": {"BASE_LR": 0.1}}, "SOLVER.BASELR")
    '; nearest known: SOLVER.BASE_LR'
    """
    names = [name for name, _ in leaves(cfg)]
    last = key.upper().rpartition(".")[2]
    close = [name for name in names if name.rpartition(".")[2] == last]
    by_upper = {name.upper(): name for name in names}
    similar = difflib.get_close_matches(key.upper(), by_upper, n=2, cutoff=0.6)
    close = list(dict.fromkeys([*close, *(by_upper[name] for name in similar)]))
    exact = by_upper.get(key.upper())
    close = [exact] if exact else close[:3]
    return f"; nearest known: {', '.join(close)}" if close else ""
