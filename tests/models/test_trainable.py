from __future__ import annotations

import pytest
import torch
from torch import nn

from slowfast.errors import UsageError
from slowfast.models.trainable import select_trainable


@pytest.fixture
def model(tiny_clip):
    model = nn.ModuleDict({"clip": tiny_clip, "encoder": nn.Linear(2, 2), "head": nn.Linear(2, 2)})
    model.requires_grad_(False)
    return model


def trained(model) -> set[str]:
    return {
        ".".join(name.split(".")[: 2 if name.startswith("clip.") else 1])
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


@pytest.mark.parametrize(
    ("choice", "towers"),
    [
        ("both", {"clip.visual", "clip.text", "clip.logit_scale"}),
        ("image", {"clip.visual"}),
        ("text", {"clip.text"}),
        ("none", set()),
    ],
)
def test_towers_by_choice_and_the_rest_always(model, choice, towers):
    count = select_trainable(model, choice)
    assert trained(model) == towers | {"encoder", "head"}
    assert count == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_patterns(model):
    select_trainable(
        model, "both", freeze=["clip.text.token_embedding.*", "clip.visual.*"], never=["head.bias"]
    )
    assert trained(model) == {"clip.text", "clip.logit_scale", "encoder", "head"}
    assert not model["clip"].text.token_embedding.weight.requires_grad
    assert not model["head"].bias.requires_grad
    assert model["head"].weight.requires_grad


@pytest.mark.parametrize("choice", ["image", "text", "none"])
def test_what_an_encoder_adds_to_a_tower_is_no_part_of_it(model, choice):
    model["clip"].visual.time_embedding = nn.Parameter(torch.zeros(2))
    select_trainable(model, choice, added=["clip.visual.time_embedding"])
    assert model["clip"].visual.time_embedding.requires_grad
    assert model["clip"].visual.conv1.weight.requires_grad == (choice == "image")
    select_trainable(model, choice, freeze=["clip.visual.*"], added=["clip.visual.time_embedding"])
    assert not model["clip"].visual.time_embedding.requires_grad


def test_mistakes(model):
    with pytest.raises(UsageError, match=r"CLIP\.TRAINABLE 'vision': choose from \['both'"):
        select_trainable(model, "vision")
    with pytest.raises(UsageError, match=r"'clip\.text_proj' matches no.*: clip\.text\.text_proj"):
        select_trainable(model, "both", freeze=["clip.text_proj"])
    with pytest.raises(UsageError, match=r"added 'clip\.visual\.time' matches no parameter"):
        select_trainable(model, "both", added=["clip.visual.time"])
