"""Names, order, atomic writes, full disks, fallback, and exchange with PySlowFast."""

import errno
import logging
import os
import resource
import signal
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from slowfast.checkpoint import checkpointer as module
from slowfast.checkpoint import compat
from slowfast.checkpoint.checkpointer import Checkpointer, write_atomically
from slowfast.errors import SlowFastError, UsageError
from slowfast.utils import checkpoint as cu
from slowfast.utils.rng import RngState

STATE = {"model_state": {"w": torch.ones(3)}, "optimizer_state": {}, "cfg": "TRAIN: {}\n"}


def names(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_names_and_what_epoch_means(tmp_path):
    checkpointer = Checkpointer(tmp_path)
    path = checkpointer.save(STATE, epoch=2)
    assert path == tmp_path / "checkpoints" / "checkpoint_epoch_00002.pyth"
    content = torch.load(path, weights_only=True)
    assert content["epoch"] == 1, "the index of the last completed epoch, as in PySlowFast"
    assert set(content) == {*STATE, "epoch", "iter", "versions"}
    within = checkpointer.save(STATE, epoch=2, iteration=10)
    assert within.name == "checkpoint_epoch_00002_iter_0000010.pyth"
    content = torch.load(within, weights_only=True)
    assert (content["epoch"], content["iter"]) == (1, 10)
    assert checkpointer.latest() == within
    assert max(names(tmp_path)) == within.name, "PySlowFast takes the last name"
    best = checkpointer.save(STATE, epoch=2, best=True)
    assert best.name == "checkpoint_best.pyth"
    assert checkpointer.latest() == within
    checkpointer.save(STATE, epoch=3)
    assert names(tmp_path) == [
        "checkpoint_best.pyth",
        "checkpoint_epoch_00002.pyth",
        "checkpoint_epoch_00003.pyth",
    ]


def test_only_the_newest_position_within_an_epoch_stays(tmp_path):
    checkpointer = Checkpointer(tmp_path)
    for iteration in (5, 20, 100):
        checkpointer.save(STATE, epoch=0, iteration=iteration)
    assert names(tmp_path) == ["checkpoint_epoch_00000_iter_0000100.pyth"]


def test_keep_last_spares_the_best_and_other_tasks(tmp_path):
    other = Checkpointer(tmp_path, task="ssl")
    other.save(STATE, epoch=1)
    checkpointer = Checkpointer(tmp_path, keep_last=2)
    for epoch in range(1, 5):
        checkpointer.save(STATE, epoch=epoch)
        checkpointer.save(STATE, epoch=epoch, best=epoch == 1)
    assert names(tmp_path) == [
        "checkpoint_best.pyth",
        "checkpoint_epoch_00003.pyth",
        "checkpoint_epoch_00004.pyth",
        "ssl_checkpoint_epoch_00001.pyth",
    ]
    assert other.latest().name == "ssl_checkpoint_epoch_00001.pyth"


def test_everything_that_a_training_saves_loads_safely(tmp_path):
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state = {
        "model_state": OrderedDict(model.state_dict()),
        "optimizer_state": optimizer.state_dict(),
        "rng_state": [RngState().state_dict()],
        "best": {"top1": np.float64(61.5), "epoch": np.int64(3), "curve": np.arange(3.0)},
        "progress": {"shape": torch.Size([2]), "pair": (1, 2), "seen": {1, 2}, "none": None},
    }
    Checkpointer(tmp_path).save(state, epoch=1)
    found = Checkpointer(tmp_path).load_latest().state
    assert found["best"]["top1"] == 61.5
    assert torch.equal(found["best"]["curve"], torch.arange(3.0, dtype=torch.float64))
    assert found["progress"] == state["progress"]
    optimizer.load_state_dict(found["optimizer_state"])
    model.load_state_dict(found["model_state"])
    RngState().load_state_dict(found["rng_state"][0])


def test_what_could_not_be_loaded_is_not_saved(tmp_path):
    with pytest.raises(AssertionError, match=r"best\.model is a Linear"):
        Checkpointer(tmp_path).save({"best": {"model": nn.Linear(1, 1)}}, epoch=1)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "no weights"])
def test_an_unreadable_newest_file_is_reported_and_the_one_before_is_used(tmp_path, damage, caplog):
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(STATE, epoch=1)
    newest = checkpointer.save(STATE, epoch=2)
    data = newest.read_bytes()
    bad = {"truncated": data[: len(data) // 2], "empty": b"", "text": b"hello"}
    if damage == "no weights":
        torch.save({"epoch": 1}, newest)
    else:
        newest.write_bytes(bad[damage])
    with caplog.at_level(logging.ERROR):
        found = checkpointer.load_latest()
    assert found.path.name == "checkpoint_epoch_00001.pyth"
    assert found.state["epoch"] == 0
    assert newest.exists(), "the broken file stays for the user to look at"
    found.path.write_bytes(b"")
    with pytest.raises(UsageError, match="none of 2 checkpoints can be read"):
        checkpointer.load_latest()


def test_nothing_to_resume(tmp_path):
    assert Checkpointer(tmp_path).load_latest() is None
    assert Checkpointer(tmp_path / "absent").latest() is None
    Checkpointer(tmp_path).save(STATE, epoch=1, best=True)
    assert Checkpointer(tmp_path).load_latest() is None, "the best is not where a run stopped"


def refuse(number):
    def write(*_):
        raise OSError(number, os.strerror(number))

    return write


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, monkeypatch, call):
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(STATE, epoch=1)
    checkpointer.save(STATE, epoch=1, iteration=5)
    before = names(tmp_path)
    monkeypatch.setattr(module.os, call, refuse(errno.ENOSPC))
    with pytest.raises(SlowFastError, match="not saved: No space left on device") as caught:
        checkpointer.save(STATE, epoch=2)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    assert names(tmp_path) == before
    monkeypatch.undo()
    assert checkpointer.load_latest().path.name == "checkpoint_epoch_00001_iter_0000005.pyth"


def test_a_real_limit_while_the_bytes_are_written(tmp_path):
    target = tmp_path / "checkpoints" / "x.pyth"
    write_atomically({"w": torch.ones(4)}, target)
    before = target.read_bytes()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, old[1]))
    try:
        with pytest.raises(SlowFastError, match=r"x\.pyth: not saved: File too large") as caught:
            write_atomically({"w": torch.ones(1 << 20)}, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["x.pyth"]
    assert target.read_bytes() == before


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "checkpoints").write_text("a file in the way")
    with pytest.raises(SlowFastError, match="not saved"):
        write_atomically({}, tmp_path / "checkpoints" / "x.pyth")


