import logging
import math
from pathlib import Path

import pytest
import yaml

from slowfast.config import (
    assert_and_infer_cfg,
    compat,
    custom_config,
    get_cfg,
    load_cfg,
    load_cfg_with_sources,
)
from slowfast.config.tree import get, leaves
from slowfast.errors import UsageError

DUMP = Path(__file__).with_name("pyslowfast_defaults.yaml")

# Where a default of ours differs on purpose from PySlowFast's.
DIFFERENT = {
    "AVA.ANNOTATION_DIR": "a folder of PySlowFast's authors",
    "DATA.DECODING_BACKEND": "torchvision can no longer read videos",
    "MODEL.ARCH": "one pathway, unless a recipe says otherwise",
    "MODEL.NUM_CLASSES": "0 = as in the class file, 400 without one",
    "NUM_GPUS": "-1 = all that there are, or the CPU",
    "OUTPUT_DIR": "a run in the working directory would be resumed by the next",
}

# What a descendant of Open-VCLIP brings along: its options, declared as PySlowFast's users do.
FORK = """
from slowfast.config.custom_config import register_options

@register_options
def add_custom_config(_C):
    _C.TEST.CUSTOM_LOAD = False
    _C.TEST.CUSTOM_LOAD_FILE = None
    _C.TRAIN.CUSTOM_LOAD = False
    _C.TRAIN.CUSTOM_LOAD_FILE = None
    _C.TEST.PATCHING_MODEL = False
    _C.TEST.PATCHING_RATIO = 0.5
    _C.TEST.CLIP_ORI_PATH = None
    _C.DATA.INDEX_LABEL_MAPPING_FILE = ""
    _C.MODEL.CONTEXT_LENGTH = 77
    _C.MODEL.USE_CHECKPOINT = False
    _C.MODEL.TEXT_PROMPT = False
    _C.TRAIN_FILE = _C.VAL_FILE = _C.TEST_FILE = ""
    _C.VAL_MODE = False
    _C.AUG.GEN_MASK_LOADER = _C.MASK.ENABLE = _C.DETECTION.ENABLE = False
    _C.DEMO.ENABLE = _C.MULTIGRID.LONG_CYCLE = _C.MULTIGRID.SHORT_CYCLE = False
    _C.SOLVER.LARS_ON = _C.TENSORBOARD.MODEL_VIS.ENABLE = False
"""


@pytest.fixture
def extension(tmp_path, monkeypatch):
    """Return a function that writes an extension; its options are gone after the test."""
    monkeypatch.setattr(custom_config, "_REGISTERED", {})

    def write(text=FORK):
        path = tmp_path / "fork.py"
        path.write_text(text)
        return [str(path)]

    return write


@pytest.fixture(params=["undeclared", "declared"])
def load(request, extension):
    """Return a function from options to a config, without and with an extension's declarations."""
    names = extension() if request.param == "declared" else []

    def from_opts(*opts, files=()):
        return load_cfg(files, opts, extensions=names, env={})

    return from_opts


def test_a_full_pyslowfast_dump_loads_without_a_notice_on_options(caplog):
    with caplog.at_level(logging.INFO):
        cfg = load_cfg(DUMP, env={})
    assert "without an effect" not in caplog.text
    assert cfg.DATA.DECODING_BACKEND == "pyav"
    assert cfg.MODEL.NUM_CLASSES == 400


def test_every_option_of_pyslowfast_can_be_read_and_has_its_default_and_type():
    theirs = dict(leaves(yaml.safe_load(DUMP.read_text())))
    ours = dict(leaves(get_cfg()))
    assert theirs.keys() <= ours.keys()
    different = {
        key
        for key in theirs
        if (list(ours[key]) if isinstance(ours[key], tuple) else ours[key]) != theirs[key]
    }
    assert different == set(DIFFERENT)
    upstream = {key for part in compat.UPSTREAM.values() for key, _ in leaves(part)}
    assert len(upstream | theirs.keys()) == 339


