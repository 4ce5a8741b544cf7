"""OpenAI's CLIP and open_clip's two classes: the same weights under three spellings.

OpenAI's and open_clip's ``CLIP`` keep the text tower's parts at the top; ``CustomTextCLIP`` puts
them under ``text.``. No tensor is transposed: projections are width x joint in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from slowfast.checkpoint.adapters.rules import Adapter, begin, rename

TEXT_PARTS = (
    "transformer.",
    "token_embedding.",
    "positional_embedding",
    "ln_final.",
    "text_projection",
)
TOP = (
    ("visual.", "clip.visual."),
    ("logit_scale", "clip.logit_scale"),
    ("logit_bias", "clip.logit_bias"),
)
FLAT = TOP + tuple((part, f"clip.text.{part}") for part in TEXT_PARTS)
# OpenAI's archives carry three numbers as buffers; causal masks and the position numbers of older
# towers of Hugging Face are rebuilt, never loaded.
METADATA = (
    "input_resolution",
    "context_length",
    "vocab_size",
    "attn_mask",
    "*.attn_mask",
    "*.embeddings.position_ids",
)


OPENAI_CLIP = Adapter(
    "openai_clip", lambda keys: begin(keys, "visual.", TEXT_PARTS), FLAT, METADATA
)
OPEN_CLIP = Adapter(
    "open_clip",
    lambda keys: begin(keys, "visual.", "text."),
    (*FLAT, ("text.", "clip.text.")),
    METADATA,
)

UNFLAT = tuple((new, old) for old, new in FLAT)
UNCUSTOM = (("clip.", ""),)


def to_clip_keys(
    state: Mapping[str, Tensor], *, custom_text: bool = False
) -> tuple[dict[str, Tensor], list[str]]:
    """Turn our state dict into OpenAI's and open_clip's naming.

    Args:
        state: keys of ours.
        custom_text: naming of ``CustomTextCLIP`` instead of ``CLIP`` (OpenAI's).

    Returns:
        The CLIP part under its new names, and our keys that CLIP does not have.
    """
    names = UNCUSTOM if custom_text else UNFLAT
    own = {key: tensor for key, tensor in state.items() if key.startswith("clip.")}
    return {rename(k, names): v for k, v in own.items()}, [k for k in state if k not in own]
