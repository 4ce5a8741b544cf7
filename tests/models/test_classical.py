"""PySlowFast's networks from its own options; sizes published for them are the oracle."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from ost.cli import call
from slowfast.checkpoint.load import load_weights
from slowfast.config.load import load_cfg
from slowfast.engine.test import test
from slowfast.engine.train import train
from slowfast.errors import UsageError
from slowfast.models import MODEL_REGISTRY, build_model
from slowfast.solver.optimizer import construct_optimizer
from tests.video_files import write_video

pytest.importorskip("pytorchvideo")
test.__test__ = False

# What PySlowFast's files in configs/Kinetics say of their networks, and the published millions of
# parameters.
RESNET = """
DATA: {NUM_FRAMES: 8, SAMPLING_RATE: 8, INPUT_CHANNEL_NUM: [3]}
RESNET:
  ZERO_INIT_FINAL_BN: True
  WIDTH_PER_GROUP: 64
  NUM_GROUPS: 1
  DEPTH: 50
  TRANS_FUNC: bottleneck_transform
  STRIDE_1X1: False
  NUM_BLOCK_TEMP_KERNEL: [[3], [4], [6], [3]]
NONLOCAL: {LOCATION: [[[]], [[]], [[]], [[]]], GROUP: [[1], [1], [1], [1]], INSTANTIATION: softmax}
BN: {USE_PRECISE_STATS: True, NUM_BATCHES_PRECISE: 200, WEIGHT_DECAY: 0.0}
MODEL: {NUM_CLASSES: 400, MODEL_NAME: ResNet, ARCH: ARCHITECTURE, DROPOUT_RATE: 0.5}
"""
SLOWFAST = """
DATA: {NUM_FRAMES: 32, SAMPLING_RATE: 2, INPUT_CHANNEL_NUM: [3, 3]}
SLOWFAST: {ALPHA: 4, BETA_INV: 8, FUSION_CONV_CHANNEL_RATIO: 2, FUSION_KERNEL_SZ: 7}
RESNET:
  ZERO_INIT_FINAL_BN: True
  WIDTH_PER_GROUP: 64
  NUM_GROUPS: 1
  DEPTH: 50
  TRANS_FUNC: bottleneck_transform
  STRIDE_1X1: False
  NUM_BLOCK_TEMP_KERNEL: [[3, 3], [4, 4], [6, 6], [3, 3]]
  SPATIAL_STRIDES: [[1, 1], [2, 2], [2, 2], [2, 2]]
  SPATIAL_DILATIONS: [[1, 1], [1, 1], [1, 1], [1, 1]]
NONLOCAL:
  LOCATION: [[[], []], [[], []], [[], []], [[], []]]
  GROUP: [[1, 1], [1, 1], [1, 1], [1, 1]]
  INSTANTIATION: dot_product
MODEL: {NUM_CLASSES: 400, ARCH: slowfast, LOSS_FUNC: cross_entropy, DROPOUT_RATE: 0.5}
"""
X3D_S = """
X3D: {WIDTH_FACTOR: 2.0, DEPTH_FACTOR: 2.2, BOTTLENECK_FACTOR: 2.25, DIM_C5: 2048, DIM_C1: 12}
DATA: {NUM_FRAMES: 13, TRAIN_CROP_SIZE: 160, TEST_CROP_SIZE: 182, INPUT_CHANNEL_NUM: [3]}
RESNET: {ZERO_INIT_FINAL_BN: True, TRANS_FUNC: x3d_transform, STRIDE_1X1: False}
MODEL: {NUM_CLASSES: 400, ARCH: x3d, MODEL_NAME: X3D, DROPOUT_RATE: 0.5}
"""
MVIT = """
DATA: {NUM_FRAMES: 16, TRAIN_CROP_SIZE: 224, TEST_CROP_SIZE: 224, INPUT_CHANNEL_NUM: [3]}
MVIT:
  ZERO_DECAY_POS_CLS: False
  SEP_POS_EMBED: True
  DEPTH: 16
  NUM_HEADS: 1
  EMBED_DIM: 96
  PATCH_KERNEL: (3, 7, 7)
  PATCH_STRIDE: (2, 4, 4)
  PATCH_PADDING: (1, 3, 3)
  MLP_RATIO: 4.0
  QKV_BIAS: True
  DROPPATH_RATE: 0.2
  NORM: "layernorm"
  MODE: "conv"
  CLS_EMBED_ON: True
  DIM_MUL: [[1, 2.0], [3, 2.0], [14, 2.0]]
  HEAD_MUL: [[1, 2.0], [3, 2.0], [14, 2.0]]
  POOL_KVQ_KERNEL: [3, 3, 3]
  POOL_KV_STRIDE_ADAPTIVE: [1, 8, 8]
  POOL_Q_STRIDE: [[1, 1, 2, 2], [3, 1, 2, 2], [14, 1, 2, 2]]
  DROPOUT_RATE: 0.0
