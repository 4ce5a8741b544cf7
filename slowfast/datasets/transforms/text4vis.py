"""The frame pipeline of Text4Vis: Pillow's resizing, from uint8 frames to float crops.

Training: short side (bicubic), random resized crop with one box a clip (bilinear), flip, grey.
Something-Something: 240 x 320, multi-scale crop, and a flip that exchanges left and right labels.
Testing: short side, and 1, 3, 5 or 10 crops. RandAugment, where there is one, comes before all.

Shapes: T frames, H height, W width, S crop side; frames are T x H x W x 3 RGB.
Source: the released code of whwu95/Text4Vis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from slowfast.datasets.transforms.base import TRANSFORM_REGISTRY, Transform, check_sizes
from slowfast.datasets.transforms.clip import (
    cut,
    frame_sides,
    gray_scale,
    multi_scale_box,
    quarter_positions,
)
from slowfast.datasets.transforms.draws import Draws, stream
from slowfast.datasets.transforms.rand_augment import Augment, build_rand_augment
from slowfast.datasets.transforms.slowfast import Box, check_fits, normalize
from slowfast.errors import UsageError
from slowfast.text.labels import load_classes

AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)
TRIES = 10
# Something-Something is known by the name of its data set: PySlowFast's (ssv2, Ssv2videos) or
# Text4Vis's (something...).
SOMETHING = ("ssv2", "something")
SOMETHING_SIZE = (240, 320)
SSV2_CLASSES = 174
SSV2_PAIRS = ((86, 87), (93, 94), (166, 167))
MIRRORED_WORDS = {
    "left to right": "right to left",
    "right to left": "left to right",
    "camera left": "camera right",
    "camera right": "camera left",
}
UNMIRRORED = -1  # partner of a class whose mirror image is no class of the run


def short_side_for(size: int) -> int:
    """Return the short side that goes with crop side ``size``: 256 for 224, else the same.

    >>> short_side_for(224), short_side_for(336)
    (256, 336)
    """
    return 256 if size == 224 else size


def resized_sides(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Return (height, width) with the short side at ``short_side``, the long one rounded down.

    >>> resized_sides(240, 320, 256), resized_sides(320, 240, 256)
    ((256, 341), (341, 256))
    """
    if width <= height:
        return short_side * height // width, short_side
    return short_side, short_side * width // height


def resize_frames(
    frames_THWC: np.ndarray, height: int, width: int, how: Image.Resampling
) -> np.ndarray:
    """Return uint8 frames at another size, as Pillow does it (anti-aliased)."""
    if frames_THWC.shape[1:3] == (height, width):
        return frames_THWC
    images = (Image.fromarray(np.ascontiguousarray(frame)) for frame in frames_THWC)
    return np.stack([np.asarray(image.resize((width, height), how)) for image in images])


