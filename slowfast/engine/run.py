"""Prepare the output folder and run the phases that a config enables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from slowfast.config import launch_facts
from slowfast.config.show import diff_yaml, full_yaml
from slowfast.evaluation.results import atomic_write, environment_facts, write_json
from slowfast.launch.group import log_ranks
from slowfast.launch.launch import launch
from slowfast.utils import distributed as du
from slowfast.utils.logging import get_logger, setup_logging

logger = get_logger(__name__)


def run(cfg: Any, init_method: str | None = None) -> dict[str, Any]:
    """Train and test as TRAIN.ENABLE and TEST.ENABLE say, on every process of the job.

    Args:
        cfg: frozen config.
        init_method: where several processes meet; see ``launch``.

    Returns what the phases returned, as {"train": ..., "test": ..., "visualise": None}; a phase
    that is switched off is absent. Raises UsageError, DataError, Interrupted, or whatever failed.
    """
    facts = launch_facts(num_gpus=cfg.NUM_GPUS, num_shards=cfg.NUM_SHARDS, shard_id=cfg.SHARD_ID)
    setup_logging(cfg.OUTPUT_DIR, rank=facts.rank)
    result: dict[str, Any] = launch(cfg, run_phases, init_method)
    return result


def run_phases(cfg: Any) -> dict[str, Any]:
    """Write what describes the run, then run its phases in this process; see ``run``."""
    # Late: they begin with prepare_output, and a process that only launches needs none of them.
    from slowfast.engine.figures import visualise
    from slowfast.engine.test import test
    from slowfast.engine.train import train

    prepare_output(cfg)
    log_ranks()
    board = cfg.TENSORBOARD
    phases: list[tuple[str, bool, Callable[[Any], Any]]] = [
        ("train", cfg.TRAIN.ENABLE, train),
        ("test", cfg.TEST.ENABLE, test),
        ("visualise", board.ENABLE and bool(board.PREDICTIONS_PATH), visualise),
    ]
    results = {name: phase(cfg) for name, enabled, phase in phases if enabled}
    if not results:
        logger.warning("nothing to do: TRAIN.ENABLE and TEST.ENABLE are both False")
    return results


def prepare_output(cfg: Any) -> None:
    """Open the log and write config.yaml, config.diff.yaml and env.json; all ranks call it.

    The phases can be called without ``run`` (``tools/train_net.py: train(cfg)``) and then call it
    themselves; a second call changes nothing but the log's handlers.
    """
    setup_logging(cfg.OUTPUT_DIR)
    if du.is_root_proc():
        atomic_write(Path(cfg.OUTPUT_DIR, "config.yaml"), full_yaml(cfg))
        atomic_write(Path(cfg.OUTPUT_DIR, "config.diff.yaml"), diff_yaml(cfg))
        write_json(f"{cfg.OUTPUT_DIR}/env.json", environment_facts())
    du.synchronize()
