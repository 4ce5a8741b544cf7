"""RandAugment on clips: the same operations, amounts and signs for every frame.

Two policies draw from tables of operations, which are Pillow's as timm wraps them:
- PySlowFast's, by timm's strings (``rand-m7-n4-mstd0.5-inc1``): fifteen operations with levels of
  0..10, grey where nothing is, translations relative to the frame;
- Text4Vis's (``text4vis-n2-m9``): sixteen operations at one strength M of 30, amount = low + M / 30
  (high - low), nearest pixels, black where nothing is.

Sources: Cubuk et al., "RandAugment" (2020); timm and PySlowFast; ildoonet/pytorch-randaugment,
which Text4Vis's published logs name.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageOps
from timm.data.auto_augment import NAME_TO_OP

from slowfast.datasets.transforms.draws import Draws, LegacyRng, stream
from slowfast.errors import UsageError

MAX_LEVEL = 10.0
MAX_STRENGTH = 30
GREY = (128, 128, 128)
CUTOUT_COLOUR = (125, 123, 114)
NEAREST = Image.Resampling.NEAREST
_RESAMPLE = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "hamming": Image.Resampling.HAMMING,
}
_RANDOM_RESAMPLE = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)

Augment = Callable[[np.ndarray, Draws], np.ndarray]


class Drawn(NamedTuple):
    """One drawn operation: name, amount, and resampling, or the place (0..1) of a cutout."""

    name: str
    amount: float
    how: Any = NEAREST


@dataclass(frozen=True)
class Operation:
    """One kind of change.

    Attributes:
        function: as timm's, (image, amount if there is one, resample, fillcolor) -> image.
        amount: level or strength -> amount; None for an operation without one.
        signed: the amount is negated in half of the cases.
        base: added to the amount after its sign was drawn.
        fill: colour of pixels from outside the frame; None for black.
    """

    function: Any
    amount: Callable[[float], float] | None = None
    signed: bool = False
    base: float = 0.0
    fill: tuple[int, ...] | None = None

    def apply(self, image: Image.Image, amount: float, how: Any) -> Image.Image:
        """Return the changed image; ``how``: see Drawn."""
        values = () if self.amount is None else (amount,)
        changed: Image.Image = self.function(image, *values, resample=how, fillcolor=self.fill)
        return changed


def _posterize(image: Image.Image, bits: float, **_: Any) -> Image.Image:
    # not ImageOps.posterize: newer ones refuse 0 bits, which gave black images
    mask = 256 - 2 ** (8 - int(bits))
    return image.point([value & mask for value in range(256)] * len(image.getbands()))


def _solarize_added(image: Image.Image, added: float, **_: Any) -> Image.Image:
    # parity: added everywhere, then solarized; the paper's operation adds to dark pixels only
    table = [min(255, int(value + added)) for value in range(256)]
    return ImageOps.solarize(image.point(table * len(image.getbands())), 128)


def _cutout(
    image: Image.Image, side: float, resample: tuple[float, float], **_: Any
) -> Image.Image:
    corner = []
    for length, share in zip(image.size, resample):  # the place, see Drawn
        centre = length + (1 - length) * share  # parity: from the far side down to pixel 1
        corner.append(int(max(0.0, centre - side / 2)))
    far = [min(length, low + side) for length, low in zip(image.size, corner)]
    image = image.copy()
    ImageDraw.Draw(image).rectangle((*corner, *far), fill=CUTOUT_COLOUR)
    return image


PLAIN = {name: Operation(NAME_TO_OP[name]) for name in ("AutoContrast", "Equalize", "Invert")}
FACTORS = ("Color", "Contrast", "Brightness", "Sharpness")
# chances in the weighted choice w0; 0 for the others
WEIGHTS = {"AutoContrast": 0.025, "Equalize": 0.005, "Rotate": 0.3, "Solarize": 0.005,
           "SolarizeAdd": 0.005, "Color": 0.025, "Contrast": 0.005, "Brightness": 0.005,
           "Sharpness": 0.025, "ShearX": 0.2, "ShearY": 0.2, "TranslateX": 0.1, "TranslateY": 0.1,
}  # fmt: skip


@functools.cache
def operations(increasing: bool) -> dict[str, Operation]:
    """Return PySlowFast's fifteen operations by name, in its order.

    Args:
        increasing: every operation becomes stronger with the level (``inc1``); otherwise
            posterize and solarize become weaker and the factors run from 0.1 to 1.9.
    """

    def steps(most: int) -> Callable[[float], float]:
        if increasing:
            return lambda level: most - int(level / MAX_LEVEL * most)
        return lambda level: int(level / MAX_LEVEL * most)

    def factor(name: str) -> Operation:
        if increasing:  # away from 1
            return Operation(NAME_TO_OP[name], lambda level: 0.09 * level, True, base=1.0)
        return Operation(NAME_TO_OP[name], lambda level: 0.18 * level + 0.1)

    def moved(name: str, most: float) -> Operation:
        return Operation(NAME_TO_OP[name], lambda level: level / MAX_LEVEL * most, True, fill=GREY)

    return {
        **PLAIN,
        "Rotate": moved("Rotate", 30.0),
        "Posterize": Operation(_posterize, steps(4)),
        "Solarize": Operation(NAME_TO_OP["Solarize"], steps(256)),
        "SolarizeAdd": Operation(
            NAME_TO_OP["SolarizeAdd"], lambda level: int(level / MAX_LEVEL * 110)
        ),
        **{name: factor(name) for name in FACTORS},
        "ShearX": moved("ShearX", 0.3),
        "ShearY": moved("ShearY", 0.3),
        "TranslateX": moved("TranslateXRel", 0.45),
        "TranslateY": moved("TranslateYRel", 0.45),
    }


def _between(function: Any, low: float, high: float, signed: bool = False) -> Operation:
    return Operation(function, lambda m: m / MAX_STRENGTH * (high - low) + low, signed)


TEXT4VIS_OPERATIONS = {
    **PLAIN,
    "Rotate": _between(NAME_TO_OP["Rotate"], 0.0, 30.0, signed=True),
    "Posterize": _between(_posterize, 0.0, 4.0),
    "Solarize": _between(NAME_TO_OP["Solarize"], 0.0, 256.0),
    "SolarizeAdd": _between(_solarize_added, 0.0, 110.0),
    **{name: _between(NAME_TO_OP[name], 0.1, 1.9) for name in FACTORS},
    "ShearX": _between(NAME_TO_OP["ShearX"], 0.0, 0.3, signed=True),
    "ShearY": _between(NAME_TO_OP["ShearY"], 0.0, 0.3, signed=True),
    "CutoutAbs": _between(_cutout, 0.0, 40.0),
    "TranslateXabs": _between(NAME_TO_OP["TranslateX"], 0.0, 100.0, signed=True),
    "TranslateYabs": _between(NAME_TO_OP["TranslateY"], 0.0, 100.0, signed=True),
}


@dataclass(frozen=True)
class RandAugment:
    """Apply randomly drawn operations to all frames of a clip alike: PySlowFast's policy.

    Attributes:
        magnitude: mean level, of 10.
        layers: operations a clip.
        deviation: standard deviation of the level.
        increasing: see ``operations``.
        weighted: draw without replacement by the weights ``w0``.
        probability: with which each drawn operation is applied.
        interpolation: of the geometric operations: bilinear, bicubic, or ``random`` for one of
            the two drawn anew for each operation.

    Raises:
        UsageError: unknown interpolation.
    """

    magnitude: float = 10.0
    layers: int = 2
    deviation: float = 0.0
    increasing: bool = False
    weighted: bool = False
    probability: float = 0.5
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        if self.interpolation not in (*_RESAMPLE, "random"):
            raise UsageError(
                f"AUG.INTERPOLATION is {self.interpolation!r};"
                f" known: {', '.join(_RESAMPLE)}, random"
            )

    @property
    def table(self) -> Mapping[str, Operation]:
        """The operations that are drawn from."""
        return operations(self.increasing)

    def draw(self, rng: Draws) -> list[Drawn]:
        """Draw what is done to one clip, in order."""
        coin, table = stream(rng, "python"), list(self.table.items())
        chosen = stream(rng, "numpy").choice(
            len(table),
            self.layers,
            replace=not self.weighted,
            p=[WEIGHTS.get(name, 0.0) for name, _ in table] if self.weighted else None,
        )
        drawn = []
        for name, operation in (table[index] for index in chosen):
            # parity: no coin is tossed when the operation is certain
            if self.probability < 1.0 and coin.random() > self.probability:
                continue
            drawn.append(Drawn(name, self._amount(operation, coin), self._resampling(coin)))
        return drawn

    def _amount(self, operation: Operation, coin: Any) -> float:
        level = self.magnitude
        if self.deviation > 0:
            level = coin.normal(level, self.deviation)
        level = min(MAX_LEVEL, max(0.0, level))
        if operation.amount is None:
            return 0.0
        amount = operation.amount(level)
        if operation.signed and coin.random() > 0.5:
            amount = -amount
        return operation.base + amount

    def _resampling(self, coin: Any) -> int:
        if self.interpolation == "random":
            return _RANDOM_RESAMPLE[int(coin.integers(0, 2))]
        return _RESAMPLE[self.interpolation]

    def apply(self, image: Image.Image, drawn: Sequence[Drawn]) -> Image.Image:
        """Return ``image`` after the operations of ``draw``."""
        for name, amount, how in drawn:
            image = self.table[name].apply(image, amount, how)
        return image

    def __call__(self, frames_THWC: np.ndarray, rng: Draws) -> np.ndarray:
        """Return the changed uint8 T x H x W x 3 frames, a new array when anything was applied."""
        drawn = self.draw(rng)
        if not drawn:
            return frames_THWC
        images = (Image.fromarray(np.ascontiguousarray(frame)) for frame in frames_THWC)
        return np.stack([np.asarray(self.apply(image, drawn)) for image in images])


@dataclass(frozen=True)
class Text4VisRandAugment(RandAugment):
    """Text4Vis's policy: all ``layers`` operations, each at strength ``magnitude`` of 30."""

    @property
    def table(self) -> Mapping[str, Operation]:
        """The operations that are drawn from."""
        return TEXT4VIS_OPERATIONS

    def draw(self, rng: Draws) -> list[Drawn]:
        """Draw what is done: all operations first, then sign or place of each."""
        coin, names = stream(rng, "python"), list(self.table)
        drawn = []
        for name in [names[int(coin.random() * len(names))] for _ in range(self.layers)]:
            operation, place = self.table[name], name == "CutoutAbs"
            amount = operation.amount(self.magnitude) if operation.amount else 0.0
            if operation.signed and coin.random() > 0.5:
                amount = -amount
            how = (float(rng.random()), float(rng.random())) if place else NEAREST
            drawn.append(Drawn(name, amount, how))
        return drawn


