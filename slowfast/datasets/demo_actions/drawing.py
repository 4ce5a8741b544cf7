"""Pure drawing: a description of a clip, drawn at random, and its frames; no files here.

Shapes: T frames, H W image, I instances of the figure in one frame (two once it has split).
Lengths are in units of the shorter image side, angles in radians, times run from 0 to 1.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.demo_actions.vocabulary import Composition
from slowfast.utils.rng import generator

Array = NDArray[np.floating[Any]]

RGB = {
    "red": (0.88, 0.10, 0.12),
    "green": (0.10, 0.70, 0.18),
    "blue": (0.12, 0.22, 0.90),
    "yellow": (0.96, 0.88, 0.12),
}
SHORT_SIDES = (64, 70, 76, 84, 90)
ASPECTS = (0.75, 0.8, 1.0, 1.0, 1.25, 1.25)
RATES = (12, 15, 20, 24, 25, 30)
SECONDS = (1.0, 3.0)


class Poses(NamedTuple):
    """Where the figure is: arrays T x I, and whether it shows at all (T)."""

    x: Array
    y: Array
    radius: Array
    angle: Array
    visible: Array


class ClipSpec(NamedTuple):
    """Everything that decides the frames of one clip, noise included (by ``noise_seed``).

    ``pace`` lies in [0, 1] and means how lively the motion is; ``heading`` is its direction.
    ``offset`` is the figure's place relative to the centre; ``shake`` is in pixels.
    """

    composition: Composition
    num_frames: int
    fps: int
    height: int
    width: int
    rgb: tuple[float, float, float]
    background: str
    background_rgb: tuple[tuple[float, float, float], tuple[float, float, float]]
    radius: float
    offset: tuple[float, float]
    tilt: float
    pace: float
    heading: float
    shake: float
    noise: float
    noise_seed: int


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


def _grey(rng: np.random.Generator) -> tuple[float, float, float]:
    """Return a background colour: of any brightness, but never as vivid as a figure."""
    return colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0, 0.25), rng.uniform(0.15, 0.9))


def _even(length: float) -> int:
    """Round to an even number, as 4:2:0 video needs."""
    return 2 * round(length / 2)


# Signed distance to the outline of a figure of radius 1, negative inside; v points down.
FIGURES: dict[str, Callable[[Array, Array], Array]] = {
    "square": lambda u, v: np.maximum(abs(u), abs(v)) - 0.80,
    "triangle": lambda u, v: np.maximum(v, abs(math.sqrt(3) / 2 * u) - 0.5 * v) - 0.52,
    "cross": lambda u, v: np.maximum(
        np.minimum(abs(u), abs(v)) - 0.32, np.maximum(abs(u), abs(v)) - 1.0
    ),
    "moon": lambda u, v: np.maximum(np.hypot(u, v) - 1.0, 0.80 - np.hypot(u - 0.55, v)),
}


def _still(spec: ClipSpec, time: Array, *, instances: int = 1) -> Poses:
    shape = (len(time), instances)
    return Poses(
        np.full(shape, spec.offset[0], np.float32),
        np.full(shape, spec.offset[1], np.float32),
        np.full(shape, spec.radius, np.float32),
        np.full(shape, spec.tilt, np.float32),
        np.ones(len(time), np.float32),
    )


def _moving(spec: ClipSpec, time: Array) -> Poses:
    poses, reach = _still(spec, time), 0.42 + 0.08 * spec.pace
    along = reach * (2 * time[:, None] - 1)
    across = spec.offset[0]
    cos, sin = math.cos(spec.heading), math.sin(spec.heading)
    return poses._replace(x=along * cos - across * sin, y=along * sin + across * cos)


def _growing(spec: ClipSpec, time: Array) -> Poses:
    first, last = 0.07, 0.46 + 0.12 * spec.pace
    return _still(spec, time)._replace(radius=first + (last - first) * time[:, None])


def _spinning(spec: ClipSpec, time: Array) -> Poses:
    turns = (0.8 + 0.7 * spec.pace) * math.copysign(1.0, math.sin(spec.heading))
    return _still(spec, time)._replace(angle=spec.tilt + 2 * math.pi * turns * time[:, None])


def _blinking(spec: ClipSpec, time: Array) -> Poses:
    cycles = 1.6 + 1.2 * spec.pace
    phase = (cycles * time + spec.heading / (2 * math.pi)) % 1.0
    return _still(spec, time)._replace(visible=(phase < 0.5).astype(np.float32))


def _splitting(spec: ClipSpec, time: Array) -> Poses:
    broken = (time > 0.25)[:, None]
    near, far = 0.5 * spec.radius, 0.27 + 0.06 * spec.pace
    apart = np.where(broken, near + (far - near) * (time[:, None] - 0.25) / 0.75, 0)
    apart = (apart * np.asarray([[-1, 1]])).astype(np.float32)
    poses = _still(spec, time, instances=2)
    return poses._replace(
        x=poses.x + apart * math.cos(spec.heading),
        y=poses.y + apart * math.sin(spec.heading),
        radius=np.where(broken, 0.6 * poses.radius, poses.radius),
    )


MOTIONS: dict[str, Callable[[ClipSpec, Array], Poses]] = {
    "moving": _moving,
    "growing": _growing,
    "spinning": _spinning,
    "blinking": _blinking,
    "splitting": _splitting,
}


def _slope(y: Array, x: Array, angle: float) -> Array:
    return x * math.cos(angle) + y * math.sin(angle)


def _clouds(y: Array, x: Array, rng: np.random.Generator) -> Array:
    waves = np.zeros_like(x)
    for _ in range(4):
        (a, b), phase = rng.uniform(-12, 12, 2), rng.uniform(0, 2 * math.pi)
        waves += np.sin(a * x + b * y + phase)
    return 0.5 + 0.2 * waves


def _stripes(y: Array, x: Array, rng: np.random.Generator) -> Array:
    angle, pitch = rng.uniform(0, math.pi), rng.uniform(4, 8)
    return 0.5 + 0.5 * np.sin(2 * math.pi * pitch * _slope(y, x, angle))


def _checks(y: Array, x: Array, rng: np.random.Generator) -> Array:
    pitch = rng.uniform(3, 7)
    return ((np.floor(x * pitch) + np.floor(y * pitch)) % 2).astype(np.float32)


# How much of the second background colour each pixel has.
BACKGROUNDS: dict[str, Callable[[Array, Array, np.random.Generator], Array]] = {
    "plain": lambda y, x, rng: np.zeros_like(x),
    "gradient": lambda y, x, rng: 0.5 + 0.6 * _slope(y, x, rng.uniform(0, 2 * math.pi)),
    "stripes": _stripes,
    "checks": _checks,
    "clouds": _clouds,
}


def _grid(height: int, width: int, margin: int) -> tuple[Array, Array]:
    """Return the coordinates y and x of the pixels, (H + 2 margin) x (W + 2 margin)."""
    side = min(height, width)
    y = (np.arange(-margin, height + margin, dtype=np.float32) + 0.5 - height / 2) / side
    x = (np.arange(-margin, width + margin, dtype=np.float32) + 0.5 - width / 2) / side
    return np.broadcast_to(y[:, None], (len(y), len(x))), np.broadcast_to(x, (len(y), len(x)))


def _camera_path(spec: ClipSpec, rng: np.random.Generator) -> tuple[NDArray[np.int64], int]:
    """Return the camera's integer offsets T x 2 (a damped random walk) and their bound."""
    bound = math.ceil(2 * spec.shake)
    steps = rng.normal(0, spec.shake / 2, (spec.num_frames, 2))
    path = np.zeros_like(steps)
    for t in range(1, spec.num_frames):
        path[t] = 0.8 * path[t - 1] + steps[t]
    return np.clip(np.rint(path), -bound, bound).astype(np.int64), bound


