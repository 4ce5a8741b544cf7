"""Video data: lists, frame sampling, decoding, transforms, data sets and loaders."""

# what is imported for its registrations: data sets, frame rules, transforms
from slowfast.datasets import frames, video  # noqa: F401
from slowfast.datasets.build import DATASET_REGISTRY, build_dataset
from slowfast.datasets.sampling import dense, segment  # noqa: F401
from slowfast.datasets.transforms import clip, open_clip, slowfast, text4vis  # noqa: F401

__all__ = ["DATASET_REGISTRY", "build_dataset"]
