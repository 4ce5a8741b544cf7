"""A config as YAML for people: with the sources of its values, or what differs from the defaults.

PySlowFast's options that only a user's own code can read (``compat.QUIET``) are left out where they
were not changed.
"""

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


def full_yaml(cfg: Mapping[str, Any]) -> str:
    """Return every option as a YAML file that loads to ``cfg`` though our defaults change."""
    hidden = compat.QUIET.difference(changed(cfg))
    return _render(cfg, lambda key: None if key in hidden else "")


def diff_yaml(cfg: Mapping[str, Any]) -> str:
    """Return the options that differ from the defaults, as a YAML file that loads to ``cfg``."""
    keys = set(changed(cfg))
    return _render(cfg, lambda key: "" if key in keys else None)


def annotated_yaml(
    cfg: Mapping[str, Any], sources: Mapping[str, str], *, only_set: bool = False
) -> str:
    """Return the options as YAML, each with a comment that says where its value was set.

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


def _render(node: Mapping[str, Any], comment: Callable[[str], str | None], prefix: str = "") -> str:
    """Write the options for which ``comment(key)`` is not None, plain ones before sections."""
    indent, text = "  " * prefix.count("."), ""
    for name in sorted(node, key=lambda name: (isinstance(node[name], dict), name)):
        if isinstance(node[name], dict):
            inner = _render(node[name], comment, f"{prefix}{name}.")
            text += f"{indent}{name}:\n{inner}" if inner else ""
        elif (note := comment(prefix + name)) is not None:
            text += f"{indent}{name}: {_scalar(node[name])}{note}\n"
    return text if text or prefix else "{}\n"


def _scalar(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
