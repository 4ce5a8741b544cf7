import pytest

from slowfast.config import get_cfg, load_cfg
from slowfast.config.tree import get, leaves
from slowfast.config.validate import LIMITS
from slowfast.errors import UsageError

CHOICES, BOUNDS, POSITIVE = LIMITS["choices"], LIMITS["bounds"], LIMITS["positive"]


def refused(*opts):
    with pytest.raises(UsageError) as error:
        load_cfg([], opts, env={})
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_tables_name_options_of_the_tree():
    known = dict(leaves(get_cfg()))
    assert {*CHOICES, *LIMITS["lists"], *BOUNDS, *POSITIVE} <= known.keys()


@pytest.mark.parametrize("key", sorted(CHOICES))
def test_an_unknown_choice_names_the_choices(key):
    message = refused(key, "nonsense")
    assert message.startswith(f"{key} is 'nonsense'")
    assert all(choice in message for choice in CHOICES[key])


@pytest.mark.parametrize("key", sorted(CHOICES))
def test_every_choice_is_possible(key):
    for choice in CHOICES[key]:
        assert get(load_cfg([], [key, choice], env={}), key) == choice


@pytest.mark.parametrize("key", sorted(BOUNDS))
def test_bounds(key):
    low, high = BOUNDS[key]
    assert "it must be" in refused(key, low - 1)
    if high is not None:
        assert f"between {low} and {high}" in refused(key, high + 1)


@pytest.mark.parametrize("key", POSITIVE)
def test_positive(key):
    assert "must be above 0" in refused(key, 0)


@pytest.mark.parametrize(
    ("opts", "parts"),
    [
        (["NUM_GPUS", 3], ["TRAIN.BATCH_SIZE is 64", "multiple of NUM_GPUS", "3"]),
        (["NUM_GPUS", 3, "TRAIN.ENABLE", False], ["TEST.BATCH_SIZE is 8"]),
        (["SHARD_ID", 2, "NUM_SHARDS", 2], ["SHARD_ID is 2", "below NUM_SHARDS"]),
        (["TRAIN.CHECKPOINT_TYPE", "caffe2"], ["caffe2", "out of scope"]),
        (["TEST.CHECKPOINT_TYPE", "caffe2"], ["caffe2", "out of scope"]),
        (["TEST.NUM_ENSEMBLE_VIEWS", 0], ["at least 1, or -1"]),
        (["TEST.NUM_TEMPORAL_CLIPS", "[1, 0]"], ["whole numbers of at least 1"]),
        (
            ["TEST.ENSEMBLE_SPACE", "feature", "DATA.ENSEMBLE_METHOD", "max"],
            ["DATA.ENSEMBLE_METHOD is 'max'", "features are averaged"],
        ),
        (["DATA.MULTI_LABEL", True, "TEST.MAP", "softmax"], ["TEST.MAP is softmax", "one label"]),
        (["DATA.MULTI_LABEL", True, "TEST.HALF_CLASS_DRAWS", 10], ["HALF_CLASS_DRAWS is 10"]),
        (["DATA.MEAN", "[0.5]"], ["DATA.MEAN", "3 numbers"]),
        (["DATA.STD", "[0.5, 0, 1]"], ["DATA.STD", "above 0"]),
        (["DATA.TRAIN_JITTER_SCALES", "[320, 256]"], ["[smallest, largest]"]),
        (["DATA.TRAIN_JITTER_SCALES_RELATIVE", "[0.1, 1]"], ["need each other"]),
        (["SOLVER.COSINE_END_LR", 0.1], ["COSINE_END_LR is 0.1", "below SOLVER.BASE_LR"]),
        (["SOLVER.BASE_LR", 0], ["SOLVER.BASE_LR is 0.0", "above 0"]),
        (["SOLVER.WARMUP_EPOCHS", 301], ["at most SOLVER.MAX_EPOCH"]),
        (["SOLVER.BETAS", "[0.9]"], ["two numbers"]),
        (["SOLVER.BETAS", "[0.9, 1]"], ["below 1"]),
        (["SOLVER.LAYER_DECAY", 1.5], ["at most 1"]),
        (["SOLVER.CLIP_GRAD_VAL", "x"], ["CLIP_GRAD_VAL is 'x'"]),
        (["SOLVER.CLIP_GRAD_VAL", 1, "SOLVER.CLIP_GRAD_L2NORM", 1.0], ["exclude each other"]),
        (["TRAIN.TOTAL_BATCH_SIZE", 100], ["TOTAL_BATCH_SIZE is 100", "multiple", "64"]),
        (["TRAIN.TOTAL_BATCH_SIZE", 64, "NUM_SHARDS", 2], ["128"]),
        (["MIXUP.ENABLE", True], ["soft_cross_entropy"]),
        (["MIXUP.ENABLE", True, "MODEL.LOSS_FUNC", "ost_contrastive"], ["hard ones"]),
        (["DATA.MULTI_LABEL", True, "MODEL.LOSS_FUNC", "ost_contrastive"], ["one label a video"]),
        (["OST.KINDS", "[]"], ["OST.KINDS is empty"]),
        (["OST.KINDS", "[spatial, spatial]"], ["at most once"]),
        (["OST.CONDITION", "[colour]"], ["spatial, temporal"]),
    ],
)
def test_impossible_combinations(opts, parts):
    message = refused(*opts)
    assert all(part in message for part in parts), message


SOFT = ["MIXUP.ENABLE", True, "MODEL.LOSS_FUNC", "soft_cross_entropy"]


@pytest.mark.parametrize(
    ("opts", "part"),
    [
        (["MIXUP.ALPHA", 0, "MIXUP.CUTMIX_ALPHA", 0], "one must be above 0"),
        (["NUM_GPUS", 8, "TRAIN.BATCH_SIZE", 8], "mixing needs 2"),
    ],
)
def test_mixing_needs_something_to_mix(opts, part):
    assert load_cfg([], SOFT, env={}).MIXUP.ENABLE
    assert part in refused(*SOFT, *opts)


def test_what_training_needs_is_not_asked_of_a_test():
    opts = ["TRAIN.ENABLE", False, "SOLVER.COSINE_END_LR", 0.5, "TRAIN.TOTAL_BATCH_SIZE", 100]
    load_cfg([], opts, env={})


@pytest.mark.parametrize(
    "opts",
    [
        ["SOLVER.LR_POLICY", "ost_cosine", "SOLVER.COSINE_END_LR", 1.0],
        ["SOLVER.CLIP_GRAD_L2NORM", 1],
        ["OST.KINDS", "[]", "OST.MATCHING", "category"],
        ["TEST.NUM_ENSEMBLE_VIEWS", -1],
        ["NUM_GPUS", 0, "TRAIN.BATCH_SIZE", 7],
        ["MODEL.LOSS_FUNC", "my_own_loss", "MODEL.MODEL_NAME", "MyModel"],
    ],
)
def test_possible_combinations(opts):
    load_cfg([], opts, env={})
