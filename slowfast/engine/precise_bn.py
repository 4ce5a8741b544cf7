"""Batch-norm statistics measured on many batches, for models that have batch norms."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from slowfast.structures import VideoBatch
from slowfast.utils import distributed as du


def measurable_batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Return the batch norms in training mode that keep running statistics."""
    return [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats and module.training
    ]


@torch.no_grad()
def recompute_statistics(
    model: nn.Module,
    batches: Iterable[VideoBatch],
    forward: Callable[[VideoBatch], object],
) -> None:
    """Replace running means and variances by those of all ``batches`` of all ranks together.

    Source: "precise BN" of Wu and Johnson, "Rethinking 'Batch' in BatchNorm" (2021). The running
    average lags behind the weights; these statistics belong to the present ones. Batches count
    equally; the variance is within batches plus that of the batches' means.

    Args:
        model: in training mode; left in it.
        batches: training batches on the model's device, at least one.
        forward: runs the model on one of them.
    """
    layers = measurable_batch_norms(model)
    momenta = [layer.momentum for layer in layers]
    device = next(model.parameters()).device
    # of each layer the mean and the second moment, and how many batches they are the sums of
    sums = [torch.zeros(2, n.num_features, dtype=torch.float64, device=device) for n in layers]
    count = torch.zeros(1, dtype=torch.float64, device=device)
    for layer in layers:
        layer.momentum = 1.0  # the running statistics are then those of the last batch
    try:
        for batch in batches:
            forward(batch)
            count += 1
            for layer, total in zip(layers, sums):
                mean, variance = _statistics(layer)
                total += torch.stack([mean.double(), variance.double() + mean.double().square()])
    finally:
        for layer, momentum in zip(layers, momenta):
            layer.momentum = momentum
    du.all_reduce([*sums, count], average=False)
    for layer, total in zip(layers, sums):
        mean, second = total / count
        for statistic, value in zip(_statistics(layer), (mean, second - mean.square())):
            statistic.copy_(value)


def _statistics(layer: _BatchNorm) -> tuple[Tensor, Tensor]:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return layer.running_mean, layer.running_var
