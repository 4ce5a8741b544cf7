"""A classifier whose rows are never trained: the head of Text4Vis (AAAI 2023).

Shapes: B videos, T frames, K classes, D joint dimension.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from open_clip import CustomTextCLIP
from torch import Tensor, nn

from slowfast.config.configurable import configurable
from slowfast.errors import UsageError
from slowfast.models.classifiers import fit_width, orthogonal_rows, random_rows, read_classifier
from slowfast.models.clip.text import TextBank
from slowfast.models.heads.build import HEAD_REGISTRY
from slowfast.models.heads.texts import build_category_bank, build_vocabulary
from slowfast.ops.similarity import mean_frame_cosine
from slowfast.structures import Encoded
from slowfast.text import ClassVocabulary, get_prompts, load_classes

logger = logging.getLogger(__name__)


@HEAD_REGISTRY.register()
class FrozenClassifier(nn.Module):
    """Scale times cosine of the mean frame feature and constant rows, over all classes.

    The rows are given, or they are the class names' features from the text tower as it is, which is
    then never trained. A state dict does not hold them: the same weights work with other classes.

    Args:
        vocabulary: the K classes.
        rows: float K x D, of any norms.
        bank: the class names in one template, K x 1; takes the place of ``rows``.
    """

    options: ClassVar[tuple[str, ...]] = ("CLASSIFIER",)
    requires: ClassVar[dict[str, str]] = {}
    averages_frames: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = False
    frozen: ClassVar[tuple[str, ...]] = ("clip.text.*",)
    rows_KD: Tensor | None

    @configurable
    def __init__(
        self,
        *,
        vocabulary: ClassVocabulary,
        rows: Tensor | None = None,
        bank: TextBank | None = None,
    ) -> None:
        super().__init__()
        assert (rows is None) != (bank is None), "rows or a bank"
        assert rows is None or len(rows) == len(vocabulary)
        self.vocabulary = vocabulary
        self.bank = bank
        self.register_buffer("rows_KD", rows, persistent=False)

    @classmethod
    def from_cfg(cls, cfg: Any, clip: CustomTextCLIP, *, templates: str) -> dict[str, Any]:
        """Read the class names and the ``CLASSIFIER`` options."""
        vocabulary = build_vocabulary(cfg)
        if cfg.CLASSIFIER.KIND == "clip_text":
            bank = build_frozen_bank(cfg, clip, vocabulary, templates=templates)
            return {"vocabulary": vocabulary, "bank": bank}
        rows = build_rows(cfg, vocabulary, int(clip.visual.output_dim))
        return {"vocabulary": vocabulary, "rows": rows}

    @staticmethod
    def describe(options: Mapping[str, Any]) -> list[str]:
        """Say what the rows are, unless as published: the class names by CLIP's text tower."""
        kind = options["CLASSIFIER.KIND"]
        own = f" {Path(options['CLASSIFIER.FILE']).stem}" if kind == "file" else ""
        return [] if kind == "clip_text" else [f"classifier {kind}{own}"]

    def rows(self, clip: CustomTextCLIP) -> Tensor:
        """Return the rows, float32 K x D, without a gradient."""
        if self.bank is None:
            assert self.rows_KD is not None
            return self.rows_KD.float()
        device = clip.logit_scale.device.type
        with torch.no_grad(), torch.autocast(device, enabled=False):
            return self.bank.features(clip.text)[:, 0].float()

    def forward(
        self, clip: CustomTextCLIP, encoded: Encoded, labels: Tensor | None = None
    ) -> Tensor:
        """Return float32 logits B x K over all classes."""
        scale = clip.logit_scale.float().exp()
        return scale * mean_frame_cosine(encoded.video_BTD, self.rows(clip))


def build_frozen_bank(
    cfg: Any, clip: CustomTextCLIP, vocabulary: ClassVocabulary, *, templates: str
) -> TextBank:
    """Return the class names in the one template that the prompt set must have."""
    if (count := len(get_prompts(templates).category)) != 1:
        raise UsageError(
            f"TEXT.TEMPLATES {templates} has {count} templates, and a frozen classifier takes one "
            "(of Text4Vis's list only the first counts): name a set with one, such as text4vis, or "
            "average them with MODEL.HEAD_NAME TemplateEnsembleHead"
        )
    return build_category_bank(cfg, clip, vocabulary, templates=templates)


def build_rows(cfg: Any, vocabulary: ClassVocabulary, dim: int) -> Tensor:
    """Return the rows K x D that do not come from CLIP's own text tower.

    Drawn rows belong to the places in the whole of ``TEXT.CLASSES``, so that a class has the same
    row in every ``TEXT.SUBSET``.
    """
    kind, seed = cfg.CLASSIFIER.KIND, cfg.CLASSIFIER.SEED
    if kind == "file":
        return _from_file(cfg.CLASSIFIER.FILE, vocabulary, dim)
    if not cfg.TRAIN.ENABLE:
        logger.warning(
            "CLASSIFIER.KIND %s: drawn rows tell nothing about classes that the weights were not "
            "trained on; test with the TEXT.CLASSES and CLASSIFIER.SEED of the training",
            kind,
        )
    listed = load_classes(cfg.TEXT.CLASSES)
    draw = {"random": random_rows, "orthogonal": orthogonal_rows}[kind]
    return draw(len(listed), dim, seed=seed)[[listed.index(name) for name in vocabulary.names]]


def _from_file(path: str, vocabulary: ClassVocabulary, dim: int) -> Tensor:
    if not path:
        raise UsageError(
            "CLASSIFIER.FILE is empty with CLASSIFIER.KIND file: name a file that "
            "ost classifier wrote"
        )
    classifier = read_classifier(path)
    try:
        rows = classifier.rows_of(vocabulary)
    except UsageError as error:
        raise UsageError(f"CLASSIFIER.FILE {path}: {error}; make it for these classes") from None
    if rows.shape[1] != dim:
        logger.info(
            "%s: rows of width %d brought to %d by a fixed random orthonormal map",
            path,
            rows.shape[1],
            dim,
        )
    return fit_width(rows, dim)
