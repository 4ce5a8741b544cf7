"""PySlowFast's import paths: what people's files import exists and does what it did."""

from __future__ import annotations

import importlib

import pytest
import torch

from slowfast.config import get_cfg

NAMES = {
    "slowfast.utils.misc": (
        "launch_job log_model_info params_count gpu_mem_usage cpu_mem_usage is_eval_epoch "
        "check_nan_losses get_class_names"
    ),
    "slowfast.utils.distributed": (
        "all_gather all_reduce all_gather_unaligned is_master_proc is_root_proc get_rank "
        "get_world_size get_local_rank get_local_size synchronize GatherLayer"
    ),
    "slowfast.utils.logging": "get_logger setup_logging log_json_stats",
    "slowfast.utils.meters": "TrainMeter ValMeter TestMeter ScalarMeter",
    "slowfast.utils.metrics": "topks_correct topk_errors topk_accuracies",
    "slowfast.utils.lr_policy": "get_lr_at_epoch",
    "slowfast.utils.parser": "parse_args load_config",
    "slowfast.utils.env": "pathmgr checkpoint_pathmgr setup_environment",
    "slowfast.visualization.tensorboard_vis": "TensorboardWriter",
}


@pytest.mark.parametrize("module", NAMES)
def test_names_are_there(module: str) -> None:
    found = importlib.import_module(module)
    assert [name for name in NAMES[module].split() if not hasattr(found, name)] == []


def test_meters_take_the_config_second() -> None:
    meters = importlib.import_module("slowfast.utils.meters")
    cfg = get_cfg()
    assert meters.TrainMeter(5, cfg).epoch_iters == 5
    assert meters.ValMeter(4, cfg).max_iter == 4


def test_the_test_meter_adds_up_what_it_is_given() -> None:
    meters = importlib.import_module("slowfast.utils.meters")
    meter = meters.TestMeter(2, 2, 3, 1)
    scores = torch.tensor([[3.0, 0, 0], [0, 1, 0], [0, 0, 2], [0, 0, -4]])
    meter.iter_tic()
    meter.update_stats(scores, torch.tensor([0, 0, 2, 2]), torch.arange(4))
    meter.iter_toc()
    meter.log_iter_stats(0)
    final = meter.finalize_metrics(ks=(1, 5))
    assert final["top1_acc"] == "50.00"
    assert meter.video_preds.tolist() == [[1.5, 0.5, 0.0], [0.0, 0.0, -1.0]]
    assert meter.video_labels.tolist() == [0, 2]
