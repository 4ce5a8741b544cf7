"""Losses by name. B batch (of all processes for the contrastive one), K classes."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.config.configurable import configurable
from slowfast.errors import UsageError
from slowfast.structures import ModelOutput
from slowfast.utils.registry import Registry

Reduction = Literal["mean", "sum", "none"]
LossFunction = Callable[[ModelOutput, Tensor], dict[str, Tensor]]
LOSS_REGISTRY = Registry(
    "LOSS",
    key="MODEL.LOSS_FUNC",
    contract="obj(cfg) -> loss, loss(output, labels) -> {term: scalar}; or a class of PySlowFast's "
    "form: obj(reduction='mean') -> loss, loss(preds, labels) -> scalar or (scalar, [further])",
)
# PySlowFast's name for the same table; forks write into it.
_LOSSES: dict[str, Any] = LOSS_REGISTRY._obj_map
LOSS_REGISTRY.register(nn.CrossEntropyLoss, names=["cross_entropy"])
LOSS_REGISTRY.register(nn.BCELoss, names=["bce"])
LOSS_REGISTRY.register(nn.BCEWithLogitsLoss, names=["bce_logit"])
LOSS_REGISTRY.register(nn.MSELoss, names=["mse"])
POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
PER_CLASS = ("bce", "bce_logit", "mse")  # their targets have the form of the logits
# Those that follow from the form of the labels, so that they make no method another.
STANDARD = (*PER_CLASS, "cross_entropy", "soft_cross_entropy")


@LOSS_REGISTRY.register(names=["soft_cross_entropy"])
class SoftTargetCrossEntropy(nn.Module):
    """Cross-entropy with soft targets B x K (not normalised), or int64 labels B as one-hot ones.

    Args:
        reduction: over the samples.
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, logits_BK: Tensor, target: Tensor) -> Tensor:
        """Return minus the sum over classes of target times log-probability."""
        if not target.is_floating_point():
            return F.cross_entropy(logits_BK, target, reduction=self.reduction)
        loss_B = -(target * logits_BK.log_softmax(dim=-1)).sum(dim=-1)
        return loss_B if self.reduction == "none" else getattr(loss_B, self.reduction)()


@LOSS_REGISTRY.register(names=["ost_contrastive"])
class OSTContrastive(nn.Module):
    """OST's symmetric objective over the batch matrix (paper eq. 14-15 as released).

    The target of a row is the softmax of ``temperature`` times the matrix of equal labels, not a
    normalised indicator. Each direction is KL(target, prediction) summed over the matrix and
    divided by B; they are added without the paper's factor 1/2.

    Args:
        temperature: of the target; not in the paper.
        reduction: of the two directions: "mean" or "sum" give their sum, "none" both.
    """

    options: ClassVar[tuple[str, ...]] = ("OST.TARGET_TEMPERATURE",)
    in_batch: ClassVar[bool] = True
    min_batch: ClassVar[int] = 2  # a video alone has nothing to differ from
    word: ClassVar[str] = "contrastive"

    @configurable
    def __init__(self, reduction: Reduction = "mean", temperature: float = 10.0) -> None:
        super().__init__()
        self.reduction = reduction
        self.temperature = temperature

    @classmethod
    def from_cfg(cls, cfg: Any) -> dict[str, Any]:
        """Read the target's temperature."""
        return {"temperature": cfg.OST.TARGET_TEMPERATURE}

    def directions(self, logits_BB: Tensor, labels_B: Tensor) -> dict[str, Tensor]:
        """Return the terms ``video_to_text`` and ``text_to_video``."""
        check_hard_labels(labels_B)
        if logits_BB.shape != (len(labels_B), len(labels_B)):
            raise UsageError(
                f"MODEL.LOSS_FUNC ost_contrastive needs the batch's own square of logits, found "
                f"{tuple(logits_BB.shape)} for {len(labels_B)} labels: the model must be in "
                "training mode and have a head that scores texts (OSTHead, CategoryHead)"
            )
        same_BB = (labels_B[:, None] == labels_B[None, :]).to(logits_BB.dtype)
        target_BB = (self.temperature * same_BB).softmax(dim=-1)
        return {
            "video_to_text": _divergence(logits_BB, target_BB),
            "text_to_video": _divergence(logits_BB.mT, target_BB),
        }

    def forward(self, output: ModelOutput | Tensor, labels: Tensor) -> dict[str, Tensor] | Tensor:
        """Return both directions of a model's output, by the labels that it gathered if it did.

        Of bare logits (PySlowFast's way) their sum, or both of them unreduced.
        """
        if isinstance(output, ModelOutput):
            return self.directions(output.logits, output.extras.get("labels", labels))
        terms = torch.stack(list(self.directions(output, labels).values()))
        return terms if self.reduction == "none" else terms.sum()


