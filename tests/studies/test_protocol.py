"""What each protocol trains and tests, with which lists, classes and weights."""

from pathlib import Path

import pytest

from slowfast.checkpoint.checkpointer import Checkpointer
from slowfast.config import load_cfg
from slowfast.config.paths import SHIPPED
from slowfast.errors import UsageError
from slowfast.studies import protocol
from slowfast.studies.protocol import Request, Step, plan
from slowfast.studies.protocol_request import shown

DATA = Path("/data")
CONFIGS = SHIPPED / "configs"


def request(name, dataset, **changes) -> Request:
    return Request(name, "OST", dataset, DATA, **changes)


def composed(step: Step):
    return load_cfg(step.config, step.opts, env={})


def test_zero_shot_trains_once_and_tests_nine_times() -> None:
    train, *tests = plan(request("zero_shot", "kinetics400"))
    cfg = composed(train)
    assert (cfg.TRAIN.ENABLE, cfg.TEST.ENABLE) == (True, False)
    assert cfg.DATA.PATH_TO_DATA_DIR == "/data/kinetics400/lists"
    assert cfg.DATA.PATH_PREFIX == "/data/kinetics400/videos"
    weights = Checkpointer(train.output).path(10)
    found = []
    for step in tests:
        cfg = composed(step)
        assert (cfg.TRAIN.ENABLE, cfg.TEST.ENABLE) == (False, True)
        assert cfg.TEST.CLIP_RATIO == 0.2
        assert Path(cfg.TEST.CHECKPOINT_FILE_PATH) == weights
        assert step.needs == train.output
        found.append((Path(cfg.TEXT.CLASSES).parent.name, cfg.DATA.TEST_FILE, cfg.TEST.SPLIT))
        wanted = f"label_db/kinetics600/zero_shot_split{cfg.TEST.SPLIT}.txt"
        assert (wanted if "kinetics600" in cfg.TEXT.CLASSES else "") == cfg.TEXT.SUBSET
    assert found == [
        *(("ucf101", f"test_split{i}.csv", str(i)) for i in (1, 2, 3)),
        *(("hmdb51", f"test_split{i}.csv", str(i)) for i in (1, 2, 3)),
        *(("kinetics600", f"zero_shot_split{i}.csv", str(i)) for i in (1, 2, 3)),
    ]
    assert len({step.output for step in (train, *tests)}) == 10


def test_zero_shot_with_released_weights_trains_nothing() -> None:
    steps = plan(request("zero_shot", "kinetics400", weights="/w/released.pth"))
    assert len(steps) == 9
    assert all(composed(step).TEST.CHECKPOINT_FILE_PATH == "/w/released.pth" for step in steps)
    assert not any(composed(step).TRAIN.ENABLE for step in steps)
    assert all("weights_released" in step.output for step in steps)


def test_published_kinetics600_videos_have_their_own_lists_and_folder() -> None:
    steps = plan(request("zero_shot", "kinetics400", k600="published"))[-3:]
    assert composed(steps[1]).DATA.TEST_FILE == "published_zero_shot_split2.csv"
    assert composed(steps[1]).TEXT.SUBSET.endswith("zero_shot_split2.txt")
    ours = plan(request("zero_shot", "kinetics400"))[-3:]
    assert not {step.output for step in steps} & {step.output for step in ours}


def test_published_names_of_hmdb51_touch_no_other_data_set() -> None:
    for asked in (
        request("zero_shot", "kinetics400", labels="published"),
        request("base_to_novel", "hmdb51", labels="published"),
    ):
        for step in plan(asked):
            cfg = composed(step)
            ours = "hmdb51" in cfg.TEXT.CLASSES
            assert cfg.TEXT.CLASSES.endswith("classes_published.csv") == ours
            assert ("hmdb51_published_names" in step.output) == ours
            if ours and cfg.TEXT.SUBSET:
                assert cfg.TEXT.SUBSET.endswith("_published.txt")


