from __future__ import annotations

import pytest
import torch
from torch import nn

from slowfast.engine.precise_bn import measurable_batch_norms, recompute_statistics
from slowfast.structures import VideoBatch
from slowfast.utils import distributed as du
from tests.distributed import run_two_processes


def batches_of(data):
    empty = torch.zeros(0, dtype=torch.int64)
    return [VideoBatch([part], empty, empty) for part in data]


def measure(data):
    model = nn.BatchNorm1d(3).train()
    recompute_statistics(model, batches_of(data), lambda batch: model(batch.inputs[0]))
    return model


def test_statistics_are_those_of_all_batches():
    data = torch.randn(4, 50, 3) * 2 + 1
    model = measure(data)
    torch.testing.assert_close(model.running_mean, data.mean((0, 1)))
    within = data.var(dim=1, unbiased=True).mean(0)
    between = data.mean(1).var(dim=0, unbiased=False)
    torch.testing.assert_close(model.running_var, within + between)


def test_momentum_and_mode_are_left_as_they_were():
    model = measure(torch.randn(2, 5, 3))
    assert model.momentum == 0.1
    assert model.training


def test_momentum_comes_back_after_an_error():
    model = nn.BatchNorm1d(3)

    def fail(batch):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        recompute_statistics(model, batches_of(torch.zeros(1, 2, 3)), fail)
    assert model.momentum == 0.1


def test_only_trained_layers_with_statistics_count():
    frozen = nn.BatchNorm1d(2).eval()
    stateless = nn.BatchNorm1d(2, track_running_stats=False)
    trained = nn.BatchNorm2d(2)
    model = nn.ModuleList([frozen, stateless, trained, nn.LayerNorm(2)])
    assert measurable_batch_norms(model) == [trained]


def _measure_share(data):
    model = measure(data[du.get_rank() :: 2])
    return model.running_mean, model.running_var


def test_two_ranks_measure_the_same_as_one():
    data = torch.randn(4, 20, 3)
    whole = measure(data)
    for mean, variance in run_two_processes(_measure_share, data):
        torch.testing.assert_close(mean, whole.running_mean)
        torch.testing.assert_close(variance, whole.running_var)
