from __future__ import annotations

import pytest
import simplejson
import torch
from torch import nn

from slowfast.engine.job import Job
from slowfast.engine.setup import check_test_size
from slowfast.engine.train import train
from slowfast.engine.watch import LossError
from slowfast.errors import DataError, SlowFastError, UsageError
from slowfast.models.build import MODEL_REGISTRY
from slowfast.models.losses import LOSS_REGISTRY
from slowfast.solver.schedule import LR_POLICY_REGISTRY
from tests.distributed import RankError, run_two_processes
from tests.engine.tiny import Recorder, TinyNet, last_state, tiny_cfg


def stats_of(folder, kind):
    lines = (folder / "json_stats.log").read_text().splitlines()
    stats = [simplejson.loads(line.removeprefix("json_stats: ")) for line in lines]
    return [line for line in stats if line.get("_type") == kind]


def test_a_training_learns_and_leaves_its_files(tmp_path):
    result = train(tiny_cfg(tmp_path, "SOLVER.MAX_EPOCH", 6))
    losses = [line["loss"] for line in stats_of(tmp_path, "train_epoch")]
    assert losses[-1] < losses[0]
    assert result["best_top1_acc"] > 50
    assert result["summary"].startswith("_p0.00_f0.00 _t")
    assert {"top1_err", "top5_err", "loss", "best_top1_acc"} <= result.keys()
    for name in ("stdout.log", "config.yaml", "config.diff.yaml", "env.json"):
        assert (tmp_path / name).exists(), name
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names == {f"checkpoint_epoch_{n:05d}.pyth" for n in range(1, 7)} | {
        "checkpoint_best.pyth"
    }


def test_what_a_checkpoint_holds(tmp_path):
    train(tiny_cfg(tmp_path, "SOLVER.MAX_EPOCH", 1))
    state = last_state(tmp_path)
    assert state["epoch"] == 0
    assert "OUTPUT_DIR" in state["cfg"]
    assert not any(name.startswith("module.") for name in state["model_state"])
    expected = {"optimizer_state", "progress", "meter_state", "best", "watch", "rng_state"}
    assert expected <= state.keys()
    assert "scaler_state" not in state


@pytest.mark.parametrize(("period", "saved"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (10, [5])])
def test_checkpoint_period_and_always_after_the_last(tmp_path, period, saved):
    opts = ("SOLVER.MAX_EPOCH", 5, "TRAIN.CHECKPOINT_PERIOD", period, "TRAIN.EVAL_PERIOD", 0)
    train(tiny_cfg(tmp_path, *opts, "TRAIN.SAVE_BEST", False))
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == [f"checkpoint_epoch_{n:05d}.pyth" for n in saved]
    assert [line["epoch"] for line in stats_of(tmp_path, "val_epoch")] == ["5/5"]


def test_only_the_last_checkpoints_are_kept(tmp_path):
    train(tiny_cfg(tmp_path, "SOLVER.MAX_EPOCH", 5, "TRAIN.KEEP_LAST", 2))
    names = sorted(path.name for path in (tmp_path / "checkpoints").glob("*epoch*"))
    assert names == ["checkpoint_epoch_00004.pyth", "checkpoint_epoch_00005.pyth"]
    assert (tmp_path / "checkpoints" / "checkpoint_best.pyth").exists()


def test_the_best_checkpoint_is_that_of_the_smallest_error(tmp_path):
    train(tiny_cfg(tmp_path, "SOLVER.MAX_EPOCH", 6))
    errors = [line["top1_err"] for line in stats_of(tmp_path, "val_epoch")]
    best = torch.load(tmp_path / "checkpoints" / "checkpoint_best.pyth", weights_only=True)
    assert best["epoch"] == errors.index(min(errors))
    assert best["best"]["min_top1_err"] == pytest.approx(min(errors), abs=1e-4)


def test_the_rate_follows_the_schedule_by_micro_step(tmp_path, monkeypatch):
    recorder = Recorder(monkeypatch)
    cfg = tiny_cfg(tmp_path)
    train(cfg)
    from slowfast.utils.lr_policy import get_lr_at_epoch

    for (epoch, iteration), (_, lr, _) in recorder.losses.items():
        assert lr == pytest.approx(get_lr_at_epoch(cfg, epoch + iteration / 3), rel=1e-12)