MODEL: {NUM_CLASSES: 400, ARCH: mvit, MODEL_NAME: MViT, LOSS_FUNC: cross_entropy}
"""
FILES = {
    "SlowFast": (SLOWFAST, 34.57),
    "Slow": (RESNET.replace("ARCHITECTURE", "slow"), 32.45),
    "C2D": (RESNET.replace("ARCHITECTURE", "c2d"), 24.33),
    "I3D": (RESNET.replace("ARCHITECTURE", "i3d"), 28.04),
    "X3D": (X3D_S, 3.79),
    "MViT": (MVIT, 36.6),
}
# The same networks small enough to compute.
RESNET_TINY = ("RESNET.WIDTH_PER_GROUP", 8, "DATA.TRAIN_CROP_SIZE", 32, "DATA.TEST_CROP_SIZE", 64)
TINY = {
    "SlowFast": (*RESNET_TINY, "DATA.NUM_FRAMES", 8),
    "Slow": (*RESNET_TINY, "DATA.NUM_FRAMES", 4),
    "C2D": (*RESNET_TINY, "DATA.NUM_FRAMES", 4),
    "I3D": (*RESNET_TINY, "DATA.NUM_FRAMES", 4),
    "X3D": ("X3D.DEPTH_FACTOR", 1.0, "X3D.DIM_C5", 32, *RESNET_TINY[2:], "DATA.NUM_FRAMES", 4),
    "MViT": (
        *("MVIT.DEPTH", 3, "MVIT.EMBED_DIM", 16, "MVIT.DIM_MUL", [[1, 2.0]]),
        *("MVIT.HEAD_MUL", [[1, 2.0]], "MVIT.POOL_Q_STRIDE", [[1, 1, 2, 2]]),
        *("DATA.TRAIN_CROP_SIZE", 32, "DATA.TEST_CROP_SIZE", 32, "DATA.NUM_FRAMES", 4),
    ),
}


@pytest.fixture
def make_cfg(tmp_path):
    """Return make(text, KEY, value, ...): the options of a YAML file of that text."""

    def make(text: str, *opts: object):
        (tmp_path / "network.yaml").write_text(text)
        return load_cfg([tmp_path / "network.yaml"], ["NUM_GPUS", 0, *opts], env={})

    return make


@pytest.fixture
def tiny(make_cfg):
    """Return make(name, KEY, value, ...): the small network of that name, of five classes."""

    def make(name: str, *opts: object) -> nn.Module:
        torch.manual_seed(0)
        cfg = make_cfg(FILES[name][0], *TINY[name], "MODEL.NUM_CLASSES", 5, *opts)
        return build_model(cfg)

    return make


def clips(frames: int, side: int = 32) -> torch.Tensor:
    return torch.randn(2, 3, frames, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", FILES)
def test_pyslowfasts_own_files_give_networks_of_the_published_size(make_cfg, name):
    text, millions = FILES[name]
    # MViT's builder computes its widths with tensors.
    with torch.device("cpu" if name == "MViT" else "meta"):
        model = MODEL_REGISTRY.get(make_cfg(text).MODEL.MODEL_NAME)(make_cfg(text))
    number = sum(p.numel() for p in model.parameters()) / 1e6
    assert number == pytest.approx(millions, abs=0.051 if name == "MViT" else 0.0051)


@pytest.mark.parametrize("arch", ["Slow", "C2D", "I3D"])
def test_a_resnet_may_be_named_by_its_architecture(tiny, arch):
    by_file, by_name = tiny(arch), tiny(arch, "MODEL.MODEL_NAME", arch, "MODEL.ARCH", "slowfast")
    assert_close(by_name.state_dict(), by_file.state_dict(), rtol=0, atol=0)
    by_name.eval(), by_file.eval()
    pathways = [clips(4)[:, :, :1], clips(4)]  # as loaders make them for that MODEL.ARCH
    assert torch.equal(by_name(pathways), by_file([clips(4)]))


@pytest.mark.parametrize("name", FILES)
def test_each_network_learns_two_clips(tiny, name):
    model = tiny(name, "MODEL.DROPOUT_RATE", 0.0, "MVIT.DROPPATH_RATE", 0.0)
    pathways, labels = [clips(8 if name == "SlowFast" else 4)], torch.tensor([0, 3])
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(model(pathways), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(5), abs=0.3)
    assert losses[-1] < 0.5 * losses[0]
    assert all(p.grad is not None for p in model.parameters())


@torch.no_grad()
def test_the_slow_pathway_takes_evenly_spread_frames(tiny):
    model, fast = tiny("SlowFast").eval(), clips(8)
    assert model.num_pathways == 2
    expected = model([fast[:, :, [0, 7]], fast])
    assert torch.equal(model([fast]), expected)
    assert not torch.allclose(model([fast[:, :, [1, 5]], fast]), expected)


@torch.no_grad()
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
def test_scores_of_the_places_of_a_larger_clip_are_averaged(tiny, activation):
    model = tiny("Slow", "MODEL.HEAD_ACT", activation).eval()
    large = clips(4, side=64)
    places = model.network(large).flatten(2)
    assert places.shape == (2, 5, 4)
    scored = {"softmax": lambda x: x.softmax(1), "sigmoid": torch.sigmoid, "none": lambda x: x}
    found, act = model([large]), scored[activation]
    assert_close(act(found), act(places).mean(dim=2))
    single = model([clips(4)])
    assert_close(single, model.network(clips(4)).flatten(1))


def test_kernels_in_time_end_where_the_options_say(tiny):
    model = tiny("I3D", "RESNET.NUM_BLOCK_TEMP_KERNEL", [[1], [2], [6], [0]])
    stages = [block for block in model.network.blocks if hasattr(block, "res_blocks")]
    lengths = [[b.branch2.conv_a.kernel_size[0] for b in stage.res_blocks] for stage in stages]
    assert lengths == [[3, 1, 1], [3, 1, 1, 1], [3, 1, 3, 1, 3, 1], [1, 1, 1]]


@pytest.mark.parametrize("zeros", [True, False])
def test_initial_values_follow_the_options(tiny, zeros):
    model = tiny("Slow", "RESNET.ZERO_INIT_FINAL_BN", zeros, "MODEL.FC_INIT_STD", 0.5)
    last = [m for m in model.modules() if getattr(m, "block_final_bn", False)]
    assert len(last) == 16
    assert {float(m.weight.detach().max()) for m in last} == {0.0 if zeros else 1.0}
    assert model.network.blocks[-1].proj.weight.std().item() == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("zero_decay", [True, False])
def test_positions_and_class_token_are_decayed_unless_told(make_cfg, zero_decay):
    options = (*TINY["MViT"], "MVIT.ZERO_DECAY_POS_CLS", zero_decay)
    cfg = make_cfg(MVIT, *options, "SOLVER.OPTIMIZING_METHOD", "adamw", "SOLVER.WEIGHT_DECAY", 0.1)
    model = build_model(cfg)
    groups = construct_optimizer(model, cfg).param_groups
    decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    positions = model.network.cls_positional_encoding
    assert len(list(positions.parameters())) == 4
    for parameter in positions.parameters():
        assert (id(parameter) in decayed) is not zero_decay


@pytest.mark.parametrize("name", ["SlowFast", "X3D", "MViT"])
def test_pytorchvideos_released_files_load_by_their_type(tiny, tmp_path, name):
    released, model = tiny(name), tiny(name)
    for parameter in released.parameters():
        nn.init.normal_(parameter)
    torch.save({"model_state": released.network.state_dict()}, tmp_path / "released.pyth")
    load_weights(model, tmp_path / "released.pyth", kind="pytorchvideo")
    assert_close(model.state_dict(), released.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Slow", ("RESNET.DEPTH", 18), r"RESNET.DEPTH is 18: pytorchvideo has \[50, 101, 152\]"),
        (
            "Slow",
            ("RESNET.TRANS_FUNC", "basic_transform"),
            "TRANS_FUNC is 'basic_transform'.*has 'b",
        ),
        (
            "Slow",
            ("RESNET.STRIDE_1X1", True),
            "RESNET.STRIDE_1X1 is True: .*ResNet.* has False only",
        ),
        ("X3D", ("CLIP.FREEZE", ["network.*"]), "FREEZE is .'network.*'.: .* has .. only"),
        ("MViT", ("MODEL.DETACH_FINAL_FC", True), "DETACH_FINAL_FC is True: .*MViT.* False only"),
        ("Slow", ("RESNET.NUM_GROUPS", 32), "RESNET.NUM_GROUPS is 32: .* has 1 only"),
        ("Slow", ("NONLOCAL.LOCATION", [[[]], [[1, 3]], [[]], [[]]]), "no non-local blocks"),
        ("Slow", ("MODEL.ARCH", "2d"), "MODEL.ARCH '2d' is no ResNet .* choose c2d, i3d or slow"),
        ("Slow", ("RESNET.SPATIAL_STRIDES", [[1], [2], [2]]), "a list for each of 4 stages"),
        ("SlowFast", ("RESNET.SPATIAL_STRIDES", [[1]] * 4), "one number for each of 2 pathways"),
        ("SlowFast", ("DATA.NUM_FRAMES", 10), "NUM_FRAMES 10 is no multiple of SLOWFAST.ALPHA 4"),
        ("X3D", ("X3D.CHANNELWISE_3x3x3", False), "CHANNELWISE_3x3x3 is False: .*X3D.* True only"),
        (
            "X3D",
            ("DATA.TRAIN_CROP_SIZE", 16),
            "MODEL_NAME X3D: not usable by create_x3d: Crop size",
        ),
        ("MViT", ("MVIT.REL_POS_SPATIAL", True), "MVIT.REL_POS_SPATIAL is True: .*False only"),
        ("MViT", ("MVIT.REV.ENABLE", True), "MVIT.REV.ENABLE is True"),
        ("MViT", ("DATA.TEST_CROP_SIZE", 64), "TEST_CROP_SIZE is 64, but .*_SIZE 32: make"),
    ],
)
def test_what_pytorchvideo_cannot_build_is_refused_by_name(tiny, name, options, message):
    with pytest.raises(UsageError, match=message):
        tiny(name, *options)


def test_an_own_class_of_the_same_name_takes_the_place(monkeypatch):
    monkeypatch.setattr(MODEL_REGISTRY, "_obj_map", copy.copy(MODEL_REGISTRY._obj_map))

    @MODEL_REGISTRY.register()
    class MViT(nn.Module):
        """As in a fork of PySlowFast."""

    assert MODEL_REGISTRY.get("MViT") is MViT
    with pytest.raises((AssertionError, UsageError), match="registered"):
        MODEL_REGISTRY.register()(type("MViT", (nn.Module,), {}))


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    """Return a folder with the lists of four videos of two classes."""
    folder = tmp_path_factory.mktemp("videos")
    rows = [
        f"{write_video(folder / f'{i}.mp4', range(40 * (i % 2), 40 * (i % 2) + 12))} {i % 2}\n"
        for i in range(4)
    ]
    for split in ("train", "val", "test"):
        (folder / f"{split}.csv").write_text("".join(rows))
    return folder


# The whole of what PySlowFast's SLOW_4x16_R50 says.
SLOW_4X16 = """
TRAIN: {ENABLE: True, DATASET: kinetics, BATCH_SIZE: 64, EVAL_PERIOD: 10, CHECKPOINT_PERIOD: 1,
        AUTO_RESUME: True}
