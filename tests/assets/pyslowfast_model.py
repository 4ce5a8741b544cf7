"""A model file as PySlowFast's users write them: none of it knows this project."""

import torch
import torch.nn as nn

import slowfast.utils.logging as logging
from slowfast.models import head_helper
from slowfast.models.build import MODEL_REGISTRY

logger = logging.get_logger(__name__)


@MODEL_REGISTRY.register()
class MyTwoLineNet(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.num_classes = cfg.MODEL.NUM_CLASSES
        self.stem = nn.Conv3d(cfg.DATA.INPUT_CHANNEL_NUM[0], 8, kernel_size=(1, 8, 8), stride=8)
        self.norm = nn.BatchNorm3d(8)
        self.head = head_helper.TransformerBasicHead(
            8,
            cfg.MODEL.NUM_CLASSES,
            dropout_rate=cfg.MODEL.DROPOUT_RATE,
            act_func=cfg.MODEL.HEAD_ACT,
            cfg=cfg,
        )

    @torch.jit.ignore
    def no_weight_decay(self):
        return {"stem"}

    def forward(self, x, bboxes=None):
        x = self.norm(self.stem(x[0]))
        return self.head(x.mean([2, 3, 4]))
