"""A file as PySlowFast's users write them: model, head and data set, and nothing but registries."""

import numpy as np
import torch
import torch.nn as nn

from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.models.build import MODEL_REGISTRY
from slowfast.models.heads.build import HEAD_REGISTRY

COLORS = 3


@HEAD_REGISTRY.register()
class PooledHead(nn.Module):
    def __init__(self, dim_in, num_classes):
        super().__init__()
        self.projection = nn.Linear(dim_in, num_classes)

    def forward(self, x):
        x = self.projection(x.mean([2, 3, 4]))
        return x if self.training else x.softmax(dim=1)


@MODEL_REGISTRY.register()
class TwoLineNet(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.stem = nn.Conv3d(3, 8, (1, 3, 3), padding=(0, 1, 1))
        self.body = nn.Sequential(nn.Conv3d(8, 16, 1), nn.GELU())
        head = HEAD_REGISTRY.get(cfg.MODEL.HEAD_NAME)
        self.head = head(16, cfg.MODEL.NUM_CLASSES)

    def forward(self, x):
        return self.head(self.body(self.stem(x[0])))


@DATASET_REGISTRY.register()
class Colors(torch.utils.data.Dataset):
    def __init__(self, cfg, mode):
        self.mode = mode
        self.cfg = cfg
        views = cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS
        self._num_clips = views if mode == "test" else 1
        videos = 60 if mode == "train" else 7
        self._labels = [i % COLORS for i in range(videos) for _ in range(self._num_clips)]

    def __getitem__(self, index):
        rng = np.random.RandomState(index)
        label = self._labels[index]
        frames = rng.rand(3, self.cfg.DATA.NUM_FRAMES, 8, 8).astype(np.float32) * 0.2
        frames[label] += 0.8
        return [torch.from_numpy(frames)], label, index, np.zeros((1, 3)), {}

    def __len__(self):
        return self.num_videos

    @property
    def num_videos(self):
        return len(self._labels)