def test_the_rate_by_epoch(tmp_path, monkeypatch):
    recorder = Recorder(monkeypatch)
    train(tiny_cfg(tmp_path, "TRAIN.SCHEDULE_UNIT", "epoch"))
    rates = {epoch: {v[1] for k, v in recorder.losses.items() if k[0] == epoch} for epoch in (0, 1)}
    assert {len(values) for values in rates.values()} == {1}
    assert rates[0] != rates[1]


def test_the_first_step_of_the_ost_schedule_changes_nothing(tmp_path, monkeypatch):
    recorder = Recorder(monkeypatch)
    opts = ("SOLVER.LR_POLICY", "ost_cosine", "SOLVER.WARMUP_EPOCHS", 1.0)
    train(tiny_cfg(tmp_path, *opts))
    rates = [lr for _, lr, _ in recorder.losses.values()]
    assert rates[:3] == pytest.approx([0.0, 0.0, 0.05 / 3])


def test_total_batch_is_kept_by_accumulation_and_said_aloud(tmp_path):
    job = Job(tiny_cfg(tmp_path, "TRAIN.TOTAL_BATCH_SIZE", 12))
    assert job.stepper.accumulation == 3
    assert job.batch.startswith("effective batch 12 = 4 on each of 1 process x 3 accumulated")


@pytest.mark.parametrize(
    ("opts", "said"),
    [
        (
            ("TRAIN.DROP_LAST", "auto"),
            "the last batch of an epoch has 2 clips (TRAIN.DROP_LAST auto)",
        ),
        ((), "an epoch trains 12 of 14 clips, each time others: 2 are left over by batches of 4"),
        (("TRAIN.BATCH_SIZE", 7), ""),
    ],
)
def test_clips_that_no_epoch_trains_are_said_once_with_both_figures(tmp_path, caplog, opts, said):
    caplog.set_level("INFO")
    train(tiny_cfg(tmp_path, *opts))
    lines = [r for r in caplog.messages if "the last batch" in r or "clips, each time" in r]
    assert len(lines) == (said != "")
    assert said in "".join(lines)


def test_nan_names_the_batch_and_saves_nothing(tmp_path, monkeypatch):
    original = TinyNet.forward

    def forward(self, x):
        out = original(self, x)
        return out * float("nan") if self.training and self.poisoned() else out

    calls = []

    def poisoned(self):
        calls.append(0)
        return len(calls) == 5

    monkeypatch.setattr(TinyNet, "forward", forward)
    monkeypatch.setattr(
        TinyNet, "poisoned", lambda self: calls.append(0) or len(calls) == 5, raising=False
    )
    with pytest.raises(LossError) as caught:
        train(tiny_cfg(tmp_path))
    text = str(caught.value)
    assert "the loss is nan at epoch 2/2, iteration 2/3; batch: " in text
    ids = text.split("batch: ")[1].split(";")[0].split(", ")
    assert len(ids) == 4
    assert last_state(tmp_path)["epoch"] == 0


def test_an_error_with_positions_names_the_batch(tmp_path, monkeypatch):
    class FeatureError(SlowFastError):
        positions = [1]

    def forward(self, x):
        raise FeatureError("NaN frame features at positions [1]")

    monkeypatch.setattr(TinyNet, "forward", forward)
    with pytest.raises(LossError, match=r"positions \[1\]; batch: \d+, \d+, \d+, \d+"):
        train(tiny_cfg(tmp_path))


def test_broken_videos_are_counted_listed_and_tolerated_up_to_a_share(tmp_path):
    train(tiny_cfg(tmp_path, "DATA.PATH_PREFIX", "3", "SOLVER.MAX_EPOCH", 4))
    assert (tmp_path / "broken_videos.txt").read_text() == "video3.mp4\tno video stream\n"
    assert (
        "1 of 14 videos could not be read and were replaced: video3.mp4"
        in (tmp_path / "stdout.log").read_text()
    )