def test_a_model_reads_the_sections_of_other_models_and_tasks():
    cfg = get_cfg()
    assert (cfg.SLOWFAST.ALPHA, cfg.RESNET.DEPTH, cfg.X3D.DIM_C1) == (8, 50, 12)
    assert (cfg.MVIT.REV.ENABLE, cfg.NONLOCAL.GROUP) == (False, [[1], [1], [1], [1]])
    assert (cfg.DETECTION.ENABLE, cfg.MULTIGRID.DEFAULT_S) == (False, 0)
    assert math.isinf(cfg.CONTRASTIVE.DELTA_CLIPS_MAX)


def test_they_are_set_and_checked_like_any_other(tmp_path, caplog):
    path = tmp_path / "SLOWFAST_4x16_R50.yaml"
    path.write_text("SLOWFAST: {ALPHA: 4}\nMVIT: \n  PATCH_KERNEL: (3, 7, 7)\n  DROPPATH_RATE: 1\n")
    cfg = load_cfg(path, ["RESNET.DEPTH", "101"], env={})
    assert (cfg.SLOWFAST.ALPHA, cfg.RESNET.DEPTH) == (4, 101)
    assert (cfg.MVIT.PATCH_KERNEL, cfg.MVIT.DROPPATH_RATE) == ([3, 7, 7], 1.0)
    assert "without an effect" not in caplog.text
    with pytest.raises(UsageError, match=r"SLOWFAST.ALPHA: expected a whole number, found 'x'"):
        load_cfg([], ["SLOWFAST.ALPHA", "x"], env={})
    with pytest.raises(UsageError, match=r"MVIT.DEPHT .*nearest known: MVIT.DEPTH"):
        load_cfg([], ["MVIT.DEPHT", 4], env={})


def test_an_extension_adds_to_pyslowfasts_sections(extension):
    names = extension(
        "from slowfast.config.custom_config import register_options\n\n"
        "@register_options\ndef add_custom_config(_C):\n"
        "    _C.MVIT.ADAPTER = 16\n"
        "    _C.MODEL.SINGLE_PATHWAY_ARCH.append('vitb16')\n"
    )
    cfg = load_cfg([], ["MVIT.ADAPTER", 8, "MODEL.ARCH", "vitb16"], extensions=names, env={})
    assert cfg.MVIT.ADAPTER == 8
    assert cfg.MODEL.ARCH in cfg.MODEL.SINGLE_PATHWAY_ARCH
    assert "vitb16" not in compat.UPSTREAM["models"]["MODEL"]["SINGLE_PATHWAY_ARCH"]


def test_an_option_that_another_version_of_pyslowfast_had_is_accepted_with_a_notice(caplog):
    opts = ["AVA.TRAIN_PCA_EIGVAL", "[0.2, 0.2, 0.2]", "BN.MOMENTUM", "0.1", "BN.EPSILON", "1e-3"]
    load_cfg([], opts, env={})
    assert "without an effect here: AVA.TRAIN_PCA_EIGVAL, BN.EPSILON" in caplog.text


def test_the_tables_do_not_overlap():
    ours = {key for key, _ in leaves(get_cfg())}
    forks = {key for key, _ in leaves(compat.FORKS)}
    assert not ours & forks
    assert {rule.target for rule in compat.CARRIED} <= ours
    assert {name for rule in compat.CARRIED for name in (rule.source, rule.switch) if name} <= forks
    assert compat.REFUSED.keys() <= ours | forks


@pytest.mark.parametrize("key", sorted(compat.REFUSED))
def test_a_feature_out_of_scope_may_only_be_off(load, key):
    load(key, "False")
    load(key, "True", key, "False")
    with pytest.raises(UsageError, match=rf"{key} is True: .*set it to False \(--opts\)"):
        load(key, "true")


