"""Entropic optimal transport between many pairs of small distributions (OST, section 3.3).

Shapes: T frames (rows), N descriptors (columns), P pairs (every leading axis, flattened).

Matrix products on slivers of 32 x 4 cost more in calls than in arithmetic, so the pairs are moved
innermost, (T, N, P), where both products are long element-wise runs. Sums are folded by halves:
their order, hence every bit of a pair's plan, depends on T and N only, not on the pairs beside it.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from slowfast.errors import SinkhornError, UsageError

# Up to here exp(-cost/epsilon) and both scalings stay far inside float32, whatever the marginals.
LARGEST_EXPONENT = 30.0
BLOCK_ELEMENTS = {"cpu": 1 << 19}  # entries worked on at a time: what a cache holds; elsewhere 2^25
LOOK_EVERY = {"cpu": 1}  # iterations between looks at who still runs; elsewhere 8: each look waits
PACK_ABOVE = 1 << 14  # entries; packing the pairs that still run pays above


class SinkhornResult(NamedTuple):
    """``plan`` (..., T, N), laid out as the cost; ``iterations`` and last ``error`` (...)."""

    plan: Tensor
    iterations: Tensor
    error: Tensor


def _fold(terms: Tensor, axis: int) -> Tensor:
    """Sum over ``axis`` by halves; ``terms`` is overwritten."""
    while (length := terms.shape[axis]) > 1:
        terms, rest = terms.chunk(2, axis)
        (terms.narrow(axis, 0, length // 2) if length % 2 else terms).add_(rest)
    return terms.squeeze(axis)


class _Solver(NamedTuple):
    """When to stop (each pair by itself, or all together), and whether to hold logarithms."""

    max_iter: int
    tolerance: float
    together: bool
    log: bool = False

    def solve(self, exponent: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, ...]:
        """Return plan (T, N, P), iterations and error (P) for -cost / epsilon, T x N x P."""
        kernel = exponent if self.log else exponent.exp()
        sides = (rows.log(), columns.log()) if self.log else (rows, columns)
        one = exponent.new_full((1, 1), 0.0 if self.log else 1.0)  # widened in the first iteration
        none = one.new_zeros(1, dtype=torch.int64)
        row, column, *progress = self._iterate(kernel, *sides, one, one, none, one[0])
        if self.log:
            return (kernel + row.unsqueeze(1)).add_(column).exp_(), *progress
        return kernel.mul_(row.unsqueeze(1)).mul_(column), *progress

    def solve_stably(self, exponent: Tensor, *marginals: Tensor) -> tuple[Tensor, ...]:
        """Solve pairs whose kernel would leave float32's range with logarithms, in float64.

        A pair's own costs choose, so that its result does not depend on others; with one stopping
        quantity for all pairs there is one choice for all.
        """
        wide = exponent.abs().amax(dim=(0, 1)) > LARGEST_EXPONENT
        wide = wide.any() if self.together else wide
        plainly = self.solve(exponent.clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT), *marginals)
        doubles = (x.double() for x in (exponent, *marginals))
        stably = self._replace(log=True).solve(*doubles)
        return tuple(torch.where(wide, s.to(p.dtype), p) for s, p in zip(stably, plainly))

    def _iterate(
        self, kernel: Tensor, rows: Tensor, columns: Tensor, *state: Tensor, done: int = 0
    ) -> tuple[Tensor, ...]:
        """Continue (row, column, iterations, error) until every pair has stopped.

        An iteration is a function of the column scaling alone. A pair that has stopped keeps the
        one that its last iteration began with, and so repeats that iteration.
        """
        row, column, iterations, error = state
        live, work = torch.ones_like(kernel[0, 0], dtype=torch.bool), torch.empty_like(kernel)
        for iteration in range(done + 1, self.max_iter + 1):
            before, row = row, self._rescale(kernel, column, rows, 1, work)
            renewed = self._rescale(kernel, row, columns, 0, work)
            change = row.exp() - before.exp() if self.log else row - before
            change = _fold(change.abs_(), 0).div_(len(row))
            change = change.mean().expand_as(change) if self.together else change
            error, iterations = torch.where(live, change, error), iterations + live
            live = ~(error < self.tolerance)  # NaN, where logarithms overflow, goes on
            if iteration % LOOK_EVERY.get(kernel.device.type, 8) == 0 and iteration < self.max_iter:
                keep, whole = live.nonzero().squeeze(1), (row, renewed, iterations, error)
                if len(keep) == 0:
                    break
                if 2 * len(keep) <= len(live) and kernel.numel() > PACK_ABOVE:
                    some = (x.index_select(-1, keep) for x in (kernel, rows, columns, *whole))
                    for values, rest in zip(whole, self._iterate(*some, done=iteration)):
                        values.index_copy_(-1, keep, rest)
                    return whole
            column = torch.where(live, renewed, column)
        return row, renewed, iterations, error

    def _rescale(
        self, kernel: Tensor, scaling: Tensor, marginal: Tensor, axis: int, work: Tensor
    ) -> Tensor:
        """Return the scaling that gives the side other than ``axis`` its marginal."""
        scaling = scaling.unsqueeze(1 - axis)
        if not self.log:
            return marginal / _fold(torch.mul(kernel, scaling, out=work), axis)
        terms = torch.add(kernel, scaling, out=work)
        top = terms.amax(axis, keepdim=True)
        return marginal - top.squeeze(axis) - _fold(terms.sub_(top).exp_(), axis).log_()


def _marginals(cost: Tensor, given: tuple[Tensor | None, Tensor | None]) -> list[Tensor]:
    """Return the marginals as T x P and N x P, uniform where none is given."""
    found, pairs = [], cost.shape[:-2]
    for marginal, side, length in zip(given, ("row", "column"), cost.shape[-2:]):
        if marginal is None:
            marginal = cost.new_full((length,), 1 / length)
        elif marginal.shape[-1:] != (length,):
            shape = tuple(marginal.shape)
            raise UsageError(f"{side}_marginal has shape {shape}, expected a last axis of {length}")
        elif bool((marginal < 0).any()) or not bool(marginal.isfinite().all()):
            raise UsageError(f"{side}_marginal holds negative or non-finite entries")
        found.append(marginal.to(cost).expand(*pairs, length).reshape(-1, length).mT)
    if given != (None, None):
        mass, other = (marginal.sum(0) for marginal in found)
        if not bool((torch.isclose(mass, other, rtol=1e-4) & (mass > 0)).all()):
            raise UsageError("row_marginal and column_marginal must have the same positive sum")
    return found


def _like(cost: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return memory for the results: plan, iterations, error."""
    plan = torch.empty_like(cost, dtype=torch.promote_types(cost.dtype, torch.float32))
    count = plan.new_empty(cost.shape[:-2], dtype=torch.int64)
    return plan, count, torch.empty_like(count, dtype=plan.dtype)


