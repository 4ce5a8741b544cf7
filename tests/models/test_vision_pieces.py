"""The pieces of CLIP's vision transformer put together again give the tower."""

from __future__ import annotations

import open_clip
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from slowfast.errors import UsageError
from slowfast.models.clip.vision import (
    AdoptedBlock,
    embed_patches,
    pool_tokens,
    project_tokens,
    replace_blocks,
    require_transformer,
    run_blocks,
    split_frames,
)


class Same(AdoptedBlock):
    """What the adopted block did, and how often."""

    calls = 0

    def forward(self, tokens, factor):
        type(self).calls += 1
        tokens = tokens + factor * self.attend(tokens)
        return tokens + factor * self.transform(tokens)


def make_tower(**options):
    torch.manual_seed(0)
    sizes = {"image_size": 32, "layers": 3, "width": 32, "head_width": 16, "patch_size": 16}
    return open_clip.CustomTextCLIP(
        embed_dim=24,
        vision_cfg={**sizes, **options},
        text_cfg={"width": 32, "heads": 2, "layers": 1},
    ).visual.eval()


def assemble(visual, images, factor=1.0):
    tokens = visual.ln_pre(embed_patches(visual, images))
    return pool_tokens(visual, run_blocks(visual, tokens, factor))


@torch.no_grad()
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"no_ln_pre": True},
        {"ls_init_value": 0.5},
        {"pool_type": "avg"},
        {"pool_type": "avg", "final_ln_after_pool": True},
        {"final_ln_after_pool": True},
        {"pos_embed_type": "sin_cos_2d"},
    ],
)
def test_the_pieces_make_the_tower(options):
    visual, images = make_tower(**options), torch.randn(4, 3, 32, 32)
    expected, before = visual(images), visual.state_dict()
    assert require_transformer(visual, "x") is visual
    replace_blocks(visual, lambda number, block: Same(block))
    assert_close(assemble(visual, images), expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(assemble(visual, images, 0.5), expected, atol=1e-3)
    assert list(visual.state_dict()) == list(before)
    assert_close(visual.state_dict(), before, rtol=0, atol=0)


def test_blocks_are_made_with_their_number(tiny_clip):
    seen = []

    def make(number, block):
        seen.append((number, block))
        return Same(block)

    old = list(tiny_clip.visual.transformer.resblocks)
    replace_blocks(tiny_clip.visual, make)
    assert seen == list(enumerate(old))
    assert all(isinstance(b, Same) for b in tiny_clip.visual.transformer.resblocks)


def test_tokens_are_projected_wherever_they_are():
    visual, tokens = make_tower(), torch.randn(2, 7, 5, 32)
    found = project_tokens(visual, tokens)
    assert found.shape == (2, 7, 5, 24)
    assert_close(found[1, 3], visual.ln_post(tokens[1, 3]) @ visual.proj)
    visual.proj = None
    assert_close(project_tokens(visual, tokens), visual.ln_post(tokens))


@pytest.mark.parametrize("grad", [True, False])
def test_recomputation_follows_the_towers_switch(grad):
    visual, images = make_tower(), torch.randn(2, 3, 32, 32)
    replace_blocks(visual, lambda number, block: Same(block))
    visual.set_grad_checkpointing(True)
    Same.calls = 0
    with torch.set_grad_enabled(grad):
        loss = assemble(visual, images).sum()
    assert Same.calls == 3
    if grad:
        loss.backward()
        assert Same.calls == 6
        assert all(p.grad is not None for p in visual.parameters())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"attentional_pool": True}, "pools by attention"),
        ({"patch_dropout": 0.5}, "drops random patches"),
        ({"qk_norm": True}, "further norms"),
    ],
)
def test_towers_that_cannot_be_taken_apart(options, reason):
    with pytest.raises(UsageError, match=f"SOME.OPTION on changes .* {reason}"):
        require_transformer(make_tower(**options), "SOME.OPTION on")


def test_other_kinds_of_towers_are_named():
    with pytest.raises(UsageError, match=r"that of CLIP.ARCH is a Identity; choose an arch such"):
        require_transformer(nn.Identity(), "X")


def test_frames_are_split_video_by_video(tiny_clip, videos):
    images, frames = split_frames(tiny_clip.visual, videos)
    assert frames == 3
    assert torch.equal(images[4], videos[1, :, 1])
    assert split_frames(tiny_clip.visual, videos[:, :, 0])[1] == 1
