"""Files of the released OST code (section "Checkpoints": 302 tensors for ViT-B/16)."""

from __future__ import annotations

from collections.abc import Collection

from slowfast.checkpoint.adapters.rules import Adapter, begin

RENAMES = (
    ("image_encoder.", "clip.visual."),
    ("text_encoder.", "clip.text."),
    ("logit_scale", "clip.logit_scale"),
)
TOKEN_EMBEDDING = "text_encoder.token_embedding.weight"


def has_towers(keys: Collection[str]) -> bool:
    """Return whether keys have the prefixes that the ViFi-CLIP line of code gives CLIP's towers."""
    return begin(keys, "image_encoder.", "text_encoder.")


OST = Adapter("ost", lambda keys: has_towers(keys) and TOKEN_EMBEDDING in keys, RENAMES)
