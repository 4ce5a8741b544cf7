"""Turn a value as written into the type that an option's default has."""

from __future__ import annotations

import functools
import logging
from ast import literal_eval
from typing import Any

import yaml

_logger = logging.getLogger(__name__)


class WrongType(ValueError):
    """The value does not fit; the message says what was expected."""


@functools.cache
def notice(message: str) -> None:
    """Log ``message`` once in the life of the process.

    A warning, because configs are read before logging is set up: the notice then still reaches the
    console.
    """
    _logger.warning(message)


def literal(text: str) -> Any:
    """Return the Python value that ``text`` spells, or ``text`` itself.

    >>> literal("3.33e-6"), literal("(1, 2)"), literal("true"), literal("a b")
    (3.33e-06, (1, 2), True, 'a b')
    >>> literal("[spatial, temporal]")
    ['spatial', 'temporal']
    """
    word = text.strip()
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    try:
        return literal_eval(word)
    except (ValueError, SyntaxError):
        pass
    if word.startswith("[") and word.endswith("]"):
        try:
            return yaml.safe_load(word)
        except yaml.YAMLError:
            return text
    return text


def coerce(value: Any, default: Any) -> Any:
    """Return ``value`` in the type of ``default``; a default of None takes anything.

    Raises:
        WrongType: it cannot be done without a guess.

    >>> coerce(2, 0.0), coerce("1e-5", 0.0), coerce("TRUE", False), coerce([1], (0.5,))
    (2.0, 1e-05, True, (1.0,))
    >>> coerce("007", ""), coerce("','", ""), coerce(True, "auto")
    ('007', ',', 'True')
    """
    if isinstance(default, str):
        # a switch that may also be left to the program
        return str(value) if default == "auto" and isinstance(value, bool) else _text(value)
    if isinstance(value, str):
        value = literal(value)
    if default is None:
        return value
    if isinstance(default, bool):
        return _exactly(value, bool, "true or false")
    if isinstance(default, int):
        return _exactly(value, int, "a whole number")
    if isinstance(default, float):
        return _float(value)
    return _sequence(value, default)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return _unquoted(value)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise WrongType("text (put it in quotes)")


def _unquoted(text: str) -> str:
    if text == "None":
        return ""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        try:
            inner = literal_eval(text)
        except (ValueError, SyntaxError):
            return text
        return inner if isinstance(inner, str) else text
    return text


def _exactly(value: Any, kind: type, expected: str) -> Any:
    if type(value) is not kind:
        raise WrongType(expected)
    return value


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WrongType("a number")
    return float(value)


def _sequence(value: Any, default: list[Any] | tuple[Any, ...]) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise WrongType(f"a list such as {list(default)!r}" if default else "a list such as [a, b]")
    if default and all(isinstance(item, float) for item in default):
        value = [_float(item) for item in value]
    return type(default)(value)
