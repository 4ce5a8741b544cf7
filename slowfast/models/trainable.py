"""Which parameters are trained."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from torch import nn

from slowfast.errors import UsageError
from slowfast.utils.patterns import matches, require_matches

logger = logging.getLogger(__name__)
# Parameters of CLIP that each choice leaves frozen. As in ViFi-CLIP's `USE`, the scale is trained
# together with both towers only.
FROZEN_BY_CHOICE: dict[str, tuple[str, ...]] = {
    "both": (),
    "image": ("clip.text.*", "clip.logit_*"),
    "text": ("clip.visual.*", "clip.logit_*"),
    "none": ("clip.*",),
}


def select_trainable(
    model: nn.Module,
    trainable: str,
    *,
    freeze: Iterable[str] = (),
    never: Iterable[str] = (),
    added: Iterable[str] = (),
) -> int:
    """Set ``requires_grad`` of every parameter and return how many numbers are trained.

    Args:
        model: a module with CLIP as ``clip``; parameters of encoder and head are always trained.
        trainable: "both", "image", "text" or "none" of CLIP's towers.
        freeze: fnmatch patterns of further parameters (``clip.text.token_embedding.*``).
        never: patterns that the published system never trains.
        added: patterns of what an encoder adds inside CLIP's modules: it is no part of a tower, so
            that ``trainable`` leaves it alone.

    Raises:
        UsageError: no such choice; a pattern of ``freeze`` or ``added`` that matches nothing.
    """
    if trainable not in FROZEN_BY_CHOICE:
        raise UsageError(f"CLIP.TRAINABLE {trainable!r}: choose from {list(FROZEN_BY_CHOICE)}")
    names = [name for name, _ in model.named_parameters()]
    freeze, added = tuple(freeze), tuple(added)
    require_matches(freeze, names, "CLIP.FREEZE")
    require_matches(added, names, "the encoder's added")
    frozen, chosen = (*freeze, *never), FROZEN_BY_CHOICE[trainable]
    total = trained = 0
    for name, parameter in model.named_parameters():
        of_tower = matches(name, chosen) and not matches(name, added)
        keep = not of_tower and not matches(name, frozen)
        parameter.requires_grad_(keep)
        total += parameter.numel()
        trained += parameter.numel() * keep
    logger.info("%.2f of %.2f million parameters are trained", trained / 1e6, total / 1e6)
    return trained