def figure_coverage(spec: ClipSpec, poses: Poses, camera: NDArray[np.int64]) -> Array:
    """Return how much of each pixel the figure covers, T x H x W in [0, 1], edges smoothed."""
    side = min(spec.height, spec.width)
    y, x = _grid(spec.height, spec.width, 0)
    total = np.zeros((spec.num_frames, spec.height, spec.width), np.float32)
    for i in range(poses.x.shape[1]):
        cx, cy, radius, angle = (
            field[:, i, None, None].astype(np.float32)
            for field in (poses.x, poses.y, poses.radius, poses.angle)
        )
        u0 = x + (camera[:, 1] / side).astype(np.float32)[:, None, None] - cx
        v0 = y + (camera[:, 0] / side).astype(np.float32)[:, None, None] - cy
        cos, sin = np.cos(angle), np.sin(angle)
        u, v = (u0 * cos + v0 * sin) / radius, (v0 * cos - u0 * sin) / radius
        distance = FIGURES[spec.composition.shape](u, v) * radius * side
        np.maximum(total, np.clip(0.5 - distance, 0, 1), out=total)
    return total * poses.visible[:, None, None]


def render(spec: ClipSpec) -> NDArray[np.uint8]:
    """Draw a clip.

    Returns:
        frames, uint8 T x H x W x 3 (RGB); a function of ``spec`` alone.
    """
    rng = np.random.default_rng(spec.noise_seed)
    time = np.linspace(0, 1, spec.num_frames, dtype=np.float32)
    camera, margin = _camera_path(spec, rng)
    y, x = _grid(spec.height, spec.width, margin)
    blend = np.clip(BACKGROUNDS[spec.background](y, x, rng), 0, 1)[..., None].astype(np.float32)
    first, second = np.asarray(spec.background_rgb, np.float32)
    canvas = first + (second - first) * blend
    alpha = figure_coverage(spec, MOTIONS[spec.composition.motion](spec, time), camera)[..., None]
    frames = np.stack(
        [
            canvas[margin + dy : margin + dy + spec.height, margin + dx : margin + dx + spec.width]
            for dy, dx in camera
        ]
    )
    frames += alpha * (np.asarray(spec.rgb, np.float32) - frames)
    frames += spec.noise * rng.standard_normal((*frames.shape[:3], 1), dtype=np.float32)
    return np.rint(255 * np.clip(frames, 0, 1)).astype(np.uint8)
