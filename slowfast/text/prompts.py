"""Prompt templates as named data, and their expansion.

Placeholders: ``{name}`` the class name, ``{descriptor}`` one descriptor.
Sources: OST (paper section 3.2, released code); ViFi-CLIP, vanilla CLIP, Text4Vis, Open-VCLIP
and STDD (released codes); CLIP (its published prompts for Kinetics and UCF101).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slowfast.config.paths import find_file
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


def _combine(nouns: Sequence[str], rest: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"a {noun} of {end}" for noun in nouns for end in rest)


NOUNS = ("photo", "video", "example", "demonstration")  # "a example", as published
VERBS = ("", "using ", "doing ", "during ", "performing ", "practicing ")
# CLIP's list for Kinetics, which Open-VCLIP and STDD classify with and Text4Vis lists.
KINETICS_28 = _combine(NOUNS, ("{name}.", *(f"a person {verb}{{name}}." for verb in VERBS)))
# CLIP's list for UCF101.
UCF101_48 = tuple(
    f"a {noun} of {person} person {verb}{{name}}."
    for verb in VERBS
    for person in ("a", "the")
    for noun in NOUNS
)
# STDD's sentences around an action and its knowledge, for Kinetics-400 and UCF101.
STDD_12 = (
    "a human action of {name}.",
    "a video of action {name}.",
    "Playing action of {name}.",
    "Doing a kind of action {name}.",
    "Look, the person is {name}.",
    "The man is {name}.",
    "The woman is {name}.",
    "a video of a person {name}.",
    "Can you recognize the action of {name}?",
    "This video is related to {name}.",
    "a photo of action {name}.",
    "a picture of action {name}.",
)

PROMPT_SETS: dict[str, PromptSet] = {
    "ost": PromptSet(category=("a video of a person {name}.",)),
    "vifi_clip": PromptSet(category=("a photo of a {name}.",)),
    "vanilla_clip": PromptSet(category=("{name}",)),
    "text4vis": PromptSet(category=("a video of a person {name}.",)),
    "text4vis_28": PromptSet(category=KINETICS_28),
    "openvclip_28": PromptSet(category=KINETICS_28),
    "clip_kinetics_28": PromptSet(category=KINETICS_28),
    "clip_ucf101_48": PromptSet(category=UCF101_48),
    "stdd_12": PromptSet(category=STDD_12),
    "stdd_8": PromptSet(category=STDD_12[:8]),
}


def get_prompts(name: str) -> PromptSet:
    """Return the prompt set called ``name``, or the templates of the file of that name.

    Raises:
        UsageError: an unknown name (it lists the known ones), or a file that ``load_templates``
            refuses.
    """
    if name in PROMPT_SETS:
        return PROMPT_SETS[name]
    if Path(name).suffix or "/" in name:
        return PromptSet(category=load_templates(name))
    known = ", ".join(sorted(PROMPT_SETS))
    raise UsageError(
        f"TEXT.TEMPLATES {name!r}: no such prompt set; known: {known}; or a text file of templates"
    )


def load_templates(path: str | Path) -> tuple[str, ...]:
    """Read templates from a text file: one a line, with ``{}`` where the class name goes.

    Empty lines are skipped; other braces stand for themselves.

    Raises:
        UsageError: no such file, no templates, a line without exactly one ``{}``, the same line
            twice.
    """
    path = find_file(path, "file of templates (TEXT.TEMPLATES)")
    lines: dict[str, int] = {}
    for number, text in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not (line := text.strip()):
            continue
        if line.count("{}") != 1:
            raise UsageError(
                f"{path}:{number}: a template has {{}} once, where the class name goes; "
                f"found {line!r}"
            )
        if line in lines:
            raise UsageError(f"{path}:{number}: the same template as in line {lines[line]}")
        lines[line] = number
    if not lines:
        raise UsageError(f"{path}: no templates in it (one a line, with {{}} for the class name)")
    return tuple("{name}".join(map(_escape, line.split("{}"))) for line in lines)


def _escape(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


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
