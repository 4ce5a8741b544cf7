"""A data set, a model and a config that train in milliseconds.

They are registered the way people's own files register theirs, and import nothing but registries.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset

from slowfast.config import load_cfg
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.models.build import MODEL_REGISTRY
from slowfast.utils.rng import generator

SIZES = {"train": 14, "val": 7, "test": 5}
CLASSES = 3


@DATASET_REGISTRY.register()
class TinyClips(Dataset):
    """Noise around a value that is the class; the noise depends on seed, epoch and index.

    DATA.PATH_PREFIX lists positions of videos that cannot be read.
    """

    def __init__(self, cfg, split):
        self.split, self.seed = split, cfg.RNG_SEED
        self.num_clips_per_video = 1
        if split == "test":
            self.num_clips_per_video = cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS
        self.num_videos = SIZES[split] * self.num_clips_per_video
        self.unreadable = {int(i) for i in cfg.DATA.PATH_PREFIX.split(",") if i}
        self.epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    def _set_epoch_num(self, epoch):
        self.epoch.fill_(epoch if self.split == "train" else 0)

    def __len__(self):
        return self.num_videos

    def __getitem__(self, index):
        video, meta = index // self.num_clips_per_video, {}
        if video in self.unreadable:
            if self.split != "train":
                failed = [(index, f"video{video}.mp4", video % CLASSES, "no video stream")]
                return None, video % CLASSES, index, None, {"failed": failed}
            meta = {"broken": [(f"video{video}.mp4", "no video stream")]}
        rng = generator(self.seed, int(self.epoch), index)
        noise = torch.from_numpy(rng.normal(size=(3, 2, 4, 4))).float()
        frames = noise + (video % CLASSES - 1.0)
        return [frames], video % CLASSES, index, torch.zeros(1, 3).numpy(), meta


@MODEL_REGISTRY.register()
class TinyNet(nn.Module):
    """A plain PySlowFast model: a list of pathways in, logits out; softmax in evaluation."""

    def __init__(self, cfg):
        super().__init__()
        self.body = nn.Linear(3, 8)
        self.norm = nn.BatchNorm1d(8) if cfg.BN.USE_PRECISE_STATS else nn.LayerNorm(8)
        self.dropout = nn.Dropout(cfg.MODEL.DROPOUT_RATE)
        self.head = nn.Linear(8, cfg.MODEL.NUM_CLASSES)
        self.poison = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        x = x[0].mean((2, 3, 4))
        x = self.head(self.dropout(torch.relu(self.norm(self.body(x)))) + self.poison)
        return x if self.training else x.softmax(dim=1)


def tiny_cfg(folder: Path | str, *opts):
    """Return a frozen config of a run in ``folder``."""
    base = {
        "OUTPUT_DIR": str(folder),
        "NUM_GPUS": 0,
        "LOG_PERIOD": 1,
        "LOG_MODEL_INFO": False,
        "LOG.PROGRESS": "none",
        "MODEL.MODEL_NAME": "TinyNet",
        "MODEL.ARCH": "tiny",
        "MODEL.NUM_CLASSES": CLASSES,
        "MODEL.DROPOUT_RATE": 0.2,
        "TRAIN.DATASET": "TinyClips",
        "TRAIN.BATCH_SIZE": 4,
        "TRAIN.DROP_LAST": True,
        "TRAIN.EVAL_PERIOD": 1,
        "TRAIN.CHECKPOINT_PERIOD": 1,
        "TEST.DATASET": "TinyClips",
        "TEST.BATCH_SIZE": 4,
        "TEST.NUM_ENSEMBLE_VIEWS": 2,
        "TEST.NUM_SPATIAL_CROPS": 1,
        "DATA_LOADER.NUM_WORKERS": 0,
        "SOLVER.BASE_LR": 0.05,
        "SOLVER.MAX_EPOCH": 2,
        "SOLVER.OPTIMIZING_METHOD": "adamw",
    }
    pairs = [str(word) for pair in base.items() for word in pair]
    return load_cfg([], [*pairs, *(str(word) for word in opts)], env={})


class Recorder:
    """The losses of a training by (epoch, iteration), and what to do at one of them."""

    def __init__(self, monkeypatch, at=None, action=None):
        import slowfast.engine.train as module

        self.losses = {}
        original = module.record

        def record(job, step, batch, lr):
            key = (job.progress.epoch, job.progress.iteration)
            assert key not in self.losses, f"{key} was trained twice"
            self.losses[key] = (float(step.loss), lr, batch.index.tolist())
            original(job, step, batch, lr)
            if key == at:
                action()

        monkeypatch.setattr(module, "record", record)


def last_state(folder):
    """Return the newest checkpoint's content."""
    files = sorted(Path(folder, "checkpoints").glob("checkpoint_epoch_*.pyth"))
    return torch.load(files[-1], weights_only=True)


def assert_same_training(one, other):
    """Compare weights, optimizer moments and position bit for bit."""
    assert one["epoch"] == other["epoch"]
    for key, value in one["model_state"].items():
        assert torch.equal(value, other["model_state"][key]), key
    for number, moments in one["optimizer_state"]["state"].items():
        for key, value in moments.items():
            assert torch.equal(value, other["optimizer_state"]["state"][number][key]), key