def test_few_shot_as_published() -> None:
    steps = plan(request("few_shot", "hmdb51"))
    cfgs = [composed(step) for step in steps]
    assert [cfg.DATA.TRAIN_FILE for cfg in cfgs] == [
        f"train_{k}shot_seed1.csv" for k in (2, 4, 8, 16)
    ]
    assert [cfg.SOLVER.BASE_LR for cfg in cfgs] == [5e-6, 3.5e-6, 5e-6, 5e-6]
    # Split 1 only, and never the original CLIP's share.
    assert {(cfg.DATA.TEST_FILE, cfg.DATA.VAL_FILE) for cfg in cfgs} == {("val.csv", "val.csv")}
    assert {cfg.TEST.CLIP_RATIO for cfg in cfgs} == {0.0}
    assert all(cfg.TRAIN.ENABLE and cfg.TEST.ENABLE and not cfg.TEXT.SUBSET for cfg in cfgs)


def test_checkpoints_of_two_runs_do_not_share_a_folder() -> None:
    runs = [f"runs/{run}/checkpoints/checkpoint_epoch_00030.pyth" for run in ("f8", "f16")]
    for key, name, dataset in (
        ("start", "fully_supervised", "ssv2"),
        ("weights", "zero_shot", "kinetics400"),
    ):
        first, second = (plan(request(name, dataset, **{key: path})) for path in runs)
        assert not {step.output for step in first} & {step.output for step in second}
        assert "_f8_epoch_00030" in first[0].output


def test_few_shot_from_a_checkpoint_keeps_its_results_apart() -> None:
    steps = plan(request("few_shot", "ssv2", shots=(16,), seeds=(1, 2), start="/w/k400.pyth"))
    assert [composed(step).DATA.TRAIN_FILE for step in steps] == [
        "train_16shot_seed1.csv",
        "train_16shot_seed2.csv",
    ]
    assert all(composed(step).TRAIN.CHECKPOINT_FILE_PATH == "/w/k400.pyth" for step in steps)
    assert all(composed(step).SOLVER.BASE_LR == 2.5e-6 for step in steps)
    assert all("ssv2_from_k400/" in step.output for step in steps)


@pytest.mark.parametrize("dataset", ["kinetics400", "ucf101", "hmdb51", "ssv2"])
def test_base_to_novel_never_trains_on_novel_classes(dataset) -> None:
    steps = plan(request("base_to_novel", dataset))
    assert len(steps) == 6
    for seed, (base, novel) in enumerate(zip(steps[::2], steps[1::2]), 1):
        trained, tested = composed(base), composed(novel)
        assert (trained.TRAIN.ENABLE, tested.TRAIN.ENABLE) == (True, False)
        assert f"base_train_16shot_seed{seed}.csv" == trained.DATA.TRAIN_FILE
        assert f"label_db/{dataset}/base.txt" == trained.TEXT.SUBSET
        assert trained.DATA.VAL_FILE == trained.DATA.TEST_FILE == "base_val.csv"
        assert f"label_db/{dataset}/novel.txt" == tested.TEXT.SUBSET
        assert tested.DATA.TEST_FILE == "novel_val.csv"
        expected = Checkpointer(base.output).path(trained.SOLVER.MAX_EPOCH)
        assert Path(tested.TEST.CHECKPOINT_FILE_PATH) == expected
        assert (f"base_seed{seed}", f"novel_seed{seed}") == (trained.TEST.SPLIT, tested.TEST.SPLIT)
        assert novel.needs == base.output


def test_fully_supervised_is_one_command() -> None:
    (step,) = plan(request("fully_supervised", "activitynet200"))
    cfg = composed(step)
    assert (cfg.DATA.TRAIN_FILE, cfg.DATA.TEST_FILE) == ("train.csv", "val.csv")
    assert cfg.TEST.PROTOCOL == "fully_supervised"


def test_overrides_reach_every_step_and_decide_which_checkpoint_is_tested() -> None:
    train, *tests = plan(
        request("zero_shot", "kinetics400", overrides=("SOLVER.MAX_EPOCH", "6", "NUM_GPUS", "0"))
    )
    assert composed(train).SOLVER.MAX_EPOCH == 6
    assert all(step.opts[-2:] == ["NUM_GPUS", "0"] for step in (train, *tests))
    assert tests[0].settings["TEST.CHECKPOINT_FILE_PATH"].endswith("checkpoint_epoch_00006.pyth")
    with_task = plan(request("zero_shot", "kinetics400", overrides=("TASK", "ssl")))
    expected = Checkpointer(train.output, task="ssl").path(10)
    assert Path(with_task[1].settings["TEST.CHECKPOINT_FILE_PATH"]) == expected


