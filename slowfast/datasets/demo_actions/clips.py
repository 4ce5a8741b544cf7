"""Draws the description of a clip at random: background, size, length, rate, pace, shake, noise."""

from __future__ import annotations

import colorsys
import math

import numpy as np

from slowfast.datasets.demo_actions.drawing import BACKGROUNDS, RGB, ClipSpec
from slowfast.datasets.demo_actions.vocabulary import Composition
from slowfast.utils.rng import generator

SHORT_SIDES = (64, 70, 76, 84, 90)
ASPECTS = (0.75, 0.8, 1.0, 1.0, 1.25, 1.25)
RATES = (12, 15, 20, 24, 25, 30)
SECONDS = (1.0, 3.0)


def _grey(rng: np.random.Generator) -> tuple[float, float, float]:
    """Return a background colour: of any brightness, but never as vivid as a figure."""
    return colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0, 0.25), rng.uniform(0.15, 0.9))


def _even(length: float) -> int:
    """Round to an even number, as 4:2:0 video needs."""
    return 2 * round(length / 2)


def random_clip(composition: Composition, seed: int, index: int) -> ClipSpec:
    """Describe clip ``index`` of a data set made with ``seed``; a function of its arguments alone.

    >>> red = Composition("red", "square", "spinning")
    >>> random_clip(red, 0, 7) == random_clip(red, 0, 7)
    True
    """
    rng = generator(seed, index)
    fps = int(rng.choice(RATES))
    dimming = rng.uniform(0.75, 1.0)
    short, aspect = int(rng.choice(SHORT_SIDES)), float(rng.choice(ASPECTS))
    red, green, blue = (float(np.clip(dimming * v, 0, 1)) for v in RGB[composition.colour])
    return ClipSpec(
        composition=composition,
        num_frames=round(fps * (SECONDS[0] + (SECONDS[1] - SECONDS[0]) * rng.uniform() ** 2)),
        fps=fps,
        height=_even(short / min(aspect, 1.0)),
        width=_even(short * max(aspect, 1.0)),
        rgb=(red, green, blue),
        background=str(rng.choice(list(BACKGROUNDS))),
        background_rgb=(_grey(rng), _grey(rng)),
        radius=rng.uniform(0.22, 0.32),
        offset=(rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1)),
        tilt=rng.uniform(-0.12, 0.12),
        pace=rng.uniform(),
        heading=rng.uniform(0, 2 * math.pi),
        shake=rng.uniform(0, 1.5),
        noise=rng.uniform(0.005, 0.025),
        noise_seed=int(rng.integers(2**31)),
    )
