"""Every shipped YAML file."""

from pathlib import Path

import pytest
import yaml

from slowfast.config import get_cfg, load_cfg
from slowfast.config.merge import read_yaml
from slowfast.config.tree import leaves

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
ALL = sorted(path for path in CONFIGS.rglob("*.yaml"))
LEAVES = [path for path in ALL if "_base_" not in path.parts]
DEFAULTS = dict(leaves(get_cfg()))


def name(path):
    return str(path.relative_to(CONFIGS))


@pytest.mark.parametrize("path", ALL, ids=name)
def test_it_composes_and_freezes(path):
    assert load_cfg(path, env={}).is_frozen()


def plain(value):
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("path", ALL, ids=name)
def test_it_restates_neither_a_base_nor_a_default(path):
    inherited = dict(DEFAULTS)
    for item in read_yaml(path):
        if Path(item.source) != path:
            inherited[item.key] = item.value
    own = [item for item in read_yaml(path) if Path(item.source) == path]
    restated = [i.key for i in own if plain(inherited.get(i.key)) == plain(i.value)]
    assert restated == []


@pytest.mark.parametrize("path", LEAVES, ids=name)
def test_a_leaf_is_short_and_composed(path):
    tree = yaml.safe_load(path.read_text())
    assert "_BASE_" in tree
    own = [item for item in read_yaml(path) if Path(item.source) == path]
    assert len(own) <= 10


def test_the_recipe_of_ost_on_kinetics400():
    cfg = load_cfg(CONFIGS / "OST/zero_shot/kinetics400.yaml", env={})
    solver = cfg.SOLVER
    assert (solver.OPTIMIZING_METHOD, solver.BETAS, solver.EPSILON) == ("adamw", (0.9, 0.98), 1e-8)
    assert (solver.BASE_LR, solver.WEIGHT_DECAY, solver.MAX_EPOCH) == (8e-6, 0.001, 10)
    assert (solver.LR_POLICY, solver.WARMUP_EPOCHS) == ("ost_cosine", 5.0)
    assert not solver.ZERO_WD_1D_PARAM
    assert (cfg.TRAIN.BATCH_SIZE, cfg.TRAIN.ACCUMULATION_STEPS) == (32, 8)
    assert (cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_COMPAT) == (32, "ost")
    assert (cfg.AUG.CLIP_COLOR_JITTER, cfg.AUG.CLIP_GRAY_SCALE) == (0.8, 0.2)
    assert not cfg.MIXUP.ENABLE
    assert [round(255 * m, 3) for m in cfg.DATA.MEAN] == [123.675, 116.28, 103.53]
    assert [round(255 * s, 3) for s in cfg.DATA.STD] == [58.395, 57.12, 57.375]
    assert (cfg.OST.N, cfg.OST.FUSION_FACTOR, cfg.OST.TARGET_TEMPERATURE) == (4, 0.5, 10.0)
    assert (cfg.MODEL.MODEL_NAME, cfg.MODEL.LOSS_FUNC) == ("OST", "ost_contrastive")
    assert cfg.MODEL.ARCH not in cfg.MODEL.MULTI_PATHWAY_ARCH


@pytest.mark.parametrize("target", ["ucf101", "hmdb51", "kinetics600"])
def test_a_zero_shot_target_is_tested_as_published(target):
    cfg = load_cfg(CONFIGS / f"OST/zero_shot/{target}.yaml", env={})
    assert not cfg.TRAIN.ENABLE
    assert (cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS) == (1, 1)
    assert cfg.TEST.CLIP_RATIO == 0.2
    assert cfg.TEST.ENSEMBLE_SPACE == "prob"
    assert target in cfg.TEXT.CLASSES
    assert bool(cfg.TEXT.SUBSET) == (target == "kinetics600")
    assert cfg.TEST.SPLIT == "1"


