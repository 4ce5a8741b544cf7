"""PySlowFast's import path of ``slowfast.datasets.transforms.mixup``."""

from slowfast.datasets.transforms.mixup import MixUp

__all__ = ["MixUp"]
