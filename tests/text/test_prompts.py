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
    with pytest.raises(
        UsageError, match=r"TEXT\.TEMPLATES 'Ost'.*known: .*ost, .*vifi.*; or a text file"
    ):
        get_prompts("Ost")


VERBS = ("using", "doing", "during", "performing", "practicing")


@pytest.mark.parametrize("alias", ["openvclip_28", "text4vis_28", "clip_kinetics_28"])
def test_the_28_sentences_of_kinetics_in_their_order(alias):
    sentences = get_prompts(alias).category
    assert sentences[:4] == (
        "a photo of {name}.",
        "a photo of a person {name}.",
        "a photo of a person using {name}.",
        "a photo of a person doing {name}.",
    )
    for row, noun in enumerate(("photo", "video", "example", "demonstration")):
        person = [f"a {noun} of a person {verb} {{name}}." for verb in VERBS]
        own = sentences[7 * row : 7 * row + 7]
        assert own == (f"a {noun} of {{name}}.", f"a {noun} of a person {{name}}.", *person)
    assert len(sentences) == 28


def test_the_48_sentences_of_ucf101():
    sentences = get_prompts("clip_ucf101_48").category
    assert len(set(sentences)) == 48
    assert sentences[:5] == (
        "a photo of a person {name}.",
        "a video of a person {name}.",
        "a example of a person {name}.",
        "a demonstration of a person {name}.",
        "a photo of the person {name}.",
    )
    assert sentences[-1] == "a demonstration of the person practicing {name}."
    for verb in VERBS:
        assert sum(f"person {verb} " in sentence for sentence in sentences) == 8


def test_stdd_s_sentences():
    assert get_prompts("stdd_8").category == get_prompts("stdd_12").category[:8]
    assert get_prompts("stdd_8").category[-1] == "a video of a person {name}."
    assert expand_names(get_prompts("stdd_12"), ClassVocabulary(("surfing",)))[0][8:] == [
        "Can you recognize the action of surfing?",
        "This video is related to surfing.",
        "a photo of action surfing.",
        "a picture of action surfing.",
    ]


def test_text4vis_has_one_sentence():
    assert get_prompts("text4vis").category == ("a video of a person {name}.",)


@pytest.mark.parametrize("name", sorted(PROMPT_SETS))
def test_no_set_repeats_itself(name):
    sentences = get_prompts(name).category
    assert len(set(sentences)) == len(sentences)


def test_own_templates_from_a_file(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("  a {noun} of {}!\n\n{} on film\n")
    prompts = get_prompts(str(path))
    assert expand_names(prompts, ClassVocabulary(("a {brace}",))) == [
        ["a {noun} of a {brace}!", "a {brace} on film"]
    ]
    assert "{descriptor}" in prompts.plain


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a photo of {}.\na video\n", r"mine\.txt:2: a template has \{\} once, .*'a video'"),
        ("{} and {}", r"mine\.txt:1: a template has \{\} once"),
        ("a {name}", r"mine\.txt:1: a template has \{\} once"),
        ("\n{}\n{}\n", r"mine\.txt:3: the same template as in line 2"),
        ("\n\n", r"mine\.txt: no templates in it"),
    ],
)
def test_a_wrong_file_of_templates(text, message, tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        get_prompts(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere.txt", "prompts/own"])
def test_a_missing_file_of_templates(name):
    with pytest.raises(UsageError, match=f"{name}: no such file of templates"):
        get_prompts(name)
