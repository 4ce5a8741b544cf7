"""RandAugment on clips: the same operations, magnitudes and signs for every frame.

Source: Cubuk et al., "RandAugment" (2020), with the amounts and the configuration strings that
timm made common and PySlowFast uses (``rand-m7-n4-mstd0.5-inc1``). Operations are Pillow's.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from slowfast.datasets.transforms.draws import Draws, LegacyRng, stream
from slowfast.errors import UsageError

FILL = (128, 128, 128)
MAX_LEVEL = 10.0
_RESAMPLE = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "hamming": Image.Resampling.HAMMING,
}
_RANDOM_RESAMPLE = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)


Apply = Callable[[Image.Image, float, int], Image.Image]


@dataclass(frozen=True)
class Operation:
    """One kind of change.

    Attributes:
        apply: image, amount, resampling -> image.
        amount: level in [0, 10] -> amount, or None for an operation without one.
        signed: the amount is negated in half of the cases.
        weight: chance in the weighted choice ``w0``.
        base: added to the amount after its sign was drawn.
    """

    apply: Apply
    amount: Callable[[float], float] | None = None
    signed: bool = False
    weight: float = 0.0
    base: float = 0.0


def _plain(function: Callable[[Image.Image], Image.Image], weight: float = 0.0) -> Operation:
    return Operation(lambda image, amount, resample: function(image), weight=weight)


def _rotate(image: Image.Image, degrees: float, resample: int) -> Image.Image:
    return image.rotate(degrees, resample=Image.Resampling(resample), fillcolor=FILL)


def _affine(matrix: Callable[[float, tuple[int, int]], Sequence[float]]) -> Apply:
    def apply(image: Image.Image, amount: float, resample: int) -> Image.Image:
        values = matrix(amount, image.size)
        how = Image.Resampling(resample)
        return image.transform(
            image.size, Image.Transform.AFFINE, values, resample=how, fillcolor=FILL
        )

    return apply


_shear_x = _affine(lambda share, size: (1, share, 0, 0, 1, 0))
_shear_y = _affine(lambda share, size: (1, 0, 0, share, 1, 0))
_translate_x = _affine(lambda share, size: (1, 0, share * size[0], 0, 1, 0))
_translate_y = _affine(lambda share, size: (1, 0, 0, 0, 1, share * size[1]))


def _posterize(image: Image.Image, bits: float, resample: int) -> Image.Image:
    return image if bits >= 8 else ImageOps.posterize(image, int(bits))


def _solarize(image: Image.Image, threshold: float, resample: int) -> Image.Image:
    return ImageOps.solarize(image, int(threshold))


def _solarize_add(image: Image.Image, added: float, resample: int) -> Image.Image:
    table = [min(255, v + int(added)) if v < 128 else v for v in range(256)]
    return image.point(table * len(image.getbands()))


def _factor(kind: Any, increasing: bool, weight: float) -> Operation:
    """Return colour, contrast, brightness or sharpness; ``increasing`` means away from 1."""

    def apply(image: Image.Image, factor: float, resample: int) -> Image.Image:
        return kind(image).enhance(factor)

    if increasing:
        return Operation(apply, lambda level: 0.09 * level, True, weight, base=1.0)
    return Operation(apply, lambda level: 0.18 * level + 0.1, False, weight)


@functools.cache
def operations(increasing: bool) -> dict[str, Operation]:
    """Return the fifteen operations by name, in PySlowFast's order.

    Args:
        increasing: every operation becomes stronger with the level (``inc1``); otherwise
            posterize and solarize become weaker and the factors run from 0.1 to 1.9.
    """

    def bits(level: float) -> float:
        kept = int(level / MAX_LEVEL * 4)
        return 4 - kept if increasing else kept

    def threshold(level: float) -> float:
        lowered = int(level / MAX_LEVEL * 256)
        return 256 - lowered if increasing else lowered

    return {
        "AutoContrast": _plain(ImageOps.autocontrast, 0.025),
        "Equalize": _plain(ImageOps.equalize, 0.005),
        "Invert": _plain(ImageOps.invert),
        "Rotate": Operation(_rotate, lambda level: level / MAX_LEVEL * 30.0, True, 0.3),
        "Posterize": Operation(_posterize, bits),
        "Solarize": Operation(_solarize, threshold, weight=0.005),
        "SolarizeAdd": Operation(
            _solarize_add, lambda level: int(level / MAX_LEVEL * 110), weight=0.005
        ),
        "Color": _factor(ImageEnhance.Color, increasing, 0.025),
        "Contrast": _factor(ImageEnhance.Contrast, increasing, 0.005),
        "Brightness": _factor(ImageEnhance.Brightness, increasing, 0.005),
        "Sharpness": _factor(ImageEnhance.Sharpness, increasing, 0.025),
        "ShearX": Operation(_shear_x, lambda level: level / MAX_LEVEL * 0.3, True, 0.2),
        "ShearY": Operation(_shear_y, lambda level: level / MAX_LEVEL * 0.3, True, 0.2),
        "TranslateX": Operation(_translate_x, lambda level: level / MAX_LEVEL * 0.45, True, 0.1),
        "TranslateY": Operation(_translate_y, lambda level: level / MAX_LEVEL * 0.45, True, 0.1),
    }


@dataclass(frozen=True)
class RandAugmentPolicy:
    """What a configuration string says.

    Attributes:
        magnitude: mean level, of 10.
        layers: operations a clip.
        deviation: standard deviation of the level.
        increasing: see ``operations``.
        weighted: draw without replacement by the weights ``w0``.
        probability: with which each drawn operation is applied.
    """

    magnitude: float = 10.0
    layers: int = 2
    deviation: float = 0.0
    increasing: bool = False
    weighted: bool = False
    probability: float = 0.5


def parse_policy(text: str) -> RandAugmentPolicy:
    """Read a string such as ``rand-m7-n4-mstd0.5-inc1``.

    >>> parse_policy("rand-m7-n4-mstd0.5-inc1")  # doctest: +NORMALIZE_WHITESPACE
    RandAugmentPolicy(magnitude=7.0, layers=4, deviation=0.5, increasing=True, weighted=False,
                      probability=0.5)

    Raises:
        UsageError: the string does not start with ``rand`` or holds an unknown part.
    """
    head, *parts = text.split("-")
    if head != "rand":
        raise UsageError(f"AUG.AA_TYPE is {text!r}: expected such as rand-m7-n4-mstd0.5-inc1")
    names = {"m": "magnitude", "n": "layers", "mstd": "deviation", "inc": "increasing"}
    found: dict[str, Any] = {}
    for part in parts:
        match = re.fullmatch(r"(mstd|m|n|inc|w|p)(\d+(?:\.\d*)?)", part)
        if match is None:
            raise UsageError(
                f"AUG.AA_TYPE is {text!r}: {part!r} is none of m<level>, n<count>, mstd<deviation>,"
                " inc0, inc1, p<probability>, w0"
            )
        key, value = match[1], float(match[2])
        if key == "w":
            found["weighted"] = True
        elif key == "p":
            found["probability"] = value
        else:
            found[names[key]] = {"n": int, "inc": bool}.get(key, float)(value)
    return RandAugmentPolicy(**found)


class RandAugment:
    """Apply randomly drawn operations to all frames of a clip alike.

    Args:
        policy: a configuration string, or what it says.
        interpolation: of the geometric operations: bilinear, bicubic, or ``random`` for one of
            the two drawn anew for each operation.
    """

    def __init__(self, policy: str | RandAugmentPolicy, interpolation: str = "bicubic") -> None:
        self.policy = parse_policy(policy) if isinstance(policy, str) else policy
        if interpolation != "random" and interpolation not in _RESAMPLE:
            raise UsageError(
                f"AUG.INTERPOLATION is {interpolation!r}; known: {', '.join(_RESAMPLE)}, random"
            )
        self.interpolation = interpolation

    def draw(self, rng: Draws) -> list[tuple[str, float, int]]:
        """Draw what is done to one clip: (operation, amount, resampling) in order."""
        policy, coin = self.policy, stream(rng, "python")
        table = operations(policy.increasing)
        weights = [operation.weight for operation in table.values()]
        chosen = stream(rng, "numpy").choice(
            len(table),
            policy.layers,
            replace=not policy.weighted,
            p=weights if policy.weighted else None,
        )
        drawn = []
        for index in chosen:
            # parity: no coin is tossed when the operation is certain
            if policy.probability < 1.0 and coin.random() > policy.probability:
                continue
            name = list(table)[index]
            drawn.append((name, self._draw_amount(table[name], coin), self._draw_resampling(coin)))
        return drawn

    def _draw_amount(self, operation: Operation, coin: Any) -> float:
        level = self.policy.magnitude
        if self.policy.deviation > 0:
            level = coin.normal(level, self.policy.deviation)
        level = min(MAX_LEVEL, max(0.0, level))
        if operation.amount is None:
            return 0.0
        amount = operation.amount(level)
        if operation.signed and coin.random() > 0.5:
            amount = -amount
        return operation.base + amount

    def _draw_resampling(self, coin: Any) -> int:
        if self.interpolation == "random":
            return _RANDOM_RESAMPLE[int(coin.integers(0, 2))]
        return _RESAMPLE[self.interpolation]

    def apply(self, image: Image.Image, drawn: Sequence[tuple[str, float, int]]) -> Image.Image:
        """Return ``image`` after the operations of ``draw``."""
        for name, amount, resample in drawn:
            image = operations(self.policy.increasing)[name].apply(image, amount, resample)
        return image

    def __call__(self, frames_THWC: np.ndarray, rng: Draws) -> np.ndarray:
        """Return the changed uint8 T x H x W x 3 frames, a new array when anything was applied."""
        drawn = self.draw(rng)
        if not drawn:
            return frames_THWC
        images = (self.apply(Image.fromarray(frame), drawn) for frame in frames_THWC)
        return np.stack([np.asarray(image) for image in images])


def rand_augment_transform(
    config_str: str, hparams: Mapping[str, Any] | None = None
) -> Callable[[Sequence[Image.Image]], list[Image.Image]]:
    """Return PySlowFast's function of this name: a list of images in, a list of images out.

    Args:
        config_str: such as ``rand-m7-n4-mstd0.5-inc1``.
        hparams: ``interpolation`` as Pillow's number is honoured; sizes are not needed, because
            translations are relative.

    It draws from the global generators of Python and NumPy.
    """
    wanted = (hparams or {}).get("interpolation")
    names = [name for name, number in _RESAMPLE.items() if number == wanted]
    augment = RandAugment(config_str, names[0] if names else "random")

    def transform(images: Sequence[Image.Image]) -> list[Image.Image]:
        drawn = augment.draw(LegacyRng())
        return [augment.apply(image, drawn) for image in images]

    return transform
