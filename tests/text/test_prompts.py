from __future__ import annotations

import pytest

from slowfast.errors import UsageError
from slowfast.text import (
    PROMPT_SETS,
    ClassVocabulary,
    PromptSet,
    expand_descriptors,
    expand_names,
    get_prompts,
)

VOCABULARY = ClassVocabulary(("ApplyEyeMakeup", "a {brace}"))


def test_published_sentences():
    ost = get_prompts("ost")
    descriptors = [["a mirror"], ["a {curly} thing."]]
    assert expand_descriptors(ost, VOCABULARY, descriptors, conditioned=True) == [
        ["A video of ApplyEyeMakeup usually includes a mirror"],
        ["A video of a {brace} usually includes a {curly} thing."],
    ]
    assert expand_descriptors(ost, VOCABULARY, descriptors, conditioned=False) == [
        ["This is a video about a mirror"],
        ["This is a video about a {curly} thing."],
    ]
    assert expand_names(ost, VOCABULARY)[0] == ["a video of a person ApplyEyeMakeup."]
    assert expand_names(get_prompts("vifi_clip"), VOCABULARY)[0] == ["a photo of a ApplyEyeMakeup."]
    assert expand_names(get_prompts("vanilla_clip"), VOCABULARY)[1] == ["a {brace}"]


def test_several_category_templates():
    prompts = PromptSet(category=("a {name}", "the {name}"))
    assert expand_names(prompts, ClassVocabulary(("run",))) == [["a run", "the run"]]


@pytest.mark.parametrize("name", sorted(PROMPT_SETS))
def test_each_set_has_its_placeholders(name):
    prompts = PROMPT_SETS[name]
    assert prompts.category
    assert all("{name}" in template for template in prompts.category)
    assert "{descriptor}" in prompts.plain
    assert "{name}" not in prompts.plain
    assert "{descriptor}" in prompts.conditioned
    assert "{name}" in prompts.conditioned


def test_unknown_set_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"TEXT\.TEMPLATES 'Ost'.*known: ost, vanilla_clip, vifi"):
        get_prompts("Ost")
