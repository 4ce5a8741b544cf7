"""Rows from data: linear discriminant analysis of video features.

Shapes: V videos, K classes, D joint dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor

from slowfast.errors import DataError, UsageError


def lda_rows(features_VD: Tensor, labels_V: Tensor, num_classes: int) -> Tensor:
    """Return the coefficients of scikit-learn's LinearDiscriminantAnalysis, float32 K x D.

    Text4Vis takes them for its classifier; its file and its settings are not published, so the
    library's defaults are our choice. The intercept is dropped. Two classes share one direction:
    their rows are it and its opposite.

    Args:
        features_VD: unit features of the mean frame, from a CLIP that was not tuned.
        labels_V: int64, 0 to K - 1; every class must occur.

    Raises:
        DataError: a class without videos, or no more videos than classes.
        UsageError: a single class, or scikit-learn is not installed.
    """
    if num_classes < 2:
        raise UsageError("discriminant analysis needs at least two classes")
    count_K = torch.bincount(labels_V, minlength=num_classes)
    if missing := (count_K == 0).nonzero().flatten().tolist():
        raise DataError(f"no features for {len(missing)} classes, of labels {missing[:5]}")
    if len(labels_V) <= num_classes:
        raise DataError(
            f"{len(labels_V)} videos of {num_classes} classes: discriminant analysis needs more "
            "videos than classes"
        )
    try:
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    except ImportError:
        raise UsageError(
            "scikit-learn is not installed: pip install 'ost-slowfast[classifiers]'"
        ) from None
    fitted = LinearDiscriminantAnalysis().fit(features_VD.double().numpy(), labels_V.numpy())
    rows = torch.from_numpy(fitted.coef_).float()
    return torch.cat([-rows, rows]) if num_classes == 2 else rows