def test_it_may_not_be_on_by_an_extensions_default_or_by_hand_either(extension):
    names = extension(FORK + "    _C.VAL_MODE = True\n")
    with pytest.raises(UsageError, match=r"VAL_MODE is True: .*TRAIN.ENABLE False"):
        load_cfg([], extensions=names, env={})
    load_cfg([], ["VAL_MODE", "False"], extensions=names, env={})
    cfg = get_cfg()
    cfg.VAL_MODE, cfg.MULTIGRID.LONG_CYCLE = False, True
    with pytest.raises(UsageError, match="MULTIGRID.LONG_CYCLE is True"):
        assert_and_infer_cfg(cfg)


def test_a_changed_option_without_effect_is_said_once(caplog):
    opts = ["MODEL.TEXT_PROMPT", "True", "MODEL.PROMPT_NUM", "1", "SOLVER.GAMMA", "0.5"]
    with caplog.at_level(logging.WARNING):
        load_cfg([], opts, env={})
        load_cfg([], opts, env={})
    assert caplog.text.count("without an effect here: MODEL.TEXT_PROMPT, SOLVER.GAMMA") == 1
    assert "PROMPT_NUM" not in caplog.text


def test_what_an_extension_declares_and_reads_has_an_effect(extension, caplog):
    cfg = load_cfg([], ["MODEL.TEXT_PROMPT", "True"], extensions=extension(), env={})
    assert cfg.MODEL.TEXT_PROMPT is True
    assert "MODEL.TEXT_PROMPT" not in caplog.text


RENAMED = {
    "DATA.INDEX_LABEL_MAPPING_FILE": ("TEXT.CLASSES", "names.json"),
    "MODEL.CONTEXT_LENGTH": ("CLIP.CONTEXT_LENGTH", 16),
    "MODEL.USE_CHECKPOINT": ("MODEL.ACT_CHECKPOINT", True),
    "TEST_FILE": ("DATA.TEST_FILE", "test_1.csv"),
    "TRAIN_FILE": ("DATA.TRAIN_FILE", "train_1.csv"),
    "VAL_FILE": ("DATA.VAL_FILE", "val_1.csv"),
}
SWITCHED = {
    "TRAIN.CUSTOM_LOAD_FILE": ("TRAIN.CUSTOM_LOAD", "TRAIN.CHECKPOINT_FILE_PATH", "swa_2_22.pth"),
    "TEST.CUSTOM_LOAD_FILE": ("TEST.CUSTOM_LOAD", "TEST.CHECKPOINT_FILE_PATH", "swa_2_22.pth"),
    "TEST.PATCHING_RATIO": ("TEST.PATCHING_MODEL", "TEST.CLIP_RATIO", 0.3),
    "TEST.CLIP_ORI_PATH": ("TEST.PATCHING_MODEL", "CLIP.PRETRAINED", "/clip/ViT-B-16.pt"),
}


def test_every_rule_is_tested_here():
    assert {rule.source for rule in compat.CARRIED} == RENAMED.keys() | SWITCHED.keys()


@pytest.mark.parametrize("key", RENAMED)
def test_a_forks_name_is_taken_for_ours(load, caplog, key):
    target, value = RENAMED[key]
    assert get(load(key, value), target) == value
    assert "without an effect" not in caplog.text


@pytest.mark.parametrize("key", SWITCHED)
def test_a_forks_switch_carries_a_value_over(load, caplog, key):
    switch, target, value = SWITCHED[key]
    assert get(load(switch, "True", key, value), target) == value
    assert "without an effect" not in caplog.text
    assert get(load(key, value), target) == get(get_cfg(), target)
    assert get(load(switch, "True", key, value, switch, "False"), target) == get(get_cfg(), target)


def test_the_forks_ratio_holds_where_only_its_switch_is_set(load):
    assert load("TEST.PATCHING_MODEL", "True").TEST.CLIP_RATIO == 0.5