def _divergence(logits_BB: Tensor, target_BB: Tensor) -> Tensor:
    return F.kl_div(logits_BB.log_softmax(dim=-1), target_BB, reduction="batchmean")


def is_in_batch(loss_name: str) -> bool:
    """Return whether a loss compares videos with the texts of their batch (its ``in_batch``)."""
    return getattr(_LOSSES.get(loss_name), "in_batch", False)


def whole_batches(loss_name: str, loss: LossFunction) -> str:
    """Return why a built loss wants batches of one size: it compares their videos; or nothing."""
    if is_in_batch(loss_name) or getattr(loss, "min_batch", 1) > 1:
        return f"MODEL.LOSS_FUNC {loss_name} compares the videos of a batch with each other"
    return ""


def check_hard_labels(labels: Tensor) -> Tensor:
    """Return int64 labels B; raises UsageError for mixed or smoothed ones (B x K)."""
    if labels.is_floating_point() or labels.ndim != 1:
        raise UsageError(
            "the contrastive objective picks texts by class label, but the labels are mixed or "
            "smoothed: switch MIXUP.ENABLE and label smoothing off, or use another MODEL.LOSS_FUNC"
        )
    return labels


def get_loss_func(loss_name: str) -> type[nn.Module]:
    """Return the loss class of that name, to be built with ``reduction=...`` (PySlowFast's way)."""
    return LOSS_REGISTRY.get(loss_name)


def build_loss(cfg: Any) -> LossFunction:
    """Return the loss ``MODEL.LOSS_FUNC`` of LOSS_REGISTRY.

    A class of PySlowFast's form becomes one term with the loss's name. It gets logits and labels,
    and for each further argument without a default the next output of the model's tuple. What it
    returns behind the loss is logged as ``loss_0``, ``loss_1``, ... and not trained.

    Raises:
        UsageError: no such loss; here or when it is called: one that breaks the contract.
    """
    name = cfg.MODEL.LOSS_FUNC
    entry = LOSS_REGISTRY.get(name)
    known = signature(entry).parameters
    is_class = isinstance(entry, type) or "reduction" in known
    if is_class and "cfg" not in known and not hasattr(entry, "from_cfg"):
        options = {"reduction": "mean"} if "reduction" in known else {}
        return _one_term(name, LOSS_REGISTRY.build(name, **options))
    loss = LOSS_REGISTRY.build(name, cfg)

    def compare(output: ModelOutput, labels: Tensor) -> dict[str, Tensor]:
        try:
            terms = loss(output, labels)
        except (AttributeError, TypeError) as error:
            if "ModelOutput" not in str(error):  # what it got instead of PySlowFast's logits
                raise
            raise LOSS_REGISTRY.broken(entry, f"made a loss of another form ({error})") from error
        if not isinstance(terms, dict) or not all(isinstance(t, Tensor) for t in terms.values()):
            raise LOSS_REGISTRY.returned(entry, terms)
        return terms

    compare.min_batch = getattr(loss, "min_batch", 1)  # type: ignore[attr-defined]
    return compare


def _one_term(name: str, function: Callable[..., Any]) -> LossFunction:
    """Return PySlowFast's ``loss(preds, labels)`` as a loss of one term called ``name``."""
    arguments = signature(getattr(function, "forward", function)).parameters.values()
    wanted = sum(a.default is Parameter.empty and a.kind in POSITIONAL for a in arguments) - 2
    every = any(a.kind is Parameter.VAR_POSITIONAL for a in arguments)

    def compare(output: ModelOutput, labels: Tensor) -> dict[str, Tensor]:
        if name in PER_CLASS and labels.shape != output.logits.shape:
            raise UsageError(
                f"MODEL.LOSS_FUNC {name} needs a target for each class, found one label for each "
                "video: use cross_entropy, or make such targets with DATA.MULTI_LABEL or "
                "MIXUP.ENABLE"
            )
        further = output.further if every else output.further[: max(0, wanted)]
        if len(further) < wanted:
            raise UsageError(
                f"MODEL.LOSS_FUNC {name} wants {wanted} outputs of the model behind the logits, "
                f"found {len(further)}: return a tuple of them from forward()"
            )
        returned = function(output.logits, labels, *further)
        pair = isinstance(returned, list | tuple) and len(returned) == 2
        loss, logged = returned if pair else (returned, ())
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise LOSS_REGISTRY.returned(function, returned)
        parts = logged if isinstance(logged, list | tuple) else [logged]
        values = [torch.as_tensor(part).detach().float().mean() for part in parts]
        return {name: loss.mean(), **{str(i): value for i, value in enumerate(values)}}

    return compare
