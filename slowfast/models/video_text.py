"""A video encoder and a text head over one CLIP: the structure of every system of this project.

Shapes: B videos, T frames, K classes, D joint dimension, C H W image.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from open_clip import CustomTextCLIP
from torch import Tensor, nn

from slowfast.config.configurable import configurable
from slowfast.config.describe import changed_words, options_of
from slowfast.config.show import changed
from slowfast.errors import UsageError
from slowfast.models.clip.build import build_clip
from slowfast.models.encoders import ENCODER_REGISTRY, build_encoder
from slowfast.models.heads import HEAD_REGISTRY, build_head
from slowfast.models.heads.texts import check_texts
from slowfast.models.losses import is_in_batch
from slowfast.models.trainable import select_trainable
from slowfast.solver.param_groups import Rule
from slowfast.structures import Encoded, ModelOutput
from slowfast.utils.distributed import all_gather
from slowfast.utils.registry import Registry

logger = logging.getLogger(__name__)
MODEL_REGISTRY = Registry(
    "MODEL",
    key="MODEL.MODEL_NAME",
    contract="obj(cfg) -> module; module([B x 3 x T x H x W, ...]) -> logits B x K, a tuple that "
    "they begin, or ModelOutput",
)
# A constant on all logits (SigLIP), which softmax does not see.
UNUSED = ("clip.logit_bias",)


class VideoTextModel(nn.Module):
    """CLIP's towers (``clip``), a video encoder (``encoder``) and a head (``head``).

    A published system is a subclass that says which encoder and head it pairs
    (``MODEL.ENCODER`` and ``MODEL.HEAD_NAME`` override either), with which prompt set and loss it
    was published, which options of its parts vary within the publication (``unstated``), and which
    parameters it never trains. Encoder and head add to the latter with a ``frozen``
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
    loss_name: ClassVar[str] = "cross_entropy"
    templates: ClassVar[str] = "vanilla_clip"
    options: ClassVar[tuple[str, ...]] = ("CLIP.TRAINABLE", "TEXT.TEMPLATES")
    unstated: ClassVar[tuple[str, ...]] = ()
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
        added = getattr(encoder, "added", ())
        full = [Rule(name) for name in added if name not in slow]
        self.param_rules = (*full, Rule("clip.*", backbone_lr_ratio))
        unused = (part for side in (encoder, head) for part in getattr(side, "frozen", ()))
        never = (*self.frozen, *unused, *UNUSED)
        select_trainable(self, trainable, freeze=freeze, never=never, added=added)

    @classmethod
    def from_cfg(cls, cfg: Any) -> dict[str, Any]:
        """Build towers, encoder and head."""
        check_texts(cfg, HEAD_REGISTRY.get(cfg.MODEL.HEAD_NAME or cls.head_name))
        clip = build_clip(cfg.CLIP.ARCH, cfg.CLIP.PRETRAINED)
        encoder = build_encoder(cfg, clip, default=cls.encoder_name)
        head = build_head(cfg, clip, default=cls.head_name, templates=cls.templates)
        loss = cfg.MODEL.LOSS_FUNC
        if cfg.TRAIN.ENABLE and cls.loss_name not in ("cross_entropy", loss):
            logger.warning(
                "MODEL.LOSS_FUNC %s trains %s otherwise than published: its loss is %s",
                *(loss, cls.__name__, cls.loss_name),
            )
        if cfg.MODEL.DETACH_FINAL_FC and not getattr(head, "detach", False):
            raise UsageError(
                "MODEL.DETACH_FINAL_FC is True, but MODEL.HEAD_NAME "
                f"{type(head).__name__} has no last layer of its own that could be trained alone: "
                "set it to False, or use LinearHead"
            )
        for part in (cls, encoder, head):
            options_of(cfg, part)  # refused now, and not when a result is written
        if is_in_batch(loss) and not getattr(head, "needs_labels", not cfg.TRAIN.ENABLE):
            raise UsageError(
                f"MODEL.LOSS_FUNC {loss} compares videos with the texts of their batch, but "
                f"MODEL.HEAD_NAME {type(head).__name__} scores all classes at once: use "
                "cross_entropy, or a head that scores the texts of labels, such as OSTHead"
            )
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

    @staticmethod
    def describe(options: Mapping[str, Any]) -> list[str]:
        """Say whether one tower was tuned, and which other options differ from the published."""
        tower = options["CLIP.TRAINABLE"]
        tuned = [f"{tower} tower tuned"] if tower in ("image", "text") else []
        return tuned + changed_words({k: v for k, v in options.items() if k != "CLIP.TRAINABLE"})

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
        encoded = self.encoder(self.clip, video_BCTHW)
        if not isinstance(encoded, Encoded):
            raise ENCODER_REGISTRY.returned(self.encoder, encoded)
        if encoded.video_BTD.ndim != 3:
            raise ENCODER_REGISTRY.returned(self.encoder, encoded.video_BTD)
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
        classes = getattr(self.head, "vocabulary", None)
        shape = tuple(getattr(logits, "shape", ()))
        columns = len(classes) if classes is not None else (shape or (0,))[-1]
        if shape != (len(encoded.video_BTD), columns):
            raise HEAD_REGISTRY.returned(self.head, logits)
        if self.training or not self.eval_scale:
            return logits
        return logits * (self.eval_scale / self.clip.logit_scale.float().exp())


def _warn_of_unread(cfg: Any, encoder: nn.Module, head: nn.Module) -> None:
    """Warn of options that were set for another encoder or head than the one that is used."""
    known = {*getattr(encoder, "options", ()), *getattr(head, "options", ())}
    for registry, part in ((ENCODER_REGISTRY, encoder), (HEAD_REGISTRY, head)):
        for name, entry in registry:
            for section in set(getattr(entry, "options", ())) - known:
                known.add(section)
                own = [key for key in changed(cfg) if key.startswith(f"{section}.")]
                if own:
                    logger.warning(
                        "%s: for %s %s; this model has %s, and does not read it",
                        ", ".join(f"{key} {cfg[section][key.split('.')[1]]}" for key in own),
                        registry.key,
                        name,
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
