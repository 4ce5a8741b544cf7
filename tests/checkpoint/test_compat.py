"""The checkpoint functions of PySlowFast as the training loop of a fork calls them."""

import pytest
import torch
from torch import nn

import slowfast.utils.checkpoint as cu
from slowfast.config.defaults import get_cfg
from slowfast.errors import UsageError


@pytest.fixture
def cfg(tmp_path):
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(tmp_path)
    cfg.TRAIN.AUTO_RESUME = True
    cfg.TRAIN.CHECKPOINT_PERIOD = 2
    cfg.SOLVER.MAX_EPOCH = 5
    return cfg


def fork(seed):
    """A fork's model and optimizer."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    return model, torch.optim.AdamW(model.parameters(), lr=0.1)


def train(cfg, model, optimizer, scaler=None, last=None):
    """The loop of upstream's ``train_net.py``; returns the epochs that it went through."""
    start_epoch = cu.load_train_checkpoint(
        cfg, model, optimizer, scaler if cfg.TRAIN.MIXED_PRECISION else None
    )
    epochs = list(range(start_epoch, last or cfg.SOLVER.MAX_EPOCH))
    for cur_epoch in epochs:
        optimizer.zero_grad()
        inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(cur_epoch))
        model(inputs).square().mean().backward()
        optimizer.step()
        if cu.is_checkpoint_epoch(cfg, cur_epoch, None):
            cu.save_checkpoint(cfg.OUTPUT_DIR, model, optimizer, cur_epoch, cfg, scaler)
    return epochs


def assert_equal_weights(one, other):
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def test_a_training_goes_on_where_its_last_checkpoint_was(cfg, tmp_path):
    whole, optimizer = fork(0)
    assert train(cfg, whole, optimizer) == [0, 1, 2, 3, 4]
    other = cfg.clone()
    other.OUTPUT_DIR = str(tmp_path / "other")
    first, optimizer = fork(0)
    assert train(other, first, optimizer, last=3) == [0, 1, 2]
    second, optimizer = fork(7)
    assert train(other, second, optimizer) == [2, 3, 4], "epoch 1 was the last that was saved"
    assert_equal_weights(second, whole)
    assert train(other, *fork(8)) == []


def test_epochs_that_are_saved(cfg):
    assert [cu.is_checkpoint_epoch(cfg, epoch) for epoch in range(5)] == [
        *(False, True, False, True),
        True,  # the last one always
    ]
    with pytest.raises(UsageError, match="multigrid schedules are out of scope"):
        cu.is_checkpoint_epoch(cfg, 0, [(0, 1)])


def test_other_weights_are_a_start_and_no_more(cfg, tmp_path):
    model, optimizer = fork(0)
    train(cfg, model, optimizer)
    cfg.TRAIN.CHECKPOINT_FILE_PATH = cu.get_last_checkpoint(cfg.OUTPUT_DIR, cfg.TASK)
    cfg.OUTPUT_DIR = str(tmp_path / "next")
    fresh, optimizer = fork(1)
    assert cu.load_train_checkpoint(cfg, fresh, optimizer) == 0
    assert_equal_weights(fresh, model)
    assert not optimizer.state_dict()["state"]


def test_without_auto_resume_or_checkpoints_a_training_begins_anew(cfg):
    assert cu.load_train_checkpoint(cfg, *fork(0)) == 0
    train(cfg, *fork(0))
    cfg.TRAIN.AUTO_RESUME = False
    model, optimizer = fork(3)
    assert cu.load_train_checkpoint(cfg, model, optimizer) == 0
    assert_equal_weights(model, fork(3)[0])


def test_the_scaler_goes_on_too(cfg):
    cfg.TRAIN.MIXED_PRECISION = True
    train(cfg, *fork(0), torch.amp.GradScaler("cpu", init_scale=64.0))
    scaler = torch.amp.GradScaler("cpu")
    assert cu.load_train_checkpoint(cfg, *fork(1), scaler) == 5
    assert scaler.state_dict()["scale"] == 64.0


def test_a_checkpoint_of_another_model_is_refused(cfg):
    train(cfg, *fork(0))
    other = nn.Linear(4, 3)
    with pytest.raises(UsageError, match="weights of another arch or system"):
        cu.load_train_checkpoint(cfg, other, torch.optim.AdamW(other.parameters()))
