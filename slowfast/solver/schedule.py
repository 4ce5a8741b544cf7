"""Learning rates as pure functions of the exact (real-valued) epoch.

PySlowFast's policies: "cosine" and "steps_with_relative_lrs" behind a linear warm-up. "ost_cosine"
is the schedule that the released OST and ViFi-CLIP were trained with. A further policy is a
function under ``@LR_POLICY_REGISTRY.register()``; ``SOLVER.LR_POLICY`` then names it, without the
``lr_func_`` of PySlowFast's names. Two marks change how it is used: ``warmup=False``, it has a
warm-up of its own; ``lagging=True``, an optimizer step uses the rate of the step before it. A third
mark, ``options``, names the options that it reads alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

from slowfast.errors import UsageError
from slowfast.utils.registry import Registry

FOREIGN = "lr_func_"


LR_POLICY_REGISTRY = Registry(
    "LR_POLICY",
    key="SOLVER.LR_POLICY",
    contract="obj(schedule, epoch) -> rate; or PySlowFast's lr_func_NAME(cfg, epoch) -> rate",
)


@dataclass(frozen=True)
class Schedule:
    """The settings of a learning-rate schedule and its value at every epoch.

    Epochs are counted from 0 and real-valued: 1.5 is the middle of the second epoch. ``cfg`` is
    for policies with options of their own.
    """

    policy: str
    base_lr: float
    max_epoch: float
    warmup_epochs: float = 0.0
    warmup_start_lr: float = 0.0
    cosine_end_lr: float = 0.0
    cosine_after_warmup: bool = False
    cosine_restart_epoch: float = 0.0
    steps: tuple[float, ...] = ()
    lrs: tuple[float, ...] = ()
    update_period: int = 1
    cfg: Any = None

    def __post_init__(self) -> None:
        self._policy()
        if self.policy == "cosine" and self.cosine_end_lr >= self.base_lr:
            raise UsageError(
                f"SOLVER.COSINE_END_LR={self.cosine_end_lr} must be below "
                f"SOLVER.BASE_LR={self.base_lr}"
            )
        if self.policy == "steps_with_relative_lrs":
            self._check_steps()

    def _check_steps(self) -> None:
        if not self.steps or self.steps[0] != 0 or list(self.steps) != sorted(self.steps):
            raise UsageError(
                f"SOLVER.STEPS={list(self.steps)} must start with 0 and rise (epochs at which "
                "the rate changes)"
            )
        if len(self.lrs) < len(self.steps):  # PySlowFast's own files have some to spare
            raise UsageError(
                f"SOLVER.LRS has {len(self.lrs)} values for the {len(self.steps)} SOLVER.STEPS"
            )

    @classmethod
    def from_cfg(cls, cfg: Any) -> Schedule:
        """Read the options of ``cfg.SOLVER``; raises UsageError for impossible ones."""
        solver = cfg.SOLVER
        return cls(
            policy=solver.LR_POLICY,
            base_lr=solver.BASE_LR,
            max_epoch=solver.MAX_EPOCH,
            warmup_epochs=solver.WARMUP_EPOCHS,
            warmup_start_lr=solver.WARMUP_START_LR,
            cosine_end_lr=solver.COSINE_END_LR,
            cosine_after_warmup=solver.COSINE_AFTER_WARMUP,
            cosine_restart_epoch=solver.COSINE_RESTART_EPOCH,
            steps=tuple(solver.STEPS),
            lrs=tuple(solver.LRS),
            update_period=solver.LR_UPDATE_PERIOD,
            cfg=cfg,
        )

    def lr_at(self, epoch: float) -> float:
        """Return the learning rate at ``epoch``.

        >>> schedule = Schedule("cosine", 3.33e-6, 22, 2, 3.33e-8, 3.33e-8, True)
        >>> [float(f"{schedule.lr_at(e):.5e}") for e in (0, 1, 2, 22)]
        [3.33e-08, 1.68165e-06, 3.33e-06, 3.33e-08]
        """
        if epoch >= self.warmup_epochs or not getattr(self._policy()[0], "warmup", True):
            return self._rate(epoch)
        peak = self._rate(self.warmup_epochs)
        slope = (peak - self.warmup_start_lr) / self.warmup_epochs
        return self.warmup_start_lr + epoch * slope

    def lr_for_step(
        self, iteration: int, iters_per_epoch: int, accumulation: int = 1, *, carry: bool = False
    ) -> float:
        """Return the rate to use at micro-step ``iteration`` (counted over the whole training).

        Args:
            iteration: micro-step, from 0.
            iters_per_epoch: micro-steps of an epoch.
            accumulation: micro-steps of one optimizer step; an epoch's last step may have fewer.
            carry: an epoch ends without a step where its last one would have fewer.
        """
        iteration = last_update(iteration, iters_per_epoch, self.update_period)
        if getattr(self._policy()[0], "lagging", False):
            iteration = previous_step(iteration, iters_per_epoch, accumulation, carry=carry)
        return self.lr_at(iteration / iters_per_epoch)

    def _policy(self) -> tuple[Callable[..., float], bool]:
        return find_policy(self.policy)

    def _rate(self, epoch: float) -> float:
        policy, foreign = self._policy()
        rate = policy(self.cfg if foreign else self, epoch)
        if not isinstance(rate, Real):
            raise LR_POLICY_REGISTRY.returned(policy, rate)
        return rate


def find_policy(name: str) -> tuple[Callable[..., float], bool]:
    """Return a policy's function and whether it is one of PySlowFast's form; raises UsageError."""
    foreign = FOREIGN + name in LR_POLICY_REGISTRY
    return LR_POLICY_REGISTRY.get(FOREIGN * foreign + name), foreign


def last_update(iteration: int, iters_per_epoch: int, period: int) -> int:
    """Return the micro-step at or before ``iteration`` at which the rate was set.

    That is the first of each epoch and every one whose number within the epoch, counted from 1, is
    a multiple of ``period``.

    parity: Text4Vis sets it at 0, 9, 19, 29, ... of each epoch (period 10), so that its first nine
    steps run at rate 0.

    >>> [last_update(i, 14, 5) for i in (0, 3, 4, 8, 9, 13, 14, 17, 18)]
    [0, 0, 4, 4, 9, 9, 14, 14, 18]
    """
    epoch, within = divmod(iteration, iters_per_epoch)
    return epoch * iters_per_epoch + max(0, (within + 1) // period * period - 1)


def previous_step(
    iteration: int, iters_per_epoch: int, accumulation: int, *, carry: bool = False
) -> int:
    """Return the micro-step at which the optimizer last stepped before ``iteration``.

    Micro-step i of an epoch steps when (i + 1) is a multiple of ``accumulation``, and the last one
    always does unless its gradients are carried over. Before the first step the answer is 0.

    >>> [previous_step(i, 5, 2) for i in range(8)]
    [0, 0, 1, 1, 3, 4, 4, 6]
    """
    epoch, within = divmod(iteration, iters_per_epoch)
    done = within // accumulation * accumulation
    if carry and done == 0:
        done = -(iters_per_epoch % accumulation)
    return max(0, epoch * iters_per_epoch + done - 1)


def _half_cosine(peak: float, end: float, fraction: float) -> float:
    return end + (peak - end) * (math.cos(math.pi * fraction) + 1.0) * 0.5


@LR_POLICY_REGISTRY.register(
    options=tuple(f"SOLVER.COSINE_{name}" for name in ("END_LR", "AFTER_WARMUP", "RESTART_EPOCH"))
)
def cosine(schedule: Schedule, epoch: float) -> float:
    """Half a cosine from BASE_LR to COSINE_END_LR, restarted every COSINE_RESTART_EPOCH if set."""
    offset = schedule.warmup_epochs if schedule.cosine_after_warmup else 0.0
    if schedule.cosine_restart_epoch:
        period = schedule.cosine_restart_epoch
        fraction = (epoch - offset) % period / period
    else:
        fraction = (epoch - offset) / (schedule.max_epoch - offset)
    return _half_cosine(schedule.base_lr, schedule.cosine_end_lr, fraction)


@LR_POLICY_REGISTRY.register(options=("SOLVER.STEPS", "SOLVER.LRS"))
def steps_with_relative_lrs(schedule: Schedule, epoch: float) -> float:
    """BASE_LR times the entry of LRS whose entry of STEPS was passed last."""
    passed = sum(step <= epoch for step in schedule.steps)
    return schedule.base_lr * schedule.lrs[passed - 1]


@LR_POLICY_REGISTRY.register(warmup=False, lagging=True)
def ost_cosine(schedule: Schedule, epoch: float) -> float:
    """Rise from 0 for WARMUP_EPOCHS, then a cosine that ends at BASE_LR / 100.

    parity: the published cosine counts from epoch 0 and not from the end of the warm-up, so the
    rate falls where the warm-up ends (by half in OST's 10-epoch recipe); and the rate is set
    after an optimizer step for the position of that step, so each step uses the one before it
    (``lagging``) and the first one runs at rate 0. The end is BASE_LR / 100 whatever
    COSINE_END_LR says.
    """
    if epoch < schedule.warmup_epochs:
        return schedule.base_lr * epoch / schedule.warmup_epochs
    return _half_cosine(schedule.base_lr, schedule.base_lr / 100, epoch / schedule.max_epoch)


def get_lr_at_epoch(cfg: Any, cur_epoch: float) -> float:
    """Return the learning rate of ``cfg`` at the real-valued epoch (PySlowFast's name)."""
    return Schedule.from_cfg(cfg).lr_at(cur_epoch)
