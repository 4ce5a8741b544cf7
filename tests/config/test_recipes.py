"""Every shipped YAML file."""

from pathlib import Path

import pytest
import yaml

from slowfast.config import get_cfg, load_cfg
from slowfast.config.merge import leaves, read_yaml

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


def test_the_demo_can_be_built_from_any_working_directory(tmp_path, monkeypatch):
    from slowfast.models.build import build_model

    monkeypatch.chdir(tmp_path)
    model = build_model(load_cfg(CONFIGS / "demo/test_unseen.yaml", env={}))
    assert len(model.head.vocabulary) == 16
