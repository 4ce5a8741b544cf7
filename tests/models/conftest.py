"""Tiny towers, classes and configs for model tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from slowfast.config.load import load_cfg
from slowfast.models.clip.build import build_clip
from slowfast.text import ClassVocabulary

TINY_CLIP = Path(__file__).resolve().parent.parent / "assets" / "tiny_clip.json"
NAMES = ("kicking a ball", "pouring tea", "riding a horse")
SPATIAL = (("a ball", "green grass"), ("a cup", "a white pot"), ("a horse", "an open field"))
TEMPORAL = (
    ("step up to the ball", "swing the leg"),
    ("lift the pot by its handle", "tilt it"),
    ("climb on", "hold the reins and gallop away"),
)


@pytest.fixture
def tiny_clip() -> open_clip.CustomTextCLIP:
    """Return random towers of two layers and width 32 for frames of 32 pixels."""
    torch.manual_seed(1)
    return build_clip(str(TINY_CLIP)).eval()


@pytest.fixture
def tiny_vocab() -> ClassVocabulary:
    """Return three classes."""
    return ClassVocabulary(NAMES)


@pytest.fixture
def tiny_files(tmp_path: Path) -> dict[str, str]:
    """Write the classes and two descriptors of each kind; return option to path."""
    (tmp_path / "classes.txt").write_text("\n".join(NAMES) + "\n")
    for kind, texts in (("spatial", SPATIAL), ("temporal", TEMPORAL)):
        table = dict(zip(NAMES, map(list, texts)))
        (tmp_path / f"{kind}.json").write_text(json.dumps(table))
    return {
        "TEXT.CLASSES": str(tmp_path / "classes.txt"),
        "TEXT.SPATIAL": str(tmp_path / "spatial.json"),
        "TEXT.TEMPORAL": str(tmp_path / "temporal.json"),
    }


@pytest.fixture
def tiny_cfg(tiny_files: dict[str, str]) -> Callable[..., Any]:
    """Return ``make(model_name, KEY=value as "KEY", value, ...)`` for a config of tiny parts."""

    def make(name: str, *opts: Any) -> Any:
        base = {
            "MODEL.MODEL_NAME": name,
            "MODEL.LOSS_FUNC": "ost_contrastive" if name == "OST" else "cross_entropy",
            "CLIP.ARCH": str(TINY_CLIP),
            "NUM_GPUS": 0,
            "MIXUP.ENABLE": False,
            **tiny_files,
        }
        flat = [item for pair in base.items() for item in pair]
        return load_cfg([], [*flat, *opts], env={})

    return make


@pytest.fixture
def videos() -> torch.Tensor:
    """Return two videos of three frames, B x 3 x T x S x S."""
    generator = torch.Generator().manual_seed(5)
    return torch.randn(2, 3, 3, 32, 32, generator=generator)


class Recorded:
    """One file of recorded arrays: ``record["name"]`` as a tensor, ``record.json("name")``."""

    def __init__(self, path: Path) -> None:
        self.arrays = np.load(path, allow_pickle=False)
        self.names = self.arrays.files

    def __getitem__(self, name: str) -> torch.Tensor:
        return torch.from_numpy(np.asarray(self.arrays[name]))

    def json(self, name: str) -> Any:
        """Return the JSON that is stored as bytes under ``name``."""
        return json.loads(bytes(self.arrays[name]))

    def under(self, prefix: str) -> dict[str, torch.Tensor]:
        """Return what is stored below ``prefix/``, by our names for the parameters of CLIP."""
        return {
            rename(name.removeprefix(f"{prefix}/")): self[name]
            for name in self.names
            if name.startswith(f"{prefix}/")
        }


def rename(key: str) -> str:
    """Return our CLIP's name for a parameter of OST's and ViFi-CLIP's checkpoints."""
    key = key.removeprefix("module.").replace("image_encoder.", "visual.")
    return key.replace("text_encoder.", "text.")


def recorded_clip(state: dict[str, torch.Tensor]) -> open_clip.CustomTextCLIP:
    """Return the towers of the recorded models with the given weights."""
    clip = open_clip.CustomTextCLIP(
        embed_dim=64,
        quick_gelu=True,
        vision_cfg={
            "image_size": 64,
            "layers": 3,
            "width": 128,
            "head_width": 64,
            "patch_size": 16,
        },
        text_cfg={"width": 64, "heads": 1, "layers": 2},
    )
    clip.load_state_dict(state)
    return clip


def released_rate(step: int, *, rate: float, warmup: int, total: int) -> float:
    """Return the learning rate that OST's released schedule sets at micro-step ``step``."""
    if step < warmup:
        return rate * step / warmup
    low = rate / 100
    return low + 0.5 * (rate - low) * (1 + np.cos(np.pi * step / total))


def released_training(
    model: torch.nn.Module,
    loss_of: Callable[[torch.Tensor, torch.Tensor], list[torch.Tensor]],
    video_BTCHW: torch.Tensor,
    labels_B: torch.Tensor,
    *,
    accumulation: int,
) -> tuple[list[list[float]], list[float]]:
    """Run the recorded loop (two epochs of five micro-steps); return loss terms and rates used."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, betas=(0.9, 0.98), weight_decay=1e-3)
    views = [
        (video_BTCHW, labels_B),
        (video_BTCHW.flip(-1), labels_B),
        (video_BTCHW.flip(1), labels_B.flip(0)),
        (video_BTCHW, labels_B),
        (video_BTCHW.flip(-1), labels_B),
    ]
    losses, rates, step = [], [], 0
    model.train()
    for _ in range(2):
        optimizer.zero_grad()
        for number, (video, labels) in enumerate(views, start=1):
            terms = loss_of(video.transpose(1, 2), labels)
            (sum(terms) / accumulation).backward()
            losses.append([term.item() for term in terms])
            if number % accumulation == 0:
                rates.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                optimizer.zero_grad()
                optimizer.param_groups[0]["lr"] = released_rate(step, rate=1e-3, warmup=5, total=10)
            step += 1
    return losses, rates