@dataclass(frozen=True)
class PerFrame:
    """Let ``augment`` draw anew for each frame of a clip."""

    augment: Augment

    def __call__(self, frames_THWC: np.ndarray, rng: Draws) -> np.ndarray:
        """Return the changed uint8 T x H x W x 3 frames, a new array."""
        single = range(len(frames_THWC))
        return np.concatenate([self.augment(frames_THWC[t : t + 1], rng) for t in single])


# what the words of timm's strings set
WORDS: dict[str, tuple[str, Callable[[float], Any]]] = {
    "m": ("magnitude", float),
    "n": ("layers", int),
    "mstd": ("deviation", float),
    "inc": ("increasing", bool),
    "p": ("probability", float),
    "w": ("weighted", lambda _: True),
}


def parse_policy(text: str, interpolation: str = "bicubic") -> RandAugment:
    """Return the RandAugment that AUG.AA_TYPE names.

    Args:
        text: such as ``rand-m7-n4-mstd0.5-inc1``, or ``text4vis-n<N>-m<M>``.
        interpolation: AUG.INTERPOLATION, of the ``rand-...`` kind.

    >>> parse_policy("rand-m7-n4-inc1") == RandAugment(7.0, 4, increasing=True)
    True
    >>> parse_policy("text4vis-n2-m9") == Text4VisRandAugment(9.0, 2)
    True

    Raises:
        UsageError: neither of the two, a strength above 30, or an unknown interpolation.
    """
    if text.startswith("text4vis"):
        match = re.fullmatch(r"text4vis-n(\d+)-m(\d+(?:\.\d+)?)", text)
        if match is None or float(match[2]) > MAX_STRENGTH:
            raise UsageError(
                f"AUG.AA_TYPE is {text!r}: expected text4vis-n<operations>-m<strength, 0..30>, such"
                " as text4vis-n2-m9"
            )
        return Text4VisRandAugment(float(match[2]), int(match[1]))
    head, *parts = text.split("-")
    if head != "rand":
        raise UsageError(f"AUG.AA_TYPE is {text!r}: expected such as rand-m7-n4-mstd0.5-inc1")
    found: dict[str, Any] = {}
    for part in parts:
        match = re.fullmatch(r"(mstd|m|n|inc|w|p)(\d+(?:\.\d*)?)", part)
        if match is None:
            raise UsageError(
                f"AUG.AA_TYPE is {text!r}: {part!r} is none of m<level>, n<count>, mstd<deviation>,"
                " inc0, inc1, p<probability>, w0"
            )
        name, convert = WORDS[match[1]]
        found[name] = convert(float(match[2]))
    return RandAugment(**found, interpolation=interpolation)


