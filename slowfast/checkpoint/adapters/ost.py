"""Files of the released OST code (section "Checkpoints": 302 tensors for ViT-B/16)."""

from __future__ import annotations

from collections.abc import Collection

from slowfast.checkpoint.adapters.rules import Adapter

RENAMES = (
    ("image_encoder.", "clip.visual."),
    ("text_encoder.", "clip.text."),
    ("logit_scale", "clip.logit_scale"),
)
TOKEN_EMBEDDING = "text_encoder.token_embedding.weight"


def has_towers(keys: Collection[str]) -> bool:
    """Return whether keys have the prefixes that the ViFi-CLIP line of code gives CLIP's towers."""
    return any(k.startswith("image_encoder.") for k in keys) and any(
        k.startswith("text_encoder.") for k in keys
    )


def _recognise(keys: Collection[str]) -> bool:
    return has_towers(keys) and TOKEN_EMBEDDING in keys


OST = Adapter("ost", _recognise, RENAMES)