_SCHEMA = (
    "(Tensor cost, Tensor? row_marginal, Tensor? column_marginal, float epsilon, "
    "int max_iter, float tolerance, bool together) -> (Tensor, Tensor, Tensor)"
)


# An operator of its own: compiled graphs call it whole, and it may look at values.
@torch.library.custom_op("slowfast::sinkhorn", mutates_args=(), schema=_SCHEMA)
def _sinkhorn(
    cost: Tensor, row: Tensor | None, column: Tensor | None, epsilon: float, *rule: Any
) -> tuple[Tensor, Tensor, Tensor]:
    plan, count, error = _like(cost)
    rows, columns = _marginals(plan, (row, column))
    if not cost.numel():
        return plan, count, error
    innermost = cost.to(plan.dtype).movedim((-2, -1), (0, 1))
    whole = torch.mul(innermost, -1 / epsilon, out=plan.new_empty(innermost.shape))
    low, high = torch.stack(torch.aminmax(whole)).tolist()
    if not (math.isfinite(low) and math.isfinite(high)):
        broken = (~cost.isfinite()).flatten(-2).any(-1).flatten()
        raise SinkhornError(broken.nonzero().squeeze(1).tolist(), len(broken))
    solver = _Solver(*rule)
    solve = solver.solve if max(-low, high) <= LARGEST_EXPONENT else solver.solve_stably
    block = BLOCK_ELEMENTS.get(cost.device.type, 1 << 25) // math.prod(cost.shape[-2:])
    size = count.numel() if solver.together else max(1, block)
    pairs = (whole.view(*cost.shape[-2:], -1), count.view(-1), error.view(-1), rows, columns)
    for exponent, *progress, u, w in zip(*(x.split(size, -1) for x in pairs)):
        for target, found in zip((exponent, *progress), solve(exponent, u, w)):
            target.copy_(found)
    plan.movedim((-2, -1), (0, 1)).copy_(whole)
    return plan, count, error


_sinkhorn.register_fake(_like)


def sinkhorn(
    cost: Tensor,
    *,
    epsilon: float = 0.1,
    max_iter: int = 100,
    tolerance: float = 1e-2,
    stop_rule: Literal["pair", "batch"] = "pair",
    row_marginal: Tensor | None = None,
    column_marginal: Tensor | None = None,
) -> SinkhornResult:
    """Return the entropic transport plan of every (rows x columns) problem, without gradient.

    Alternates r = u / (K c) and c = w / (K' r), K = exp(-cost / epsilon), from r = c = 1, until
    the mean over rows of |r - r_before| is below ``tolerance`` (strictly; looked at after c was
    renewed) or ``max_iter`` is reached (OST, section 3.3). Column sums are exact to rounding, row
    sums as good as the stopping rule. A device is waited for a few times a call, not an iteration.
    Pairs with |cost| / epsilon above 30 are solved with logarithms in float64.

    Args:
        cost: (..., T, N); computed in float32 (float64 if given), even under autocast.
        epsilon: strength of the entropy; the paper's lambda.
        max_iter, tolerance: most iterations; when to stop (absolute; 0 runs all of them).
        stop_rule: "pair" stops each problem by its own mean, so that its plan is the same bit for
            bit in any company; "batch" by the mean over all of the call (parity: published rule).
        row_marginal, column_marginal: (..., T) and (..., N) of the same mass; uniform if None.

    Raises:
        SinkhornError: a cost is NaN or infinite; lists the pairs.
        UsageError: shapes, marginals or numbers make no sense.

    >>> plan, iterations, error = sinkhorn(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    >>> plan.sum(0).tolist(), int(iterations)
    ([0.5, 0.5], 2)
    """
    if cost.dim() < 2 or 0 in cost.shape[-2:]:
        raise UsageError(f"cost has shape {tuple(cost.shape)}, expected (..., rows, columns)")
    if epsilon <= 0 or max_iter < 1:
        found = f"epsilon={epsilon} and max_iter={max_iter}"
        raise UsageError(f"{found}: epsilon must be positive, max_iter >= 1")
    if stop_rule not in ("pair", "batch"):
        raise UsageError(f"stop_rule={stop_rule!r}: choose 'pair' or 'batch'")
    rule = (max_iter, tolerance, stop_rule == "batch")
    given = (x if x is None else x.detach() for x in (cost, row_marginal, column_marginal))
    return SinkhornResult(*_sinkhorn(*given, epsilon, *rule))
