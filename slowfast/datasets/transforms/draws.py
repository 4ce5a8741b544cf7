"""Where random transforms take their numbers from.

Every random function of the data code takes a ``Draws``. A run passes NumPy's ``Generator``, seeded
by (seed, epoch, index). PySlowFast and the ViFi-CLIP line draw from three global generators
instead: NumPy's, Python's and torch's; ``LegacyRng`` gives out the same three streams, so that
their recorded results can be replayed. A transform that the published code feeds from Python's
stream asks for ``stream(rng, "python")``, which is ``rng`` itself in a run.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor


@runtime_checkable
class Draws(Protocol):
    """The few methods of ``numpy.random.Generator`` that the transforms use."""

    def random(self) -> float:
        """Return a real number of [0, 1)."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """Return a real number of [low, high)."""
        ...

    def integers(self, low: int, high: int) -> int:
        """Return an integer of low ... high - 1."""
        ...

    def normal(self, loc: float, scale: float) -> float:
        """Return a normal number of this mean and deviation."""
        ...


class _TorchDraws:
    """torch's generator under the names of NumPy's Generator."""

    def __init__(self, source: torch.Generator) -> None:
        self.source = source

    def uniform(self, low: float, high: float) -> float:
        """Return a real number of [low, high)."""
        return float(torch.empty(1).uniform_(low, high, generator=self.source))

    def permutation(self, n: int) -> Sequence[int]:
        """Return 0 ... n - 1 in random order."""
        return torch.randperm(n, generator=self.source).tolist()

    def standard_normal(self, shape: Sequence[int]) -> Tensor:
        """Return independent normal numbers, float32."""
        return torch.empty(tuple(shape)).normal_(generator=self.source)


class LegacyRng:
    """The three generators of the published codes, seeded alike.

    Args:
        seed: what ``numpy.random.seed``, ``random.seed`` and ``torch.manual_seed`` were given
            before the recorded call; None uses those global generators themselves, as people's
            PySlowFast files expect.

    The object itself draws from NumPy's stream; ``python`` and ``torch`` are the other two.

    >>> rng = LegacyRng(3)
    >>> np.random.seed(3); random.seed(3)
    >>> bool(rng.uniform(0, 1) == np.random.uniform(0, 1))
    True
    >>> rng.python.integers(0, 10) == random.randint(0, 9)
    True
    """

    def __init__(self, seed: int | None = None) -> None:
        fresh = seed is not None
        state: Any = np.random.RandomState(seed) if fresh else np.random
        source: Any = random.Random(seed) if fresh else random
        self.random, self.uniform, self.normal = state.random_sample, state.uniform, state.normal
        self.integers, self.beta, self.choice = state.randint, state.beta, state.choice
        self.python = SimpleNamespace(
            random=source.random,
            uniform=source.uniform,
            normal=source.gauss,
            integers=lambda low, high: source.randint(low, high - 1),
        )
        self.torch = _TorchDraws(
            torch.default_generator if seed is None else torch.Generator().manual_seed(seed)
        )


def stream(rng: Draws, name: str) -> Any:
    """Return the ``name`` ("python" or "torch") stream of a LegacyRng, or ``rng`` itself."""
    return getattr(rng, name, rng) if isinstance(rng, LegacyRng) else rng


def standard_normal(rng: Draws, shape: Sequence[int]) -> Tensor:
    """Return float32 normal numbers of ``shape`` from torch's stream or from ``rng`` itself."""
    source = stream(rng, "torch")
    if isinstance(source, _TorchDraws):
        return source.standard_normal(shape)
    values = cast(np.random.Generator, source).standard_normal(tuple(shape), dtype=np.float32)
    return torch.from_numpy(values)
