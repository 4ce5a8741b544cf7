from __future__ import annotations

import pytest
import torch
from torch import nn

from slowfast.datasets.loader import construct_loader
from slowfast.engine.validate import evaluate
from slowfast.evaluation.meters import ValMeter
from slowfast.utils.progress import progress_line
from tests.distributed import run_two_processes
from tests.engine.tiny import TinyNet, tiny_cfg


def validate(folder, *opts):
    cfg = tiny_cfg(folder, *opts)
    torch.manual_seed(3)
    model = TinyNet(cfg)
    loader = construct_loader(cfg, "val")
    meter = ValMeter.from_cfg(cfg, len(loader))
    with progress_line("none", len(loader), "") as line:
        stats = evaluate(model, loader, meter, line, epoch=0)
    return stats, model, loader


def by_hand(model, loader):
    """Return (top-1 error, loss) of all videos in one batch."""
    samples = [loader.dataset[i] for i in range(len(loader.dataset))]
    frames = torch.stack([sample[0][0] for sample in samples])
    labels = torch.tensor([sample[1] for sample in samples])
    model.eval()
    with torch.no_grad():
        probabilities = model([frames])
    error = 100.0 * (probabilities.argmax(1) != labels).float().mean().item()
    return error, nn.functional.nll_loss(probabilities.log(), labels).item()


@pytest.mark.parametrize("batch", [1, 3, 7, 50])
def test_every_video_counts_once_whatever_the_batch(tmp_path, batch):
    stats, model, loader = validate(tmp_path, "TRAIN.BATCH_SIZE", batch)
    error, loss = by_hand(model, loader)
    assert stats["num_videos"] == 7
    assert stats["top1_err"] == pytest.approx(error, abs=1e-4)
    assert stats["loss"] == pytest.approx(loss, rel=1e-5)
    assert stats["failed"] == []


def test_the_model_goes_back_to_training(tmp_path):
    assert validate(tmp_path)[1].training


def test_autocast_of_the_training_does_not_reach_evaluation(tmp_path, monkeypatch):
    seen = []
    original = TinyNet.forward

    def forward(self, x):
        seen.append((torch.is_autocast_enabled("cpu"), torch.is_grad_enabled(), self.training))
        return original(self, x)

    monkeypatch.setattr(TinyNet, "forward", forward)
    validate(tmp_path, "TRAIN.MIXED_PRECISION", True)
    assert set(seen) == {(False, False, False)}


def test_unreadable_videos_are_named_and_not_counted(tmp_path):
    stats, *_ = validate(tmp_path, "DATA.PATH_PREFIX", "2,5", "TRAIN.BATCH_SIZE", 1)
    assert stats["num_videos"] == 5
    assert [path for _, path, _, _ in stats["failed"]] == ["video2.mp4", "video5.mp4"]


def _stats(folder):
    stats, *_ = validate(folder)
    return stats


def test_two_processes_count_what_one_counts(tmp_path):
    alone = _stats(tmp_path)
    for stats in run_two_processes(_stats, tmp_path):
        assert stats["num_videos"] == 7
        assert stats["top1_err"] == pytest.approx(alone["top1_err"], abs=1e-4)
        assert stats["loss"] == pytest.approx(alone["loss"], rel=1e-5)
