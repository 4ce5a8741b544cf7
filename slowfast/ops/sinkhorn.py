"""Entropic optimal transport between many pairs of small distributions (OST, section 3.3).

Shapes: T frames (rows), N descriptors (columns), P pairs (every leading axis, flattened).

A video scored against 400 classes is 400 problems of 32 x 4 entries. Matrix products on such
slivers cost more in calls than in arithmetic, so the pairs are moved innermost, (T, N, P), where
both products are long element-wise runs; chunks stay inside the cache; and pairs that have
stopped are packed away. Sums over T and N are folded by halves: their order, hence every bit of
a pair's plan, depends on T and N only, never on the pairs beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from slowfast.errors import SlowFastError, UsageError

# Up to here exp(-cost/epsilon) and both scalings stay far inside float32, whatever the marginals.
LARGEST_EXPONENT = 30.0
CHUNK_ELEMENTS = {"cpu": 1 << 20, "cuda": 1 << 25}
CUDA_CHECK_EVERY = 4  # iterations between two looks at the device, each of which waits for it


class SinkhornError(SlowFastError):
    """Some costs are NaN or infinite; ``pairs`` holds the flat indices of their pairs."""

    def __init__(self, pairs: list[int], total: int) -> None:
        super().__init__(pairs, total)
        self.pairs = pairs
        self.total = total

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.pairs[:8])) + (", ..." if len(self.pairs) > 8 else "")
        return (
            f"transport costs are NaN or infinite for {len(self.pairs)} of {self.total} pairs "
            f"(flat indices {shown}): look at the features of these videos and classes"
        )


class SinkhornResult(NamedTuple):
    """What sinkhorn returns.

    ``plan`` (..., T, N) has the memory layout of the cost; ``iterations`` (...) int64 and
    ``error`` (...), the stopping quantity after the last one, belong to each pair.
    """

    plan: Tensor
    iterations: Tensor
    error: Tensor


class _Domain(NamedTuple):
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


def _weigh(kernel: Tensor, scaling: Tensor, axis: int) -> Tensor:
    """Sum kernel times scaling over ``axis`` (0: rows, 1: columns) of (T, N, P)."""
    if kernel.device.type != "cpu":
        return _fold(kernel * scaling.unsqueeze(1 - axis), axis)
    if kernel.shape[-1] == 1:  # one pair alone would be summed in another order
        return _weigh(kernel.repeat(1, 1, 2), scaling.repeat(1, 2), axis)[:, :1]
    # NumPy multiplies and adds in one pass over the kernel; torch needs a product of its size.
    rule = "tnp,np->tp" if axis else "tnp,tp->np"
    return torch.from_numpy(np.einsum(rule, kernel.numpy(), scaling.numpy()))


def _rescale(kernel: Tensor, scaling: Tensor, marginal: Tensor, axis: int) -> Tensor:
    return marginal / _weigh(kernel, scaling, axis)


def _rescale_log(kernel: Tensor, scaling: Tensor, marginal: Tensor, axis: int) -> Tensor:
    terms = kernel + scaling.unsqueeze(1 - axis)
    top = terms.amax(axis, keepdim=True)
    return marginal - top.squeeze(axis) - _fold(terms.sub_(top).exp_(), axis).log_()


LINEAR = _Domain(
    kernel=torch.Tensor.exp_,
    marginal=lambda marginal: marginal,
    rescale=_rescale,
    change=lambda new, old: (new - old).abs_(),
    plan=lambda kernel, row, column: kernel.mul_(row.unsqueeze(1)).mul_(column),
    start=1.0,
)
LOG = _Domain(
    kernel=lambda exponent: exponent,
    marginal=torch.log,
    rescale=_rescale_log,
    change=lambda new, old: (new.exp() - old.exp()).abs_(),
    plan=lambda kernel, row, column: kernel.add_(row.unsqueeze(1)).add_(column).exp_(),
    start=0.0,
)


class _State(NamedTuple):
    row: Tensor  # T x P
    column: Tensor  # N x P
    iterations: Tensor  # P
    error: Tensor  # P

    def at(self, pairs: Tensor) -> _State:
        return _State(*(part.index_select(-1, pairs) for part in self))

    def put(self, pairs: Tensor, other: _State) -> None:
        for part, new in zip(self, other, strict=True):
            part.index_copy_(-1, pairs, new)


class _Solver(NamedTuple):
    domain: _Domain
    max_iter: int
    tolerance: float
    together: bool  # one stopping quantity for the whole call

    def scalings(
        self, kernel: Tensor, marginals: tuple[Tensor, Tensor], state: _State, done: int
    ) -> _State:
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
            new = _State(row, column, state.iterations + 1, error)
            if not all_live:
                new = _State(*(torch.where(live, n, s) for n, s in zip(new, state, strict=True)))
            state = new
            live &= ~(state.error < self.tolerance)
            if not (on_cpu or iteration % CUDA_CHECK_EVERY == 0):
                continue
            num_live = int(live.sum())
            all_live = all_live and num_live == pairs
            if num_live == 0:
                break
            if 2 * num_live <= pairs:
                keep = live.nonzero().squeeze(1)
                some = (
                    _take(kernel, keep),
                    (_take(rows, keep), _take(columns, keep)),
                    state.at(keep),
                )
                state.put(keep, self.scalings(*some, iteration))
                break
        return state


def _solve(
    solver: _Solver, exponent: Tensor, rows: Tensor, columns: Tensor
) -> tuple[Tensor, _State]:
    """Return plan (T, N, P) and final state; ``exponent`` is -cost/epsilon, overwritten."""
    domain, (num_rows, num_columns, pairs) = solver.domain, exponent.shape
    start = _State(
        exponent.new_full((num_rows, pairs), domain.start),
        exponent.new_full((num_columns, pairs), domain.start),
        torch.zeros(pairs, dtype=torch.int64, device=exponent.device),
        exponent.new_full((pairs,), float("inf")),
    )
    marginals = (domain.marginal(rows), domain.marginal(columns))
    kernel = domain.kernel(exponent)
    state = solver.scalings(kernel, marginals, start, 0)
    return domain.plan(kernel, state.row, state.column), state


def _take(values: Tensor, pairs: Tensor) -> Tensor:
    """Pick pairs on the last axis; a marginal that all pairs share has one entry there."""
    return values if values.shape[-1] == 1 else values.index_select(-1, pairs)


def _solve_stably(
    solver: _Solver, exponent: Tensor, rows: Tensor, columns: Tensor
) -> tuple[Tensor, _State]:
    """Solve with logarithms, in float64, the pairs whose kernel would leave float32's range.

    The choice is made from the pair's own costs, so that its result does not depend on others.
    With one stopping quantity for all pairs there is one choice for all.
    """
    in_log = solver._replace(domain=LOG)
    wide = exponent.abs().flatten(0, 1).amax(0) > LARGEST_EXPONENT
    if solver.together:
        wide = wide.any().expand_as(wide)
    parts = []
    for mask, chosen, dtype in ((~wide, solver, exponent.dtype), (wide, in_log, torch.float64)):
        pairs = mask.nonzero().squeeze(1)
        if len(pairs):
            tensors = (_take(x, pairs).to(dtype) for x in (exponent, rows, columns))
            parts.append((pairs, *_solve(chosen, *tensors)))
    if len(parts) == 1:
        _, plan, state = parts[0]
        return plan.to(exponent.dtype), state
    plan = torch.empty_like(exponent)
    count = torch.empty(exponent.shape[-1], dtype=torch.int64, device=exponent.device)
    whole = _State(plan[:, 0].clone(), plan[0].clone(), count, torch.empty_like(plan[0, 0]))
    for pairs, part, state in parts:
        plan.index_copy_(-1, pairs, part.to(plan.dtype))
        whole.put(pairs, _State(*(s.to(w.dtype) for s, w in zip(state, whole, strict=True))))
    return plan, whole


def _marginal(given: Tensor | None, name: str, cost: Tensor, axis: int) -> Tensor:
    """Return a marginal as (P0, P1, length), or (1, 1, length) if all pairs share it."""
    length, dtype = cost.shape[axis], torch.promote_types(cost.dtype, torch.float32)
    if given is None:
        return torch.full((1, 1, length), 1.0 / length, dtype=dtype, device=cost.device)
    if given.shape[-1:] != (length,):
        raise UsageError(f"{name} has shape {tuple(given.shape)}, expected a last axis of {length}")
    if bool((given < 0).any()) or not bool(given.isfinite().all()):
        raise UsageError(f"{name} holds negative or non-finite entries")
    given = given.to(device=cost.device, dtype=dtype)
    if given.dim() == 1:
        return given.view(1, 1, length)
    pairs = cost.shape[:-2]
    return given.expand(*pairs, length).reshape(*_two_axes(pairs), length)


def _check_mass(rows: Tensor, columns: Tensor) -> None:
    """Refuse marginals between which no plan exists."""
    masses = rows.sum(-1), columns.sum(-1)
    if not bool(torch.isclose(*masses, rtol=1e-4).all()) or not bool((masses[0] > 0).all()):
        raise UsageError("row_marginal and column_marginal must have the same positive sum")


def _two_axes(shape: torch.Size) -> tuple[int, int]:
    """Return the pair axes as (all but the last, the last)."""
    return shape[:-1].numel(), shape[-1] if len(shape) else 1


def _innermost(grid: Tensor, dtype: torch.dtype) -> Tensor:
    """Copy (P0, P1, T, N) to (T, N, P0 * P1)."""
    sides, pairs = grid.shape[2:], grid.shape[:2].numel()
    target = torch.empty(*sides, pairs, dtype=dtype, device=grid.device)
    if grid.is_contiguous():  # two axes instead of four: torch has a fast transposing copy
        target.view(-1, pairs).copy_(grid.view(pairs, -1).t())
    else:
        target.unflatten(2, grid.shape[:2]).copy_(grid.permute(2, 3, 0, 1))
    return target


def _put_back(plan: Tensor, grid: Tensor) -> None:
    """Copy (T, N, P0 * P1) into ``grid`` (P0, P1, T, N)."""
    if grid.is_contiguous():
        grid.view(plan.shape[-1], -1).copy_(plan.view(-1, plan.shape[-1]).t())
    else:
        grid.copy_(plan.unflatten(2, grid.shape[:2]).permute(2, 3, 0, 1))


def _of_block(marginal: Tensor, block: tuple[slice, slice]) -> Tensor:
    """Return the marginal (length, pairs) of a block's pairs, or (length, 1) if shared."""
    shared = marginal.shape[:2] == (1, 1)
    return (marginal if shared else marginal[block]).flatten(0, 1).t().contiguous()


