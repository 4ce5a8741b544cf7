"""Names by shell wildcards: what fits, and what a pattern that fits nothing was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from slowfast.errors import UsageError


def matches(key: str, patterns: Iterable[str]) -> bool:
    """Return whether ``key`` fits any pattern (shell wildcards)."""
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def nearest(word: str, names: Sequence[str], count: int = 3) -> str:
    """Return the names that are most like ``word``, for a message.

    >>> nearest("head.wieght", ["head.weight", "clip.visual.proj", "head.bias"], 2)
    'head.weight, head.bias'
    """
    return ", ".join(difflib.get_close_matches(word, names, count, cutoff=0)) or "none"


def require_matches(patterns: Iterable[str], names: Sequence[str], what: str) -> None:
    """Refuse the first pattern that fits none of ``names``; ``what`` says where it stands.

    Raises:
        UsageError: with the nearest names.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(
                f"{what} {pattern!r} matches no parameter; nearest: {nearest(pattern, names)}"
            )
