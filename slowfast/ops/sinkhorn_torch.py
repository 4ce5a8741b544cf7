"""Sinkhorn's iterations in torch: on a device, or with logarithms; pairs innermost, (T, N, P).

Shapes: T rows, N columns, P pairs. Sums are folded by halves: their order depends on T and N only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from slowfast.ops import sinkhorn_cpu as cpu

DEVICE_CHECK_EVERY = 4  # iterations between two looks at a device, each of which waits for it


class Domain(NamedTuple):
    """One way to hold kernel and scalings: plain numbers, or their logarithms."""

    kernel: Callable[[Tensor], Tensor]  # from -cost/epsilon
    marginal: Callable[[Tensor], Tensor]
    rescale: Callable[[Tensor, Tensor, Tensor, int], Tensor]  # kernel, scaling, marginal, axis
    change: Callable[[Tensor, Tensor], Tensor]
    plan: Callable[[Tensor, Tensor, Tensor], Tensor]
    start: float


def _fold(terms: Tensor, axis: int) -> Tensor:
    """Sum over ``axis`` by halves: the order depends on the length of the axis only."""
    terms = terms.movedim(axis, 0)
    while (length := len(terms)) > 1:
        half = length // 2
        low, high = terms.split(half)[:2]
        summed = low + high
        if length % 2:
            summed[0].add_(terms[-1])
        terms = summed
    return terms[0]


def _rescale(kernel: Tensor, scaling: Tensor, marginal: Tensor, axis: int) -> Tensor:
    return marginal / _fold(kernel * scaling.unsqueeze(1 - axis), axis)


def _rescale_log(kernel: Tensor, scaling: Tensor, marginal: Tensor, axis: int) -> Tensor:
    terms = kernel + scaling.unsqueeze(1 - axis)
    top = terms.amax(axis, keepdim=True)
    return marginal - top.squeeze(axis) - _fold(terms.sub_(top).exp_(), axis).log_()


LINEAR = Domain(
    kernel=torch.Tensor.exp_,
    marginal=lambda marginal: marginal,
    rescale=_rescale,
    change=lambda new, old: (new - old).abs_(),
    plan=lambda kernel, row, column: kernel.mul_(row.unsqueeze(1)).mul_(column),
    start=1.0,
)
LOG = Domain(
    kernel=lambda exponent: exponent,
    marginal=torch.log,
    rescale=_rescale_log,
    change=lambda new, old: (new.exp() - old.exp()).abs_(),
    plan=lambda kernel, row, column: kernel.add_(row.unsqueeze(1)).add_(column).exp_(),
    start=0.0,
)


class State(NamedTuple):
    """The scalings (numbers or logarithms) and the progress of P pairs."""

    row: Tensor  # T x P
    column: Tensor  # N x P
    iterations: Tensor  # P
    error: Tensor  # P

    def at(self, pairs: Tensor) -> State:
        """Return a copy of some pairs."""
        return State(*(part.index_select(-1, pairs) for part in self))

    def put(self, pairs: Tensor, other: State) -> None:
        """Overwrite some pairs."""
        for part, new in zip(self, other, strict=True):
            part.index_copy_(-1, pairs, new)


class Solver(NamedTuple):
    """How to iterate, and when to stop."""

    domain: Domain
    max_iter: int
    tolerance: float
    together: bool  # one stopping quantity for the whole call

    @property
    def plainly(self) -> Callable[..., cpu.Solution]:
        """The same with plain numbers on the CPU: (kernel, rows, columns) -> Solution."""
        solve = cpu.solve_together if self.together else cpu.solve_pairs
        return partial(solve, max_iter=self.max_iter, tolerance=self.tolerance)

    def scalings(
        self, kernel: Tensor, marginals: tuple[Tensor, Tensor], state: State, done: int
    ) -> State:
        """Iterate the pairs of ``kernel`` (T, N, P) from iteration ``done`` until each stops."""
        rows, columns = marginals
        pairs = kernel.shape[-1]
        on_cpu = kernel.device.type == "cpu"
        live = torch.ones(pairs, dtype=torch.bool, device=kernel.device)
        all_live = on_cpu
        for iteration in range(done + 1, self.max_iter + 1):
            row = self.domain.rescale(kernel, state.column, rows, 1)
            column = self.domain.rescale(kernel, row, columns, 0)
            error = _fold(self.domain.change(row, state.row), 0).div_(len(row))
            if self.together:
                error = error.mean().expand(pairs).clone()
            new = State(row, column, state.iterations + 1, error)
            if not all_live:
                new = State(*(torch.where(live, n, s) for n, s in zip(new, state, strict=True)))
            state = new
            live &= ~(state.error < self.tolerance)
            if not (on_cpu or iteration % DEVICE_CHECK_EVERY == 0):
                continue
            num_live = int(live.sum())
            all_live = all_live and num_live == pairs
            if num_live == 0:
                break
            if 2 * num_live <= pairs:
                keep = live.nonzero().squeeze(1)
                some = (
                    take(kernel, keep),
                    (take(rows, keep), take(columns, keep)),
                    state.at(keep),
                )
                state.put(keep, self.scalings(*some, iteration))
                break
        return state


def solve(solver: Solver, exponent: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, State]:
    """Return plan (T, N, P) and final state; ``exponent`` is -cost/epsilon, overwritten."""
    domain, (num_rows, num_columns, pairs) = solver.domain, exponent.shape
    if domain is LINEAR and exponent.device.type == "cpu":
        return _solve_in_numpy(solver, exponent, rows, columns)
    start = State(
        exponent.new_full((num_rows, pairs), domain.start),
        exponent.new_full((num_columns, pairs), domain.start),
        torch.zeros(pairs, dtype=torch.int64, device=exponent.device),
        exponent.new_full((pairs,), float("inf")),
    )
    marginals = (domain.marginal(rows), domain.marginal(columns))
    kernel = domain.kernel(exponent)
    state = solver.scalings(kernel, marginals, start, 0)
    return domain.plan(kernel, state.row, state.column), state


def _solve_in_numpy(
    solver: Solver, exponent: Tensor, rows: Tensor, columns: Tensor
) -> tuple[Tensor, State]:
    """Do on the CPU what ``solve`` says, with the arithmetic of whole plain blocks."""
    kernel = exponent.numpy()
    np.exp(kernel, out=kernel)
    state = solver.plainly(kernel, rows.numpy(), columns.numpy())
    row, column, iterations, error = (torch.from_numpy(field) for field in state)
    return LINEAR.plan(exponent, row, column), State(row, column, iterations, error)


def take(values: Tensor, pairs: Tensor) -> Tensor:
    """Return some pairs on the last axis; a marginal that all pairs share has one entry there."""
    return values if values.shape[-1] == 1 else values.index_select(-1, pairs)
