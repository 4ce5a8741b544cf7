import os
import random
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset

from slowfast.config.defaults import get_cfg
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.loader import WorkerInit, construct_loader, shuffle_dataset
from slowfast.errors import DataError, DecodeError, UsageError
from slowfast.utils import distributed as du
from tests.distributed import run_two_processes


class Plain(Dataset):
    """A PySlowFast user's data set: only what the published contract asks for."""

    def __init__(self, cfg, split):
        self.views = (
            cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS if split == "test" else 1
        )
        self.epochs = []

    def __len__(self):
        return 7 * self.views

    @property
    def num_videos(self):
        return len(self)

    def __getitem__(self, index):
        noise = [random.random(), np.random.rand(), torch.rand(()).item()]  # noqa: NPY002
        frames = [torch.full((3, 2, 4, 4), float(index))]
        return frames, index // self.views % 3, index, torch.zeros(1, 3), {"noise": [noise]}

    def _set_epoch_num(self, epoch):
        self.epochs.append(epoch)


class Stream(IterableDataset):
    def __init__(self, cfg, split):
        self.sampler = type("Order", (), {"set_epoch": lambda s, e: setattr(s, "epoch", e)})()

    def __iter__(self):
        for index in range(5):
            yield [torch.zeros(3, 1, 2, 2)], 0, index, torch.zeros(1, 3), {}


class Broken(Plain):
    def __getitem__(self, index):
        raise DataError("list.csv:3: label 9 is out of range")


@pytest.fixture
def cfg(monkeypatch):
    monkeypatch.setattr(DATASET_REGISTRY, "_obj_map", dict(DATASET_REGISTRY._obj_map))
    for cls in (Plain, Stream, Broken):
        DATASET_REGISTRY.register(cls)
    return small_cfg()


def small_cfg(**changes):
    cfg = get_cfg()
    cfg.merge_from_list(
        ["TRAIN.DATASET", "plain", "TEST.DATASET", "plain", "TRAIN.BATCH_SIZE", 3, "NUM_GPUS", 0,
         "TRAIN.DROP_LAST", "True",
         "TEST.BATCH_SIZE", 7, "TEST.NUM_ENSEMBLE_VIEWS", 2, "TEST.NUM_SPATIAL_CROPS", 1,
         "DATA_LOADER.NUM_WORKERS", 0]
    )  # fmt: skip
    cfg.merge_from_list([word for pair in changes.items() for word in pair])
    return cfg


def last_of(cfg):
    """The clip that comes last in epoch 2."""
    loader = construct_loader(small_cfg(**{"TRAIN.BATCH_SIZE": 7}), "train")
    shuffle_dataset(loader, 2)
    return indices(loader)[0][-1]


def indices(loader):
    return [batch[2].tolist() for batch in loader]


def test_training_shuffles_by_seed_and_epoch_and_drops_the_rest(cfg):
    loader = construct_loader(cfg, "train")
    first = indices(loader)
    assert [len(batch) for batch in first] == [3, 3]
    assert len(loader) == 2
    shuffle_dataset(loader, 1)
    second = indices(loader)
    assert first != second
    assert loader.dataset.epochs == [1]
    other = construct_loader(cfg, "train")
    shuffle_dataset(other, 1)
    assert indices(other) == second


def test_an_incomplete_batch_is_kept_where_much_would_be_lost(cfg):
    cfg.TRAIN.DROP_LAST = "auto"
    loader = construct_loader(cfg, "train")
    first = indices(loader)
    assert [len(batch) for batch in first] == [3, 3, 1]
    assert sorted(sum(first, [])) == list(range(7))
    loader.batch_sampler.skip(2)
    assert indices(loader) == first[2:]
    # A smaller list than a batch is a batch, and one clip has no partner to be mixed with.
    larger = {"TRAIN.DROP_LAST": "auto", "TRAIN.BATCH_SIZE": 9}
    assert [len(batch) for batch in indices(construct_loader(small_cfg(**larger), "train"))] == [7]
    mixed = construct_loader(
        small_cfg(**{"TRAIN.DROP_LAST": "auto", "MIXUP.ENABLE": True}), "train"
    )
    assert len(mixed) == 2
    assert mixed.batch_sampler.last.reason == "it has not 2 clips for each of 1 processes"
    cfg.MIXUP.ENABLE = False
    whole = construct_loader(cfg, "train", whole_batches="they are compared")
    assert (len(whole), whole.batch_sampler.last.reason) == (2, "they are compared")
    with pytest.raises(UsageError, match="fill one batch of 9, and .* left out .they are compared"):
        construct_loader(small_cfg(**larger), "train", whole_batches="they are compared")