def test_too_many_broken_videos_stop_with_exit_code_3(tmp_path):
    with pytest.raises(DataError, match="of 14 videos.*above DATA.MAX_BROKEN=0.1") as caught:
        train(tiny_cfg(tmp_path, "DATA.PATH_PREFIX", "3,5,6,7,8"))
    assert caught.value.exit_code == 3


def test_unreadable_validation_videos_are_left_out_and_named(tmp_path):
    result = train(tiny_cfg(tmp_path, "DATA.PATH_PREFIX", "6", "DATA.MAX_BROKEN", 1.0))
    assert result["num_videos"] == 6
    log = (tmp_path / "stdout.log").read_text()
    assert "1 videos could not be read and were not validated: video6.mp4 (no video stream)" in log


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (("TRAIN.BATCH_SIZE", 64), "14 training videos do not fill one batch of 64"),
        (("SOLVER.LR_POLICY", "nonesuch"), "SOLVER.LR_POLICY: no LR_POLICY named"),
        (("MODEL.LOSS_FUNC", "nonesuch"), "no LOSS named"),
        (("MODEL.MODEL_NAME", "Nonesuch"), "no MODEL named"),
        (("TRAIN.DATASET", "nonesuch"), "no DATASET named"),
        (("TEST.DATASET", "nonesuch"), "no DATASET named .* test after this training would fail"),
        (("TEST.CLIP_RATIO", 0.2), "TEST.CLIP_RATIO is 0.2, but CLIP.PRETRAINED is empty"),
        # two epochs of 3 steps, in which the warm-up rises to the end of the cosine, 0
        (
            ("SOLVER.WARMUP_EPOCHS", 2.0, "SOLVER.WARMUP_START_LR", 0.0),
            "of all 6 steps is 0, below",
        ),
        (
            ("SOLVER.WARMUP_EPOCHS", 2.0, "SOLVER.WARMUP_START_LR", 4e-4),
            "is 0.0004, below 1% of SOLVER.BASE_LR 0.05: nothing would be .* WARMUP_EPOCHS 2 ",
        ),
        (
            (
                *("SOLVER.LR_POLICY", "steps_with_relative_lrs"),
                *("SOLVER.STEPS", [0, 1], "SOLVER.LRS", [0.0, 0.009]),
            ),
            "is 0.00045, below 1%",
        ),
        (
            (
                *("SOLVER.LR_UPDATE_PERIOD", 10, "SOLVER.MAX_EPOCH", 1),
                *("SOLVER.WARMUP_EPOCHS", 0.5, "SOLVER.WARMUP_START_LR", 0.0),
            ),
            "of all 3 steps is 0, below .* LR_UPDATE_PERIOD 10",
        ),
    ],
)
def test_impossible_settings_fail_before_anything_is_trained(tmp_path, opts, message, monkeypatch):
    recorder = Recorder(monkeypatch)
    with pytest.raises(UsageError, match=message):
        train(tiny_cfg(tmp_path, *opts))
    assert recorder.losses == {}


@pytest.mark.parametrize(
    ("opts", "said"),
    [
        (
            ("SOLVER.LR_POLICY", "ost_cosine", "SOLVER.COSINE_END_LR", 1e-7),
            "SOLVER.COSINE_END_LR 1e-07: for SOLVER.LR_POLICY cosine; ost_cosine does not read it",
        ),
        (
            ("SOLVER.STEPS", [0, 1], "SOLVER.LRS", [1.0, 0.1]),
            "SOLVER.STEPS [0, 1], SOLVER.LRS [1.0, 0.1]: for SOLVER.LR_POLICY steps_with_relative",
        ),
        (
            (
                *("SOLVER.LR_POLICY", "steps_with_relative_lrs"),
                *("SOLVER.STEPS", [0, 1], "SOLVER.LRS", [1.0, 0.1, 0.01]),
            ),
            "SOLVER.LRS: [0.01] have no SOLVER.STEPS and are not used",
        ),
    ],
)
def test_options_that_the_schedule_does_not_read_are_said(tmp_path, caplog, opts, said):
    with caplog.at_level("WARNING"):
        Job(tiny_cfg(tmp_path, *opts))
    assert said in caplog.text
    caplog.clear()
    Job(tiny_cfg(tmp_path, "SOLVER.COSINE_END_LR", 1e-7))
    assert "does not read" not in caplog.text