def test_command_is_one_that_people_type() -> None:
    (step,) = plan(request("few_shot", "ucf101", shots=(8,), overrides=("NUM_GPUS", "8")))
    words = step.words()
    assert words[:4] == ["-m", "ost", "run", "--cfg"]
    assert words[4].endswith("configs/OST/few_shot/ucf101.yaml")
    assert words[5] == "--opts"
    assert words[-2:] == ["NUM_GPUS", "8"]


def test_a_recipe_is_named_so_that_it_is_found_from_any_folder(tmp_path, monkeypatch) -> None:
    recipe = CONFIGS / "OST/few_shot/ucf101.yaml"
    monkeypatch.chdir(tmp_path)
    assert shown(recipe) == "configs/OST/few_shot/ucf101.yaml"
    own = tmp_path / "configs/OST/few_shot/ucf101.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("TASK: mine\n")
    assert shown(own.relative_to(tmp_path)) == str(own)
    assert shown(recipe) == str(recipe)


def test_what_results_depend_on_leaves_out_gpus_and_folders_of_data() -> None:
    def identity(root, *overrides):
        asked = Request(
            "fully_supervised", "OST", "ssv2", Path(root), overrides=tuple(overrides)
        )  # fmt: skip
        return plan(asked)[0].identity()

    assert identity("/a", "NUM_GPUS", "8") == identity("/b", "DATA_LOADER.NUM_WORKERS", "2")
    assert identity("/a") != identity("/a", "SOLVER.BASE_LR", "1e-3")


@pytest.mark.parametrize(
    ("name", "dataset", "changes", "message"),
    [
        ("zero_shot", "ucf101", {}, "'ucf101' is a target, not trained on; .*: kinetics400"),
        ("few_shot", "kinetics", {}, "known for OST few_shot: hmdb51, ssv2, ucf101"),
        ("one_shot", "ucf101", {}, "known: zero_shot, few_shot"),
        ("few_shot", "ucf101", {"method": "ost"}, "method 'ost'; known for few_shot: .*OST"),
        ("zero_shot", "kinetics400", {"shots": (4,)}, "zero_shot takes no SHOTS"),
        ("fully_supervised", "ssv2", {"seeds": (4,)}, "fully_supervised takes no SEED"),
        ("zero_shot", "kinetics400", {"start": "w"}, "zero_shot takes no --from"),
        ("zero_shot", "kinetics400", {"method": "OSTText4Vis"}, "known for zero_shot: CLIP, OST, "),
        ("fully_supervised", "kinetics400_b8", {"method": "Text4Vis"}, "kinetics400_b16_f8, "),
        ("few_shot", "ssv2", {"weights": "x"}, "few_shot takes no --weights"),
        ("base_to_novel", "ssv2", {"shots": (4, 8)}, "one number of SHOTS"),
        ("few_shot", "ssv2", {"shots": (0,)}, "numbers from 1"),
        ("few_shot", "ssv2", {"shots": (2, 4, 2)}, "SHOTS 2 4 2: name each number once"),
        ("base_to_novel", "ssv2", {"seeds": (1, 1)}, "SEED 1 1: name each number once"),
        ("few_shot", "ssv2", {"k600": "mine"}, "known: val, published"),
        ("few_shot", "ssv2", {"labels": "mine"}, "known: right, published"),
        ("few_shot", "ssv2", {"overrides": ("NUM_GPUS",)}, "'NUM_GPUS' is alone"),
        ("few_shot", "ssv2", {"overrides": ("SOLVER.BASELR", "1")}, "SOLVER.BASE_LR"),
        ("few_shot", "ssv2", {"overrides": ("OUTPUT_DIR", "x")}, "OUTPUT_DIR is set by the"),
        ("base_to_novel", "ssv2", {"overrides": ("TEXT.SUBSET", "x")}, "TEXT.SUBSET is set by"),
    ],
)
def test_mistakes_are_one_line_with_the_choices(name, dataset, changes, message) -> None:
    values = {"protocol": name, "method": "OST", "dataset": dataset, "data_root": DATA, **changes}
    with pytest.raises(UsageError, match=message) as error:
        plan(Request(**values))
    assert "\n" not in str(error.value)


# ---- other methods, variants of recipes ----


def of(method, name, dataset, **changes) -> list[Step]:
    return plan(Request(name, method, dataset, DATA, **changes))


