"""A registry that states its contract and answers a typo with the choices."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from fvcore.common.registry import Registry as _Registry

from slowfast.errors import UsageError


class Registry(_Registry):
    """fvcore's registry with the contract of its entries and a helpful miss.

    Args:
        name: what is registered, in capitals ("MODEL", "HEAD").
        contract: how an entry is called and what it returns, in one line.

    >>> heads = Registry("HEAD", contract="obj(cfg) -> module")
    >>> @heads.register()
    ... class OSTHead: ...
    >>> heads.names()
    ['OSTHead']
    >>> heads.get("Osthead")
    Traceback (most recent call last):
        ...
    slowfast.errors.UsageError: no HEAD named 'Osthead'; known: OSTHead; did you mean 'OSTHead'?
    """

    def __init__(self, name: str, *, contract: str) -> None:
        super().__init__(name)
        self.contract = contract

    def register(self, obj: Any = None, *, names: Sequence[str] = ()) -> Any:
        """Register ``obj`` under its own name or under ``names``; a decorator without ``obj``.

        >>> rules = Registry("RULE", contract="obj(n) -> indices")
        >>> @rules.register(names=["plain", "published"])
        ... def every_frame(n): ...
        >>> rules.names()
        ['plain', 'published']
        """

        def add(entry: Any) -> Any:
            for name in names or (entry.__name__,):
                self._do_register(name, entry)
            return entry

        return add if obj is None else add(obj)

    def names(self) -> list[str]:
        """Return the registered names, sorted."""
        return sorted(name for name, _ in self)

    def get(self, name: str) -> Any:
        """Return the entry called ``name``; raises UsageError that lists the known names."""
        if name in self:
            return super().get(name)
        known = self.names()
        near = difflib.get_close_matches(name.lower(), [k.lower() for k in known], n=1)
        hint = next((f"; did you mean {k!r}?" for k in known if near and k.lower() == near[0]), "")
        raise UsageError(
            f"no {self._name} named {name!r}; known: {', '.join(known) or 'none'}{hint}"
        )
