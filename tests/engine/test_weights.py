from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace

import pytest
import torch
from fvcore.common.config import CfgNode
from torch import nn

from ost.cli import call
from slowfast.engine.weights import load_test_weights, say_what_is_tested
from slowfast.errors import UsageError
from slowfast.models.clip.build import build_clip


class Towers(nn.Module):
    """Keys of a project model: CLIP's parameters and a head's own."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.clip = nn.Module()
        self.clip.visual = nn.Linear(2, 2)
        self.clip.logit_scale = nn.Parameter(torch.zeros(()))
        self.head = nn.Linear(2, 1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(value)


def make_cfg(folder, *, test=None, train=None, pretrained="", allow_random=False, ratio=0.0):
    return SimpleNamespace(
        OUTPUT_DIR=str(folder),
        TASK="",
        CLIP=SimpleNamespace(PRETRAINED=pretrained),
        TRAIN=SimpleNamespace(
            CHECKPOINT_FILE_PATH=str(train or ""),
            CHECKPOINT_TYPE="pytorch",
            CHECKPOINT_CLEAR_NAME_PATTERN=(),
            CHECKPOINT_INFLATE=False,
        ),
        TEST=SimpleNamespace(
            CHECKPOINT_FILE_PATH=str(test or ""),
            CHECKPOINT_TYPE="pytorch",
            ALLOW_MISSING_KEYS=False,
            ALLOW_RANDOM_WEIGHTS=allow_random,
            ALLOW_NAN_WEIGHTS=False,
            CLIP_RATIO=ratio,
            LOGIT_SCALE=0.0,
        ),
    )


def save(path, value, **extra):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model_state": Towers(value).state_dict(), **extra}, path)
    return path


def loaded(cfg, model):
    source = load_test_weights(cfg, model)
    return str(source), model.head.bias.item()


def test_the_named_file_wins_over_the_folder_and_the_starting_weights(tmp_path):
    named = save(tmp_path / "named.pth", 1.0)
    newest = save(tmp_path / "checkpoints" / "checkpoint_epoch_00003.pyth", 2.0, epoch=2)
    save(tmp_path / "checkpoints" / "checkpoint_epoch_00002.pyth", 9.0, epoch=1)
    start = save(tmp_path / "start.pth", 3.0)
    cfg = make_cfg(tmp_path, test=named, train=start)
    assert loaded(cfg, Towers()) == (str(named), 1.0)
    assert loaded(make_cfg(tmp_path, train=start), Towers()) == (str(newest), 2.0)
    other = make_cfg(tmp_path / "elsewhere", train=start)
    assert loaded(other, Towers()) == (str(start), 3.0)


def test_random_weights_need_permission(tmp_path):
    with pytest.raises(UsageError, match="no weights to test: no checkpoint in .*ALLOW_RANDOM"):
        load_test_weights(make_cfg(tmp_path), Towers())
    found = load_test_weights(make_cfg(tmp_path, allow_random=True), Towers())
    assert (str(found), found.facts()["weights_digest"]) == ("random", "")


def test_a_pretrained_clip_is_tested_as_it_is(tmp_path):
    model = Towers(5.0)
    del model.head
    found = load_test_weights(make_cfg(tmp_path, pretrained="openai"), model)
    assert (str(found), found.notes) == ("openai", ("CLIP.PRETRAINED, tuned on no video",))
    assert model.clip.visual.bias.tolist() == [5.0, 5.0]


def test_a_pretrained_clip_under_random_parts_needs_permission(tmp_path):
    cfg = make_cfg(tmp_path, pretrained="openai")
    with pytest.raises(UsageError, match="openai leaves head.weight, head.bias random; name one"):
        load_test_weights(cfg, Towers())
    cfg.TEST.ALLOW_RANDOM_WEIGHTS = True
    assert str(load_test_weights(cfg, Towers())) == "random"


def test_what_an_encoder_adds_to_clip_is_random_too_unless_it_is_not_used(tmp_path):
    cfg, model = make_cfg(tmp_path, pretrained="openai"), Towers()
    del model.head
    model.encoder = nn.Module()
    model.encoder.temporal = nn.Linear(2, 2)
    model.encoder.frozen, model.encoder.added = ("encoder.temporal.*",), ()
    assert str(load_test_weights(cfg, model)) == "openai"
    model.encoder.added = ("clip.visual.bias",)
    with pytest.raises(UsageError, match="leaves clip.visual.bias random"):
        load_test_weights(cfg, model)


def test_missing_keys_are_refused_unless_allowed(tmp_path):
    state = Towers(1.0).state_dict()
    del state["head.bias"]
    torch.save({"model_state": state}, tmp_path / "part.pth")
    cfg = make_cfg(tmp_path, test=tmp_path / "part.pth")
    with pytest.raises(UsageError, match="head.bias"):
        load_test_weights(cfg, Towers())
    cfg.TEST.ALLOW_MISSING_KEYS = True
    assert loaded(cfg, Towers(7.0))[1] == 7.0


def test_the_ratio_is_the_share_of_the_original_in_clips_parameters(tmp_path):
    named = save(tmp_path / "tuned.pth", 1.0)
    model = Towers(11.0)
    cfg = make_cfg(tmp_path, test=named, pretrained="openai", ratio=0.2)
    source = load_test_weights(cfg, model)
    assert str(source) == f"{named} x 0.8 + openai x 0.2"
    assert source.facts()["clip_ratio"] == 0.2
    assert source.notes[-1] == "CLIP share 0.2 of 3 parameters, 0 buffers are CLIP's"
    assert model.clip.visual.weight.flatten().tolist() == pytest.approx([3.0] * 4)
    assert model.clip.logit_scale.item() == pytest.approx(3.0)
    assert model.head.bias.item() == 1.0


def test_mixing_is_noticed_by_whoever_watches_the_weights(tmp_path):
    model = Towers(11.0)
    before = model.clip.logit_scale._version
    cfg = make_cfg(tmp_path, test=save(tmp_path / "a.pth", 1.0), pretrained="openai", ratio=0.5)
    load_test_weights(cfg, model)
    assert model.clip.logit_scale._version > before


def test_a_ratio_without_an_original_is_refused(tmp_path):
    cfg = make_cfg(tmp_path, test=save(tmp_path / "a.pth", 1.0), ratio=0.2)
    with pytest.raises(UsageError, match="TEST.CLIP_RATIO is 0.2, but CLIP.PRETRAINED is empty"):
        load_test_weights(cfg, Towers())


@pytest.mark.parametrize("allow_random", [False, True])
def test_a_ratio_without_tuned_weights_is_refused(tmp_path, allow_random):
    cfg = make_cfg(tmp_path, pretrained="openai", ratio=0.2, allow_random=allow_random)
    model = Towers()
    del model.head
    wanted = "CLIP_RATIO is 0.2, but there are no tuned weights to mix with openai: .*CLIP_RATIO 0$"
    with pytest.raises(UsageError, match=wanted):
        load_test_weights(cfg, model)


def test_options_that_the_model_has_no_use_for_are_refused(tmp_path):
    cfg = make_cfg(tmp_path, test=save(tmp_path / "a.pth", 1.0), pretrained="openai", ratio=0.2)
    with pytest.raises(UsageError, match="CLIP_RATIO is 0.2, but Linear has no CLIP to mix"):
        load_test_weights(cfg, nn.Linear(2, 2))
    cfg.TEST.CLIP_RATIO, cfg.TEST.LOGIT_SCALE = 0.0, 100.0
    with pytest.raises(UsageError, match="LOGIT_SCALE is 100, .* the scores of Towers are none"):
        load_test_weights(cfg, Towers())


def test_weights_that_are_no_numbers_need_permission(tmp_path):
    cfg = make_cfg(tmp_path, test=save(tmp_path / "a.pth", torch.nan))
    with pytest.raises(UsageError, match=r"a.pth: \S+ holds NaN .*ALLOW_NAN_WEIGHTS True"):
        load_test_weights(cfg, Towers())
    cfg.TEST.ALLOW_NAN_WEIGHTS = True
    assert loaded(cfg, Towers())[1] != loaded(cfg, Towers())[1]  # NaN


@pytest.mark.parametrize(
    ("place", "wanted"),
    [
        ("test", "epoch 3, slowfast format, CLIP share 0"),
        ("newest", "the newest of OUTPUT_DIR, epoch 3, slowfast format"),
        ("train", "TRAIN.CHECKPOINT_FILE_PATH, not trained further, epoch 3, slowfast format"),
    ],
)
def test_one_line_says_which_weights_label_which_classes(tmp_path, capsys, place, wanted):
    file = "checkpoints/checkpoint_epoch_00003.pyth" if place == "newest" else "k400.pyth"
    path = save(tmp_path / file, 1.0, epoch=2)
    places = {} if place == "newest" else {place: path}
    cfg, model = make_cfg(tmp_path, **places), Towers()
    cfg.MODEL = SimpleNamespace(MODEL_NAME="OST", NUM_CLASSES=0)
    files = {"SPATIAL": "four.json", "TEMPORAL": "unused.json", "CLASSES": "mine.txt", "SUBSET": ""}
    cfg.TEXT = CfgNode(files)
    cfg.DATA = SimpleNamespace(NUM_FRAMES=32)
    cfg.TEST.NUM_TEMPORAL_CLIPS, cfg.TEST.NUM_SPATIAL_CROPS = [1, 4], 3
    model.head.vocabulary = SimpleNamespace(names=("a", "b"))
    model.head.banks = {"spatial": None}
    weights = load_test_weights(cfg, model)
    say_what_is_tested(cfg, model, weights)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"testing OST, weights {path} (")
    assert wanted in line
    assert line.endswith(
        "; 2 classes of mine.txt; descriptors spatial four.json; 32 frames x 1, 4 clips x 3 crops; "
        "cpu, float32"
    )
    assert weights.facts() == {
        "weights": str(path),
        "weights_format": "slowfast",
        "weights_epoch": 3,
        "weights_digest": hashlib.sha256(path.read_bytes()).hexdigest()[:12],
        "clip_ratio": 0.0,
    }


def test_a_file_that_was_mixed_before_is_not_mixed_again(tmp_path):
    record = {"method": "mix", "ratio_original": 0.2}
    cfg = make_cfg(tmp_path, test=save(tmp_path / "m.pth", 1.0, made_from=record))
    found = load_test_weights(cfg, Towers())
    assert found.notes[-1] == "CLIP share 0.2 of the file"
    assert found.facts()["clip_ratio"] == 0.2
    cfg.TEST.CLIP_RATIO, cfg.CLIP.PRETRAINED = 0.2, "openai"
    with pytest.raises(UsageError, match="m.pth is a mix that has 0.2 of the original CLIP in it"):
        load_test_weights(cfg, Towers())


def save_clip_with_batch_norm(folder, seed):
    """A residual tower of open_clip, whose batch norms have seen something, saved as ours."""
    vision = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    arch = folder / "tiny_resnet.json"
    arch.write_text(json.dumps({"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}))
    torch.manual_seed(seed)
    model = nn.Module()
    model.clip = build_clip(str(arch))
    for name, buffer in model.clip.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 2)
    path = folder / f"{seed}.pyth"
    torch.save({"model_state": model.state_dict()}, path)
    return model, path


def test_the_ratio_and_the_averaging_tool_make_the_same_weights_of_a_batch_norm(
    tmp_path, caplog, capsys
):
    original, before = save_clip_with_batch_norm(tmp_path, 1)
    _, tuned = save_clip_with_batch_norm(tmp_path, 2)
    words = ["mix", str(before), str(tuned), "--ratio", "0.2", "-o", str(tmp_path / "mixed.pyth")]
    assert call("average", words) == 0
    expected = torch.load(tmp_path / "mixed.pyth", weights_only=True)["model_state"]
    cfg = make_cfg(tmp_path, test=tuned, pretrained=str(before), ratio=0.2)
    with caplog.at_level("INFO"):
        notes = load_test_weights(cfg, original).notes
    found = original.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    sides = [torch.load(path, weights_only=True)["model_state"] for path in (before, tuned)]
    statistic, weight = "clip.visual.bn1.running_mean", "clip.visual.bn1.weight"
    assert torch.equal(found[statistic], sides[0][statistic])
    assert not torch.equal(found[statistic], sides[1][statistic])
    torch.testing.assert_close(found[weight], 0.2 * sides[0][weight] + 0.8 * sides[1][weight])
    assert "keep the original's values" in caplog.text
    counted = sum(key in expected for key, _ in original.named_buffers())
    assert notes[-1].endswith(f"parameters, {counted} buffers are CLIP's")
    assert f", {counted} buffers as in {before}" in capsys.readouterr().out
