"""Mixing of whole clips within a batch, and soft targets.

Sources: Zhang et al., "mixup" (2018); Yun et al., "CutMix" (2019); PySlowFast's batch form, where
one box or share serves the whole batch and a clip's partner is its mirror in the batch. ViFi-CLIP
draws the partners instead; in a shuffled batch both are chance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from slowfast.datasets.transforms.draws import Draws, LegacyRng, stream
from slowfast.errors import UsageError


def convert_to_one_hot(targets: Tensor, num_classes: int, smoothing: float = 0.0) -> Tensor:
    """Return B x K float targets: ``1 - e + e/K`` on the label, ``e/K`` elsewhere.

    >>> convert_to_one_hot(torch.tensor([1]), 2, 0.1)
    tensor([[0.0500, 0.9500]])

    Raises:
        UsageError: ``smoothing`` outside [0, 1).
    """
    if not 0.0 <= smoothing < 1.0:
        raise UsageError(f"MIXUP.LABEL_SMOOTH_VALUE is {smoothing}: expected a number in [0, 1)")
    off = smoothing / num_classes
    out = torch.full((len(targets), num_classes), off, device=targets.device)
    return out.scatter_(1, targets.long().view(-1, 1), 1.0 - smoothing + off)


def mixup_target(
    target: Tensor, num_classes: int, lam: float = 1.0, smoothing: float = 0.0
) -> Tensor:
    """Return ``lam`` of each clip's soft target plus ``1 - lam`` of its partner's.

    Args:
        target: class ids, B.
        num_classes: K.
        lam: the clip's own share.
        smoothing: label smoothing.
    """
    own = convert_to_one_hot(target, num_classes, smoothing)
    return own * lam + own.flip(0) * (1.0 - lam)


def cutmix_box(height: int, width: int, lam: float, rng: Draws) -> tuple[tuple[int, ...], float]:
    """Draw a box that covers about ``1 - lam`` of the frame.

    Returns:
        (top, bottom, left, right), clipped to the frame, and ``lam`` recomputed from its true area.
    """
    side = math.sqrt(1.0 - lam)
    half_h, half_w = int(height * side) // 2, int(width * side) // 2
    y, x = int(rng.integers(0, height)), int(rng.integers(0, width))
    top, bottom = max(0, y - half_h), min(height, y + half_h)
    left, right = max(0, x - half_w), min(width, x + half_w)
    return (top, bottom, left, right), 1.0 - (bottom - top) * (right - left) / (height * width)


class MixUp:
    """Mix a batch of clips with its mirror image by MixUp or CutMix.

    Args:
        mixup_alpha: beta parameter of MixUp; 0 switches it off.
        cutmix_alpha: beta parameter of CutMix; 0 switches it off.
        mix_prob: chance that a batch is mixed.
        switch_prob: chance of CutMix when both are on.
        label_smoothing: see ``convert_to_one_hot``.
        num_classes: K.

    Raises:
        UsageError: a parameter out of range.
    """

    def __init__(
        self,
        mixup_alpha: float = 1.0,
        cutmix_alpha: float = 0.0,
        mix_prob: float = 1.0,
        switch_prob: float = 0.5,
        label_smoothing: float = 0.1,
        num_classes: int = 1000,
    ) -> None:
        for name, value in (("ALPHA", mixup_alpha), ("CUTMIX_ALPHA", cutmix_alpha)):
            if value < 0:
                raise UsageError(f"MIXUP.{name} is {value}: expected 0 (off) or more")
        for name, value in (("PROB", mix_prob), ("SWITCH_PROB", switch_prob)):
            if not 0.0 <= value <= 1.0:
                raise UsageError(f"MIXUP.{name} is {value}: expected a number in [0, 1]")
        self.mixup_alpha = mixup_alpha
        self.cutmix_alpha = cutmix_alpha
        self.mix_prob = mix_prob
        self.switch_prob = switch_prob
        self.label_smoothing = label_smoothing
        self.num_classes = num_classes

    def draw(self, rng: Draws) -> tuple[float, bool]:
        """Draw (lam, whether CutMix); lam is 1 when the batch stays as it is."""
        if rng.random() >= self.mix_prob:
            return 1.0, False
        cut = self.cutmix_alpha > 0.0
        if cut and self.mixup_alpha > 0.0:
            cut = rng.random() < self.switch_prob
        alpha = self.cutmix_alpha if cut else self.mixup_alpha
        if alpha <= 0.0:
            return 1.0, False
        return float(stream(rng, "numpy").beta(alpha, alpha)), cut

    def __call__(
        self, x: Tensor, target: Tensor, rng: Draws | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the mixed clips and their B x K soft targets; the input is left alone.

        Args:
            x: B x ... x H x W; all frames of a clip share the box.
            target: class ids, B.
            rng: None draws from NumPy's global generator, as PySlowFast does.

        Raises:
            UsageError: a batch of one clip has no partner.
        """
        if len(x) < 2:
            raise UsageError("MIXUP needs a batch of at least 2 clips; raise TRAIN.BATCH_SIZE")
        rng = LegacyRng() if rng is None else rng
        lam, cut = self.draw(rng)
        if lam < 1.0 and cut:
            (top, bottom, left, right), lam = cutmix_box(x.shape[-2], x.shape[-1], lam, rng)
            mixed = x.clone()
            mixed[..., top:bottom, left:right] = x.flip(0)[..., top:bottom, left:right]
            x = mixed
        elif lam < 1.0:
            x = x * lam + x.flip(0) * (1.0 - lam)
        return x, mixup_target(target, self.num_classes, lam, self.label_smoothing)