def test_the_later_file_wins_and_within_one_our_own_name(load, tmp_path, caplog):
    base = tmp_path / "base.yaml"
    base.write_text("CLIP: {PRETRAINED: openai}\nTEST: {CLIP_RATIO: 0.2, PATCHING_MODEL: true}\n")
    cfg = load("TEST.CLIP_ORI_PATH", "/clip/mine.pt", files=base)
    assert cfg.CLIP.PRETRAINED == "/clip/mine.pt"
    assert cfg.TEST.CLIP_RATIO == 0.2
    assert "TEST.PATCHING_RATIO 0.5 is not followed, since TEST.CLIP_RATIO is set" in caplog.text
    assert load("TEST.PATCHING_RATIO", 0.4, files=base).TEST.CLIP_RATIO == 0.4
    assert load("TEST.CLIP_RATIO", 0.1, files=base).TEST.CLIP_RATIO == 0.1


def test_what_was_carried_over_survives_a_dump_and_can_be_overridden(load, tmp_path):
    opts = ["TEST.CUSTOM_LOAD", "True", "TEST.CUSTOM_LOAD_FILE", "one.pth"]
    path = tmp_path / "config.yaml"
    path.write_text(load(*opts).dump())
    assert load(files=path) == load(*opts)
    assert load("TEST.CHECKPOINT_FILE_PATH", "two.pth", files=path).TEST.CHECKPOINT_FILE_PATH == (
        "two.pth"
    )


def test_an_extensions_own_defaults_are_carried_over(extension):
    names = extension(FORK + "    _C.TEST.PATCHING_MODEL, _C.TEST.PATCHING_RATIO = True, 0.25\n")
    cfg, sources = load_cfg_with_sources([], extensions=names, env={})
    assert cfg.TEST.CLIP_RATIO == 0.25
    assert sources["TEST.CLIP_RATIO"] == "TEST.PATCHING_RATIO, declared by an extension"
    cfg = load_cfg([], ["TEST.PATCHING_MODEL", False], extensions=names, env={})
    assert cfg.TEST.CLIP_RATIO == 0.0


FORK_TRAINING = r"""
DATA.PATH_TO_DATA_DIR label_db/splits DATA.PATH_PREFIX /dev/shm/k400 DATA.PATH_LABEL_SEPARATOR ,
DATA.INDEX_LABEL_MAPPING_FILE names.json TRAIN.ENABLE True OUTPUT_DIR out/run_rand0.0_0.6sample
TRAIN.BATCH_SIZE 64 TEST.BATCH_SIZE 240 TEST.NUM_ENSEMBLE_VIEWS 3 TEST.NUM_SPATIAL_CROPS 1
NUM_GPUS 8 SOLVER.MAX_EPOCH 22 SOLVER.WARMUP_EPOCHS 2.0 SOLVER.BASE_LR 3.33e-6
SOLVER.WARMUP_START_LR 3.33e-8 SOLVER.COSINE_END_LR 3.33e-8 TRAIN.MIXED_PRECISION True
DATA.DECODING_BACKEND pyav MODEL.NUM_CLASSES 400 MODEL.TEMPORAL_MODELING_TYPE expand_temporal_view
MIXUP.ENABLE False AUG.ENABLE False AUG.NUM_SAMPLE 1 TRAIN.EVAL_PERIOD 1
TRAIN.CHECKPOINT_PERIOD 1 MODEL.LOSS_FUNC soft_cross_entropy TRAIN.LINEAR_CONNECT_CLIMB True
TRAIN.CLIP_ORI_PATH ViT-B-16.pt TRAIN.LINEAR_CONNECT_LOSS_RATIO 0.5
TRAIN.LINEAR_CONNECT_SAMPLE_L 0.0 TRAIN.LINEAR_CONNECT_SAMPLE_R 0.6 \
"""


def test_the_options_of_a_fork_training_script_load():
    cfg = load_cfg([], FORK_TRAINING.split(), env={})
    assert cfg.SOLVER.BASE_LR == 3.33e-6
    assert cfg.DATA.PATH_LABEL_SEPARATOR == ","
    assert cfg.NUM_GPUS == 8
