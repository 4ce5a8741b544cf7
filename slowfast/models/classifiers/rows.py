"""Rows that are drawn, and rows of one width brought to another.

Shapes: K classes, D joint dimension, W another encoder's width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from slowfast.errors import UsageError

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