def test_leftovers_of_a_killed_save_are_cleared(tmp_path):
    checkpointer = Checkpointer(tmp_path)
    checkpointer.directory.mkdir()
    left = checkpointer.directory / ".checkpoint_epoch_00001.pyth.123.tmp"
    left.write_bytes(b"half")
    assert checkpointer.latest() is None
    checkpointer.save(STATE, epoch=1)
    assert not left.exists()


def pyslowfast_file(folder, model, optimizer, epoch):
    """Write what PySlowFast's save_checkpoint writes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"checkpoint_epoch_{epoch + 1:05d}.pyth"
    content = {
        "epoch": epoch,
        "model_state": model.state_dict(),
        "optimizer_state": optimizer.state_dict(),
        "cfg": "SOLVER:\n  BASE_LR: 0.1\n",
    }
    torch.save(content, path)
    return path


def trained(seed):
    torch.manual_seed(seed)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


def test_pyslowfast_files_resume_ours_and_ours_theirs(tmp_path):
    model, optimizer = trained(0)
    pyslowfast_file(tmp_path / "checkpoints", model, optimizer, epoch=1)
    found = Checkpointer(tmp_path).load_latest()
    assert found.state["epoch"] == 1
    fresh, fresh_optimizer = trained(1)
    fresh.load_state_dict(found.state["model_state"])
    fresh_optimizer.load_state_dict(found.state["optimizer_state"])
    assert torch.equal(fresh.weight, model.weight)
    theirs = torch.load(compat.save_checkpoint(str(tmp_path), model, optimizer, 4, Config()))
    assert {"model_state", "optimizer_state", "epoch", "cfg"} <= set(theirs)
    assert theirs["epoch"] == 4


def test_averaged_files_without_epoch_resume_from_the_start(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    torch.save({"model_state": STATE["model_state"]}, Checkpointer(tmp_path).path(3))
    assert Checkpointer(tmp_path).load_latest().state["epoch"] == -1


class Config:
    """As much of a config as PySlowFast's functions touch."""

    class TEST:
        CHECKPOINT_FILE_PATH = ""
        ALLOW_MISSING_KEYS = False

    OUTPUT_DIR = ""
    TASK = ""

    def dump(self):
        return "TASK: ''\n"


def test_pyslowfast_functions(tmp_path):
    job = str(tmp_path)
    assert not cu.has_checkpoint(job)
    with pytest.raises(UsageError, match="no checkpoints"):
        cu.get_last_checkpoint(job, "")
    assert cu.make_checkpoint_dir(job) == str(tmp_path / "checkpoints")
    model, optimizer = trained(0)
    path = cu.save_checkpoint(job, model, optimizer, 1, Config(), torch.amp.GradScaler("cpu"))
    assert path == cu.get_path_to_checkpoint(job, 2) == cu.get_last_checkpoint(job)
    assert cu.has_checkpoint(job)
    fresh, fresh_optimizer = trained(1)
    assert cu.load_checkpoint(path, fresh, True, fresh_optimizer) == 1
    assert torch.equal(fresh.weight, model.weight)
    moments = fresh_optimizer.state_dict()["state"][0]["momentum_buffer"]
    assert torch.equal(moments, optimizer.state_dict()["state"][0]["momentum_buffer"])


def test_epoch_reset_takes_weights_only(tmp_path):
    model, optimizer = trained(0)
    path = str(pyslowfast_file(tmp_path / "checkpoints", model, optimizer, epoch=5))
    fresh, fresh_optimizer = trained(1)
    before = fresh_optimizer.state_dict()["state"][0]["momentum_buffer"].clone()
    assert cu.load_checkpoint(path, fresh, optimizer=fresh_optimizer, epoch_reset=True) == -1
    assert torch.equal(fresh_optimizer.state_dict()["state"][0]["momentum_buffer"], before)
    with pytest.raises(UsageError, match="no scaler_state"):
        cu.load_checkpoint(path, fresh, scaler=torch.amp.GradScaler("cpu"))
    with pytest.raises(UsageError, match="out of scope"):
        cu.load_checkpoint(path, fresh, convert_from_caffe2=True)


def test_test_weights(tmp_path):
    cfg = Config()
    cfg.OUTPUT_DIR = str(tmp_path)
    model, optimizer = trained(0)
    pyslowfast_file(tmp_path / "checkpoints", model, optimizer, epoch=0)
    fresh, _ = trained(1)
    cu.load_test_checkpoint(cfg, fresh)
    assert torch.equal(fresh.weight, model.weight)
