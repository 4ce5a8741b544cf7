"""A linear classifier over the mean frame feature: linear probing and closed-set training."""

from __future__ import annotations

from typing import Any, ClassVar

from open_clip import CustomTextCLIP
from torch import Tensor, nn

from slowfast.config.configurable import configurable
from slowfast.models.heads.build import HEAD_REGISTRY
from slowfast.models.heads.texts import build_vocabulary
from slowfast.structures import Encoded
from slowfast.text import ClassVocabulary


@HEAD_REGISTRY.register()
class LinearHead(nn.Module):
    """Dropout and one linear layer over the mean of the frame features; needs no text.

    Args:
        dim_in: the joint dimension D.
        num_classes: K.
        dropout_rate: before the layer.
        init_std: standard deviation of the initial weights; the bias starts at 0.
        detach: stop the gradient at the features, so that the layer alone is trained.
        vocabulary: the K classes, where their names are known.
    """

    options: ClassVar[tuple[str, ...]] = ("MODEL.DETACH_FINAL_FC",)
    requires: ClassVar[dict[str, str]] = {}
    averages_frames: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = False
    scores_cosines: ClassVar[bool] = False
    frozen: tuple[str, ...] = ("clip.text.*", "clip.logit_scale")

    @configurable
    def __init__(
        self,
        dim_in: int,
        num_classes: int,
        *,
        dropout_rate: float = 0.0,
        init_std: float = 0.01,
        detach: bool = False,
        vocabulary: ClassVocabulary | None = None,
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.detach = detach
        if detach:  # what stands before the features gets no gradient
            self.frozen = ("clip.*", "encoder.*")
        self.dropout = nn.Dropout(dropout_rate)
        self.projection = nn.Linear(dim_in, num_classes)
        nn.init.normal_(self.projection.weight, std=init_std)
        nn.init.zeros_(self.projection.bias)

    @classmethod
    def from_cfg(cls, cfg: Any, clip: CustomTextCLIP, *, templates: str) -> dict[str, Any]:
        """Read the ``MODEL`` options; the number of classes from ``TEXT.CLASSES`` if given."""
        vocabulary = build_vocabulary(cfg) if cfg.TEXT.CLASSES else None
        return {
            "dim_in": int(clip.visual.output_dim),
            "num_classes": cfg.MODEL.NUM_CLASSES if vocabulary is None else len(vocabulary),
            "dropout_rate": cfg.MODEL.DROPOUT_RATE,
            "init_std": cfg.MODEL.FC_INIT_STD,
            "detach": cfg.MODEL.DETACH_FINAL_FC,
            "vocabulary": vocabulary,
        }

    def forward(
        self, clip: CustomTextCLIP, encoded: Encoded, labels: Tensor | None = None
    ) -> Tensor:
        """Return logits B x K."""
        video_BD = encoded.video_BTD.mean(dim=1)
        return self.projection(self.dropout(video_BD.detach() if self.detach else video_BD))
