"""What a part (encoder, head, model, loss, optimizer) says of itself, so that results can.

A part may have

* ``options``: the options that describe it, each as "SECTION.NAME", or "SECTION" for all options of
  a section that this part alone reads. ``results.json`` holds them;
* ``describe(options) -> words``: what tells its results from those of the part as published, from
  the values of those options by name. Without it, that is every one that is not its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slowfast.config.defaults import get_cfg
from slowfast.config.tree import leaves as leaves_of
from slowfast.errors import UsageError


def options_of(cfg: Mapping[str, Any], part: Any) -> dict[str, Any]:
    """Return the options that describe a part, by full name.

    Raises:
        UsageError: the part names one that does not exist.
    """
    leaves = dict(leaves_of(cfg))
    found: dict[str, Any] = {}
    names = getattr(part, "options", ())
    names = (names,) if isinstance(names, str) else names
    for name in names if isinstance(names, tuple) else ():  # else not ours: a foreign model's own
        own = {key: leaves[key] for key in leaves if f"{key}.".startswith(f"{name}.")}
        if not own:
            owner = getattr(part, "__name__", type(part).__name__)
            raise UsageError(f"{owner} is described by {name}, which is no option")
        found |= own
    return found


def words_of(part: Any, options: Mapping[str, Any]) -> list[str]:
    """Return what tells a part's results from those of the part as published."""
    return getattr(part, "describe", changed_words)(options)


def changed_words(options: Mapping[str, Any]) -> list[str]:
    """Return the name and value of every option that is not its default, in words.

    >>> changed_words({"OST.MATCHING": "pooled", "OST.CONDITION": [], "OST.EPSILON": 0.1})
    ['matching pooled', 'condition none']
    """
    defaults = dict(leaves_of(get_cfg()))
    return [
        f"{name.rpartition('.')[2].lower().replace('_', ' ')} {_text(value)}"
        for name, value in options.items()
        if _text(value) != _text(defaults.get(name))
    ]


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "+".join(sorted(map(str, value))) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
