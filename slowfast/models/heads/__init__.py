"""Heads, registered in HEAD_REGISTRY."""

from slowfast.models.heads.build import HEAD_REGISTRY, build_head
from slowfast.models.heads.category import CategoryHead, TemplateEnsembleHead
from slowfast.models.heads.frozen import FrozenClassifier
from slowfast.models.heads.linear import LinearHead
from slowfast.models.heads.ost import (
    FeatureError,
    Matching,
    OSTHead,
    OSTScores,
    PooledDescriptorHead,
)

__all__ = [
    "HEAD_REGISTRY",
    "CategoryHead",
    "FeatureError",
    "FrozenClassifier",
    "LinearHead",
    "Matching",
    "OSTHead",
    "OSTScores",
    "PooledDescriptorHead",
    "TemplateEnsembleHead",
    "build_head",
]
