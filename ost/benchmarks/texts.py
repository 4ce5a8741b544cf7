"""text: descriptors through CLIP's text tower, as long as they are against padded to 77 tokens.

Also the made-up vocabulary that the other benchmarks of models use.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor
from torch.nn import functional as F

from ost.benchmarks.core import Report, Settings, race
from slowfast.models.clip.build import build_clip
from slowfast.models.clip.text import encode_tokens
from slowfast.ops.similarity import normalize
from slowfast.text import ClassVocabulary
from slowfast.text.prompts import PROMPT_SETS, expand_descriptors
from slowfast.text.tokenize import CONTEXT_LENGTH, tokenize
from slowfast.utils.rng import generator

WORDS = [
    *("ball", "rope", "water", "horse", "kitchen", "grass", "snow", "wheel", "guitar", "paint"),
    *("river", "bread", "stage", "helmet", "table", "person", "hand", "foot", "jump", "throw"),
    *("turn", "lift", "press", "slide", "hold", "swing", "climb", "open", "close", "wash"),
]
WORDS_OF = {"spatial": (1, 3), "temporal": (7, 11)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    add = parser.add_argument
    add("--arch", default="ViT-B-16-quickgelu", help="open_clip model name or JSON")
    add("--texts", type=int, default=64, help="texts of a batch")


def vocabulary(num_classes: int) -> ClassVocabulary:
    """Return made-up class names of two words and a number."""
    pairs = [(a, b) for a in WORDS for b in WORDS]
    return ClassVocabulary(
        tuple(" ".join((*pairs[i % len(pairs)], str(i))) for i in range(num_classes))
    )


def descriptor_prompts(names: ClassVocabulary, number: int, kind: str) -> list[list[str]]:
    """Return K x N prompts as long as the released ones are: about 9 and about 18 tokens."""
    rng = generator(number, len(names))
    low, high = WORDS_OF[kind]
    words = [
        [" ".join(rng.choice(WORDS, size=rng.integers(low, high + 1))) for _ in range(number)]
        for _ in names.names
    ]
    return expand_descriptors(PROMPT_SETS["ost"], names, words, conditioned=kind == "temporal")


def run(args: argparse.Namespace, settings: Settings) -> Report:
    """Measure one batch of temporal descriptors."""
    tower = build_clip(args.arch).text.eval().to(settings.device)
    prompts = descriptor_prompts(vocabulary(args.texts), 1, "temporal")
    ids = tokenize([text for own in prompts for text in own]).to(settings.device)
    padded = F.pad(ids, (0, CONTEXT_LENGTH - ids.shape[1]))
    lengths = (ids.argmax(dim=1) + 1).float()

    @torch.inference_mode()
    def encode(tokens: Tensor) -> Tensor:
        with settings.autocast():
            return encode_tokens(tower, tokens)

    @torch.inference_mode()
    def whole(tokens: Tensor) -> Tensor:
        with settings.autocast():
            return tower(tokens)

    expected = normalize(whole(padded))
    gaps = {
        "ours, trimmed": float((normalize(encode(ids)) - expected).abs().max()),
        "ours, padded": float((normalize(encode(padded)) - expected).abs().max()),
    }
    calls = {
        "ours, trimmed": lambda: encode(ids),
        "ours, padded": lambda: encode(padded),
        "open_clip's forward, padded": lambda: whole(padded),
    }
    shown = {"arch": args.arch, "device": settings.device, "threads": torch.get_num_threads()}
    report = Report("text", shown | {"repeats": settings.repeats})
    case = f"{len(ids)} texts of {float(lengths.mean()):.1f} tokens, longest {int(lengths.max())}"
    notes = {name: f"unit features within {gap:.0e} of open_clip's" for name, gap in gaps.items()}
    report.add(case, race(calls, settings), (len(ids), "texts"), notes)
    report.summarize("ours, padded", goal=4)
    return report
