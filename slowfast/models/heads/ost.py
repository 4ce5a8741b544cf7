"""OST's head: descriptors matched to frames by optimal transport.

Shapes: B videos, T frames, K classes, N descriptors per class, D joint dimension.
Sources: the OST paper (section 3.3, eq. 9-13) and its released code, which the published weights
were made with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from open_clip import CustomTextCLIP
from torch import Tensor, nn

from slowfast.config.configurable import configurable
from slowfast.config.describe import changed_words
from slowfast.errors import SlowFastError, UsageError
from slowfast.models.clip.text import TextBank
from slowfast.models.heads.build import HEAD_REGISTRY
from slowfast.models.heads.gather import GatherGradient, get_gather
from slowfast.models.heads.texts import (
    build_category_bank,
    build_descriptor_banks,
    build_vocabulary,
)
from slowfast.models.losses import check_hard_labels, is_in_batch
from slowfast.ops.similarity import cosines, normalize, pooled_score, transported_score
from slowfast.ops.sinkhorn import SinkhornError, sinkhorn
from slowfast.structures import Encoded
from slowfast.text import ClassVocabulary

DESCRIPTOR_OPTIONS = (
    *("OST.KINDS", "OST.CONDITION", "OST.FUSION_FACTOR"),
    *("TEXT.SPATIAL", "TEXT.TEMPORAL"),
)
MATCHINGS = ("od_solver", "pooled", "category")
# Entries of a B x K x T x N array (128 MiB); about three such arrays live at a time.
CHUNK_ELEMENTS = 1 << 25


class FeatureError(SlowFastError):
    """Some videos have NaN or infinite features; ``positions`` counts them within the batch."""

    def __init__(self, positions: list[int], reason: str) -> None:
        super().__init__(positions, reason)
        self.positions = positions
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class Matching:
    """How frames and descriptors are matched, and the numbers of the Optimal Descriptor Solver.

    Args:
        method: "od_solver" (the paper's), "pooled" (every transported score replaced by the one of
            the uniform plan, same scale), "category" (class names instead of descriptors).
        epsilon: entropic regularisation (the paper's lambda).
        max_iter: most iterations.
        tolerance: an iteration that changes the row scaling by less, in the mean, is the last.
        stop_rule: "pair" looks at each (video, class) alone; "batch" at the mean over the whole
            call (parity: the released rule, which makes a score depend on its batch).
        fusion_factor: weight of each of the four scores; the released 1/2, not eq. 13's 1/4.
        class_chunk: classes solved at a time; 0 chooses by memory.
    """

    method: Literal["od_solver", "pooled", "category"] = "od_solver"
    epsilon: float = 0.1
    max_iter: int = 100
    tolerance: float = 1e-2
    stop_rule: Literal["pair", "batch"] = "pair"
    fusion_factor: float = 0.5
    class_chunk: int = 0

    def __post_init__(self) -> None:
        if self.method not in MATCHINGS:
            raise UsageError(f"OST.MATCHING {self.method!r}: choose from {MATCHINGS}")
        if self.class_chunk and self.stop_rule == "batch":
            raise UsageError(
                "OST.CLASS_CHUNK and OST.STOP_RULE batch exclude each other: that rule looks at "
                "all classes at once"
            )


class OSTScores(NamedTuple):
    """One batch taken apart; scores B x K with the scale applied, plans B x K x T x N, per kind."""

    logits: Tensor
    pool: dict[str, Tensor]
    transport: dict[str, Tensor]
    plans: dict[str, Tensor]


@HEAD_REGISTRY.register()
class OSTHead(nn.Module):
    """Sum of pooled and transported scores over the kinds of descriptors; no parameters.

    In training with ``in_batch`` the columns are not the classes but the descriptor sets of the
    labels of all processes' videos (section 3.4 of the paper), which is what ``ost_contrastive``
    wants; otherwise, and always in evaluation, they are all classes.

    Args:
        vocabulary: the K classes.
        banks: the texts of each kind, K x N.
        matching: method and numbers.
        in_batch: whether labels choose the columns in training.
        gather_gradient: "sum" for the true gradient of the global loss; "local" (parity: released)
            gives 1/W of it to all parameters but the scale.
    """

    options: tuple[str, ...] = (
        *("OST.MATCHING", "OST.EPSILON", "OST.MAX_ITER", "OST.TOLERANCE", "OST.STOP_RULE"),
        *DESCRIPTOR_OPTIONS,
    )
    requires: ClassVar[dict[str, str]] = {
        "frames": "optimal transport distributes a class's descriptors over several frames"
    }

    @configurable
    def __init__(
        self,
        *,
        vocabulary: ClassVocabulary,
        banks: Mapping[str, TextBank],
        matching: Matching | None = None,
        in_batch: bool = True,
        gather_gradient: GatherGradient = "sum",
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.banks = nn.ModuleDict(banks)
        self.matching = matching or Matching()
        if self.matching.method == "category":  # nothing else is read
            self.options = ("OST.MATCHING", "OST.FUSION_FACTOR")
        self.needs_labels = in_batch
        self.gather = get_gather(gather_gradient)

    @classmethod
    def from_cfg(cls, cfg: Any, clip: CustomTextCLIP, *, templates: str) -> dict[str, Any]:
        """Read the texts and the ``OST`` options."""
        vocabulary, ost = build_vocabulary(cfg), cfg.OST
        if ost.MATCHING == "category":
            bank = build_category_bank(cfg, clip, vocabulary, templates=templates)
            banks = {"category": bank}
        else:
            banks = build_descriptor_banks(cfg, clip, vocabulary, templates=templates)
        return {
            "vocabulary": vocabulary,
            "banks": banks,
            "matching": Matching(
                ost.MATCHING,
                ost.EPSILON,
                ost.MAX_ITER,
                ost.TOLERANCE,
                ost.STOP_RULE,
                ost.FUSION_FACTOR,
                ost.CLASS_CHUNK,
            ),
            "in_batch": is_in_batch(cfg.MODEL.LOSS_FUNC),
            "gather_gradient": ost.GATHER_GRADIENT,
        }

    @staticmethod
    def describe(options: Mapping[str, Any]) -> list[str]:
        """Say what is unlike the published head, and how many descriptors the files are named by.

        >>> OSTHead.describe({"OST.MATCHING": "pooled", "TEXT.SPATIAL": "texts/spatial_8.json"})
        ['matching pooled', 'descriptors 8']
        """
        files = [value for name, value in options.items() if name.startswith("TEXT.")]
        counts = {m[1] for file in files if (m := re.search(r"_(\d+)$", Path(file).stem))}
        words = changed_words({k: v for k, v in options.items() if not k.startswith("TEXT.")})
        return words + [f"descriptors {'+'.join(sorted(counts))}"] * bool(counts - {"4"})

    def forward(
        self, clip: CustomTextCLIP, encoded: Encoded, labels: Tensor | None = None
    ) -> Tensor:
        """Return float32 logits: B x K, or global batch x global batch with ``labels`` (int64 B).

        Raises:
            FeatureError: NaN or infinite features; names the videos.
        """
        video_BTD = normalize(encoded.video_BTD)
        if labels is None:
            texts = [normalize(bank.features(clip.text)) for _, bank in self._banks()]
        else:
            rows_B = check_hard_labels(labels).cpu()
            own = [normalize(bank.rows(clip.text, rows_B)) for _, bank in self._banks()]
            texts = [self.gather(text_BND) for text_BND in own]
            video_BTD = self.gather(video_BTD)
        scores = [self._kind_score(video_BTD, text_KND) for text_KND in texts]
        scale = self.matching.fusion_factor * clip.logit_scale.float().exp()
        return scale * torch.stack(scores).sum(dim=0)

    @torch.no_grad()
    def explain(
        self, clip: CustomTextCLIP, encoded: Encoded, classes: Tensor | None = None
    ) -> OSTScores:
        """Return the scores and transport plans of each kind over all or the given classes.

        Works with every method; for "pooled" and "category" the transported score is what the
        solver would have given, and is not part of ``logits``.
        """
        video_BTD, scale = normalize(encoded.video_BTD), clip.logit_scale.float().exp()
        pool, transport, plans = {}, {}, {}
        for kind, bank in self._banks():
            text_KND = normalize(bank.features(clip.text))
            text_KND = text_KND if classes is None else text_KND[classes]
            pool[kind] = scale * pooled_score(video_BTD, text_KND)
            solved = list(self._solve(video_BTD, text_KND))
            transport[kind] = scale * torch.cat([score_BK for score_BK, _ in solved], dim=1)
            plans[kind] = torch.cat([plan_BKTN for _, plan_BKTN in solved], dim=1)
        second = transport if self.matching.method == "od_solver" else pool
        both = torch.stack([pool[kind] + second[kind] for kind in pool]).sum(dim=0)
        return OSTScores(self.matching.fusion_factor * both, pool, transport, plans)

    def _banks(self) -> Iterator[tuple[str, TextBank]]:
        for kind, bank in self.banks.items():
            assert isinstance(bank, TextBank)
            yield kind, bank

    def _kind_score(self, video_BTD: Tensor, text_KND: Tensor) -> Tensor:
        pool_BK = pooled_score(video_BTD, text_KND)
        if self.matching.method != "od_solver":
            return 2 * pool_BK
        parts = [score_BK for score_BK, _ in self._solve(video_BTD, text_KND)]
        return pool_BK + torch.cat(parts, dim=1)

    def _chunk(self, video_BTD: Tensor, text_KND: Tensor) -> int:
        if self.matching.stop_rule == "batch":
            return len(text_KND)
        entries = video_BTD.shape[0] * video_BTD.shape[1] * text_KND.shape[1]
        return self.matching.class_chunk or max(1, CHUNK_ELEMENTS // entries)

    def _solve(self, video_BTD: Tensor, text_KND: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield scores and plans, a chunk of classes at a time; plans carry no gradient."""
        settings, width = self.matching, self._chunk(video_BTD, text_KND)
        for number, part_KND in enumerate(text_KND.split(width)):
            similarity_BKTN = cosines(video_BTD, part_KND)
            try:
                plan_BKTN = sinkhorn(
                    1 - similarity_BKTN.detach(),
                    epsilon=settings.epsilon,
                    max_iter=settings.max_iter,
                    tolerance=settings.tolerance,
                    stop_rule=settings.stop_rule,
                ).plan
            except SinkhornError as error:
                raise _blame(error, video_BTD, len(part_KND), number * width) from None
            yield transported_score(similarity_BKTN, plan_BKTN), plan_BKTN


@HEAD_REGISTRY.register()
class PooledDescriptorHead(OSTHead):
    """OSTHead whose transported scores are always those of the uniform plan.

    The score of a kind of descriptors is then the inner product of the mean unit frame and the mean
    unit descriptor, so one feature for a whole video will do. Arguments are OSTHead's.
    """

    options: tuple[str, ...] = DESCRIPTOR_OPTIONS
    requires: ClassVar[dict[str, str]] = {}

    @classmethod
    def from_cfg(cls, cfg: Any, clip: CustomTextCLIP, *, templates: str) -> dict[str, Any]:
        """Read the texts and the ``OST`` options; ``MATCHING`` is pooled here.

        Raises:
            UsageError: class names instead of descriptors are asked for.
        """
        if cfg.OST.MATCHING == "category":
            raise UsageError(
                "OST.MATCHING category with MODEL.HEAD_NAME PooledDescriptorHead, which matches "
                "descriptors: use OSTHead or CategoryHead for class names, or set OST.MATCHING "
                "pooled"
            )
        arguments = super().from_cfg(cfg, clip, templates=templates)
        return {**arguments, "matching": replace(arguments["matching"], method="pooled")}


def _blame(error: SinkhornError, video_BTD: Tensor, classes: int, first: int) -> FeatureError:
    broken = (~video_BTD.isfinite()).flatten(1).any(dim=1).nonzero().flatten().tolist()
    if broken:
        return FeatureError(
            broken,
            f"NaN or infinite frame features: videos at positions {broken} of the batch",
        )
    columns = sorted({first + pair % classes for pair in error.pairs})
    return FeatureError([], f"NaN or infinite text features of the classes {columns[:8]}")