@pytest.mark.parametrize("factor", [0.0099, 0.01])
def test_the_rates_of_an_own_policy_are_looked_at_where_they_are_used(
    tmp_path, monkeypatch, factor
):
    monkeypatch.setattr(LR_POLICY_REGISTRY, "_obj_map", dict(LR_POLICY_REGISTRY._obj_map))

    @LR_POLICY_REGISTRY.register()
    def late(schedule, epoch):
        return schedule.base_lr * (factor if epoch == 1 else 0.0)

    opts = ("SOLVER.LR_POLICY", "late", "TRAIN.SCHEDULE_UNIT", "epoch")
    if factor < 0.01:
        with pytest.raises(UsageError, match="rate of all 6 steps is 0.000495, below .* late"):
            Job(tiny_cfg(tmp_path, *opts))
    else:
        assert Job(tiny_cfg(tmp_path, *opts)).set_lr(1, 2) == pytest.approx(5e-4)


def test_the_crops_of_the_test_are_compared_with_the_tower_before_a_training(tmp_path):
    model = nn.Module()
    check_test_size(tiny_cfg(tmp_path), model)
    model.clip = nn.Module()
    model.clip.visual = nn.Module()
    model.clip.visual.image_size = (224, 224)
    check_test_size(tiny_cfg(tmp_path, "DATA.TEST_CROP_SIZE", 224), model)
    with pytest.raises(UsageError, match="TEST_CROP_SIZE is 256, but .* 224x224 .* set it to 224"):
        check_test_size(tiny_cfg(tmp_path, "DATA.TEST_CROP_SIZE", 256), model)


def test_a_loss_that_compares_videos_needs_two(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(LOSS_REGISTRY, "_obj_map", dict(LOSS_REGISTRY._obj_map))

    @LOSS_REGISTRY.register()
    def comparing(cfg):
        def loss(output, labels):
            return {"loss": output.logits.mean()}

        loss.min_batch = 2
        return loss

    opts = ("MODEL.LOSS_FUNC", "comparing", "TRAIN.DROP_LAST")
    with pytest.raises(UsageError, match="comparing compares the videos .* but a batch has 1"):
        Job(tiny_cfg(tmp_path, *opts, "auto", "TRAIN.BATCH_SIZE", 1))
    assert Job(tiny_cfg(tmp_path, *opts, "auto")).iters == 3
    reason = "2 are left over by batches of 4 (MODEL.LOSS_FUNC comparing compares the videos"
    assert reason in caplog.text
    assert Job(tiny_cfg(tmp_path, *opts, "False")).iters == 4
    with pytest.raises(UsageError, match="a batch has 1; .* or set TRAIN.DROP_LAST True"):
        Job(tiny_cfg(tmp_path, *opts, "False", "TRAIN.BATCH_SIZE", 13))


def test_named_loss_terms_are_summed_and_logged(tmp_path, monkeypatch):
    monkeypatch.setattr(LOSS_REGISTRY, "_obj_map", dict(LOSS_REGISTRY._obj_map))

    @LOSS_REGISTRY.register()
    def two_terms(cfg):
        return lambda output, labels: {
            "one": output.logits.square().mean(),
            "two": output.logits.mean().abs(),
        }

    train(tiny_cfg(tmp_path, "MODEL.LOSS_FUNC", "two_terms"))
    line = stats_of(tmp_path, "train_epoch")[0]
    assert line["loss"] == pytest.approx(line["loss_one"] + line["loss_two"], rel=1e-4)


def test_precise_statistics_of_no_batch_norm_are_worth_a_word(tmp_path, caplog):
    Job(tiny_cfg(tmp_path, "BN.USE_PRECISE_STATS", True, "MODEL.FROZEN_BN", True))
    assert "BN.USE_PRECISE_STATS does nothing" in caplog.text


def test_precise_statistics_are_measured_before_saving(tmp_path, monkeypatch):
    import slowfast.engine.train as module

    measured, original = [], module.recompute_statistics

    def recompute(model, batches, forward):
        batches = list(batches)
        original(model, batches, forward)
        measured.append((len(batches), model.norm.running_var.clone()))

    monkeypatch.setattr(module, "recompute_statistics", recompute)
    opts = ("BN.USE_PRECISE_STATS", True, "BN.NUM_BATCHES_PRECISE", 2)
    train(tiny_cfg(tmp_path, *opts))
    assert [count for count, _ in measured] == [2, 2]
    saved = last_state(tmp_path)["model_state"]["norm.running_var"]
    assert torch.equal(saved, measured[-1][1])


def test_tensorboard_scalars_have_pyslowfasts_tags(tmp_path):
    train(tiny_cfg(tmp_path, "TENSORBOARD.ENABLE", True))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "runs-TinyClips"))
    events.Reload()
    tags = {"Train/loss", "Train/lr", "Train/Top1_err", "Val/Top1_err", "Val/Top5_err"}
    assert tags <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("Train/loss")] == list(range(6))