@pytest.mark.parametrize(
    ("name", "dataset", "lists"),
    [
        ("zero_shot", "kinetics400", [f"test_split{i}.csv" for i in (1, 2, 3)] * 2
         + [f"zero_shot_split{i}.csv" for i in (1, 2, 3)]),
        ("few_shot", "hmdb51", ["val.csv"]),
        ("base_to_novel", "ssv2", ["base_val.csv", "novel_val.csv"]),
        ("fully_supervised", "activitynet200", ["val.csv"]),
    ],
)  # fmt: skip
def test_a_method_without_training_is_tested_once_on_each_list(name, dataset, lists) -> None:
    steps = of("CLIP", name, dataset)
    cfgs = [composed(step) for step in steps]
    assert [cfg.DATA.TEST_FILE for cfg in cfgs] == lists
    assert all(cfg.TEST.ENABLE and not cfg.TRAIN.ENABLE for cfg in cfgs)
    assert not any(cfg.TEST.CHECKPOINT_FILE_PATH or step.needs for cfg, step in zip(cfgs, steps))
    assert {cfg.TEST.PROTOCOL for cfg in cfgs} == {name}
    assert len({step.output for step in steps}) == len(steps)
    assert all("without training" in step.title for step in steps if name != "zero_shot")


def test_untrained_base_and_novel_classes_have_their_subsets() -> None:
    base, novel = of("CLIP", "base_to_novel", "hmdb51", labels="published")
    assert composed(base).TEXT.SUBSET == "label_db/hmdb51/base_published.txt"
    assert composed(novel).TEXT.SUBSET == "label_db/hmdb51/novel_published.txt"
    assert novel.output.endswith("hmdb51_published_names/novel")


def test_training_that_is_switched_off_leaves_the_tests_of_any_method() -> None:
    steps = plan(request("zero_shot", "kinetics400", overrides=("TRAIN.ENABLE", "False")))
    assert len(steps) == 9
    assert not any("TEST.CHECKPOINT_FILE_PATH" in step.settings for step in steps)


def test_weights_can_be_given_to_a_method_without_training() -> None:
    steps = of("CLIP", "zero_shot", "kinetics400", weights="/w/other.pt")
    assert {step.settings["TEST.CHECKPOINT_FILE_PATH"] for step in steps} == {"/w/other.pt"}


def test_text4vis_is_tested_on_whole_data_sets() -> None:
    train, *tests = of("Text4Vis", "zero_shot", "kinetics400", k600="published")
    assert composed(train).CLIP.ARCH == "ViT-L-14-quickgelu"
    found = [(Path(step.output).parts[-2:], composed(step)) for step in tests]
    assert [place for place, _ in found] == [
        *((name, "all") for name in ("ucf101", "hmdb51", "activitynet200")),
        *(("kinetics600_published", f"split{i}") for i in (1, 2, 3)),
    ]
    for place, cfg in found:
        whole = place[1] == "all"
        assert cfg.DATA.TEST_FILE == "all.csv" or not whole
        assert (10 if whole else 0) == cfg.TEST.HALF_CLASS_DRAWS
        assert (cfg.TEST.SPLIT == "all", cfg.TEXT.SUBSET == "") == (whole, whole)


@pytest.mark.parametrize(
    ("method", "variant", "key", "value"),
    [
        ("Text4Vis", "kinetics400_b16_f8", "CLIP.ARCH", "ViT-B-16-quickgelu"),
        ("ViFiCLIP", "kinetics400_image", "CLIP.TRAINABLE", "image"),
    ],
)
def test_targets_are_tested_with_the_model_of_the_variant(method, variant, key, value) -> None:
    train, *tests = of(method, "zero_shot", variant)
    assert composed(train).DATA.PATH_TO_DATA_DIR == "/data/kinetics400/lists"
    assert all(step.settings[key] == value for step in tests)
    place = f"runs/{method.lower()}/zero_shot/{variant}/"
    assert all(step.output.startswith(place) for step in (train, *tests))
    # What the user overrides is the same in all steps and stays the user's.
    section, option = key.split(".")
    mine = "text" if option == "TRAINABLE" else "RN50-quickgelu"
    for step in of(method, "zero_shot", variant, overrides=(key, mine)):
        assert key not in step.settings
        assert composed(step)[section][option] == mine


