"""Read option values from YAML files and command lines, and merge them into a tree.

Differences from yacs: an int is accepted for a float, ``true`` and ``false`` in any case for a
bool, a text option keeps its text as written, and every refusal names the option, the value, where
it stands and what was expected.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from fvcore.common.config import BASE_KEY

from slowfast.config import coerce, compat
from slowfast.config.paths import find_config
from slowfast.config.tree import get, known, leaves
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


def declared(cfg: Any) -> list[Assignment]:
    """Return the forks' options that an extension declares with other defaults than theirs."""
    return [
        Assignment(key, get(cfg, key), "declared by an extension")
        for key, value in compat.IDLE.items()
        if compat.is_declared(cfg, key) and get(cfg, key) != value
    ]


def merge(cfg: Any, assignments: Sequence[Assignment]) -> dict[str, str]:
    """Write ``assignments`` into the tree ``cfg`` in their order, and say where each value is from.

    What is set for an option of PySlowFast's forks holds for the one of ours that it stands for,
    unless the same or a later file sets that too. Forks' options that ``cfg`` lacks are dropped,
    and one notice names all options that change nothing.

    Raises:
        UsageError: options are unknown, one is refused, or a value is of the wrong type.
        AttributeError: the tree is frozen.
    """
    trees = (cfg, type(cfg)(compat.FORKS))
    sources: dict[str, str] = {}
    layers: dict[str, int] = {}
    unknown: list[Assignment] = []
    for layer, (_, items) in enumerate(groupby(assignments, key=attrgetter("source"))):
        for item in items:
            if not any(known(options, item.key) for options in trees):
                unknown.append(item)
            elif _assign(trees, item):
                sources[item.key], layers[item.key] = item.source, layer
    foreign = {item.key for item in unknown if compat.in_task_section(item.key)}
    _refuse_unknown(cfg, [item for item in unknown if item.key not in foreign])
    for options in trees:
        compat.refuse(options, sources)
    followed = _carry_over(trees, sources, layers)
    idle = {key: value for key, value in compat.IDLE.items() if not compat.is_declared(cfg, key)}
    changed = {key for key in idle.keys() & sources if _value(trees, key) != idle[key]}
    if ignored := sorted(changed - followed | foreign):
        coerce.notice(f"PySlowFast options without an effect here: {', '.join(ignored)}")
    return {key: source for key, source in sources.items() if known(cfg, key)}


def _refuse_unknown(cfg: Any, unknown: Sequence[Assignment]) -> None:
    if not unknown:
        return
    named = [f"{item.key} ({item.source}{nearest(cfg, item.key)})" for item in unknown]
    raise UsageError(
        f"unknown option{'s' if len(named) > 1 else ''} {', '.join(named)}; an option of your own "
        "is declared with register_options, or in add_custom_config (docs/add_a_method.md)"
    )


def _value(trees: Sequence[Any], key: str) -> Any:
    return next(get(options, key) for options in trees if known(options, key))


def _carry_over(
    trees: Sequence[Any], sources: dict[str, str], layers: Mapping[str, int]
) -> set[str]:
    """Write what forks' options say into ours; returns the names of those that were followed."""
    followed: set[str] = set()
    for source, target, switch in compat.CARRIED:
        value, given = _value(trees, source), layers.get(source, -1)
        is_off = switch and (_value(trees, switch) is not True or value in (None, ""))
        if is_off or layers.keys().isdisjoint((source, switch)):
            continue
        followed |= {source, switch}
        if target not in layers or layers[target] < given:
            where = f"{source}, {sources.get(source) or sources[switch]}"
            _assign(trees, Assignment(target, value, where))
            sources[target] = where
        elif (ours := _value(trees, target)) != value:
            coerce.notice(
                f"{source} {value!r} is not followed, since {target} is set as well: "
                f"{ours!r} ({sources[target]})"
            )
    return followed


def _assign(trees: Sequence[Any], item: Assignment) -> bool:
    """Write one value where it is known; returns False for an empty section, which says nothing."""
    section, _, name = item.key.rpartition(".")
    node = next(options for options in trees if known(options, item.key))
    node = get(node, section) if section else node
    old = node[name]
    if isinstance(old, dict):
        if item.value is None:
            return False
        raise UsageError(
            f"{item.key} is a section, found the value {item.value!r} ({item.source}); "
            f"its options: {', '.join(sorted(old)) or 'none'}"
        )
    try:
        setattr(node, name, coerce.coerce(item.value, old))
    except coerce.WrongType as error:
        raise UsageError(
            f"{item.key}: expected {error}, found {item.value!r} ({item.source})"
        ) from None
    return True


def nearest(cfg: Mapping[str, Any], key: str) -> str:
    """Return "; nearest known: ..." for an unknown ``key``, or an empty text.

    The same last name in another section comes before a similar spelling.

    >>> nearest({"SOLVER": {"BASE_LR": 0.1}}, "SOLVER.BASELR")
    '; nearest known: SOLVER.BASE_LR'
    """
    by_upper = {name.upper(): name for name, _ in leaves(cfg)}
    upper = key.upper()
    same_last = [name for name in by_upper if name.rpartition(".")[2] == upper.rpartition(".")[2]]
    similar = difflib.get_close_matches(upper, by_upper, n=2, cutoff=0.6)
    close = [upper] if upper in by_upper else list(dict.fromkeys([*same_last, *similar]))[:3]
    return f"; nearest known: {', '.join(by_upper[name] for name in close)}" if close else ""
