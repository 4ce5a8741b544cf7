"""A config as YAML for people: all of it with sources, or what differs from the defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import yaml

from slowfast.config import compat, tree
from slowfast.config.defaults import get_cfg


def changed(cfg: Mapping[str, Any]) -> list[str]:
    """Return the full names of the options whose values are not the defaults."""
    defaults = dict(tree.leaves(get_cfg()))
    return [key for key, value in tree.leaves(cfg) if value != defaults.get(key, _ABSENT)]


_ABSENT = object()


def diff_yaml(cfg: Mapping[str, Any]) -> str:
    """Return the options that differ from the defaults, as a YAML file that loads to ``cfg``."""
    keys = set(changed(cfg))
    return _render(cfg, lambda key: "" if key in keys else None)


def annotated_yaml(
    cfg: Mapping[str, Any], sources: Mapping[str, str], *, only_set: bool = False
) -> str:
    """Return the options as YAML, each with a comment that says where its value was set.

    Options that only a user's own code can read (``compat.QUIET``) are left out where nothing set
    them.

    Args:
        cfg: the config.
        sources: what ``load_cfg_with_sources`` returned beside it.
        only_set: leave out what no file or override has set.
    """

    def comment(key: str) -> str | None:
        if key in sources:
            return f"  # {sources[key]}"
        return None if only_set or key in compat.QUIET else "  # default"

    return _render(cfg, comment)


def _render(cfg: Mapping[str, Any], comment: Callable[[str], str | None]) -> str:
    """Write the options for which ``comment(key)`` is not None, plain ones before sections."""
    lines = _lines(cfg, "", comment)
    return "\n".join(lines) + "\n" if lines else "{}\n"


def _lines(node: Mapping[str, Any], prefix: str, comment: Callable[[str], str | None]) -> list[str]:
    indent = "  " * prefix.count(".")
    lines: list[str] = []
    for name in sorted(node, key=lambda name: (isinstance(node[name], dict), name)):
        value = node[name]
        if isinstance(value, dict):
            inner = _lines(value, f"{prefix}{name}.", comment)
            lines += [f"{indent}{name}:", *inner] if inner else []
        elif (note := comment(prefix + name)) is not None:
            lines.append(f"{indent}{name}: {_scalar(value)}{note}")
    return lines


def _scalar(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
