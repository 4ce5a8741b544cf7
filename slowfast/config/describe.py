"""What a part (encoder, head, model, loss, optimizer) says of itself, so that results can.

A part may have

* ``options``: the options that describe it, each as "SECTION.NAME", or "SECTION" for all options of
  a section that this part alone reads. ``results.json`` holds them;
* ``describe(options) -> words``: what tells its results from those of the part as published, from
  the values of those options by name. Without it, that is every one that is not its default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from slowfast.config import compat, tree
from slowfast.config.defaults import get_cfg
from slowfast.config.show import changed
from slowfast.errors import UsageError


def options_of(cfg: Mapping[str, Any], part: Any) -> dict[str, Any]:
    """Return the options that describe a part, by full name.

    Raises:
        UsageError: the part names one that does not exist.
    """
    leaves = dict(tree.leaves(cfg))
    found: dict[str, Any] = {}
    for name in _names_of(part):
        own = {key: leaves[key] for key in leaves if _covers([name], key)}
        if not own:
            owner = getattr(part, "__name__", type(part).__name__)
            raise UsageError(f"{owner} is described by {name}, which is no option")
        found |= own
    return found


def options_in_use(
    cfg: Mapping[str, Any], parts: Iterable[Any], registered: Iterable[Any]
) -> dict[str, Any]:
    """Return the options that a run reads, by full name.

    That is all but those that describe ``registered`` parts and none of ``parts``, which are in
    use, and those of PySlowFast that only a user's own code may read and nobody has changed.
    """
    own = [name for part in parts for name in _names_of(part)]
    others = {name for part in registered for name in _names_of(part)}
    hidden = compat.QUIET.difference(changed(cfg))
    return {
        key: value
        for key, value in tree.leaves(cfg)
        if key not in hidden and (_covers(own, key) or not _covers(others, key))
    }


def unread(cfg: Mapping[str, Any], part: Any, other: Any) -> list[str]:
    """Return the changed options, each with its value, that describe ``other`` and not ``part``."""
    own, others = _names_of(part), _names_of(other)
    keys = [key for key in changed(cfg) if _covers(others, key) and not _covers(own, key)]
    return [f"{key} {tree.get(cfg, key)}" for key in keys]


def _names_of(part: Any) -> tuple[str, ...]:
    """Return what a part's ``options`` name; nothing where that is a foreign model's own."""
    names = getattr(part, "options", ())
    names = (names,) if isinstance(names, str) else names
    return names if isinstance(names, tuple) else ()


def _covers(names: Iterable[str], key: str) -> bool:
    """Return whether an option is one of ``names`` or lies in a section of these."""
    return any(f"{key}.".startswith(f"{name}.") for name in names)


def words_of(part: Any, options: Mapping[str, Any]) -> list[str]:
    """Return what tells a part's results from those of the part as published."""
    return getattr(part, "describe", changed_words)(options)


def changed_words(options: Mapping[str, Any]) -> list[str]:
    """Return the name and value of every option that is not its default, in words.

    >>> changed_words({"OST.MATCHING": "pooled", "OST.CONDITION": [], "OST.EPSILON": 0.1})
    ['matching pooled', 'condition none']
    """
    defaults = dict(tree.leaves(get_cfg()))
    return [
        f"{name.rpartition('.')[2].lower().replace('_', ' ')} {_text(value)}"
        for name, value in options.items()
        if _text(value) != _text(defaults.get(name))
    ]


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "+".join(sorted(map(str, value))) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
