"""One optimizer step over one or several micro-batches: autocast, scaling, clipping, accumulation.

The stepper knows neither the model's nor the loss's name: it is handed a function that computes
named loss terms and adds them up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from slowfast.errors import UsageError
from slowfast.solver.optimizer import grad_norm, unwrap
from slowfast.structures import ModelOutput

AMP_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


class MicroStep(NamedTuple):
    """What one micro-step leaves behind, without gradients.

    ``loss`` is the sum of the terms that have a gradient (others are only logged), not divided by
    the accumulation count; ``output`` the
    model's, without frame features. ``grad_norm`` is the gradient's L2 norm before clipping, or
    None where the optimizer did not step yet.
    """

    loss: Tensor
    terms: dict[str, Tensor]
    output: ModelOutput
    grad_norm: Tensor | None


def accumulation_group(
    iteration: int, iters: int, accumulation: int, *, carry: bool = False
) -> tuple[int, int]:
    """Return (position in its optimizer step, micro-steps of that step) of a micro-step.

    Groups start anew with each epoch. The last one of an epoch may be shorter; it is stepped with
    its own divisor. (The released OST code throws it away.) With ``carry`` it is not stepped.

    >>> [accumulation_group(i, 5, 2) for i in range(5)]
    [(0, 2), (1, 2), (0, 2), (1, 2), (0, 1)]
    >>> accumulation_group(4, 5, 2, carry=True)
    (0, 2)
    """
    start = iteration // accumulation * accumulation
    return iteration - start, accumulation if carry else min(accumulation, iters - start)


def _detach(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in tensors.items()}


class Stepper:
    """Turn loss terms into optimizer steps.

    Args:
        model: the module whose gradients are computed; ``no_sync`` of DistributedDataParallel is
            used for all but the last micro-step of a step.
        optimizer: what steps.
        accumulation: micro-steps of one optimizer step.
        carry: keep the gradients that an epoch's last micro-steps leave over, and add them to the
            first step of the next epoch, as released by Text4Vis. They are part of the state:
            ``left_over`` before saving, ``take_over`` on resuming.
        amp_dtype: autocast to this type, or None for full precision. float16 needs loss scaling.
        clip_value: largest absolute value of a gradient's entry, or None.
        clip_l2norm: largest L2 norm of the whole gradient, or None; ``clip_value`` wins.

    ``last_share`` is how much of a whole batch an epoch's last micro-batch has (1.0 at first): it
    counts as much in its step's mean. What is carried over counts whole, as published.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        accumulation: int = 1,
        carry: bool = False,
        amp_dtype: torch.dtype | None = None,
        clip_value: float | None = None,
        clip_l2norm: float | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.accumulation = accumulation
        self.carry = carry
        self.amp_dtype = amp_dtype
        self.clip_value = clip_value
        self.clip_l2norm = clip_l2norm
        self.device_type = next(model.parameters()).device.type
        scaled = amp_dtype is torch.float16
        self.last_share = 1.0
        self.scaler = torch.amp.GradScaler(self.device_type, enabled=scaled)

    @classmethod
    def from_cfg(
        cls, cfg: Any, model: nn.Module, optimizer: torch.optim.Optimizer, accumulation: int
    ) -> Stepper:
        """Read precision, clipping and the tail of ``cfg``; UsageError for an unknown type."""
        amp_dtype = None
        if cfg.TRAIN.MIXED_PRECISION:
            if cfg.TRAIN.AMP_DTYPE not in AMP_DTYPES:
                raise UsageError(
                    f"TRAIN.AMP_DTYPE={cfg.TRAIN.AMP_DTYPE!r} is unknown; "
                    f"known: {', '.join(AMP_DTYPES)}"
                )
            amp_dtype = AMP_DTYPES[cfg.TRAIN.AMP_DTYPE]
        return cls(
            model,
            optimizer,
            accumulation=accumulation,
            carry=cfg.TRAIN.ACCUMULATION_TAIL == "carry",
            amp_dtype=amp_dtype,
            clip_value=cfg.SOLVER.CLIP_GRAD_VAL or None,  # 0 is PySlowFast's "off", too
            clip_l2norm=cfg.SOLVER.CLIP_GRAD_L2NORM or None,
        )

    def micro_step(
        self,
        compute: Callable[[], tuple[Mapping[str, Tensor], ModelOutput]],
        *,
        iteration: int,
        iters: int,
    ) -> MicroStep:
        """Run forward and backward of one micro-batch, and step where its group is complete.

        Args:
            compute: runs the model and returns the named loss terms, whose sum is minimised, and
                the model's output.
            iteration: micro-step within the epoch, from 0.
            iters: micro-steps of the epoch.
        """
        position, group = accumulation_group(iteration, iters, self.accumulation, carry=self.carry)
        last = position == group - 1
        # What is carried over is averaged over the processes, so that any one can save it.
        with self._no_sync(last or iteration == iters - 1):
            enabled = self.amp_dtype is not None
            with torch.autocast(self.device_type, dtype=self.amp_dtype, enabled=enabled):
                terms, output = compute()
                counted = [t.float() for t in terms.values() if t.requires_grad]
                loss = torch.stack(counted or [t.float() for t in terms.values()]).sum()
            self.scaler.scale(loss / self._divisor(iteration, iters, position, group)).backward()
        norm = self._optimizer_step() if last else None
        plain = ModelOutput(output.logits.detach(), None, _detach(output.extras))
        return MicroStep(loss.detach(), _detach(terms), plain, norm)

    def _divisor(self, iteration: int, iters: int, position: int, group: int) -> float:
        """Return what makes a micro-step's mean its part of the mean over all clips of the step."""
        holds_last = iteration - position + group == iters
        if not holds_last or self.carry:
            return group
        clips = group - 1 + self.last_share  # in whole micro-batches
        return clips / self.last_share if iteration == iters - 1 else clips

    def left_over(self) -> dict[str, Tensor]:
        """Return the gradients that wait for the next epoch by parameter name, or nothing."""
        named = unwrap(self.model).named_parameters()
        return {name: p.grad for name, p in named if p.grad is not None}

    def take_over(self, gradients: Mapping[str, Tensor]) -> None:
        """Go on from what ``left_over`` returned."""
        parameters = dict(unwrap(self.model).named_parameters())
        for name, gradient in gradients.items():
            parameters[name].grad = gradient.to(parameters[name].device)

    def _no_sync(self, together: bool) -> contextlib.AbstractContextManager[None]:
        if together or not isinstance(self.model, nn.parallel.DistributedDataParallel):
            return contextlib.nullcontext()
        return self.model.no_sync()

    def _optimizer_step(self) -> Tensor:
        self.scaler.unscale_(self.optimizer)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = grad_norm(parameters)
        if self.clip_value is not None:
            torch.nn.utils.clip_grad_value_(parameters, self.clip_value)
        elif self.clip_l2norm is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.clip_l2norm, norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return norm