def test_a_run_continues_in_the_middle_of_an_epoch(cfg):
    loader = construct_loader(cfg, "train")
    shuffle_dataset(loader, 4)
    whole = indices(loader)
    loader.batch_sampler.skip(1)
    assert indices(loader) == whole[1:]
    assert indices(loader) == whole


def test_validation_and_test_give_every_clip_once_in_order(cfg):
    assert indices(construct_loader(cfg, "val")) == [[0, 1, 2], [3, 4, 5], [6]]
    test = construct_loader(cfg, "test")
    assert indices(test) == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11], [12, 13]]
    labels = [label for batch in test for label in batch[1].tolist()]
    assert labels == [v % 3 for v in range(7) for _ in range(2)]


def test_workers_change_nothing_but_the_global_draws(cfg):
    alone = construct_loader(cfg, "train")
    cfg.merge_from_list(["DATA_LOADER.NUM_WORKERS", 2])
    loader = construct_loader(cfg, "train")
    assert loader.persistent_workers
    for epoch in range(2):
        shuffle_dataset(alone, epoch)
        shuffle_dataset(loader, epoch)
        for one, two in zip(alone, loader, strict=True):
            torch.testing.assert_close(one[:4], two[:4])


def test_worker_draws_depend_on_seed_epoch_and_worker_only(cfg):
    cfg.merge_from_list(["DATA_LOADER.NUM_WORKERS", 2, "DATA_LOADER.PERSISTENT_WORKERS", False])

    def noise(epoch):
        loader = construct_loader(cfg, "train")
        before = random.getstate(), torch.get_rng_state()
        shuffle_dataset(loader, epoch)
        out = [batch[4]["noise"] for batch in loader]
        assert before[0] == random.getstate()
        torch.testing.assert_close(before[1], torch.get_rng_state())
        return out

    first = noise(0)
    torch.manual_seed(99)
    assert first == noise(0)
    assert first != noise(1)
    assert first[0] != first[1]  # the two workers


def test_an_iterable_data_set_has_no_sampler_of_ours(cfg):
    cfg.merge_from_list(["TRAIN.DATASET", "Stream"])
    loader = construct_loader(cfg, "val")
    assert indices(loader) == [[0, 1, 2], [3, 4]]
    shuffle_dataset(loader, 6)
    assert loader.dataset.sampler.epoch == 6
    assert indices(construct_loader(cfg, "train")) == [[0, 1, 2]]


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_error_of_the_data_set_stays_one_line(cfg, workers):
    cfg.merge_from_list(["TRAIN.DATASET", "Broken", "DATA_LOADER.NUM_WORKERS", workers])
    with pytest.raises(DataError) as caught:
        list(construct_loader(cfg, "val"))
    assert str(caught.value) == "list.csv:3: label 9 is out of range"


@pytest.mark.parametrize(
    ("changes", "split", "message"),
    [
        ({}, "trian", "unknown split 'trian'; known: train, val, test"),
        (
            {"TRAIN.BATCH_SIZE": 8},
            "train",
            "7 training videos do not fill one batch of 8, and .*DROP_LAST True",
        ),
        ({"TRAIN.BATCH_SIZE": 2, "NUM_GPUS": 4}, "train", "TRAIN.BATCH_SIZE is 2.*raise it to 4"),
        ({"TEST.BATCH_SIZE": 1, "NUM_GPUS": 2}, "test", "TEST.BATCH_SIZE is 1"),
        ({"TRAIN.EPOCH_SIZE": 70}, "train", "TRAIN.EPOCH_SIZE: the data set plain does not repeat"),
        ({"TRAIN.DATASET": "plane"}, "train", "no DATASET named 'plane'.*did you mean 'Plain'"),
    ],
)
def test_impossible_settings_are_refused(cfg, changes, split, message):
    with pytest.raises(UsageError, match=message):
        construct_loader(small_cfg(**changes), split)


