"""From the configured files to the texts of a head."""

from __future__ import annotations

from typing import Any

from open_clip import CustomTextCLIP

from slowfast.errors import UsageError
from slowfast.models.clip.text import TextBank
from slowfast.text import (
    CONTEXT_LENGTH,
    ClassVocabulary,
    Descriptors,
    expand_descriptors,
    expand_names,
    get_prompts,
    load_classes,
    load_descriptors,
    load_vocabulary,
)
from slowfast.text.tokenize import byte_pairs

KINDS = ("spatial", "temporal")


def build_vocabulary(cfg: Any) -> ClassVocabulary:
    """Read ``TEXT.CLASSES``, restrict it to ``TEXT.SUBSET`` and compare with NUM_CLASSES."""
    if not cfg.TEXT.CLASSES:
        raise UsageError("TEXT.CLASSES is empty: name the file that lists the class names")
    vocabulary = load_vocabulary(cfg.TEXT.CLASSES, cfg.TEXT.SUBSET)
    key = "SUBSET" if cfg.TEXT.SUBSET else "CLASSES"
    source = f"TEXT.{key} {cfg.TEXT[key]}"
    if cfg.MODEL.NUM_CLASSES not in (0, len(vocabulary)):
        raise UsageError(
            f"MODEL.NUM_CLASSES {cfg.MODEL.NUM_CLASSES}, but {source} has {len(vocabulary)} "
            f"classes: set MODEL.NUM_CLASSES {len(vocabulary)}, or 0 to take it from the file"
        )
    return vocabulary


def build_category_bank(
    cfg: Any, clip: CustomTextCLIP, vocabulary: ClassVocabulary, *, templates: str
) -> TextBank:
    """Return the class names in their category templates, K x templates."""
    return _bank(cfg, clip, expand_names(get_prompts(templates), vocabulary))


def build_descriptors(cfg: Any, vocabulary: ClassVocabulary) -> dict[str, Descriptors]:
    """Return the descriptors of each kind of ``OST.KINDS``, K x N, joined to the classes by name.

    A file may be about all of ``TEXT.CLASSES`` or some of them, those of ``vocabulary`` included.
    """
    listed, found = load_classes(cfg.TEXT.CLASSES), {}
    if not cfg.OST.KINDS:
        raise UsageError(f"OST.KINDS is empty: choose from {KINDS}")
    for kind in (kind for kind in KINDS if kind in cfg.OST.KINDS):
        path = cfg.TEXT[kind.upper()]
        if not path:
            raise UsageError(f"TEXT.{kind.upper()} is empty: name the file of {kind} descriptors")
        found[kind] = load_descriptors(path, listed, kind=kind, num=cfg.OST.N, used=vocabulary)
    return found


def build_descriptor_banks(
    cfg: Any, clip: CustomTextCLIP, vocabulary: ClassVocabulary, *, templates: str
) -> dict[str, TextBank]:
    """Return what ``build_descriptors`` finds in the templates of each kind."""
    prompts = get_prompts(templates)
    return {
        kind: _bank(
            cfg,
            clip,
            expand_descriptors(prompts, vocabulary, own, conditioned=kind in cfg.OST.CONDITION),
        )
        for kind, own in build_descriptors(cfg, vocabulary).items()
    }


def check_texts(cfg: Any, head: Any) -> bool:
    """Read the texts of ``head`` as it will, so that a mistake shows before weights are fetched.

    Which texts a registered head reads is told by its ``options``. Returns whether it reads
    descriptors.
    """
    if not cfg.TEXT.CLASSES:
        return False
    vocabulary = build_vocabulary(cfg)
    reads = {"TEXT.SPATIAL", "TEXT.TEMPORAL"} & set(getattr(head, "options", ()))
    if not reads or cfg.OST.MATCHING == "category":
        return False
    build_descriptors(cfg, vocabulary)
    return True


def _bank(cfg: Any, clip: CustomTextCLIP, texts: list[list[str]]) -> TextBank:
    positions, wanted = clip.text.context_length, cfg.CLIP.CONTEXT_LENGTH
    if wanted > positions and wanted != CONTEXT_LENGTH:
        raise UsageError(
            f"CLIP.CONTEXT_LENGTH {wanted}, but the text tower of {cfg.CLIP.ARCH} has "
            f"{positions} positions"
        )
    return TextBank(
        texts,
        # The default is CLIP's length; a tower with fewer positions takes what it has.
        context_length=min(wanted, positions),
        long_text=cfg.TEXT.LONG_TEXT,
        tokenizer=getattr(clip, "tokenizer", byte_pairs),
    )
