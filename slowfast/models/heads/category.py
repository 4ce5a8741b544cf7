"""Cosine between a video and the class names: the heads of CLIP, ViFi-CLIP and Open-VCLIP.

Shapes: B videos, T frames, K classes, P prompt templates, D joint dimension.
"""

from __future__ import annotations

from typing import Any, ClassVar

from open_clip import CustomTextCLIP
from torch import Tensor, nn

from slowfast.config.configurable import configurable
from slowfast.models.clip.text import TextBank
from slowfast.models.heads.build import HEAD_REGISTRY
from slowfast.models.heads.gather import GatherGradient, get_gather
from slowfast.models.heads.texts import build_category_bank, build_vocabulary
from slowfast.models.losses import check_hard_labels, is_in_batch
from slowfast.ops.similarity import mean_frame_cosine, normalize, pooled_score
from slowfast.structures import Encoded
from slowfast.text import ClassVocabulary


@HEAD_REGISTRY.register()
class CategoryHead(nn.Module):
    """Mean of the un-normalised frame features, normalised, against the class names; no parameters.

    This order (mean first) is ViFi-CLIP's; OST normalises the frames first. Several templates are
    averaged as unit features.

    Args:
        vocabulary: the K classes.
        bank: their names in the category templates, K x P.
        in_batch: whether labels choose the columns in training (the contrastive objective);
            otherwise the columns are all classes.
        gather_gradient: see OSTHead.
    """

    requires: ClassVar[dict[str, str]] = {}
    averages_frames: ClassVar[bool] = True

    @configurable
    def __init__(
        self,
        *,
        vocabulary: ClassVocabulary,
        bank: TextBank,
        in_batch: bool = False,
        gather_gradient: GatherGradient = "sum",
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.bank = bank
        self.needs_labels = in_batch
        self.gather = get_gather(gather_gradient)

    @classmethod
    def from_cfg(cls, cfg: Any, clip: CustomTextCLIP, *, templates: str) -> dict[str, Any]:
        """Read the class names."""
        vocabulary = build_vocabulary(cfg)
        return {
            "vocabulary": vocabulary,
            "bank": build_category_bank(cfg, clip, vocabulary, templates=templates),
            "in_batch": is_in_batch(cfg.MODEL.LOSS_FUNC),
            "gather_gradient": cfg.OST.GATHER_GRADIENT,
        }

    def forward(
        self, clip: CustomTextCLIP, encoded: Encoded, labels: Tensor | None = None
    ) -> Tensor:
        """Return float32 logits: B x K, or global batch squared with ``labels`` (int64 B)."""
        scale = clip.logit_scale.float().exp()
        if labels is None:
            text_KD = normalize(self.bank.features(clip.text)).mean(dim=1)
            return scale * mean_frame_cosine(encoded.video_BTD, text_KD)
        text_BD = normalize(self.bank.rows(clip.text, check_hard_labels(labels).cpu())).mean(dim=1)
        video_BD = normalize(encoded.video_BTD.float().mean(dim=1))
        return scale * mean_frame_cosine(self.gather(video_BD)[:, None], self.gather(text_BD))


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
