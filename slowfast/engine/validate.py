"""Validation: every listed video once, on any number of processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from slowfast.engine.batches import as_batch, as_logits, evaluation_loss
from slowfast.evaluation.meters import ValMeter
from slowfast.evaluation.metrics import topk_errors
from slowfast.models.build import call_model
from slowfast.structures import VideoBatch
from slowfast.utils.progress import ProgressLine


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loader: DataLoader,
    meter: ValMeter,
    progress: ProgressLine,
    *,
    epoch: int,
) -> dict[str, Any]:
    """Return the statistics of one validation; the model is in training mode afterwards.

    In full precision, as PySlowFast does. Videos that could not be read are not scored; they are
    returned as ``failed``: (index, path, label, reason) each.

    Args:
        model: scores batches in evaluation mode. The module inside DistributedDataParallel: ranks
            may have different numbers of batches, so they must not wait for each other here.
        loader: gives each video of this rank's share once.
        meter: takes the errors; ``improved`` says afterwards whether this was the best so far.
        progress: display.
        epoch: for the log, from 0.
    """
    device = next(model.parameters()).device
    model.eval()
    meter.reset()
    meter.iter_tic()
    failed: list[tuple[int, str, int, str]] = []
    for iteration, item in enumerate(loader):
        batch = as_batch(item).to(device)
        failed += batch.meta.get("failed", [])
        meter.data_toc()
        if len(batch):
            scores = as_logits(call_model(model, batch).logits, multi_label=meter.multi_label)
            _measure(meter, scores, batch)
        meter.iter_toc()
        meter.log_iter_stats(epoch, iteration)
        progress.advance(len(batch))
        meter.iter_tic()
    stats = meter.log_epoch_stats(epoch)
    model.train()
    return {**stats, "failed": failed}


def _measure(meter: ValMeter, scores: torch.Tensor, batch: VideoBatch) -> None:
    loss = evaluation_loss(scores, batch.labels, multi_label=meter.multi_label)
    top1, top5 = None, None
    if not meter.multi_label:
        top1, top5 = topk_errors(scores, batch.labels, (1, 5))
    meter.update_stats(top1, top5, len(batch), loss)
    meter.update_predictions(scores, batch.labels)
