"""The meters: fields, averages, and what survives a restart."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch

from slowfast.config import get_cfg
from slowfast.evaluation import measuring, meters
from slowfast.evaluation.measuring import ScalarMeter
from slowfast.utils import distributed as du
from tests.distributed import run_two_processes


def _fields(text: str) -> set[str]:
    return set(text.split())


TRAIN_ITER = _fields(
    "_type epoch iter dt dt_data dt_net eta loss top1_err top5_err lr grad_norm gpu_mem"
)
TRAIN_EPOCH = (TRAIN_ITER - {"iter"}) | {"RAM"}
VAL_ITER = _fields("_type epoch iter time_diff eta gpu_mem top1_err top5_err")
VAL_EPOCH = _fields("_type epoch time_diff gpu_mem RAM top1_err top5_err min_top1_err min_top5_err")


class Steps:
    """A clock that advances by given seconds at each reading."""

    def __init__(self, *seconds: float) -> None:
        self.now, self.seconds = 0.0, list(seconds)

    def __call__(self) -> float:
        if self.seconds:
            self.now += self.seconds.pop(0)
        return self.now


def test_scalar_meter() -> None:
    meter = ScalarMeter(3)
    for value in (9.0, 1.0, 2.0, 4.0):
        meter.add_value(value)
    assert (meter.get_win_median(), meter.get_global_avg()) == (2.0, 4.0)
    assert list(meter.deque) == [1.0, 2.0, 4.0]
    assert meter.get_win_avg() == pytest.approx(7 / 3)
    meter.reset()
    meter.add_value(5.0)
    assert meter.get_global_avg() == 5.0
    meter.add_value(2.0)
    assert meter.get_win_median() == 3.5  # of an even number: between the middle two


def test_the_clock_tells_data_from_network() -> None:
    meter = meters.TestMeter(2)
    meter.seconds = Steps(0, 2, 3, 0, 1, 1)
    for _ in range(2):
        meter.iter_tic()
        meter.data_toc()
        meter.iter_toc()
    assert (meter.dt, meter.dt_data, meter.dt_net) == (2.0, 1.0, 1.0)
    assert meter.mean() == 3.5
    assert meter.data_share() == 3 / 7


@pytest.mark.parametrize(
    ("seconds", "text"), [(59.9, "0:00:59"), (7325, "2:02:05"), (90061, "1 day, 1:01:01")]
)
def test_eta(seconds: float, text: str) -> None:
    assert measuring.eta(seconds) == text


def _train(meter: meters.TrainMeter, rows, start: int = 0) -> list[dict]:
    lines = []
    for i, (top1, loss, norm, size) in enumerate(rows, start=start):
        meter.iter_tic()
        meter.data_toc()
        meter.update_stats(top1, 0.0, loss, 1e-5 * (i + 1), norm, size)
        meter.iter_toc()
        line = meter.log_iter_stats(0, i)
        if line is not None:
            lines.append(line)
    return lines


ROWS = [(50.0, 1.0, 3.0, 4), (25.0, 5.0, 2.0, 4), (0.0, 3.0, 9.0, 2), (75.0, 2.0, 7.0, 4)]


def test_train_lines(tmp_path: Path) -> None:
    meter = meters.TrainMeter(4, max_epoch=3, log_period=3, output_dir=str(tmp_path))
    lines = _train(meter, [(torch.tensor(a), torch.tensor(b), c, d) for a, b, c, d in ROWS])
    assert len(lines) == 1
    line = lines[0]
    assert set(line) == TRAIN_ITER | {"videos_per_s"}
    assert (line["_type"], line["epoch"], line["iter"]) == ("train_iter_", "1/3", "3/4")
    assert (line["top1_err"], line["loss"], line["grad_norm"]) == (25.0, 3.0, 9.0)
    assert line["lr"] == pytest.approx(3e-5)
    epoch = meter.log_epoch_stats(0)
    assert set(epoch) == TRAIN_EPOCH | {"videos_per_s"}
    assert epoch["loss"] == pytest.approx((4 + 20 + 6 + 8) / 14)
    assert epoch["grad_norm"] == 7.0  # of the last step, as in the iteration lines
    assert epoch["top1_err"] == pytest.approx((200 + 100 + 0 + 300) / 14)
    written = (tmp_path / "json_stats.log").read_text().splitlines()
    assert [json.loads(w.removeprefix("json_stats: "))["_type"] for w in written] == [
        "train_iter_",
        "train_epoch",
    ]


def test_medians_of_an_even_period_lie_between_the_middle_two() -> None:
    meter = meters.TrainMeter(4, max_epoch=1, log_period=4)
    (line,) = _train(meter, ROWS)
    assert (line["loss"], line["top1_err"], line["grad_norm"]) == (2.5, 37.5, 7.0)
    val = meters.ValMeter(4, max_epoch=1, log_period=4)
    for top1, loss, _, size in ROWS:
        val.update_stats(top1, 0.0, size, loss)
    shown = val.log_iter_stats(0, 3)
    assert shown is not None
    assert (shown["loss"], shown["top1_err"]) == (2.5, 37.5)


def test_validation_errors_are_weighted_by_the_samples_of_their_batches() -> None:
    meter = meters.ValMeter(3, max_epoch=1)
    for top1, top5, size in ((50.0, 25.0, 8), (25.0, 0.0, 8), (100.0, 100.0, 1)):
        meter.update_stats(top1, top5, size)
    stats = meter.log_epoch_stats(0)
    assert stats["top1_err"] == pytest.approx((50 * 8 + 25 * 8 + 100) / 17)
    assert stats["top5_err"] == pytest.approx((25 * 8 + 100) / 17)


def test_what_is_not_measured_is_not_logged() -> None:
    meter = meters.TrainMeter(2, max_epoch=1, log_period=2)
    for i, norm in enumerate((None, 4.0)):  # no norm in a micro-step without optimizer step
        meter.update_stats(None, None, 1.0, 0.1, norm, 2, {"v2t": 1.0 + i, "t2v": 3.0})
        meter.iter_toc()
    line = meter.log_iter_stats(0, 1)
    assert line is not None
    assert "top1_err" not in line
    assert (line["loss_v2t"], line["loss_t2v"], line["grad_norm"]) == (1.5, 3.0, 4.0)
    epoch = meter.log_epoch_stats(0)
    assert (epoch["loss_v2t"], epoch["grad_norm"]) == (1.5, 4.0)


def test_further_losses_may_be_a_list() -> None:
    meter = meters.TrainMeter(1, max_epoch=1, log_period=1)
    meter.update_stats(1.0, 1.0, 1.0, 0.1, 1.0, 2, [0.25, torch.tensor(0.75)])
    line = meter.log_iter_stats(0, 0)
    assert line is not None
    assert (line["loss_0"], line["loss_1"]) == (0.25, 0.75)


def test_a_nan_loss_is_shown() -> None:
    meter = meters.TrainMeter(1, max_epoch=1, log_period=1)
    meter.update_stats(1.0, 1.0, torch.tensor(math.nan), 0.1, 1.0, 2)
    line = meter.log_iter_stats(0, 0)
    assert line is not None
    assert math.isnan(line["loss"])


def test_eta_uses_the_mean_iteration() -> None:
    meter = meters.TrainMeter(10, max_epoch=2, log_period=2)
    meter.seconds = Steps(0, 1, 9, 0, 0, 10)
    for i in range(2):
        meter.iter_tic()
        meter.data_toc()
        meter.update_stats(0.0, 0.0, 1.0, 0.1, 1.0, 5)
        meter.iter_toc()
        line = meter.log_iter_stats(0, i)
    assert line is not None
    assert line["eta"] == "0:03:00"
    assert line["videos_per_s"] == 0.5


@pytest.mark.parametrize(("scale", "warned"), [(1.0, True), (0.1, False)])
def test_slow_data_is_warned_about_unless_it_is_soon_over(caplog, scale, warned) -> None:
    meter = meters.TrainMeter(1, max_epoch=1)
    meter.seconds = Steps(0, 4 * scale, 6 * scale)
    meter.iter_tic()
    meter.data_toc()
    meter.update_stats(0.0, 0.0, 1.0, 0.1, 1.0, 5)
    meter.iter_toc()
    meter.log_epoch_stats(0)
    line = "40% of the time was spent waiting for data: raise DATA_LOADER.NUM_WORKERS"
    assert (line in caplog.text) == warned


def test_a_resumed_epoch_ends_with_the_same_numbers() -> None:
    whole = meters.TrainMeter(4, max_epoch=1, log_period=3)
    _train(whole, ROWS)
    expected = whole.log_epoch_stats(0)
    first = meters.TrainMeter(4, max_epoch=1, log_period=3)
    _train(first, ROWS[:2])
    state = first.state_dict()
    second = meters.TrainMeter(4, max_epoch=1, log_period=3)
    second.load_state_dict(json.loads(json.dumps(state)))
    lines = _train(second, ROWS[2:], start=2)
    found = second.log_epoch_stats(0)
    assert (lines[0]["loss"], lines[0]["top1_err"]) == (3.0, 25.0)
    for name in ("loss", "top1_err", "grad_norm", "lr"):
        assert found[name] == expected[name], name


def _train_rank() -> dict:
    meter = meters.TrainMeter(2, max_epoch=1, log_period=2)
    rank = du.get_rank()
    for i in range(2):
        meter.update_stats(10.0 * (rank + i), 0.0, 1.0 + 2 * rank, 0.1, 1.0, 1 + 2 * rank)
        meter.iter_toc()
        meter.log_iter_stats(0, i)
    return meter.log_epoch_stats(0)


def test_ranks_are_averaged_by_their_samples() -> None:
    first, second = run_two_processes(_train_rank)
    for found in (first, second):
        assert found["loss"] == pytest.approx((1 * 1 + 3 * 3) / 4)
        assert found["top1_err"] == pytest.approx((0 + 10 + 3 * 10 + 3 * 20) / 8)


def test_val_lines() -> None:
    meter = meters.ValMeter(2, max_epoch=3, log_period=1, num_classes=3)
    scores = torch.eye(3)
    meter.update_stats(40.0, 20.0, 3, loss=torch.tensor(2.0))
    meter.update_predictions(scores, torch.tensor([0, 1, 1]))
    line = meter.log_iter_stats(0, 0)
    assert line is not None
    assert set(line) == VAL_ITER | {"loss"}
    meter.update_stats(0.0, 0.0, 1, loss=torch.tensor(6.0))
    meter.update_predictions(scores[2:], torch.tensor([1]))
    stats = meter.log_epoch_stats(0)
    assert set(stats) == VAL_EPOCH | {"loss", "mean_class_acc", "num_videos"}
    assert (stats["top1_err"], stats["top5_err"], stats["loss"]) == (30.0, 15.0, 3.0)
    assert stats["mean_class_acc"] == pytest.approx((100 + 100 / 3) / 2)
    assert meter.improved


def test_the_best_survives_reset_and_restart() -> None:
    meter = meters.ValMeter(1, max_epoch=3)
    meter.update_stats(40.0, 20.0, 3)
    meter.log_epoch_stats(0)
    resumed = meters.ValMeter(1, max_epoch=3)
    resumed.load_state_dict(meter.state_dict())
    resumed.reset()
    resumed.update_stats(50.0, 10.0, 3)
    stats = resumed.log_epoch_stats(1)
    assert (stats["min_top1_err"], stats["min_top5_err"]) == (40.0, 10.0)
    assert not resumed.improved


def test_a_validation_of_nothing_is_no_record() -> None:
    meter = meters.ValMeter(0, max_epoch=1)
    stats = meter.log_epoch_stats(0)
    assert math.isnan(stats["top1_err"])
    assert not meter.improved
    assert meter.min_top1_err == 100.0


def test_multi_label_validation() -> None:
    meter = meters.ValMeter(1, max_epoch=1, multi_label=True)
    meter.update_stats(None, None, 2, loss=1.0)
    meter.update_predictions(torch.tensor([[0.9, 0.2], [0.1, 0.8]]), torch.eye(2))
    stats = meter.log_epoch_stats(0)
    assert stats["map"] == pytest.approx(100.0)
    assert "top1_err" not in stats
    assert meter.improved


def _validate_rank() -> tuple[dict, int]:
    meter = meters.ValMeter(1, max_epoch=1, num_classes=2, keep_predictions=True)
    if du.get_rank() == 0:  # the other rank has no video at all
        meter.update_stats(50.0, 0.0, 2, loss=1.0)
        meter.update_predictions(torch.eye(2), torch.tensor([0, 0]))
        meter.log_iter_stats(0, 9)
    stats = meter.log_epoch_stats(0)
    return stats, len(meter.gathered_predictions()[0])


def test_ranks_may_have_different_numbers_of_batches() -> None:
    for stats, kept in run_two_processes(_validate_rank):
        assert (stats["top1_err"], stats["num_videos"], stats["mean_class_acc"]) == (50.0, 2, 50.0)
        assert kept == 2


def test_test_lines(tmp_path: Path) -> None:
    meter = meters.TestMeter(4, log_period=3, output_dir=str(tmp_path))
    lines = []
    for i in range(4):
        meter.iter_tic()
        meter.data_toc()
        meter.update_stats(2)
        meter.iter_toc()
        lines.append(meter.log_iter_stats(i))
    shown = [line for line in lines if line is not None]
    assert [line["cur_iter"] for line in shown] == ["3", "4"]
    assert set(shown[0]) == {"split", "cur_iter", "eta", "time_diff", "clips_per_s"}
    final = meter.finalize(
        {
            "top1": 66.666,
            "top5": 100.0,
            "mean_class": 50.0,
            "num_videos_scored": 3,
            "num_videos_listed": 4,
        }
    )
    assert final["split"] == "test_final"
    assert (final["top1_acc"], final["top5_acc"]) == ("66.67", "100.00")
    assert '"split": "test_final"' in (tmp_path / "json_stats.log").read_text()


def test_multi_label_final_line_fills_all_three() -> None:
    stats = {"map": 12.345, "num_videos_scored": 1, "num_videos_listed": 1}
    final = meters.TestMeter(1).finalize(stats)
    assert [final[key] for key in ("map", "top1_acc", "top5_acc")] == ["12.35"] * 3


def test_from_cfg() -> None:
    cfg = get_cfg()
    cfg.LOG_PERIOD, cfg.SOLVER.MAX_EPOCH, cfg.OUTPUT_DIR = 7, 9, "x"
    train = meters.TrainMeter.from_cfg(cfg, 5)
    assert (train.iters, train.max_epoch, train.log_period) == (5, 9, 7)
    assert meters.ValMeter.from_cfg(cfg, 4).num_classes == cfg.MODEL.NUM_CLASSES
    assert meters.TestMeter.from_cfg(cfg, 3).output_dir == "x"


def test_memory_text() -> None:
    assert re.fullmatch(r"\d+\.\d\dG", measuring.gpu_mem())
    assert re.fullmatch(r"\d+\.\d\d/\d+\.\d\dG", measuring.ram())


def test_a_multi_label_validation_of_nothing() -> None:
    meter = meters.ValMeter(0, max_epoch=1, multi_label=True)
    assert math.isnan(meter.log_epoch_stats(0)["map"])
    assert not meter.improved
