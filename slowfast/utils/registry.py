"""A registry that states its contract, answers a typo with the choices and a breach with both."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

from fvcore.common.registry import Registry as _Registry

from slowfast.errors import UsageError


class Registry(_Registry):
    """fvcore's registry with the contract of its entries, a helpful miss and a helpful breach.

    Args:
        name: what is registered, in capitals ("MODEL", "HEAD").
        contract: how an entry is called and what it returns, in one line.
        key: the option that names an entry, for messages.

    >>> heads = Registry("HEAD", contract="obj(cfg) -> module")
    >>> @heads.register()
    ... class OSTHead: ...
    >>> heads.names()
    ['OSTHead']
    >>> heads.get("Osthead")
    Traceback (most recent call last):
        ...
    slowfast.errors.UsageError: no HEAD named 'Osthead'; known: OSTHead; did you mean 'OSTHead'?
    >>> raise heads.returned(OSTHead(), [1, 2])
    Traceback (most recent call last):
        ...
    slowfast.errors.UsageError: HEAD OSTHead returned a list of 2; expected obj(cfg) -> module
    """

    def __init__(self, name: str, *, contract: str, key: str = "") -> None:
        super().__init__(name)
        self.contract = contract
        self.key = key

    def register(self, obj: Any = None, *, names: Sequence[str] = (), **marks: Any) -> Any:
        """Register a class or function, as a decorator or called, and return it.

        Args:
            obj: what is registered.
            names: under which; its own if empty.
            marks: set as attributes on it, for a function that says something about itself.

        An entry of ours whose ``replaceable`` is true gives way to people's own of its name, as
        PySlowFast's users edit its networks under their names.

        Raises:
            UsageError: the name is taken.
        """
        if obj is None:
            return partial(self.register, names=names, **marks)
        for name in names or (obj.__name__,):
            if name in self and not getattr(self.get(name), "replaceable", False):
                raise UsageError(
                    f"{self._name} {name!r} is registered twice: rename one of the two"
                )
            self._obj_map.pop(name, None)
            self._do_register(name, obj)
        for mark, value in marks.items():
            setattr(obj, mark, value)
        return obj

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
        where = f"{self.key}: " if self.key else ""
        raise UsageError(
            f"{where}no {self._name} named {name!r}; known: {', '.join(known) or 'none'}{hint}"
        )

    def build(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return what the entry ``name`` makes of the arguments.

        Raises:
            UsageError: no such entry, or one that does not take these arguments.
        """
        entry = self.get(name)
        signature = inspect.signature(getattr(entry, "from_cfg", entry))
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise self.broken(entry, f"takes {signature}: {error}") from None
        return entry(*args, **kwargs)

    def broken(self, obj: Any, found: str) -> UsageError:
        """Return the error for an entry (or what it built) that breaks the contract.

        Args:
            obj: the class, the function or an instance.
            found: what it did instead, as a verb and its object.
        """
        name = getattr(obj, "__name__", type(obj).__name__)
        return UsageError(f"{self._name} {name} {found}; expected {self.contract}")

    def returned(self, obj: Any, value: Any) -> UsageError:
        """Return the error for an entry (or what it built) that returned ``value``."""
        if value is None:
            return self.broken(obj, "returned None")
        size = ""
        if hasattr(value, "shape"):
            size = f" of shape {tuple(value.shape)}"
        elif isinstance(value, list | tuple | dict):
            size = f" of {len(value)}"
        return self.broken(obj, f"returned a {type(value).__name__}{size}")
