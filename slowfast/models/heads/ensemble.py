"""Frames against classes that are means over prompt templates: CLIP's and Open-VCLIP's classifier.

Shapes: B videos, T frames, K classes, P prompt templates, D joint dimension.
"""

from __future__ import annotations

from typing import ClassVar

from open_clip import CustomTextCLIP
from torch import Tensor

from slowfast.models.heads.build import HEAD_REGISTRY
from slowfast.models.heads.category import CategoryHead
from slowfast.models.heads.gather import check_hard_labels
from slowfast.ops.similarity import normalize, pooled_score
from slowfast.structures import Encoded


@HEAD_REGISTRY.register()
class TemplateEnsembleHead(CategoryHead):
    """Mean over frames of the cosine of a frame and a class; no parameters.

    A class is the mean of its sentences' unit features, normalised again. Frames are normalised
    each, and their mean is not (the two-dimensional classifier of Open-VCLIP and STDD, released
    code); CategoryHead takes the mean of un-normalised frames. Arguments are CategoryHead's.
    """

    averages_frames: ClassVar[bool] = False

    def forward(
        self, clip: CustomTextCLIP, encoded: Encoded, labels: Tensor | None = None
    ) -> Tensor:
        """Return float32 logits: B x K, or global batch squared with ``labels`` (int64 B)."""
        scale = clip.logit_scale.float().exp()
        video_BTD = normalize(encoded.video_BTD)
        if labels is None:
            return scale * pooled_score(video_BTD, _classes(self.bank.features(clip.text)))
        text_BPD = self.bank.rows(clip.text, check_hard_labels(labels).cpu())
        return scale * pooled_score(self.gather(video_BTD), self.gather(_classes(text_BPD)))


def _classes(text_KPD: Tensor) -> Tensor:
    """Return one unit feature of each class, K x 1 x D."""
    return normalize(normalize(text_KPD).mean(dim=1, keepdim=True))
