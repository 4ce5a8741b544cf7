"""Text4Vis's temporal head: six transformer layers over frame features, added to them.

Shapes: B videos, T frames, D joint dimension.
"""

from __future__ import annotations

from functools import partial

import torch
from open_clip.transformer import QuickGELU, Transformer
from torch import Tensor, nn

from slowfast.errors import UsageError

LAYERS = 6  # parity: whatever the towers have
POSITIONS = 77  # parity: CLIP's context length
EPSILON = 1e-12  # parity: of this head's norms; CLIP's own have 1e-5
INIT_STD = 0.02


class FrameTransformer(nn.Module):
    """``blocks(f + P) + f`` for frame features f and position embeddings P.

    Args:
        width: D.
        heads: of attention. Published: the text tower's width // 64, also where D differs.

    Raises:
        UsageError: D is not a multiple of ``heads``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise UsageError(
                f"TEXT4VIS.HEAD transf has {heads} attention heads (the text tower's width / 64), "
                f"which do not divide the joint dimension {width} of CLIP.ARCH; set it to none"
            )
        self.frame_position_embeddings = nn.Embedding(POSITIONS, width)
        self.transformer = Transformer(
            width,
            LAYERS,
            heads,
            act_layer=QuickGELU,
            norm_layer=partial(nn.LayerNorm, eps=EPSILON),
        )
        self.apply(_initialise)

    def forward(self, frames_BTD: Tensor) -> Tensor:
        """Return the features of the frames, B x T x D, not yet averaged.

        Raises:
            UsageError: more frames than position embeddings.
        """
        count = frames_BTD.shape[1]
        if count > POSITIONS:
            raise UsageError(
                f"clips of {count} frames, but TEXT4VIS.HEAD transf has {POSITIONS} positions: "
                "lower DATA.NUM_FRAMES"
            )
        times_T = torch.arange(count, device=frames_BTD.device)
        return self.transformer(frames_BTD + self.frame_position_embeddings(times_T)) + frames_BTD


def _initialise(module: nn.Module) -> None:
    """Draw linear maps and embeddings narrowly; packed attention weights keep torch's values."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INIT_STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
