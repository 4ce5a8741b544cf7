"""Tiny weights under the key names of each system, made from one model."""

from __future__ import annotations

from pathlib import Path

import open_clip
import torch
from torch import Tensor, nn

CONFIG = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {
        "image_size": 32,
        "layers": 2,
        "width": 32,
        "head_width": 16,
        "patch_size": 16,
    },
    "text_cfg": {"context_length": 9, "vocab_size": 50, "width": 16, "heads": 2, "layers": 2},
}


class Holder(nn.Module):
    """A project model's outside: ``clip`` and nothing else."""

    def __init__(self, seed: int = 0, **changes: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        config = {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], **changes}}
        self.clip = open_clip.CustomTextCLIP(**config)


def ours(seed: int = 1) -> dict[str, Tensor]:
    """Return weights under our names."""
    return {key: value.clone() for key, value in Holder(seed).state_dict().items()}


def flat(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return OpenAI's (and open_clip's ``CLIP``) names."""
    return {k.removeprefix("clip.").removeprefix("text."): v for k, v in state.items()}


def custom(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the names of open_clip's ``CustomTextCLIP``."""
    return {k.removeprefix("clip."): v for k, v in state.items()}


def ost(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the released OST code's names, as its DDP wrapper saves them."""
    swaps = (("visual.", "image_encoder."), ("text.", "text_encoder."))
    named = {}
    for key, value in custom(state).items():
        for old, new in swaps:
            key = new + key[len(old) :] if key.startswith(old) else key
        named[f"module.{key}"] = value
    return named


def vifi(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the released ViFi-CLIP code's names: no token embedding, prompts as a buffer."""
    named = {k: v for k, v in ost(state).items() if "token_embedding" not in k}
    named["module.prompt_learner.complete_text_embeddings"] = torch.zeros(3, 9, 16)
    return named


def save(path: Path, content: object) -> Path:
    """Write with ``torch.save`` and return the path."""
    torch.save(content, path)
    return path