def test_mixing_reports_pyslowfasts_error_and_trains(tmp_path):
    opts = ("MIXUP.ENABLE", True, "MODEL.LOSS_FUNC", "soft_cross_entropy")
    train(tiny_cfg(tmp_path, *opts))
    assert "top1_err" in stats_of(tmp_path, "train_epoch")[0]


def _train(folder, *opts):
    if "TinyNet" not in MODEL_REGISTRY:
        raise AssertionError("tests.engine.tiny registers it")
    train(tiny_cfg(folder, *opts))
    return


def test_carrying_needs_a_step_in_an_epoch(tmp_path):
    opts = ("TRAIN.ACCUMULATION_STEPS", 4, "TRAIN.ACCUMULATION_TAIL", "carry")
    with pytest.raises(UsageError, match="carry: 4 iterations make a step, and an epoch has 3"):
        Job(tiny_cfg(tmp_path, *opts))


@pytest.mark.parametrize(("tail", "drop"), [("step", True), ("carry", True), ("step", "auto")])
def test_two_processes_train_like_one(tmp_path, tail, drop):
    accumulation = ("TRAIN.ACCUMULATION_STEPS", 2, "TRAIN.ACCUMULATION_TAIL", tail)
    accumulation += ("TRAIN.DROP_LAST", drop)
    opts = ("MODEL.DROPOUT_RATE", 0.0, "SOLVER.MAX_EPOCH", 2, *accumulation)
    train(tiny_cfg(tmp_path / "one", *opts))
    run_two_processes(_train, tmp_path / "two", *opts)
    one, two = last_state(tmp_path / "one"), last_state(tmp_path / "two")
    for key, value in one["model_state"].items():
        torch.testing.assert_close(two["model_state"][key], value, msg=key)
    assert len(two["rng_state"]) == 2
    for kind in ("train_epoch", "val_epoch"):
        for a, b in zip(stats_of(tmp_path / "one", kind), stats_of(tmp_path / "two", kind)):
            assert b["loss"] == pytest.approx(a["loss"], rel=1e-4)
            assert b["top1_err"] == pytest.approx(a["top1_err"], abs=1e-3)
    assert stats_of(tmp_path / "two", "val_epoch")[0]["num_videos"] == 7


def test_one_rank_with_nan_ends_the_run_with_its_rank(tmp_path):
    with pytest.raises(RankError, match="rank [01] failed") as caught:
        run_two_processes(_train_with_nan_on_rank_1, tmp_path)
    assert isinstance(caught.value.__cause__, LossError)


def _train_with_nan_on_rank_1(folder):
    from slowfast.utils import distributed as du

    original = TinyNet.forward
    if du.get_rank() == 1:
        TinyNet.forward = lambda self, x: original(self, x) * float("nan")
    train(tiny_cfg(folder))
