"""PySlowFast's import path of ``slowfast.datasets.transforms.rand_augment``."""

from slowfast.datasets.transforms.rand_augment import rand_augment_transform

__all__ = ["rand_augment_transform"]
