"""Video data: lists, frame sampling, decoding, transforms, data sets and loaders."""

from slowfast.datasets import frames, video  # noqa: F401 - registers the data sets
from slowfast.datasets.build import DATASET_REGISTRY, build_dataset

__all__ = ["DATASET_REGISTRY", "build_dataset"]
