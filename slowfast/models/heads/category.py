"""Cosine between a whole video and the class names: the head of CLIP and ViFi-CLIP.

Shapes: B videos, T frames, K classes, P prompt templates, D joint dimension.
"""

from __future__ import annotations

from typing import Any, ClassVar

from open_clip import CustomTextCLIP
from torch import Tensor, nn

from slowfast.config.configurable import configurable
from slowfast.models.clip.text import TextBank
from slowfast.models.heads.build import HEAD_REGISTRY
from slowfast.models.heads.gather import GatherGradient, check_hard_labels, get_gather
from slowfast.models.heads.texts import build_category_bank, build_vocabulary
from slowfast.ops.similarity import mean_frame_cosine, normalize
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
            "in_batch": cfg.MODEL.LOSS_FUNC == "ost_contrastive",
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
