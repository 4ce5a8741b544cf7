"""Our calls of open_clip's towers against open_clip's own."""

from __future__ import annotations

import open_clip
import pytest
import torch
from torch.testing import assert_close

from slowfast.errors import UsageError
from slowfast.models.clip.text import encode_embeddings, encode_tokens, end_positions, is_trimmable
from slowfast.models.clip.vision import encode_frames
from slowfast.text import tokenize

TEXTS = ["a dog", "", "a photo of a person who climbs a rope, slowly!", "run"]


def make_clip(**text_options) -> open_clip.CustomTextCLIP:
    return open_clip.CustomTextCLIP(
        embed_dim=32,
        vision_cfg={
            "image_size": 32,
            "layers": 1,
            "width": 32,
            "head_width": 16,
            "patch_size": 16,
        },
        text_cfg={"width": 32, "heads": 2, "layers": 2, **text_options},
    )


@torch.no_grad()
def test_frames_are_images(tiny_clip, videos):
    features = encode_frames(tiny_clip.visual, videos)
    assert features.shape == (2, 3, 32)
    for b in range(2):
        for t in range(3):
            expected = tiny_clip.encode_image(videos[b, :, t][None])[0]
            assert_close(features[b, t], expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_batch_of_images_is_videos_of_one_frame(tiny_clip, videos):
    images = videos[:, :, 0]
    assert_close(encode_frames(tiny_clip.visual, images)[:, 0], tiny_clip.encode_image(images))


def test_frames_of_another_size_are_refused(tiny_clip):
    with pytest.raises(UsageError, match=r"48x64 pixels, but the image tower takes 32x32"):
        encode_frames(tiny_clip.visual, torch.zeros(1, 3, 2, 48, 64))


@torch.no_grad()
def test_short_token_ids_give_open_clips_features(tiny_clip):
    expected = tiny_clip.encode_text(open_clip.tokenize(TEXTS))
    ids = tokenize(TEXTS)
    assert ids.shape[1] < 77
    assert_close(encode_tokens(tiny_clip.text, ids), expected, atol=1e-5, rtol=0)
    assert_close(
        encode_tokens(tiny_clip.text, open_clip.tokenize(TEXTS)), expected, atol=1e-5, rtol=0
    )


def test_gradients_are_those_of_padded_texts(tiny_clip):
    def gradients(features):
        tiny_clip.zero_grad()
        features.square().sum().backward()
        return [p.grad.clone() for p in tiny_clip.text.parameters()]

    short = gradients(encode_tokens(tiny_clip.text, tokenize(TEXTS)))
    padded = gradients(tiny_clip.encode_text(open_clip.tokenize(TEXTS)))
    for one, other in zip(short, padded):
        assert_close(one, other, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_embeddings_in_place_of_ids(tiny_clip):
    tower, ids = tiny_clip.text, tokenize(TEXTS)
    embedded = tower.token_embedding(ids)
    found = encode_embeddings(tower, embedded, end_positions(tower, ids))
    assert torch.equal(found, encode_tokens(tower, ids))


@torch.no_grad()
@pytest.mark.parametrize(
    "options",
    [
        {"pool_type": "eos", "eos_id": 49407},
        {"proj_bias": True},
        {"proj_type": "none"},
        {"no_causal_mask": True},
        {"pool_type": "last"},
        {"embed_cls": True},
    ],
)
def test_other_text_towers(options):
    clip = make_clip(**options).eval()
    trims = (
        not {"no_causal_mask", "embed_cls"} & set(options) and options.get("pool_type") != "last"
    )
    assert is_trimmable(clip.text) == trims
    context = clip.text.context_length
    expected = clip.text(open_clip.tokenize(TEXTS, context_length=context))
    assert_close(encode_tokens(clip.text, tokenize(TEXTS)), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("length", [3, 20])
def test_activation_checkpointing_gives_the_same_gradients(tiny_clip, length):
    ids = tokenize([" ".join(["dog"] * (length - 2))])

    def gradient():
        tiny_clip.zero_grad()
        encode_tokens(tiny_clip.text.train(), ids).sum().backward()
        return tiny_clip.text.positional_embedding.grad.clone()

    expected = gradient()
    tiny_clip.set_grad_checkpointing(True)
    assert_close(gradient(), expected)
