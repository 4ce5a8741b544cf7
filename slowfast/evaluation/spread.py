"""Means over runs and how far the runs lie apart; importing it needs no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slowfast.errors import UsageError


def harmonic_mean(first: float, second: float) -> float:
    """Return 2 a b / (a + b), which sums up base and novel accuracy; 0 when both are 0.

    >>> harmonic_mean(80.0, 60.0)
    68.57142857142857
    """
    return 2.0 * first * second / (first + second) if first + second else 0.0


class Spread(NamedTuple):
    """Mean and both standard deviations of a few runs; papers rarely say which one they print."""

    mean: float
    population_std: float
    sample_std: float
    runs: int


def spread(values: Sequence[float]) -> Spread:
    """Return the mean and the standard deviations over splits or seeds.

    The sample deviation of one value is NaN. Raises UsageError without values.

    >>> spread([1.0, 2.0, 3.0])
    Spread(mean=2.0, population_std=0.816496580927726, sample_std=1.0, runs=3)
    """
    count = len(values)
    if not count:
        raise UsageError("mean and deviation of no values: give at least one result")
    sample = float(np.std(values, ddof=1)) if count > 1 else math.nan
    return Spread(float(np.mean(values)), float(np.std(values)), sample, count)
