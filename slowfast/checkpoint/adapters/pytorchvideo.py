"""Files that pytorchvideo released, for the networks of ``models.classical``.

Only where TRAIN.CHECKPOINT_TYPE or TEST.CHECKPOINT_TYPE names them: people's own models have such
keys, too.
"""

from __future__ import annotations

from slowfast.checkpoint.adapters.rules import Adapter

PARTS = ("blocks.", "patch_embed.", "cls_positional_encoding.", "norm_embed.", "head.")
PYTORCHVIDEO = Adapter(
    "pytorchvideo", lambda keys: False, tuple((name, f"network.{name}") for name in PARTS)
)
