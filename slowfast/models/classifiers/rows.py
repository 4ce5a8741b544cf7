"""Rows that are drawn, rows from data, and rows of one width brought to another.

Shapes: V videos, K classes, D joint dimension, W another encoder's width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from slowfast.errors import DataError, UsageError

WIDTH_SEED = 0  # of the map between widths: one for all, so that every label list gets the same


def random_rows(num_classes: int, dim: int, *, seed: int) -> Tensor:
    """Return standard normal rows, float32 K x D, from torch's CPU generator.

    With seed 1024 these are Text4Vis's random control, as its first process draws it (its further
    processes would draw others).
    """
    return torch.randn(num_classes, dim, generator=torch.Generator().manual_seed(seed))


def orthogonal_rows(num_classes: int, dim: int, *, seed: int) -> Tensor:
    """Return K orthonormal rows, float32 K x D: the first rows of Q of a random D x D matrix.

    Text4Vis's control: numpy's legacy normal numbers in float32, full QR. The signs of Q's columns
    are LAPACK's.

    Raises:
        UsageError: more classes than dimensions.
    """
    if num_classes > dim:
        raise UsageError(
            f"CLASSIFIER.KIND orthogonal: {num_classes} classes, but only {dim} orthonormal rows "
            f"fit into {dim} dimensions; use random, or a wider CLIP.ARCH"
        )
    # parity: the published generator.
    draws = np.random.RandomState(seed)
    normal_DD = draws.normal(size=(dim, dim)).astype(np.float32)
    return torch.from_numpy(np.linalg.qr(normal_DD, mode="complete").Q[:num_classes].copy())


def fit_width(rows_KW: Tensor, dim: int) -> Tensor:
    """Return rows of width D made of rows of width W by a fixed random orthonormal map.

    Our choice; nothing is published for encoders whose width differs. The map depends on the two
    widths only, so every label list is mapped alike and lists can be swapped. A narrower encoder
    (W < D) is embedded as it is: all cosines between rows stay. A wider one is projected onto a
    random subspace, which keeps cosines to about 1/sqrt(D) (Johnson and Lindenstrauss).
    """
    width = rows_KW.shape[1]
    if width == dim:
        return rows_KW
    draws = np.random.default_rng((WIDTH_SEED, width, dim))
    normal = draws.standard_normal((max(width, dim), min(width, dim)))
    basis, triangle = np.linalg.qr(normal)
    # With a positive diagonal the factors are unique, hence the same on every machine.
    unique = torch.from_numpy(basis * np.sign(np.diagonal(triangle)))
    mapped_KD = rows_KW.double() @ (unique if width > dim else unique.mT)
    return mapped_KD.float()


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
