"""A video encoder and a text head over one CLIP: the structure of every system of this project.

Shapes: B videos, T frames, K classes, D joint dimension, C H W image.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

from open_clip import CustomTextCLIP
from torch import Tensor, nn

from slowfast.config import get_cfg
from slowfast.config.configurable import configurable
from slowfast.errors import UsageError
from slowfast.models.clip.build import build_clip
from slowfast.models.encoders import ENCODER_REGISTRY, build_encoder
from slowfast.models.heads import build_head
from slowfast.models.trainable import select_trainable
from slowfast.solver.param_groups import Rule
from slowfast.structures import Encoded, ModelOutput
from slowfast.utils.distributed import all_gather

logger = logging.getLogger(__name__)
# A constant on all logits (SigLIP), which softmax does not see.
UNUSED = ("clip.logit_bias",)
# Sections of options that one encoder or head alone reads.
READERS = {
    "TEXT4VIS": ("MODEL.ENCODER", "Text4VisEncoder"),
    "TRUNK": ("MODEL.ENCODER", "VideoTrunk"),
    "CLASSIFIER": ("MODEL.HEAD_NAME", "FrozenClassifier"),
}


class VideoTextModel(nn.Module):
    """CLIP's towers (``clip``), a video encoder (``encoder``) and a head (``head``).

    A published system is a subclass that says which encoder and head it pairs
    (``MODEL.ENCODER`` and ``MODEL.HEAD_NAME`` override either), which prompt set it was published
    with, and which parameters it never trains. Encoder and head add to the latter with a ``frozen``
    of their own: patterns of parameters that they do not use, so that none is left without a
    gradient.

    Args:
        clip: what ``build_clip`` returns.
        encoder: ``encoder(clip, video_BCTHW) -> Encoded``. Parameters that it adds to CLIP's own
            modules (not to itself) are named by the patterns in its ``added``; they learn at the
            full rate, but for those that ``added_at_backbone_rate`` lists as well.
        head: ``head(clip, encoded, labels=None) -> logits``.
        trainable: which of CLIP's towers are trained: "both", "image", "text", "none".
        freeze: name patterns of further parameters that are not.
        backbone_lr_ratio: factor on the learning rate of CLIP's own parameters.
        eval_scale: factor of the cosines in evaluation instead of CLIP's trained one (Text4Vis
            tests with 100); 0 keeps the trained one.

    Raises:
        UsageError: the head needs something that the encoder does not provide; ``eval_scale`` with
            a head whose scores are no cosines (its ``scores_cosines`` is False).
    """

    encoder_name: ClassVar[str] = "FrameWise"
    head_name: ClassVar[str] = "CategoryHead"
    templates: ClassVar[str] = "vanilla_clip"
    frozen: ClassVar[tuple[str, ...]] = ()
    find_unused_parameters: ClassVar[bool] = False

    @configurable
    def __init__(
        self,
        *,
        clip: CustomTextCLIP,
        encoder: nn.Module,
        head: nn.Module,
        trainable: str = "both",
        freeze: Sequence[str] = (),
        backbone_lr_ratio: float = 1.0,
        eval_scale: float = 0.0,
    ) -> None:
        super().__init__()
        _check_pair(encoder, head)
        if eval_scale and not getattr(head, "scores_cosines", True):
            raise UsageError(
                f"TEST.LOGIT_SCALE is {eval_scale:g}, a factor of cosines, but the scores of "
                f"MODEL.HEAD_NAME {type(head).__name__} are none: set it to 0"
            )
        self.clip = clip
        self.encoder = encoder
        self.head = head
        self.eval_scale = eval_scale
        slow = set(getattr(encoder, "added_at_backbone_rate", ()))
        full = [Rule(name) for name in getattr(encoder, "added", ()) if name not in slow]
        self.param_rules = (*full, Rule("clip.*", backbone_lr_ratio))
        unused = (part for side in (encoder, head) for part in getattr(side, "frozen", ()))
        never = (*self.frozen, *unused, *UNUSED)
        select_trainable(
            self, trainable, freeze=freeze, never=never, added=getattr(encoder, "added", ())
        )

    @classmethod
    def from_cfg(cls, cfg: Any) -> dict[str, Any]:
        """Build towers, encoder and head."""
        clip = build_clip(cfg.CLIP.ARCH, cfg.CLIP.PRETRAINED)
        encoder = build_encoder(cfg, clip, default=cls.encoder_name)
        head = build_head(cfg, clip, default=cls.head_name, templates=cls.templates)
        _warn_of_unread(cfg, encoder, head)
        return {
            "clip": clip,
            "encoder": encoder,
            "head": head,
            "trainable": cfg.CLIP.TRAINABLE,
            "freeze": cfg.CLIP.FREEZE,
            "backbone_lr_ratio": cfg.SOLVER.BACKBONE_LR_RATIO,
            "eval_scale": cfg.TEST.LOGIT_SCALE,
        }

    @property
    def needs_labels(self) -> bool:
        """Whether the model wants the labels in training, to choose texts by them."""
        return bool(getattr(self.head, "needs_labels", False))

    @property
    def averages_frames(self) -> bool:
        """Whether scores depend on the frame features by their mean only, as the head says."""
        return bool(getattr(self.head, "averages_frames", False))

    def forward(
        self, inputs: Tensor | Sequence[Tensor], labels: Tensor | None = None
    ) -> ModelOutput:
        """Score videos.

        Args:
            inputs: normalised frames B x 3 x T x H x W, or PySlowFast's list with that one entry.
            labels: int64 B; used in training by a model that ``needs_labels``, ignored otherwise.

        Returns:
            Logits B x K over all classes; in training with ``needs_labels`` over the texts of the
            global batch's labels (rows and columns in rank order), which are ``extras["labels"]``.
        """
        if not isinstance(inputs, Tensor) and len(inputs) > 1:
            raise UsageError(
                f"{type(self).__name__} takes one pathway, not {len(inputs)}: set MODEL.ARCH clip"
            )
        video_BCTHW = inputs if isinstance(inputs, Tensor) else inputs[0]
        encoded: Encoded = self.encoder(self.clip, video_BCTHW)
        if not (self.training and self.needs_labels):
            return ModelOutput(self.score(encoded), encoded.video_BTD, dict(encoded.extras))
        if labels is None:
            raise UsageError(
                "this model is trained against the texts of its batch's labels: "
                "pass labels, or call eval() to score all classes"
            )
        logits = self.head(self.clip, encoded, labels)
        extras = {**encoded.extras, "labels": all_gather([labels])[0]}
        return ModelOutput(logits, encoded.video_BTD, extras)

    def score(self, encoded: Encoded) -> Tensor:
        """Return the logits B x K of features that were encoded (or averaged over views) before."""
        logits = self.head(self.clip, encoded)
        if self.training or not self.eval_scale:
            return logits
        return logits * (self.eval_scale / self.clip.logit_scale.float().exp())


def _warn_of_unread(cfg: Any, encoder: nn.Module, head: nn.Module) -> None:
    """Warn of options that were set for another encoder or head than the one that is used."""
    known, used = get_cfg(), {"MODEL.ENCODER": encoder, "MODEL.HEAD_NAME": head}
    for section, (key, reader) in READERS.items():
        part = used[key]
        changed = [name for name in known[section] if cfg[section][name] != known[section][name]]
        if changed and not any(base.__name__ == reader for base in type(part).__mro__):
            logger.warning(
                "%s: for %s %s; this model has %s, and does not read it",
                ", ".join(f"{section}.{name} {cfg[section][name]}" for name in changed),
                key,
                reader,
                type(part).__name__,
            )


def _check_pair(encoder: nn.Module, head: nn.Module) -> None:
    requires = getattr(head, "requires", {})
    missing = sorted(set(requires) - set(getattr(encoder, "provides", ())))
    if not missing:
        return
    suitable = [
        name
        for name in ENCODER_REGISTRY.names()
        if ENCODER_REGISTRY.get(name) is not type(encoder)
        and set(missing) <= set(getattr(ENCODER_REGISTRY.get(name), "provides", ()))
    ]
    raise UsageError(
        f"MODEL.HEAD_NAME {type(head).__name__} needs {missing} of the encoder "
        f"({'; '.join(requires[name] for name in missing)}), which MODEL.ENCODER "
        f"{type(encoder).__name__} does not provide as configured; other encoders that do: "
        f"{', '.join(suitable) or 'none'}"
    )
