"""Loaders for training, validation and test, on one process or many."""

from __future__ import annotations

import atexit
import os
import random
import signal
from collections.abc import Iterator
from functools import partial
from types import FrameType
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, Sampler

from slowfast.config.inputs import SPLITS
from slowfast.datasets.build import build_dataset
from slowfast.datasets.collate import collate
from slowfast.datasets.samplers import ExactBatchSampler, TrainBatchSampler, last_batch
from slowfast.errors import DataError, DecodeError, UsageError
from slowfast.utils import distributed as du
from slowfast.utils.rng import generator

__all__ = ["ExactBatchSampler", "TrainBatchSampler", "construct_loader", "shuffle_dataset"]


class WorkerInit:
    """Prepare a loading process: one thread, and global generators of its own.

    Seeds are a function of (seed, epoch in which the process started, rank, worker), for data sets
    that draw from the global generators; ours never do.
    """

    def __init__(self, seed: int, rank: int) -> None:
        self.seed = seed
        self.rank = rank
        self.epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        # Set before multiprocessing, at the main process's exit, ends its children by SIGTERM and
        # waits for them: a loader that is still alive then would otherwise hold it up for ever.
        self.leaving = torch.zeros(1, dtype=torch.int64).share_memory_()
        atexit.register(self.leaving.fill_, 1)

    def __call__(self, worker: int) -> None:
        """Run in loading process number ``worker``."""
        # Ctrl-C reaches the whole process group; the main process decides what becomes of it
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._pass_over_once)
        torch.set_num_threads(1)
        cv2.setNumThreads(0)
        drawn = generator(self.seed, int(self.epoch), self.rank, worker).integers(0, 2**32, 3)
        random.seed(int(drawn[0]))
        np.random.seed(int(drawn[1]))  # noqa: NPY002 - people's data sets draw from it
        torch.manual_seed(int(drawn[2]))

    def _pass_over_once(self, number: int, frame: FrameType | None) -> None:
        """Obey the next SIGTERM, not this one: a queue sends the first to the whole process group.

        The main process finishes its step and saves. Torch's own handler would end this process at
        once, and the main process with it.
        """
        signal.signal(number, signal.SIG_DFL)
        if self.leaving:
            os.kill(os.getpid(), number)


class VideoLoader(DataLoader):
    """A DataLoader that hands on what a data set raises as the one line that it was.

    torch wraps an exception of a loading process into its traceback.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        batches = super().__iter__()
        try:
            yield from batches
        except DecodeError:
            raise
        except (DataError, UsageError) as error:
            mark = f"{type(error).__name__}: "
            raise type(error)(str(error).rpartition(mark)[2].strip()) from error


def processes_here(cfg: Any) -> int:
    """Return the processes that share a machine's batch: its GPUs, or its ranks on the CPU."""
    return max(1, cfg.NUM_GPUS, du.get_local_size())


def _settings(cfg: Any, split: str) -> tuple[str, int, bool]:
    """Return data set name, clips of a batch on this process, and whether to keep the workers."""
    part = cfg.TEST if split == "test" else cfg.TRAIN
    processes = processes_here(cfg)
    share = part.BATCH_SIZE // processes
    if share < 1:
        key = "TEST" if split == "test" else "TRAIN"
        raise UsageError(
            f"{key}.BATCH_SIZE is {part.BATCH_SIZE}, which leaves no clip for each of"
            f" {processes} processes; raise it to {processes} or more"
        )
    return part.DATASET, share, cfg.DATA_LOADER.PERSISTENT_WORKERS and split != "test"


def _batch_sampler(
    cfg: Any, split: str, dataset: Any, batch_size: int, whole: str
) -> Sampler[list[int]]:
    rank, world = du.get_rank(), du.get_world_size()
    if split == "train":
        if cfg.TRAIN.EPOCH_SIZE and not hasattr(dataset, "repeats"):
            raise UsageError(
                f"TRAIN.EPOCH_SIZE: the data set {cfg.TRAIN.DATASET} does not repeat its list (it"
                " has no attribute repeats); set it to 0"
            )
        least = 2 if cfg.MIXUP.ENABLE else 1  # a clip is mixed with another one
        drop, n = cfg.TRAIN.DROP_LAST, len(dataset)
        last = last_batch(n, batch_size, world, drop=drop, least=least, whole=whole)
        return TrainBatchSampler(
            n, batch_size, seed=cfg.RNG_SEED, rank=rank, world_size=world, last=last
        )
    views = 1
    if split == "test":
        views = cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS
    views = getattr(dataset, "num_clips_per_video", views)
    return ExactBatchSampler(len(dataset), views, batch_size, rank=rank, world_size=world)


def construct_loader(
    cfg: Any, split: str, is_precise_bn: bool = False, *, whole_batches: str = ""
) -> DataLoader:
    """Return the loader of ``split``, whose batches are ``(inputs, labels, index, time, meta)``.

    Training shuffles by (RNG_SEED, epoch); TRAIN.DROP_LAST says what becomes of an incomplete last
    batch. Validation and test give each clip exactly once over all processes. Call
    ``shuffle_dataset`` before each epoch.

    Args:
        cfg: the configuration.
        split: train, val or test.
        is_precise_bn: accepted for PySlowFast's callers; changes nothing.
        whole_batches: why TRAIN.DROP_LAST auto is to leave an incomplete batch out in any case.

    Raises:
        UsageError: unknown split or data set, or a batch size that cannot be.
        DataError: the data set could not be listed.
    """
    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    name, batch_size, persistent = _settings(cfg, split)
    dataset = build_dataset(name, cfg, split)
    workers = cfg.DATA_LOADER.NUM_WORKERS
    common: dict[str, Any] = {
        "num_workers": workers,
        "pin_memory": cfg.DATA_LOADER.PIN_MEMORY and torch.cuda.is_available(),
        "collate_fn": partial(collate, source=type(dataset).__name__),
        "worker_init_fn": WorkerInit(cfg.RNG_SEED, du.get_rank()),
        # the seed that torch hands to workers must not be drawn from the run's own generator
        "generator": torch.Generator().manual_seed(cfg.RNG_SEED),
    }
    if workers > 0:
        common["persistent_workers"] = persistent
        common["prefetch_factor"] = cfg.DATA_LOADER.PREFETCH_FACTOR
    if isinstance(dataset, IterableDataset):
        drop = split == "train" and cfg.TRAIN.DROP_LAST != "False"
        return VideoLoader(dataset, batch_size=batch_size, drop_last=drop, **common)
    sampler = _batch_sampler(cfg, split, dataset, batch_size, whole_batches)
    return VideoLoader(dataset, batch_sampler=sampler, **common)


def shuffle_dataset(loader: DataLoader, epoch: int) -> None:
    """Tell sampler, data set and workers which epoch comes next.

    Whatever lacks ``set_epoch`` (data set: or PySlowFast's ``_set_epoch_num``) is left alone.
    """
    dataset = loader.dataset
    if isinstance(loader.worker_init_fn, WorkerInit):
        loader.worker_init_fn.epoch.fill_(epoch)
    sampler = getattr(dataset, "sampler", None)
    if not isinstance(dataset, IterableDataset):
        sampler = loader.batch_sampler
    for target, name in ((sampler, "set_epoch"), (dataset, "set_epoch")):
        method = getattr(target, name, None)
        if method is not None:
            method(epoch)
    legacy = getattr(dataset, "_set_epoch_num", None)
    if legacy is not None and not hasattr(dataset, "set_epoch"):
        legacy(epoch)