def fixed_boxes(
    height: int, width: int, size: int, num_crops: int, axis: str = "width"
) -> list[Box]:
    """Return the S x S test crops, as many as ``num_crops``, in the order of their indices.

    Args:
        height: of the frame.
        width: of the frame.
        size: S.
        num_crops: 1 = centre; 3 = left, right, centre; 5 = four corners and centre; 10 = each of
            these five twice (the second time it is mirrored).
        axis: of three crops. "width": as above, for portrait videos too (parity); "long": first,
            centre, last along the longer side, this project's usual order.

    >>> [(box.left, box.top) for box in fixed_boxes(256, 341, 256, 3)]
    [(0, 0), (84, 0), (42, 0)]
    >>> [(box.left, box.top) for box in fixed_boxes(341, 256, 256, 3, "long")]
    [(0, 0), (0, 42), (0, 84)]

    Raises:
        DataError: the frame is smaller than the crop.
    """
    assert num_crops in (1, 3, 5, 10), num_crops
    check_fits(height, width, size)
    if num_crops == 1:  # rounded half to even
        return [Box(round((height - size) / 2), round((width - size) / 2), size, size)]
    x, y = (width - size) // 4, (height - size) // 4
    if num_crops == 3 and axis == "width":
        places = [(0, 2 * y), (4 * x, 2 * y), (2 * x, 2 * y)]
    elif num_crops == 3:
        steps = (0, 2, 4)
        tall = height > width
        places = [(2 * x, i * y) if tall else (i * x, 2 * y) for i in steps]
    else:
        places = quarter_positions(height, width, size, size)[:5]
        places = [place for place in places for _ in range(num_crops // 5)]
    return [Box(top, left, size, size) for left, top in places]


def resized_crop_box(height: int, width: int, rng: Draws) -> Box | None:
    """Draw the box of a random resized crop; None after ten boxes that do not fit.

    Area and aspect (width over height) are uniform, and the sides change places in half of the
    cases.
    """
    source = stream(rng, "python")
    for _ in range(TRIES):
        area = source.uniform(*AREA) * height * width
        aspect = source.uniform(*ASPECT)
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if source.random() < 0.5:
            w, h = h, w
        if w <= width and h <= height:
            left = int(source.integers(0, width - w + 1))
            return Box(int(source.integers(0, height - h + 1)), left, h, w)
    return None


def mirror_partners(names: Sequence[str], num_classes: int = 0) -> dict[int, int]:
    """Return what becomes of Something-Something's labels when a clip is mirrored.

    Classes that tell left from right are found by their names, so that a part of the classes, whose
    labels count anew, gets its own table. Without names the published label numbers are taken.

    Args:
        names: class names, the label of each its position.
        num_classes: of the run, if there are no names.

    Returns:
        label -> label of the mirror image, or UNMIRRORED where that class is not among ``names``.

    Raises:
        UsageError: no names, and not the 174 classes of Something-Something V2.
    """
    if not names:
        if num_classes != SSV2_CLASSES:
            raise UsageError(
                f"MODEL.NUM_CLASSES is {num_classes}, and there are no class names: which labels of"
                " Something-Something exchange when a clip is mirrored? Set TEXT.CLASSES"
            )
        return {a: b for pair in SSV2_PAIRS for a, b in (pair, pair[::-1])}
    labels = {_plain(name): label for label, name in enumerate(names)}
    partners: dict[int, int] = {}
    for name, label in labels.items():
        words = next((words for words in MIRRORED_WORDS if words in name), "")
        if words:
            mirrored = name.replace(words, MIRRORED_WORDS[words])
            partners[label] = labels.get(mirrored, UNMIRRORED)
    return partners


def _plain(name: str) -> str:
    return name.lower().replace("[", "").replace("]", "")


@TRANSFORM_REGISTRY.register(names=["text4vis"])
@dataclass(frozen=True)
class Text4VisTransform(Transform):
    """The whole chain, from uint8 frames to float crops.

    Attributes:
        size: S.
        short_side: short side before cropping.
        mean: RGB, in units of [0, 1].
        std: RGB, in units of [0, 1].
        num_crops: fixed crops of a clip; see ``fixed_boxes`` for their order.
        axis: "width" or "long", where three fixed crops lie.
        flip: mirror with probability 0.5 in training.
        gray: probability of grey clips in training.
        rand_augment: first of all in training; None for none.
        centred: a random clip is cut in its centre and not augmented (published validation).
    """

    crop_counts: ClassVar[tuple[int, ...]] = (1, 3, 5, 10)
    crop_axes: ClassVar[tuple[str, ...]] = ("long", "width")

    size: int
    short_side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    num_crops: int = 1
    axis: str = "width"
    flip: bool = True
    gray: float = 0.0
    rand_augment: Augment | None = None
    centred: bool = False

    @classmethod
    def from_cfg(cls, cfg: Any, split: str) -> Text4VisTransform:
        """Return the chain for ``split``; that of Something-Something where the run trains on it.

        Raises:
            UsageError: options that do not go together.
        """
        data, aug, test = cfg.DATA, cfg.AUG, split == "test"
        size = data.TEST_CROP_SIZE if test else data.TRAIN_CROP_SIZE
        short = (data.TEST_SHORT_SIZE if test else 0) or short_side_for(size)
        check_sizes("DATA.TEST_SHORT_SIZE", short, "DATA.TEST_CROP_SIZE", size)
        if aug.ENABLE and aug.RE_PROB > 0:
            raise UsageError("DATA.TRANSFORMS text4vis has no random erasing; set AUG.RE_PROB 0")
        arguments: dict[str, Any] = {
            "size": size,
            "short_side": short,
            "mean": tuple(data.MEAN),
            "std": tuple(data.STD),
            "num_crops": cfg.TEST.NUM_SPATIAL_CROPS if test else 1,
            "axis": cfg.TEST.CROP_AXIS,
            "flip": data.RANDOM_FLIP,
            "gray": aug.CLIP_GRAY_SCALE,
            "rand_augment": build_rand_augment(cfg, split),
            "centred": split != "train",
        }
        if test or not any(name in cfg.TRAIN.DATASET.lower() for name in SOMETHING):
            return Text4VisTransform(**arguments)
        if data.MULTI_LABEL:
            raise UsageError(
                f"DATA.TRANSFORMS text4vis of TRAIN.DATASET {cfg.TRAIN.DATASET} exchanges single"
                " labels of mirrored clips; it cannot with DATA.MULTI_LABEL"
            )
        check_sizes("the 240 x 320 of Something-Something", 240, "DATA.TRAIN_CROP_SIZE", size)
        path = cfg.TEXT.SUBSET or cfg.TEXT.CLASSES
        names = load_classes(path).names if path else ()
        partners = mirror_partners(names, cfg.MODEL.NUM_CLASSES)
        return SomethingTransform(**arguments, partners=partners)

    @property
    def centre(self) -> int:
        """Index of the central one of the fixed crops."""
        if self.num_crops == 3 and self.axis == "width":
            return 2
        return {1: 1, 3: 1, 5: 4, 10: 8}[self.num_crops]

    def scaled(self, frames_THWC: np.ndarray) -> np.ndarray:
        """Return the frames at the size that is cropped from."""
        sides = resized_sides(*frame_sides(frames_THWC), self.short_side)
        return resize_frames(frames_THWC, *sides, Image.Resampling.BICUBIC)

    def random_cut(self, frames_THWC: np.ndarray, rng: Draws) -> np.ndarray:
        """Return one random box of the scaled frames, T x S x S x 3."""
        bilinear = Image.Resampling.BILINEAR
        box = resized_crop_box(*frame_sides(frames_THWC), rng)
        if box is not None:
            return resize_frames(cut(frames_THWC, box), self.size, self.size, bilinear)
        height, width = resized_sides(*frame_sides(frames_THWC), self.size)
        frames = resize_frames(frames_THWC, height, width, bilinear)
        source = stream(rng, "python")
        left = int(source.integers(0, width - self.size + 1))
        top = int(source.integers(0, height - self.size + 1))
        return cut(frames, Box(top, left, self.size, self.size))

    def augment(
        self, frames_THWC: np.ndarray, rng: Draws, may_flip: bool = True
    ) -> tuple[np.ndarray, bool]:
        """Return uint8 T x S x S x 3 and whether it was mirrored: training without normalising."""
        frames = frames_THWC if self.rand_augment is None else self.rand_augment(frames_THWC, rng)
        frames = self.random_cut(self.scaled(frames), rng)
        coin = stream(rng, "python")
        mirrored = self.flip and bool(coin.random() < 0.5) and may_flip
        if mirrored:
            frames = frames[:, :, ::-1]
        if self.gray > 0:
            frames = gray_scale(np.ascontiguousarray(frames), rng, self.gray)
        return frames, mirrored

    def random(self, frames_THWC: np.ndarray, rng: Draws) -> Tensor:
        """Return a random float 3 x T x S x S cut of uint8 T x H x W x 3 frames."""
        if self.centred:
            frames = self.scaled(frames_THWC)
            (box,) = fixed_boxes(*frame_sides(frames), self.size, 1)
            return self._tensor(cut(frames, box))
        return self._tensor(self.augment(frames_THWC, rng)[0])

    def crops(self, frames_THWC: np.ndarray, indices: Sequence[int]) -> list[Tensor]:
        """Return the fixed crops ``indices`` (0 ... num_crops - 1), each float 3 x T x S x S.

        A single crop is the centre, whatever its index.
        """
        frames = self.scaled(frames_THWC)
        boxes = fixed_boxes(*frame_sides(frames), self.size, self.num_crops, self.axis)
        cuts = []
        for index in indices:
            part = cut(frames, boxes[index if self.num_crops > 1 else 0])
            mirrored = self.num_crops == 10 and index % 2 == 1
            cuts.append(self._tensor(part[:, :, ::-1] if mirrored else part))
        return cuts

    def _tensor(self, frames_THWC: np.ndarray) -> Tensor:
        video_THWC = torch.from_numpy(np.ascontiguousarray(frames_THWC))
        return normalize(video_THWC, self.mean, self.std).permute(3, 0, 1, 2).contiguous()


@dataclass(frozen=True)
class SomethingTransform(Text4VisTransform):
    """The chain for Something-Something: another size and crop, and labels that are mirrored too.

    Attributes:
        partners: label -> label of the mirror image, see ``mirror_partners``.
    """

    partners: dict[int, int] = field(default_factory=dict)

    def scaled(self, frames_THWC: np.ndarray) -> np.ndarray:
        """Return the frames at 240 x 320, whatever their shape was."""
        return resize_frames(frames_THWC, *SOMETHING_SIZE, Image.Resampling.BICUBIC)

    def random_cut(self, frames_THWC: np.ndarray, rng: Draws) -> np.ndarray:
        """Return one multi-scale crop of the scaled frames, T x S x S x 3."""
        box = multi_scale_box(*frame_sides(frames_THWC), self.size, rng, places=13)
        bilinear = Image.Resampling.BILINEAR
        return resize_frames(cut(frames_THWC, box), self.size, self.size, bilinear)

    def random_labelled(
        self, frames_THWC: np.ndarray, label: int, rng: Draws
    ) -> tuple[Tensor, int]:
        """Return a random cut and its label, exchanged if the clip was mirrored.

        Clips whose mirror image is of no class are never mirrored.
        """
        if self.centred:
            return self.random(frames_THWC, rng), label
        partner = self.partners.get(label, label)
        frames, mirrored = self.augment(frames_THWC, rng, may_flip=partner != UNMIRRORED)
        return self._tensor(frames), partner if mirrored else label
