"""Scalars and figures for TensorBoard, under PySlowFast's names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from slowfast.utils.logging import get_logger

logger = get_logger(__name__)


class TensorboardWriter:
    """Writes to TENSORBOARD.LOG_DIR under OUTPUT_DIR; one per job, on the first rank.

    Args:
        cfg: reads OUTPUT_DIR, TRAIN.DATASET and TENSORBOARD.LOG_DIR.
    """

    def __init__(self, cfg: Any) -> None:
        name = cfg.TENSORBOARD.LOG_DIR or f"runs-{cfg.TRAIN.DATASET}"
        self.log_dir = Path(cfg.OUTPUT_DIR, name)
        self.writer = SummaryWriter(log_dir=str(self.log_dir))
        logger.info(f"TensorBoard: tensorboard --logdir {self.log_dir}")

    def add_scalars(self, data_dict: Mapping[str, float], global_step: int | None = None) -> None:
        """Write one value per tag."""
        for tag, value in data_dict.items():
            self.writer.add_scalar(tag, value, global_step)

    def flush(self) -> None:
        """Write out what is buffered."""
        self.writer.flush()

    def close(self) -> None:
        """Write out what is buffered and close the files."""
        self.writer.close()