DATA: {NUM_FRAMES: 4, SAMPLING_RATE: 16, TRAIN_JITTER_SCALES: [256, 320], TRAIN_CROP_SIZE: 224,
       TEST_CROP_SIZE: 256, INPUT_CHANNEL_NUM: [3]}
RESNET: {ZERO_INIT_FINAL_BN: True, WIDTH_PER_GROUP: 64, NUM_GROUPS: 1, DEPTH: 50,
         TRANS_FUNC: bottleneck_transform, STRIDE_1X1: False,
         NUM_BLOCK_TEMP_KERNEL: [[3], [4], [6], [3]]}
NONLOCAL: {LOCATION: [[[]], [[]], [[]], [[]]], GROUP: [[1], [1], [1], [1]],
           INSTANTIATION: dot_product}
BN: {USE_PRECISE_STATS: True, NUM_BATCHES_PRECISE: 200, MOMENTUM: 0.1, WEIGHT_DECAY: 0.0}
SOLVER: {BASE_LR: 0.1, LR_POLICY: cosine, MAX_EPOCH: 196, MOMENTUM: 0.9, WEIGHT_DECAY: 1e-4,
         WARMUP_EPOCHS: 34.0, WARMUP_START_LR: 0.01, OPTIMIZING_METHOD: sgd}
