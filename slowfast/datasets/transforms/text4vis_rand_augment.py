"""RandAugment as the released Text4Vis models were trained with it.

Sixteen operations of Pillow, drawn with replacement, each at the same strength M of 30:
amount = low + M / 30 (high - low). Geometric operations take the nearest pixel and fill with black.
Sources: Cubuk et al., "RandAugment" (2020); the implementation ildoonet/pytorch-randaugment, which
Text4Vis's published logs name, applied to each frame by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from slowfast.datasets.transforms.draws import Draws, stream
from slowfast.datasets.transforms.rand_augment import RandAugment
from slowfast.errors import UsageError

PREFIX = "text4vis"
MAX_STRENGTH = 30
CUTOUT_COLOUR = (125, 123, 114)

Augment = Callable[[np.ndarray, Draws], np.ndarray]
Place = tuple[float, float]


class Drawn(NamedTuple):
    """One drawn operation: its name, its amount, and for a cutout where it lies (0..1)."""

    name: str
    amount: float
    place: Place = (0.0, 0.0)


@dataclass(frozen=True)
class Operation:
    """One kind of change.

    Attributes:
        apply: image, amount, place -> image.
        low: amount at strength 0.
        high: amount at strength 30.
        signed: the amount is negated in half of the cases.
    """

    apply: Callable[[Image.Image, float, Place], Image.Image]
    low: float = 0.0
    high: float = 1.0
    signed: bool = False


def _plain(function: Callable[[Image.Image], Image.Image]) -> Operation:
    return Operation(lambda image, amount, place: function(image))


def _factor(kind: Any) -> Operation:
    return Operation(lambda image, amount, place: kind(image).enhance(amount), 0.1, 1.9)


def _affine(matrix: Callable[[float], Sequence[float]], high: float) -> Operation:
    def apply(image: Image.Image, amount: float, place: Place) -> Image.Image:
        return image.transform(image.size, Image.Transform.AFFINE, matrix(amount))

    return Operation(apply, 0.0, high, signed=True)


def _posterize(image: Image.Image, bits: float, place: Place) -> Image.Image:
    # not ImageOps.posterize: it refuses 0 bits (strengths below 7.5), which gave black images
    mask = 256 - 2 ** (8 - int(bits))
    return image.point([value & mask for value in range(256)] * len(image.getbands()))


def _solarize(image: Image.Image, threshold: float, place: Place) -> Image.Image:
    # Pillow compares with it; its stubs ask for an integer
    return ImageOps.solarize(image, threshold)  # type: ignore[arg-type]


def _solarize_add(image: Image.Image, added: float, place: Place) -> Image.Image:
    # parity: added everywhere, then solarized; the paper's operation adds to dark pixels only
    table = [min(255, int(value + added)) for value in range(256)]
    return ImageOps.solarize(image.point(table * len(image.getbands())), 128)


def _cutout(image: Image.Image, side: float, place: Place) -> Image.Image:
    corner = []
    for length, share in zip(image.size, place):
        centre = length + (1 - length) * share  # parity: from the far side down to pixel 1
        corner.append(int(max(0.0, centre - side / 2)))
    far = [min(length, low + side) for length, low in zip(image.size, corner)]
    image = image.copy()
    ImageDraw.Draw(image).rectangle((*corner, *far), fill=CUTOUT_COLOUR)
    return image


OPERATIONS = {
    "AutoContrast": _plain(ImageOps.autocontrast),
    "Equalize": _plain(ImageOps.equalize),
    "Invert": _plain(ImageOps.invert),
    "Rotate": Operation(lambda image, degrees, _: image.rotate(degrees), 0.0, 30.0, signed=True),
    "Posterize": Operation(_posterize, 0.0, 4.0),
    "Solarize": Operation(_solarize, 0.0, 256.0),
    "SolarizeAdd": Operation(_solarize_add, 0.0, 110.0),
    "Color": _factor(ImageEnhance.Color),
    "Contrast": _factor(ImageEnhance.Contrast),
    "Brightness": _factor(ImageEnhance.Brightness),
    "Sharpness": _factor(ImageEnhance.Sharpness),
    "ShearX": _affine(lambda share: (1, share, 0, 0, 1, 0), 0.3),
    "ShearY": _affine(lambda share: (1, 0, 0, share, 1, 0), 0.3),
    "CutoutAbs": Operation(_cutout, 0.0, 40.0),
    "TranslateXabs": _affine(lambda pixels: (1, 0, pixels, 0, 1, 0), 100.0),
    "TranslateYabs": _affine(lambda pixels: (1, 0, 0, 0, 1, pixels), 100.0),
}


@dataclass(frozen=True)
class Text4VisRandAugment:
    """Apply randomly drawn operations to all frames of a clip alike.

    Attributes:
        layers: N, operations a clip.
        strength: M, of 30.
    """

    layers: int = 2
    strength: float = 9.0

    def draw(self, rng: Draws) -> list[Drawn]:
        """Draw what is done: all N operations first, then sign or place of each."""
        coin = stream(rng, "python")
        names = list(OPERATIONS)
        chosen = [names[int(coin.random() * len(names))] for _ in range(self.layers)]
        drawn = []
        for name in chosen:
            operation = OPERATIONS[name]
            amount = self.strength / MAX_STRENGTH * (operation.high - operation.low) + operation.low
            if operation.signed and coin.random() > 0.5:
                amount = -amount
            if name == "CutoutAbs":
                drawn.append(Drawn(name, amount, (float(rng.random()), float(rng.random()))))
            else:
                drawn.append(Drawn(name, amount))
        return drawn

    def __call__(self, frames_THWC: np.ndarray, rng: Draws) -> np.ndarray:
        """Return the changed uint8 T x H x W x 3 frames, a new array."""
        drawn = self.draw(rng)
        out = np.empty_like(frames_THWC)
        for t, frame in enumerate(frames_THWC):
            image = Image.fromarray(np.ascontiguousarray(frame))
            for name, amount, place in drawn:
                image = OPERATIONS[name].apply(image, amount, place)
            out[t] = image
        return out


@dataclass(frozen=True)
class PerFrame:
    """Let ``augment`` draw anew for each frame of a clip."""

    augment: Augment

    def __call__(self, frames_THWC: np.ndarray, rng: Draws) -> np.ndarray:
        """Return the changed uint8 T x H x W x 3 frames, a new array."""
        single = range(len(frames_THWC))
        return np.concatenate([self.augment(frames_THWC[t : t + 1], rng) for t in single])


def build_rand_augment(
    text: str, interpolation: str = "bicubic", per_frame: bool = False
) -> Augment:
    """Return the RandAugment that AUG.AA_TYPE names.

    Args:
        text: ``text4vis-n<N>-m<M>``, or PySlowFast's ``rand-...`` (see rand_augment.parse_policy).
        interpolation: AUG.INTERPOLATION, of the ``rand-...`` kind; the other takes nearest pixels.
        per_frame: AUG.AA_PER_FRAME, independent operations for each frame of a clip.

    >>> build_rand_augment("text4vis-n2-m9")
    Text4VisRandAugment(layers=2, strength=9.0)

    Raises:
        UsageError: neither of the two, or a strength above 30.
    """
    augment: Augment = _parse(text) if text.startswith(PREFIX) else RandAugment(text, interpolation)
    return PerFrame(augment) if per_frame else augment


def _parse(text: str) -> Text4VisRandAugment:
    match = re.fullmatch(r"text4vis-n(\d+)-m(\d+(?:\.\d+)?)", text)
    if match is None or float(match[2]) > MAX_STRENGTH:
        raise UsageError(
            f"AUG.AA_TYPE is {text!r}: expected text4vis-n<operations>-m<strength, 0..30>, such as"
            " text4vis-n2-m9"
        )
    return Text4VisRandAugment(int(match[1]), float(match[2]))