VIFI = {  # released configs: learning rate, epochs, effective batch, frames
    "zero_shot/kinetics400": (8e-6, 10, 256, 32),
    "zero_shot/kinetics400_text": (8e-6, 10, 256, 32),
    "few_shot/hmdb51": (2e-6, 50, 64, 32),
    "few_shot/ssv2": (2e-6, 50, 64, 32),
    "base_to_novel/ucf101": (2e-6, 11, 64, 32),
    "fully_supervised/kinetics400": (2.2e-5, 30, 512, 16),
    "fully_supervised/kinetics400_image": (8e-6, 30, 256, 16),
}


@pytest.mark.parametrize(("leaf", "facts"), VIFI.items())
def test_the_recipes_of_vifi_clip(leaf, facts):
    cfg = load_cfg(CONFIGS / f"ViFiCLIP/{leaf}.yaml", env={})
    solver, train, mix = cfg.SOLVER, cfg.TRAIN, cfg.MIXUP
    assert facts == (solver.BASE_LR, solver.MAX_EPOCH, train.TOTAL_BATCH_SIZE, cfg.DATA.NUM_FRAMES)
    assert facts[2] == train.BATCH_SIZE * train.ACCUMULATION_STEPS
    assert (solver.LR_POLICY, solver.WARMUP_EPOCHS, solver.BETAS) == ("ost_cosine", 5, (0.9, 0.98))
    # Every batch is mixed, half of them by CutMix, and labels are smoothed.
    assert (mix.ENABLE, mix.PROB, mix.SWITCH_PROB) == (True, 1.0, 0.5)
    assert (mix.ALPHA, mix.CUTMIX_ALPHA, mix.LABEL_SMOOTH_VALUE) == (0.8, 1.0, 0.1)
    assert cfg.MODEL.LOSS_FUNC == "soft_cross_entropy"
    assert (cfg.AUG.CLIP_COLOR_JITTER, cfg.AUG.CLIP_GRAY_SCALE) == (0.8, 0.2)
    tower = leaf.rpartition("_")[2]
    assert (tower if tower in ("image", "text") else "both") == cfg.CLIP.TRAINABLE
    views = (4, 3) if leaf.startswith("fully") else (1, 1)
    assert views == (cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS)


@pytest.mark.parametrize("path", [p for p in LEAVES if "CLIP" in p.parts], ids=name)
def test_vanilla_clip_is_never_trained(path):
    cfg = load_cfg(path, env={})
    assert (cfg.TRAIN.ENABLE, cfg.TEST.ENABLE) == (False, True)
    assert not cfg.TEST.CHECKPOINT_FILE_PATH


TEXT4VIS = {  # current configs: arch, frames, pixels, videos a step of 8 GPUs
    "rn50_f8": ("RN50-quickgelu", 8, 224, 256),
    "b32_f8": ("ViT-B-32-quickgelu", 8, 224, 256),
    "b32_f16": ("ViT-B-32-quickgelu", 16, 224, 256),
    "b16_f8": ("ViT-B-16-quickgelu", 8, 224, 256),
    "b16_f16": ("ViT-B-16-quickgelu", 16, 224, 128),
    "l14_f8": ("ViT-L-14-quickgelu", 8, 224, 64),
    "l14_336_f8": ("ViT-L-14-336-quickgelu", 8, 336, 16),
    "l14_336_f32": ("ViT-L-14-336-quickgelu", 32, 336, 8),
}


