"""Prompt templates as named data, and their expansion.

Placeholders: ``{name}`` the class name, ``{descriptor}`` one descriptor.
Sources: OST (paper section 3.2 and the released code), ViFi-CLIP and vanilla CLIP (released code).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slowfast.errors import UsageError
from slowfast.text.labels import ClassVocabulary


@dataclass(frozen=True)
class PromptSet:
    """The sentences into which a system puts names and descriptors.

    Args:
        category: templates around the class name alone; several are averaged as features.
        plain: template of a descriptor without the class name.
        conditioned: template of a descriptor with the class name.
    """

    category: tuple[str, ...]
    plain: str = "This is a video about {descriptor}"
    conditioned: str = "A video of {name} usually includes {descriptor}"


PROMPT_SETS: dict[str, PromptSet] = {
    "ost": PromptSet(category=("a video of a person {name}.",)),
    "vifi_clip": PromptSet(category=("a photo of a {name}.",)),
    "vanilla_clip": PromptSet(category=("{name}",)),
    "text4vis": PromptSet(category=("a video of a person {name}.",)),
}


def get_prompts(name: str) -> PromptSet:
    """Return the prompt set called ``name``; raises UsageError that lists the known ones."""
    if name not in PROMPT_SETS:
        known = ", ".join(sorted(PROMPT_SETS))
        raise UsageError(f"TEXT.TEMPLATES {name!r}: no such prompt set; known: {known}")
    return PROMPT_SETS[name]


def expand_names(prompts: PromptSet, vocabulary: ClassVocabulary) -> list[list[str]]:
    """Return the category sentences, K classes x templates.

    >>> expand_names(PROMPT_SETS["vifi_clip"], ClassVocabulary(("run",)))
    [['a photo of a run.']]
    """
    return [
        [template.format(name=name) for template in prompts.category] for name in vocabulary.names
    ]


def expand_descriptors(
    prompts: PromptSet,
    vocabulary: ClassVocabulary,
    descriptors: Sequence[Sequence[str]],
    *,
    conditioned: bool,
) -> list[list[str]]:
    """Return the descriptor sentences, K classes x N descriptors, in the order of the vocabulary.

    Args:
        descriptors: K lists of descriptors.
        conditioned: whether the class name stands in the sentence (Table 4d of the OST paper).

    >>> expand_descriptors(
    ...     PROMPT_SETS["ost"], ClassVocabulary(("run",)), [["a track"]], conditioned=False
    ... )
    [['This is a video about a track']]
    """
    assert len(descriptors) == len(vocabulary)
    template = prompts.conditioned if conditioned else prompts.plain
    return [
        [template.format(name=name, descriptor=descriptor) for descriptor in own]
        for name, own in zip(vocabulary.names, descriptors)
    ]