def _blocks(outer: int, inner: int, size: int) -> Iterator[tuple[slice, slice]]:
    """Cut an outer x inner grid of pairs into blocks of at most ``size`` pairs."""
    rows = max(1, size // max(inner, 1))
    for first in range(0, outer, rows):
        for start in range(0, inner, size):
            yield slice(first, first + rows), slice(start, start + size)


def _check(cost: Tensor, epsilon: float, max_iter: int, stop_rule: str) -> None:
    if cost.dim() < 2 or 0 in cost.shape[-2:]:
        raise UsageError(f"cost has shape {tuple(cost.shape)}, expected (..., rows, columns)")
    if epsilon <= 0 or max_iter < 1:
        raise UsageError(
            f"epsilon={epsilon} and max_iter={max_iter}: epsilon must be positive, max_iter >= 1"
        )
    if stop_rule not in ("pair", "batch"):
        raise UsageError(f"stop_rule={stop_rule!r}: choose 'pair' or 'batch'")


def _largest(exponent: Tensor, cost: Tensor) -> float:
    """Return the largest magnitude; raises SinkhornError unless all of it is finite."""
    low, high = torch.stack(torch.aminmax(exponent)).tolist()
    if not (float("-inf") < low and high < float("inf")):
        broken = (~cost.isfinite()).flatten(-2).any(-1).flatten()
        raise SinkhornError(broken.nonzero().squeeze(1).tolist(), len(broken))
    return max(-low, high)


@torch.no_grad()
def sinkhorn(
    cost: Tensor,
    *,
    epsilon: float = 0.1,
    max_iter: int = 100,
    tolerance: float = 1e-2,
    stop_rule: Literal["pair", "batch"] = "pair",
    row_marginal: Tensor | None = None,
    column_marginal: Tensor | None = None,
    chunk: int = 0,
) -> SinkhornResult:
    """Return the entropic transport plan of every (rows x columns) problem, without gradient.

    Alternates r = u / (K c) and c = w / (K' r), K = exp(-cost / epsilon), from r = c = 1, until
    the mean over rows of |r - r_before| is below ``tolerance`` (strictly; looked at after c was
    renewed) or ``max_iter`` is reached (OST, section 3.3). Column sums are exact to rounding, row
    sums as good as the stopping rule.

    Args:
        cost: (..., T, N), any float type; computed in float32 (float64 if given), even under
            autocast. Pairs with |cost| / epsilon above 30 are solved with logarithms in float64.
        epsilon: strength of the entropy; the paper's lambda.
        max_iter: most iterations.
        tolerance: absolute; 0 runs all of ``max_iter``.
        stop_rule: "pair" stops each problem by its own mean, so that its plan is the same bit for
            bit in any company. "batch" takes the mean over all problems of the call
            (parity: the published rule) and holds them in memory together.
        row_marginal: (T,) or (..., T), uniform if None.
        column_marginal: (N,) or (..., N) of the same mass, uniform if None.
        chunk: problems worked on at a time, which bounds memory; 0 fits the cache.

    Raises:
        SinkhornError: a cost is NaN or infinite; lists the pairs.
        UsageError: shapes, marginals or numbers make no sense.

    >>> plan, iterations, error = sinkhorn(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    >>> plan.sum(0).tolist(), int(iterations)
    ([0.5, 0.5], 2)
    >>> bool(plan[0, 0] > 1000 * plan[0, 1])
    True
    """
    _check(cost, epsilon, max_iter, stop_rule)
    pairs, sides = cost.shape[:-2], cost.shape[-2:]
    rows = _marginal(row_marginal, "row_marginal", cost, -2)
    columns = _marginal(column_marginal, "column_marginal", cost, -1)
    if row_marginal is not None or column_marginal is not None:
        _check_mass(rows, columns)
    grid = cost.reshape(*_two_axes(pairs), *sides)
    plan = torch.empty_like(grid, dtype=rows.dtype)
    iterations = torch.zeros(grid.shape[:2], dtype=torch.int64, device=cost.device)
    error = torch.zeros(grid.shape[:2], dtype=rows.dtype, device=cost.device)
    if grid.numel():
        solver = _Solver(LINEAR, max_iter, tolerance, stop_rule == "batch")
        size = chunk or max(1, CHUNK_ELEMENTS.get(cost.device.type, 1 << 25) // sides.numel())
        if solver.together:
            size = pairs.numel()
        with torch.autocast(cost.device.type, enabled=False):
            for block in _blocks(grid.shape[0], grid.shape[1], size):
                exponent = _innermost(grid[block], rows.dtype).mul_(-1.0 / epsilon)
                shares = (_of_block(marginal, block) for marginal in (rows, columns))
                wide = _largest(exponent, cost) > LARGEST_EXPONENT
                solve = _solve_stably if wide else _solve
                part, state = solve(solver, exponent, *shares)
                _put_back(part, plan[block])
                iterations[block] = state.iterations.view_as(iterations[block])
                error[block] = state.error.view_as(error[block])
    return SinkhornResult(plan.reshape(cost.shape), iterations.reshape(pairs), error.reshape(pairs))
