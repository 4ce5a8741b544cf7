"""PySlowFast's import paths: what people's files import exists and does what it did."""

from __future__ import annotations

import importlib
import socket

import pytest
import torch

import slowfast.utils.distributed as du
import slowfast.utils.multiprocessing as mpu
from slowfast.config import get_cfg
from tests.distributed import run_two_processes

NAMES = {
    "slowfast.utils.misc": (
        "launch_job log_model_info params_count gpu_mem_usage cpu_mem_usage is_eval_epoch "
        "check_nan_losses get_class_names"
    ),
    "slowfast.utils.distributed": (
        "all_gather all_reduce all_gather_unaligned is_master_proc is_root_proc get_rank "
        "get_world_size get_local_rank get_local_size synchronize GatherLayer cat_all_gather "
        "AllGatherWithGradient init_process_group init_distributed_training"
    ),
    "slowfast.utils.multiprocessing": "run",
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
    assert meters.TrainMeter(5, cfg).iters == 5
    assert meters.ValMeter(4, cfg).iters == 4


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


def contrast(cfg) -> dict:
    """What a fork's contrastive training does first, on each rank."""
    du.init_distributed_training(cfg)
    mine = torch.full((2, 1), float(du.get_rank() + 1), requires_grad=True)
    keys = du.cat_all_gather(mine.detach())
    queries = du.AllGatherWithGradient.apply(mine)
    (queries.squeeze(1) * torch.arange(4.0)).sum().backward()
    return {
        "seed": cfg.RNG_SEED,
        "keys": keys.flatten().tolist(),
        "here": du.cat_all_gather(mine.detach(), local=True).flatten().tolist(),
        "gradient": mine.grad.flatten().tolist(),
        "local": [du.get_local_rank(), du.get_local_size()],
        "master": du.is_master_proc(cfg.NUM_GPUS),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fork_cfg():
    cfg = get_cfg()
    cfg.NUM_GPUS = 2
    return cfg


def test_a_fork_spawns_its_processes_by_multiprocessing_run() -> None:
    cfg = fork_cfg()
    answers = torch.multiprocessing.get_context("spawn").SimpleQueue()
    torch.multiprocessing.spawn(
        mpu.run,
        nprocs=cfg.NUM_GPUS,
        args=(
            cfg.NUM_GPUS,
            contrast,
            f"tcp://localhost:{free_port()}",
            cfg.SHARD_ID,
            cfg.NUM_SHARDS,
            cfg.DIST_BACKEND,
            cfg,
            answers,
        ),
        daemon=False,
    )
    assert answers.get() == {
        "seed": cfg.RNG_SEED,
        "keys": [1.0, 1.0, 2.0, 2.0],
        "here": [1.0, 1.0, 2.0, 2.0],
        "gradient": [0.0, 2.0],  # both ranks' losses: twice 0 and twice 1
        "local": [0, 2],
        "master": True,
    }
    assert answers.empty()


def _machines_of_two(address: str) -> tuple[int, int, list[float]]:
    """A fork's own launcher: four processes, on machines of two as NUM_GPUS says."""
    rank = du.get_rank()
    torch.distributed.destroy_process_group()
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        del du.os.environ[name]
    torch.distributed.init_process_group("gloo", address, rank=rank, world_size=4)
    du.init_distributed_training(fork_cfg())
    here = du.cat_all_gather(torch.tensor([float(rank)]), local=True)
    return du.get_local_rank(), du.get_local_size(), here.tolist()


def test_local_ranks_of_a_group_that_a_fork_made(tmp_path) -> None:
    found = run_two_processes(_machines_of_two, f"file://{tmp_path}/meet", world=4)
    assert found == [(0, 2, [0.0, 1.0]), (1, 2, [0.0, 1.0]), (0, 2, [2.0, 3.0]), (1, 2, [2.0, 3.0])]


def _join(port: int) -> list:
    rank = du.get_rank()
    torch.distributed.destroy_process_group()
    du.init_process_group(rank, 2, 0, 1, f"tcp://127.0.0.1:{port}", "gloo")
    return [du.get_rank(), du.get_world_size(), du.get_local_rank(), du.get_local_size()]


def test_init_process_group_takes_the_place_by_machine() -> None:
    assert run_two_processes(_join, free_port()) == [[0, 2, 0, 2], [1, 2, 1, 2]]


def test_helpers_are_the_identity_without_a_group() -> None:
    du.init_distributed_training(fork_cfg())
    assert du.cat_all_gather(torch.ones(3), local=True).tolist() == [1.0, 1.0, 1.0]
    assert (du.get_local_rank(), du.get_local_size()) == (0, 1)
