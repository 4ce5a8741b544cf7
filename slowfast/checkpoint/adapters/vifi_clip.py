"""Files of the released ViFi-CLIP code: OST's names without the token embedding.

That code looks the embedded class prompts up once and saves them as a buffer; the table itself is
neither trained nor saved and stays the original CLIP's.
"""

from __future__ import annotations

from collections.abc import Collection

from slowfast.checkpoint.adapters.ost import RENAMES, TOKEN_EMBEDDING, has_towers
from slowfast.checkpoint.adapters.rules import Adapter

PROMPTS = tuple(
    f"prompt_learner.{name}"
    for name in ("complete_text_embeddings", "token_prefix", "token_suffix")
)


def _recognise(keys: Collection[str]) -> bool:
    # TC-CLIP's files have the same towers and a prompt generator beside them.
    generated = any("prompt_generation_layer" in key for key in keys)
    return has_towers(keys) and TOKEN_EMBEDDING not in keys and not generated


VIFI_CLIP = Adapter(
    "vifi_clip", _recognise, RENAMES, PROMPTS, absent=("clip.text.token_embedding.weight",)
)
