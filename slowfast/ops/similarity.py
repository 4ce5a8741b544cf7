"""Cosines between frames and texts, and the scores made of them.

Shapes: B videos, T frames, K classes, N texts per class, D joint dimension. Everything is computed
in float32 outside autocast: torch's autocast would send the products to half precision.
"""

from __future__ import annotations

import torch
from torch import Tensor


def normalize(features: Tensor) -> Tensor:
    """Return ``features`` (..., D) in float32, divided by their L2 norm (no epsilon, as CLIP does).

    >>> normalize(torch.tensor([3.0, 4.0])).tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    features = features.float()
    return features / features.norm(dim=-1, keepdim=True)


def cosines(video_BTD: Tensor, text_KND: Tensor) -> Tensor:
    """Return the inner products B x K x T x N of unit features (OST section 3.2, eq. 10)."""
    with torch.autocast(video_BTD.device.type, enabled=False):
        return torch.einsum("btd,knd->bktn", video_BTD.float(), text_KND.float())


def pooled_score(video_BTD: Tensor, text_KND: Tensor) -> Tensor:
    """Return B x K: the mean of the T x N cosines of unit features.

    Equal to the inner product of the two means, which are *not* normalised again (OST eq. 9 as its
    released code reads it), hence to the transported score under a uniform plan.
    """
    with torch.autocast(video_BTD.device.type, enabled=False):
        return video_BTD.float().mean(dim=1) @ text_KND.float().mean(dim=1).mT


def transported_score(similarity_BKTN: Tensor, plan_BKTN: Tensor) -> Tensor:
    """Return B x K: the sum of cosine times transported mass (OST eq. 12).

    >>> similarity = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    >>> transported_score(similarity, torch.eye(2) / 2).item()
    1.0
    """
    return (similarity_BKTN * plan_BKTN).sum(dim=(-2, -1))


def mean_frame_cosine(video_BTD: Tensor, text_KD: Tensor) -> Tensor:
    """Return B x K: cosine of the mean of *un-normalised* frame features (ViFi-CLIP's order)."""
    with torch.autocast(video_BTD.device.type, enabled=False):
        return normalize(video_BTD.float().mean(dim=1)) @ normalize(text_KD).mT


def semantic_density(text_KND: Tensor) -> float:
    """Return the mean cosine between the features of two different classes (OST figure 2).

    A class's feature is the mean of its unit text features, normalised again. Needs K > 1.

    >>> semantic_density(torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]], [[1.0, 0.0]]]))
    0.3333333432674408
    """
    class_KD = normalize(normalize(text_KND).mean(dim=1))
    together = class_KD.sum(dim=0)
    num = len(class_KD)
    return float((together @ together - class_KD.square().sum()) / (num * (num - 1)))