def _both_splits(drop):
    if "Plain" not in DATASET_REGISTRY:
        DATASET_REGISTRY.register(Plain)
    changes = {"TRAIN.BATCH_SIZE": 4, "NUM_GPUS": 2, "TRAIN.DROP_LAST": drop}
    train = construct_loader(small_cfg(**changes), "train")
    shuffle_dataset(train, 2)
    assert du.get_world_size() == 2
    return indices(train), indices(construct_loader(small_cfg(), "test"))


@pytest.mark.parametrize("drop", ["True", "auto"])
def test_two_processes_share_the_work_of_one(cfg, drop):
    cfg.merge_from_list(["TRAIN.BATCH_SIZE", 4])
    alone = construct_loader(cfg, "train")
    shuffle_dataset(alone, 2)
    (train_a, test_a), (train_b, test_b) = run_two_processes(_both_splits, drop)
    if drop == "auto":  # of the three that are left each process gets one
        last = train_a.pop() + train_b.pop()
        assert len(last) == 2
        assert sorted(sum(train_a + train_b, last)) == sorted(set(range(7)) - {last_of(cfg)})
    assert [a + b for a, b in zip(train_a, train_b, strict=True)] == indices(alone)
    seen = [i for batch in test_a + test_b for i in batch]
    assert sorted(seen) == list(range(14))  # 7 videos of 2 views: not divisible by 2 processes
    assert {i // 2 % 2 for batch in test_a for i in batch} == {0}


def test_a_loading_process_uses_one_thread_and_leaves_ctrl_c_to_the_main_process():
    before = signal.getsignal(signal.SIGINT), torch.get_num_threads(), cv2.getNumThreads()
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        WorkerInit(1, 0)(3)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert torch.get_num_threads() == 1
        os.kill(os.getpid(), signal.SIGTERM)  # passed over; the next one would count
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        drawn = random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002
        signal.signal(signal.SIGINT, handler := lambda *args: None)
        WorkerInit(1, 0)(3)
        assert signal.getsignal(signal.SIGINT) is handler  # a handler of the run's own stays
        assert drawn == (random.random(), np.random.rand(), torch.rand(1).item())  # noqa: NPY002
        WorkerInit(1, 1)(3)
        assert drawn[0] != random.random()
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, terminate)
        torch.set_num_threads(before[1])
        cv2.setNumThreads(before[2])


SCRIPT = """
from torch.utils.data import Dataset
from slowfast.datasets.loader import VideoLoader, WorkerInit
class Numbers(Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, i):
        return i
loader = VideoLoader(
    Numbers(), num_workers=1, persistent_workers=True, worker_init_fn=WorkerInit(0, 0)
)
for batch in loader:
    raise RuntimeError("boom")
"""


def test_a_failing_run_ends_although_its_loader_is_alive():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "RuntimeError: boom" in done.stderr


def test_a_decode_error_of_a_custom_data_set_passes_through(cfg, monkeypatch):
    def fail(self, index):
        raise DecodeError("x.mp4", "gone")

    monkeypatch.setattr(Broken, "__getitem__", fail)
    cfg.merge_from_list(["TRAIN.DATASET", "Broken"])
    with pytest.raises(DecodeError, match="x.mp4: gone"):
        list(construct_loader(cfg, "val"))


def test_loader_options_reach_torch(cfg):
    cfg.merge_from_list(
        [
            "DATA_LOADER.NUM_WORKERS",
            1,
            "DATA_LOADER.PREFETCH_FACTOR",
            5,
            "DATA_LOADER.PIN_MEMORY",
            True,
        ]
    )
    train, test = construct_loader(cfg, "train", is_precise_bn=True), construct_loader(cfg, "test")
    assert train.prefetch_factor == 5
    assert train.persistent_workers
    assert not test.persistent_workers
    assert train.pin_memory == torch.cuda.is_available()
