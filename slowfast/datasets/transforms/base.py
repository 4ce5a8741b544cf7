"""What a family of transforms is: a registered class that reads its own options.

A family turns uint8 T x H x W x 3 frames into float 3 x T x S x S clips. DATA.TRANSFORMS names it;
another published pipeline is one more file with one more class, here or in an extension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from slowfast.datasets.build import find
from slowfast.datasets.transforms.draws import Draws
from slowfast.errors import UsageError
from slowfast.utils.registry import Registry

TRANSFORM_REGISTRY = Registry(
    "TRANSFORM",
    contract="subclass of Transform with from_cfg(cfg, split) -> object, random(frames, rng) -> "
    "clip and crops(frames, indices) -> clips",
)


class Transform:
    """A family of transforms.

    Attributes:
        crop_counts: values of TEST.NUM_SPATIAL_CROPS that it can cut.
        crop_axes: values of TEST.CROP_AXIS that it knows, of several crops.
    """

    crop_counts: ClassVar[tuple[int, ...]] = (1, 2, 3)
    crop_axes: ClassVar[tuple[str, ...]] = ("long",)

    @classmethod
    def from_cfg(cls, cfg: Any, split: str) -> Transform:
        """Return the transform of ``split`` (train, val or test)."""
        raise _missing(cls, "from_cfg")

    def random(self, frames_THWC: np.ndarray, rng: Draws) -> Tensor:
        """Return a random cut."""
        raise _missing(type(self), "random")

    def random_labelled(
        self, frames_THWC: np.ndarray, label: Any, rng: Draws
    ) -> tuple[Tensor, Any]:
        """Return a random cut and the label that it has: another one where left becomes right."""
        return self.random(frames_THWC, rng), label

    def crops(self, frames_THWC: np.ndarray, indices: Sequence[int]) -> list[Tensor]:
        """Return the fixed crops ``indices``; 1 is the centre of one or three."""
        raise _missing(type(self), "crops")


def _missing(family: type, name: str) -> UsageError:
    contract = TRANSFORM_REGISTRY.contract
    return UsageError(f"TRANSFORM {family.__name__} has no {name}; expected: {contract}")


def find_transform(name: str) -> type[Transform]:
    """Return the family that DATA.TRANSFORMS calls ``name``.

    Raises:
        UsageError: no such family, or a class that is none.
    """
    family: type[Transform] = find(TRANSFORM_REGISTRY, name, "DATA.TRANSFORMS", Transform)
    return family


def check_sizes(short_key: str, short: int, crop_key: str, crop: int) -> None:
    """Refuse a crop that does not fit into the short side, naming the options of both."""
    if not 0 < crop <= short:
        raise UsageError(
            f"{crop_key} {crop} does not fit into the short side {short} of {short_key};"
            f" lower the one or raise the other"
        )
