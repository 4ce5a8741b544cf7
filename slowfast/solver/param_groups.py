"""Which parameters train at which rate and with which weight decay.

Three questions are answered for each parameter, in this order: which rule of the model's table it
matches (first match wins), how far below the top its layer is (only with layer-wise decay), and
whether it is a batch norm's, decayed, or not decayed. Parameters with equal answers share a group,
so every trainable parameter lands in exactly one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from os.path import commonprefix
from typing import Any, NamedTuple

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from slowfast.errors import UsageError
from slowfast.utils.patterns import require_matches

BATCH_NORM, DECAYED, NOT_DECAYED = 0, 1, 2


@dataclass(frozen=True)
class Rule:
    """What holds for the parameters whose name matches ``pattern`` (shell wildcards).

    ``lr_scale`` multiplies the scheduled rate (0 keeps the parameters as they are);
    ``weight_decay`` stands in for SOLVER.WEIGHT_DECAY where it is not None. A rule that matches no
    parameter is refused, unless it is ``optional``: of a part that some configurations have not.
    """

    pattern: str
    lr_scale: float = 1.0
    weight_decay: float | None = None
    optional: bool = False


class _Key(NamedTuple):
    rule: int
    below_top: int
    kind: int


def build_param_groups(
    model: nn.Module,
    *,
    weight_decay: float,
    bn_weight_decay: float = 0.0,
    zero_wd_1d: bool = False,
    layer_decay: float = 1.0,
    rules: Sequence[Rule] | None = None,
) -> list[dict[str, Any]]:
    """Return the optimizer groups of ``model``'s trainable parameters.

    Without rules these are PySlowFast's, in its order, by which a checkpoint of it assigns Adam's
    state: batch norm, decayed, not decayed (empty ones are left out); with layer decay one for each
    layer, decayed or not, as the model's parameters first need it. LayerNorm is decayed unless
    ``zero_wd_1d``. CLIP's ``logit_scale`` is decayed in any case, because it has no dimension at
    all (parity; a rule or the model's ``no_weight_decay`` excludes it by name).

    Args:
        model: may offer ``no_weight_decay() -> names``, ``param_rules`` (a sequence of Rule) and
            ``layer_of(name) -> layers below the top``, which defaults to ``layers_below_top``.
        weight_decay: of the decayed group.
        bn_weight_decay: of batch norms.
        zero_wd_1d: whether one-dimensional parameters and names ending in ``.bias`` stay undecayed.
        layer_decay: factor on the rate for each layer below the top; 1 turns it off.
        rules: used instead of the model's ``param_rules``.

    Returns:
        Dictionaries with ``params``, ``param_names``, ``weight_decay``, ``layer_decay`` (factor of
        the group's layer) and ``lr_scale`` (factor of its rule).

    Raises:
        UsageError: nothing is trainable, layer decay meets a batch norm, or a rule matches nothing.
    """
    table = _rule_table(model, getattr(model, "param_rules", ()) if rules is None else rules)
    by_layer = layer_decay != 1.0
    layer_of = getattr(model, "layer_of", None) or _layer_function(model)
    grouped: dict[_Key, list[tuple[str, nn.Parameter]]] = {}
    for name, parameter, kind in _trainable(model, zero_wd_1d=zero_wd_1d, whole_names=by_layer):
        if by_layer and kind == BATCH_NORM:
            raise UsageError(f"SOLVER.LAYER_DECAY must be 1 with batch norms; found {name}")
        rule = next(i for i, rule in enumerate(table) if fnmatchcase(name, rule.pattern))
        key = _Key(rule, layer_of(name) if by_layer else 0, kind)
        grouped.setdefault(key, []).append((name, parameter))
    if not grouped:
        raise UsageError("the model has no trainable parameter; see CLIP.TRAINABLE and CLIP.FREEZE")
    groups = []
    for key in grouped if by_layer else sorted(grouped):
        rule_decay = table[key.rule].weight_decay
        decayed = weight_decay if rule_decay is None else rule_decay
        groups.append(
            {
                "params": [parameter for _, parameter in grouped[key]],
                "param_names": [name for name, _ in grouped[key]],
                "weight_decay": (bn_weight_decay, decayed, 0.0)[key.kind],
                "layer_decay": layer_decay**key.below_top,
                "lr_scale": table[key.rule].lr_scale,
            }
        )
    return groups


def _rule_table(model: nn.Module, rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Return ``rules`` and one for the rest; raises UsageError for one that matches nothing."""
    names = [name for name, _ in model.named_parameters()]
    required = [rule.pattern for rule in rules if not rule.optional]
    require_matches(required, names, f"{type(model).__name__}'s param_rules: Rule")
    return (*rules, Rule("*"))


def _trainable(
    model: nn.Module, *, zero_wd_1d: bool, whole_names: bool
) -> Iterator[tuple[str, nn.Parameter, int]]:
    """Yield (name, parameter, BATCH_NORM, DECAYED or NOT_DECAYED), each shared parameter once."""
    norms = {
        id(p)
        for m in model.modules()
        if isinstance(m, _NormBase)
        for p in m.parameters(recurse=False)
    }
    listed = tuple(getattr(model, "no_weight_decay", tuple)())
    for name, parameter in model.named_parameters():
        # parity: with layer decay PySlowFast compares whole names, otherwise fragments of names.
        bare = name in listed if whole_names else any(fragment in name for fragment in listed)
        bare |= zero_wd_1d and (parameter.ndim == 1 or name.endswith(".bias"))
        if parameter.requires_grad:
            kind = NOT_DECAYED if bare else DECAYED
            yield name, parameter, BATCH_NORM if id(parameter) in norms else kind


_BLOCK = re.compile(r"^(?P<stack>.*?(?:resblocks|blocks))\.(?P<index>\d+)\.")
_EMBEDDING = re.compile(
    r"(?:^|\.)(?:cls_token|mask_token|class_embedding|token_embedding|pos_embed\w*|"
    r"positional_embedding|patch_embed\w*|conv1|ln_pre)(?:\.|$)"
)


def layers_below_top(name: str, depths: dict[str, int]) -> int:
    """Return how many layers lie between a parameter and the top of its tower.

    Block i of a stack of N is N - i below the top, embeddings are N + 1 below it, and everything
    else (projections, final norms, heads) is at the top. This is PySlowFast's N + 1 - id with the
    names of its own transformers and of CLIP's two towers.

    Args:
        name: of the parameter.
        depths: blocks per stack, as ``{"clip.visual.transformer.resblocks": 12, ...}``.

    >>> layers_below_top("visual.transformer.resblocks.11.ln_1.weight",
    ...                  {"visual.transformer.resblocks": 12})
    1
    """
    block = _BLOCK.match(name)
    if block:
        return depths[block["stack"]] - int(block["index"])
    if not _EMBEDDING.search(name):
        return 0
    # An embedding belongs to the stack whose name starts most like its own.
    parts = name.split(".")
    nearest = max(
        depths, key=lambda stack: len(commonprefix([stack.split("."), parts])), default=""
    )
    return 1 + depths.get(nearest, -1)


def _layer_function(model: nn.Module) -> Callable[[str], int]:
    depths: dict[str, int] = {}
    for name, _ in model.named_parameters():
        block = _BLOCK.match(name)
        if block:
            stack = block["stack"]
            depths[stack] = max(depths.get(stack, 0), int(block["index"]) + 1)
    return lambda name: layers_below_top(name, depths)
