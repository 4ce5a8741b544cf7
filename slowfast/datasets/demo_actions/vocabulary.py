"""The classes of the demo data set and what is said about them, composed by rule.

A class is a composition of a colour, a shape and a motion. Each pair of colour and shape is kept
back (*unseen*) with exactly one motion, chosen like a Latin square, so that every colour, shape
and motion, and every pair of them, occurs among the *seen* classes. The descriptors are composed
of the same words: the spatio ones name what one frame can show, the temporal ones name steps.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

COLOURS = ("red", "green", "blue", "yellow")
SHAPES = ("square", "triangle", "cross", "moon")
MOTIONS = ("moving", "growing", "spinning", "blinking", "splitting")

_SHAPE_LOOK = {
    "square": "a square with four straight sides",
    "triangle": "a triangle with three pointed corners",
    "cross": "a cross with four arms",
    "moon": "a moon curved like a sickle",
}
_MOTION_LOOK = {
    "moving": "a {thing} near the border",
    "growing": "a tiny {thing} or a huge {thing}",
    "spinning": "a tilted {thing}",
    "blinking": "an empty background without any {thing}",
    "splitting": "two small {thing}s beside each other",
}
_MOTION_STEPS = {
    "moving": (
        "the {thing} enters at one border",
        "the {thing} glides through the middle",
        "the {thing} moves on to the other side",
        "the {thing} leaves at the opposite border",
    ),
    "growing": (
        "the {thing} is tiny at first",
        "the {thing} becomes larger",
        "the {thing} is large",
        "the huge {thing} fills the picture",
    ),
    "spinning": (
        "the {thing} stands upright",
        "the {thing} tilts to one side",
        "the {thing} turns upside down",
        "the {thing} has turned all the way round",
    ),
    "blinking": (
        "the {thing} is visible",
        "the {thing} is gone and the picture is empty",
        "the {thing} comes back",
        "the {thing} disappears once more",
    ),
    "splitting": (
        "the {thing} is whole",
        "the {thing} breaks into two pieces",
        "two small {thing}s drift apart",
        "two small {thing}s are far from each other",
    ),
}


class Composition(NamedTuple):
    """One class: what it looks like and what it does."""

    colour: str
    shape: str
    motion: str

    @property
    def name(self) -> str:
        """The class name, as in ``red square spinning``."""
        return f"{self.colour} {self.shape} {self.motion}"

    @property
    def is_unseen(self) -> bool:
        """Whether the class is kept back for zero-shot tests."""
        colour, shape = COLOURS.index(self.colour), SHAPES.index(self.shape)
        return MOTIONS.index(self.motion) == (colour + 2 * shape) % len(MOTIONS)


def compositions() -> tuple[Composition, ...]:
    """Return all classes in the order of their ids: first the seen, then the unseen ones.

    >>> len(compositions()), compositions()[0].name
    (80, 'red square growing')
    """
    every = [Composition(c, s, m) for c in COLOURS for s in SHAPES for m in MOTIONS]
    return tuple(sorted(every, key=lambda composition: composition.is_unseen))


def spatial_descriptors(composition: Composition) -> tuple[str, ...]:
    """Return four things that a single frame of the class can show.

    >>> spatial_descriptors(Composition("red", "square", "spinning"))[-1]
    'a tilted red square'
    """
    colour, shape, motion = composition
    look = _MOTION_LOOK[motion]
    return (
        f"something {colour}",
        _SHAPE_LOOK[shape],
        look.format(thing=shape),
        look.format(thing=f"{colour} {shape}"),
    )


def temporal_descriptors(composition: Composition) -> tuple[str, ...]:
    """Return four steps of the action.

    >>> temporal_descriptors(Composition("blue", "moon", "splitting"))[2]
    'two small blue moons drift apart'
    """
    thing = f"{composition.colour} {composition.shape}"
    return tuple(step.format(thing=thing) for step in _MOTION_STEPS[composition.motion])


def texts() -> dict[str, str]:
    """Return class list, split and descriptors as the files of ``label_db``, by their names.

    >>> sorted(texts())[:2]
    ['classes.csv', 'descriptors/spatial_4.json']
    """
    classes = compositions()
    rows = "".join(f"{number},{c.name}\n" for number, c in enumerate(classes))
    spatial = {c.name: spatial_descriptors(c) for c in classes}
    temporal = {c.name: temporal_descriptors(c) for c in classes}
    return {
        "classes.csv": "id,name\n" + rows,
        "seen.txt": "".join(f"{c.name}\n" for c in classes if not c.is_unseen),
        "unseen.txt": "".join(f"{c.name}\n" for c in classes if c.is_unseen),
        "descriptors/spatial_4.json": json.dumps(spatial, indent=1) + "\n",
        "descriptors/temporal_4.json": json.dumps(temporal, indent=1) + "\n",
    }


def write_texts(folder: str | Path) -> None:
    """Write all text files below ``folder``."""
    for name, content in texts().items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