def test_a_target_takes_over_everything_that_makes_the_model(tmp_path) -> None:
    folder = tmp_path / "Mine" / "zero_shot"
    folder.mkdir(parents=True)
    model = "MODEL: {MODEL_NAME: CLIP, HEAD_NAME: OSTHead}\nOST: {KINDS: [spatial]}\n"
    source = (
        model + "TEXT: {TEMPLATES: ost}\nDATA: {MEAN: [0.5, 0.4, 0.3]}\nSOLVER: {MAX_EPOCH: 2}\n"
    )
    (folder / "mine.yaml").write_text(source)
    (folder / "ucf101.yaml").write_text("TEST: {PROTOCOL: zero_shot, SPLIT: only}\n")
    train, test = plan(Request("zero_shot", "Mine", "mine", DATA, configs=tmp_path))
    trained, tested = composed(train), composed(test)
    for key in ("MODEL", "OST", "CLIP"):
        assert tested[key] == trained[key]
    assert tested.DATA.MEAN == [0.5, 0.4, 0.3]
    assert (tested.TEXT.TEMPLATES, tested.SOLVER.MAX_EPOCH) == ("ost", 300)


def test_a_variant_has_the_data_of_its_set_and_a_folder_of_its_own() -> None:
    (step,) = of("OSTText4Vis", "fully_supervised", "kinetics400_b32_f16")
    cfg = composed(step)
    assert cfg.DATA.PATH_TO_DATA_DIR == "/data/kinetics400/lists"
    assert (cfg.MODEL.MODEL_NAME, cfg.CLIP.ARCH) == ("OSTText4Vis", "ViT-B-32-quickgelu")
    assert cfg.DATA.NUM_FRAMES == 16
    assert step.output == "runs/osttext4vis/fully_supervised/kinetics400_b32_f16"


def test_fully_supervised_may_start_from_weights_and_train_on_segments() -> None:
    (step,) = of("Text4Vis", "fully_supervised", "activitynet200", start="/w/k400_l14.pyth")
    cfg = composed(step)
    assert cfg.TRAIN.CHECKPOINT_FILE_PATH == "/w/k400_l14.pyth"
    assert cfg.DATA.TRAIN_FILE == "train_segments.csv"
    assert step.output.endswith("activitynet200_from_k400_l14")


@pytest.mark.parametrize("name", list(protocol.PROTOCOLS))
@pytest.mark.parametrize("method", ["CLIP", "OSTText4Vis", "Text4Vis", "ViFiCLIP"])
def test_every_recipe_that_can_be_asked_for_can_be_planned(method, name) -> None:
    known = protocol.methods(CONFIGS, name)
    assert (method in known) or (method, name != "fully_supervised") == ("OSTText4Vis", True)
    leaves = protocol.datasets(CONFIGS / method / name, name) if method in known else []
    one = {"seeds": (1,)} if name in ("few_shot", "base_to_novel") else {}
    outputs = [step.output for leaf in leaves for step in of(method, name, leaf, **one)]
    assert len(set(outputs)) == len(outputs)


def test_a_data_set_is_named_by_its_class_names_or_by_the_leaf(tmp_path) -> None:
    folder = tmp_path / "Mine" / "fully_supervised"
    folder.mkdir(parents=True)
    classes = tmp_path / "birds" / "classes.csv"
    for name in ("birds_16", "birdsong", "mine"):
        (folder / f"{name}.yaml").write_text(f"TEXT: {{CLASSES: {classes}}}\n")
    asked = Request("fully_supervised", "Mine", "birds_16", DATA, configs=tmp_path)
    found = {name: asked.leaf(name).dataset for name in ("birds_16", "birdsong", "mine")}
    assert found == {"birds_16": "birds", "birdsong": "birdsong", "mine": "mine"}


def test_a_method_is_a_folder_of_recipes(tmp_path) -> None:
    leaf = tmp_path / "Mine" / "fully_supervised" / "ssv2.yaml"
    leaf.parent.mkdir(parents=True)
    leaf.write_text("SOLVER: {MAX_EPOCH: 2}\n")
    (tmp_path / "Empty" / "fully_supervised").mkdir(parents=True)
    assert protocol.methods(tmp_path, "fully_supervised") == ["Mine"]
    (step,) = plan(Request("fully_supervised", "Mine", "ssv2", DATA, configs=tmp_path))
    assert step.config == leaf
    assert step.output == "runs/mine/fully_supervised/ssv2"
