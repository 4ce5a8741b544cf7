"""Entropic optimal transport between many pairs of small distributions (OST, section 3.3).

Shapes: T frames (rows), N descriptors (columns), P pairs (every leading axis, flattened).

A video scored against 400 classes is 400 problems of 32 x 4 entries. Matrix products on such
slivers cost more in calls than in arithmetic, so the pairs are moved innermost, (T, N, P), where
both products are long element-wise runs; chunks stay inside the cache; and pairs that have
stopped are packed away. The order of the sums over T and N, hence every bit of a pair's plan,
depends on T and N only, never on the pairs beside it. ``sinkhorn_cpu`` has the plain iterations on
the CPU, ``sinkhorn_torch`` those on a device and those with logarithms.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from slowfast.errors import SlowFastError, UsageError
from slowfast.ops import sinkhorn_cpu as cpu
from slowfast.ops.sinkhorn_torch import LINEAR, LOG, Solver, State, solve, take

# Up to here exp(-cost/epsilon) and both scalings stay far inside float32, whatever the marginals.
LARGEST_EXPONENT = 30.0
CHUNK_ELEMENTS = {"cpu": cpu.BLOCK_ELEMENTS, "cuda": 1 << 25}


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


_Pairs = tuple[slice, slice]


def _solve_stably(
    solver: Solver, exponent: Tensor, rows: Tensor, columns: Tensor
) -> tuple[Tensor, State]:
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
            tensors = (take(x, pairs).to(dtype) for x in (exponent, rows, columns))
            parts.append((pairs, *solve(chosen, *tensors)))
    if len(parts) == 1:
        _, plan, state = parts[0]
        return plan.to(exponent.dtype), state
    plan = torch.empty_like(exponent)
    count = torch.empty(exponent.shape[-1], dtype=torch.int64, device=exponent.device)
    whole = State(plan[:, 0].clone(), plan[0].clone(), count, torch.empty_like(plan[0, 0]))
    for pairs, part, state in parts:
        plan.index_copy_(-1, pairs, part.to(plan.dtype))
        whole.put(pairs, State(*(s.to(w.dtype) for s, w in zip(state, whole, strict=True))))
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


def _blocks(outer: int, inner: int, size: int, threads: int) -> list[_Pairs]:
    """Cut an outer x inner grid of pairs into blocks of at most ``size`` pairs.

    Every thread should get as many of them as any other.
    """
    number = -(-outer // max(1, size // max(inner, 1)))
    rows = -(-outer // (-(-number // threads) * threads))
    firsts, starts = range(0, outer, rows), range(0, inner, size)
    return [(slice(i, i + rows), slice(j, j + size)) for i in firsts for j in starts]


class _Problem(NamedTuple):
    """Costs P0 x P1 x T x N, marginals P0 x P1 x length (or 1 x 1 x length), and the results."""

    cost: Tensor
    rows: Tensor
    columns: Tensor
    plan: Tensor
    iterations: Tensor
    error: Tensor

    def solve(self, solver: Solver, epsilon: float, blocks: list[_Pairs]) -> None:
        """Fill in the results of every block."""
        if self.cost.device.type == "cpu":
            views = [self._on_cpu(pairs) for pairs in blocks]
            solve = partial(
                cpu.solve_block, solve=solver.plainly, epsilon=epsilon, limit=LARGEST_EXPONENT
            )
            # One stopping quantity: one block, which uses the threads inside.
            largest = cpu.map_on_threads(solve, views)
            blocks = [
                b for b, size in zip(blocks, largest, strict=True) if not size <= LARGEST_EXPONENT
            ]
        for block in blocks:
            self._solve_block(solver, epsilon, block)

    def _on_cpu(self, pairs: _Pairs) -> cpu.Block:
        cost = self.cost if self.cost.dtype in (torch.float32, torch.float64) else self.cost.float()
        sides = (_of_block(marginal, pairs).numpy() for marginal in (self.rows, self.columns))
        results = (x[pairs].numpy() for x in (self.plan, self.iterations, self.error))
        return cpu.Block(cost[pairs].numpy(), *sides, *results)

    def _solve_block(self, solver: Solver, epsilon: float, pairs: _Pairs) -> None:
        exponent = _innermost(self.cost[pairs], self.rows.dtype).mul_(-1.0 / epsilon)
        sides = (_of_block(marginal, pairs) for marginal in (self.rows, self.columns))
        wide = _largest(exponent, self.cost) > LARGEST_EXPONENT
        part, state = (_solve_stably if wide else solve)(solver, exponent, *sides)
        _put_back(part, self.plan[pairs])
        self.iterations[pairs] = state.iterations.view_as(self.iterations[pairs])
        self.error[pairs] = state.error.view_as(self.error[pairs])


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
        max_iter, tolerance: most iterations; when to stop (absolute; 0 runs all of them).
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
    grid = cost.detach().reshape(*_two_axes(pairs), *sides)
    plan = torch.empty_like(grid, dtype=rows.dtype)
    iterations = torch.zeros(grid.shape[:2], dtype=torch.int64, device=cost.device)
    error = torch.zeros(grid.shape[:2], dtype=rows.dtype, device=cost.device)
    if grid.numel():
        solver = Solver(LINEAR, max_iter, tolerance, stop_rule == "batch")
        size = chunk or max(1, CHUNK_ELEMENTS.get(cost.device.type, 1 << 25) // sides.numel())
        threads = torch.get_num_threads() if cost.device.type == "cpu" else 1
        if solver.together:
            size, threads = pairs.numel(), 1
        problem = _Problem(grid, rows, columns, plan, iterations, error)
        with torch.autocast(cost.device.type, enabled=False):
            problem.solve(solver, epsilon, _blocks(grid.shape[0], grid.shape[1], size, threads))
    return SinkhornResult(plan.reshape(cost.shape), iterations.reshape(pairs), error.reshape(pairs))