MODEL: {NUM_CLASSES: 400, ARCH: slow, MODEL_NAME: ResNet, LOSS_FUNC: cross_entropy,
        DROPOUT_RATE: 0.5}
TEST: {ENABLE: True, DATASET: kinetics, BATCH_SIZE: 64}
DATA_LOADER: {NUM_WORKERS: 8, PIN_MEMORY: True}
NUM_GPUS: 8
NUM_SHARDS: 1
RNG_SEED: 0
OUTPUT_DIR: .
"""


@pytest.mark.parametrize("named", [True, False])
def test_the_commands_run_pyslowfasts_file(lists, tmp_path, capsys, named):
    (tmp_path / "slow.yaml").write_text(SLOW_4X16)
    (tmp_path / "mine.txt").write_text("running\nstanding\n")
    options = {
        "NUM_GPUS": 0,
        "MODEL.NUM_CLASSES": 2,
        "TEXT.CLASSES": str(tmp_path / "mine.txt") if named else "",
        "RESNET.WIDTH_PER_GROUP": 8,
        "DATA.PATH_TO_DATA_DIR": str(lists),
        "DATA.SAMPLING_RATE": 2,
        "DATA.TRAIN_JITTER_SCALES": [34, 36],
        "DATA.TRAIN_CROP_SIZE": 32,
        "DATA.TEST_CROP_SIZE": 64,
        "TRAIN.BATCH_SIZE": 4,
        "TEST.BATCH_SIZE": 4,
        "TEST.NUM_ENSEMBLE_VIEWS": 2,
        "SOLVER.MAX_EPOCH": 1,
        "SOLVER.WARMUP_EPOCHS": 0.0,
        "DATA_LOADER.NUM_WORKERS": 0,
        "OUTPUT_DIR": str(tmp_path / "run"),
    }
    cfg = ["--cfg", str(tmp_path / "slow.yaml")]
    opts = ["--opts", *(str(word) for pair in options.items() for word in pair)]
    assert call("run", [*cfg, *opts]) == 0
    printed = capsys.readouterr()
    (line,) = [line for line in printed.err.splitlines() if line.startswith("testing ")]
    source = options["TEXT.CLASSES"] or "MODEL.NUM_CLASSES"
    assert f"(the newest of OUTPUT_DIR, epoch 1, slowfast format); 2 classes of {source};" in line
    assert line.endswith("descriptors none; 4 frames x 2 clips x 3 crops; cpu, float32")
    names = ["running", "standing"] if named else ["0", "1"]
    result = json.loads((tmp_path / "run/results.json").read_text())
    assert list(result["per_class"]) == names
    assert result["num_videos_scored"] == 4
    first = json.loads((tmp_path / "run/predictions.jsonl").read_text().splitlines()[0])
    assert sorted(first["top"]) == names
    assert call("predict", [str(lists / "0.mp4"), *cfg, *opts]) == (0 if named else 2)
    printed = capsys.readouterr()
    assert ("running" in printed.out) == named
    assert ("this model has no class names: set TEXT.CLASSES" in printed.err) != named


@pytest.mark.parametrize("name", ["SlowFast", "I3D", "MViT"])
def test_videos_are_learned_and_tested_by_pyslowfasts_file(make_cfg, lists, tmp_path, name):
    options = {
        "MODEL.NUM_CLASSES": 2,
        "DATA.PATH_TO_DATA_DIR": str(lists),
        "DATA.SAMPLING_RATE": 1,
        "DATA.TRAIN_JITTER_SCALES": [64, 68],
        "TRAIN.BATCH_SIZE": 4,
        "TRAIN.EVAL_PERIOD": 1,
        "TEST.BATCH_SIZE": 4,
        "TEST.NUM_ENSEMBLE_VIEWS": 2,
        "TEST.NUM_SPATIAL_CROPS": 1,
        "SOLVER.MAX_EPOCH": 1,
        "DATA_LOADER.NUM_WORKERS": 0,
        "OUTPUT_DIR": str(tmp_path),
    }
    flat = [word for pair in options.items() for word in pair]
    cfg = make_cfg(FILES[name][0], *TINY[name], *flat)
    train(cfg)
    results = test(cfg)
    assert results["num_videos_scored"] == results["num_videos_listed"] == 4
    assert (tmp_path / "checkpoints" / "checkpoint_epoch_00001.pyth").exists()