@pytest.mark.parametrize(("cell", "facts"), TEXT4VIS.items())
def test_the_recipes_of_text4vis_on_kinetics400(cell, facts):
    cfg = load_cfg(CONFIGS / f"Text4Vis/fully_supervised/kinetics400_{cell}.yaml", env={})
    data, solver, aug, test = cfg.DATA, cfg.SOLVER, cfg.AUG, cfg.TEST
    assert facts == (cfg.CLIP.ARCH, data.NUM_FRAMES, data.TEST_CROP_SIZE, cfg.TRAIN.BATCH_SIZE)
    assert ("openai", facts[2]) == (cfg.CLIP.PRETRAINED, data.TRAIN_CROP_SIZE)
    assert cfg.TRAIN.BATCH_SIZE * cfg.TRAIN.ACCUMULATION_STEPS == 256
    assert (solver.BASE_LR, solver.BACKBONE_LR_RATIO, solver.WEIGHT_DECAY) == (5e-5, 0.1, 0.2)
    assert (solver.MAX_EPOCH, solver.WARMUP_EPOCHS, solver.COSINE_END_LR) == (30, 5, 0)
    assert (solver.BETAS, solver.LR_UPDATE_PERIOD) == ((0.9, 0.999), 1)
    assert solver.COSINE_AFTER_WARMUP
    assert not solver.ZERO_WD_1D_PARAM
    assert (aug.ENABLE, aug.AA_TYPE, aug.AA_PER_FRAME) == (True, "text4vis-n2-m9", True)
    assert (test.ENSEMBLE_SPACE, test.LOGIT_SCALE, test.CROP_AXIS) == ("feature", 100.0, "width")
    assert (data.SAMPLING, data.SAMPLING_COMPAT, data.TRANSFORMS) == (
        "segment", "text4vis", "text4vis")  # fmt: skip
    assert [round(255 * m, 2) for m in data.MEAN] == [122.77, 116.75, 104.09]


@pytest.mark.parametrize(
    "leaf", [p for p in LEAVES if "OSTText4Vis" in p.parts and "_f" in p.name], ids=name
)
def test_ost_on_text4vis_changes_nothing_but_the_classifier(leaf):
    mine = dict(leaves(load_cfg(leaf, env={})))
    stem = leaf.stem.removesuffix("_contrastive")
    base = dict(leaves(load_cfg(CONFIGS / f"Text4Vis/fully_supervised/{stem}.yaml", env={})))
    changed = {key for key in mine if mine[key] != base[key]} - {"OUTPUT_DIR"}
    contrastive = leaf.stem != stem
    assert changed == {
        "MODEL.MODEL_NAME", "OST.N", "TEST.ENSEMBLE_SPACE", "TEST.LOGIT_SCALE",
        "MODEL.LOSS_FUNC" if contrastive else "CLIP.FREEZE",
    }  # fmt: skip
    assert mine["CLIP.FREEZE"] == ([] if contrastive else ["clip.text.*"])


@pytest.mark.parametrize(
    "leaf", [p for p in LEAVES if "Text4Vis" in p.parts and p.parts[-2] != "zero_shot"], ids=name
)
def test_text4vis_augments_frames_wherever_it_trains_on_kinetics400(leaf):
    aug = load_cfg(leaf, env={}).AUG
    assert leaf.stem.startswith("kinetics400") == aug.ENABLE
    assert aug.AA_PER_FRAME == aug.ENABLE


def test_few_shots_of_text4vis_make_an_epoch_of_the_full_length():
    sizes = {"kinetics400": 800 * 300, "ucf101": 9537, "hmdb51": 3570}
    for dataset, size in sizes.items():
        cfg = load_cfg(CONFIGS / f"Text4Vis/few_shot/{dataset}.yaml", env={})
        assert (size, "none") == (cfg.TRAIN.EPOCH_SIZE, cfg.TEXT4VIS.HEAD)
        assert (cfg.CLIP.ARCH, cfg.SOLVER.MAX_EPOCH) == ("ViT-L-14-quickgelu", 30)
        assert (dataset == "kinetics400") == cfg.AUG.ENABLE
        assert (1 if dataset == "kinetics400" else 5) == cfg.TRAIN.EVAL_PERIOD


def test_the_demo_can_be_built_from_any_working_directory(tmp_path, monkeypatch):
    from slowfast.models.build import build_model

    monkeypatch.chdir(tmp_path)
    model = build_model(load_cfg(CONFIGS / "demo/test_unseen.yaml", env={}))
    assert len(model.head.vocabulary) == 16