def build_rand_augment(cfg: Any, split: str) -> Augment | None:
    """Return the RandAugment of the AUG options for ``split``, if there is one."""
    aug = cfg.AUG
    if split != "train" or not aug.ENABLE or not aug.AA_TYPE:
        return None
    augment = parse_policy(aug.AA_TYPE, aug.INTERPOLATION)
    return PerFrame(augment) if aug.AA_PER_FRAME else augment


def rand_augment_transform(
    config_str: str, hparams: Mapping[str, Any] | None = None
) -> Callable[[Sequence[Image.Image]], list[Image.Image]]:
    """Return PySlowFast's function of this name: a list of images in, a list of images out.

    Args:
        config_str: such as ``rand-m7-n4-mstd0.5-inc1``.
        hparams: ``interpolation`` as Pillow's number or by its name is honoured; sizes are not
            needed, because translations are relative.

    It draws from the global generators of Python and NumPy.
    """
    wanted = (hparams or {}).get("interpolation", "random")
    numbers = {number: name for name, number in _RESAMPLE.items()}
    augment = parse_policy(config_str, numbers.get(wanted, wanted))

    def transform(images: Sequence[Image.Image]) -> list[Image.Image]:
        drawn = augment.draw(LegacyRng())
        return [augment.apply(image, drawn) for image in images]

    return transform
