import logging
from pathlib import Path

import pytest
import yaml

from slowfast.config import compat, get_cfg, load_cfg
from slowfast.config.merge import leaves
from slowfast.errors import UsageError

DUMP = Path(__file__).with_name("pyslowfast_defaults.yaml")

# Where a default of ours differs on purpose from PySlowFast's.
DIFFERENT = {
    "DATA.DECODING_BACKEND": "torchvision can no longer read videos",
    "MODEL.ARCH": "one pathway, unless a recipe says otherwise",
    "MODEL.NUM_CLASSES": "0 = as in the class file, 400 without one",
    "OUTPUT_DIR": "a run in the working directory would be resumed by the next",
}


def test_a_full_pyslowfast_dump_loads_without_a_notice_on_options(caplog):
    with caplog.at_level(logging.INFO):
        cfg = load_cfg(DUMP, env={})
    assert "without an effect" not in caplog.text
    assert cfg.DATA.DECODING_BACKEND == "pyav"
    assert cfg.MODEL.NUM_CLASSES == 400
    assert "RESNET" not in cfg


def test_shared_options_have_pyslowfasts_defaults_and_types():
    theirs = dict(leaves(yaml.safe_load(DUMP.read_text())))
    ours = dict(leaves(get_cfg()))
    shared = theirs.keys() & ours.keys()
    assert len(shared) > 100
    different = {
        key
        for key in shared
        if (list(ours[key]) if isinstance(ours[key], tuple) else ours[key]) != theirs[key]
    }
    assert different == set(DIFFERENT)
    assert all(compat.is_known(key) for key in theirs.keys() - ours.keys())


def test_the_tables_repeat_pyslowfasts_defaults():
    theirs = dict(leaves(yaml.safe_load(DUMP.read_text())))
    assert all(theirs[k] == v for k, v in compat.ACCEPTED.items() if k in theirs)


def test_no_table_names_an_option_of_the_tree():
    ours = dict(leaves(get_cfg()))
    for table in (compat.ACCEPTED, compat.REFUSED, compat.RENAMED):
        assert not ours.keys() & table.keys()
    assert set(compat.RENAMED.values()) <= ours.keys()
    assert {rule.target for rule in compat.CARRIED} <= ours.keys()


@pytest.mark.parametrize("key", sorted(compat.REFUSED))
def test_a_feature_out_of_scope_may_only_be_off(key):
    load_cfg([], [key, "False"], env={})
    with pytest.raises(UsageError, match=rf"{key} is True: .*set it to False \(--opts\)"):
        load_cfg([], [key, "true"], env={})


def test_a_changed_option_without_effect_is_said_once(caplog):
    with caplog.at_level(logging.WARNING):
        load_cfg([], ["MODEL.TEXT_PROMPT", "True", "MODEL.PROMPT_NUM", "1"], env={})
        load_cfg([], ["MODEL.TEXT_PROMPT", "True"], env={})
    assert caplog.text.count("without an effect here: MODEL.TEXT_PROMPT") == 1
    assert "PROMPT_NUM" not in caplog.text


def test_fork_names_are_taken_for_ours(tmp_path):
    path = tmp_path / "froster.yaml"
    path.write_text("TRAIN_FILE: train_1.csv\nVAL_FILE: val.csv\nTEST_FILE: test.csv\n")
    opts = ["DATA.INDEX_LABEL_MAPPING_FILE", "names.json", "MODEL.CONTEXT_LENGTH", "16"]
    cfg = load_cfg(path, [*opts, "MODEL.USE_CHECKPOINT", "True"], env={})
    assert (cfg.DATA.TRAIN_FILE, cfg.DATA.VAL_FILE, cfg.DATA.TEST_FILE) == (
        "train_1.csv",
        "val.csv",
        "test.csv",
    )
    assert cfg.TEXT.CLASSES == "names.json"
    assert cfg.CLIP.CONTEXT_LENGTH == 16
    assert cfg.MODEL.ACT_CHECKPOINT is True


def test_fork_switches_carry_their_values_over():
    opts = ["TEST.CUSTOM_LOAD", "True", "TEST.CUSTOM_LOAD_FILE", "swa.pth"]
    opts += ["TEST.PATCHING_MODEL", "True", "TEST.CLIP_ORI_PATH", "/clip/ViT-B-16.pt"]
    cfg = load_cfg([], opts, env={})
    assert cfg.TEST.CHECKPOINT_FILE_PATH == "swa.pth"
    assert cfg.TEST.CLIP_RATIO == 0.5
    assert cfg.CLIP.PRETRAINED == "/clip/ViT-B-16.pt"


def test_a_switch_that_is_off_carries_nothing_and_ours_wins():
    assert load_cfg([], ["TEST.CUSTOM_LOAD_FILE", "x.pth"], env={}).TEST.CHECKPOINT_FILE_PATH == ""
    opts = ["TEST.PATCHING_MODEL", "True", "TEST.CLIP_RATIO", "0.2"]
    assert load_cfg([], opts, env={}).TEST.CLIP_RATIO == 0.2


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
