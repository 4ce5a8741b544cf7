"""PySlowFast's import path of ``slowfast.datasets.transforms.random_erasing``."""

from slowfast.datasets.transforms.random_erasing import RandomErasing

__all__ = ["RandomErasing"]
