"""PySlowFast's import path of its data set."""

from slowfast.datasets.video import Kinetics

__all__ = ["Kinetics"]
