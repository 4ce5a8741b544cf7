"""The iterations of ``sinkhorn`` on the CPU, in NumPy: plain numbers, pairs innermost.

Shapes: T rows, N columns, P pairs. Why not torch: NumPy multiplies and adds in one pass over the
kernel and writes into given buffers, and it runs each call on the calling thread alone, so that
several blocks of pairs can be solved side by side, each of which stays in the cache over all of its
iterations. Each pair's sums run over t or n in ascending order whatever P is,
so that its bits never depend on the pairs beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
# 4 MB of kernel in float32: smaller blocks lose more to calls, and to threads that wait for each
# other between calls, than they gain from the cache.
BLOCK_ELEMENTS = 1 << 20
PACK_BELOW = 4  # pairs that still run are packed when they are one in so many


class Solution(NamedTuple):
    """Final scalings T x P and N x P, iterations P int64, and the stopping quantity P."""

    row: np.ndarray
    column: np.ndarray
    iterations: np.ndarray
    error: np.ndarray


def map_on_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return the results in order, computed on as many threads as torch may use.

    The first exception is raised again; items that have not begun are then dropped.
    """
    work = list(items)
    threads = min(torch.get_num_threads(), len(work))
    if threads <= 1:
        return [function(item) for item in work]
    # Made anew for each call (0.1 ms): nothing is left behind for a fork to trip over.
    with ThreadPoolExecutor(threads) as pool:
        try:
            return list(pool.map(function, work))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


class _Part:
    """Some pairs in the middle of their iterations."""

    def __init__(
        self, kernel: np.ndarray, rows: np.ndarray, columns: np.ndarray, start: Sequence[np.ndarray]
    ) -> None:
        self.kernel, self.rows, self.columns = kernel, rows, columns
        self.row, self.column = start
        self.spare = np.empty_like(self.row)

    @classmethod
    def fresh(cls, kernel: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> _Part:
        """Return pairs before their first iteration, both scalings 1."""
        (num_rows, num_columns, pairs), dtype = kernel.shape, kernel.dtype
        ones = (np.ones((num_rows, pairs), dtype), np.ones((num_columns, pairs), dtype))
        return cls(kernel, rows, columns, ones)

    def step(self) -> np.ndarray:
        """Run one iteration; returns the mean change of the row scaling, P."""
        new, change = self.spare, self.row
        np.einsum("tnp,np->tp", self.kernel, self.column, out=new)
        np.divide(self.rows, new, out=new)
        np.einsum("tnp,tp->np", self.kernel, new, out=self.column)
        np.divide(self.columns, self.column, out=self.column)
        np.subtract(new, change, out=change)
        np.abs(change, out=change)
        error = np.add.reduce(change, axis=0)
        error /= len(change)
        self.row, self.spare = new, change
        return error

    def state(self, error: np.ndarray, iteration: int, pairs: np.ndarray) -> Solution:
        """Return a copy of what some pairs have after ``iteration``."""
        row, column, error = (x.take(pairs, axis=-1) for x in (self.row, self.column, error))
        return Solution(row, column, np.full(len(pairs), iteration, dtype=np.int64), error)

    def only(self, pairs: np.ndarray) -> _Part:
        """Return a packed copy of some pairs."""
        kernel, row, column = (x.take(pairs, axis=-1) for x in (self.kernel, self.row, self.column))
        return _Part(kernel, _take(self.rows, pairs), _take(self.columns, pairs), (row, column))


def _take(marginal: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    return marginal if marginal.shape[-1] == 1 else marginal.take(pairs, axis=-1)


def solve_pairs(
    kernel: np.ndarray, rows: np.ndarray, columns: np.ndarray, *, max_iter: int, tolerance: float
) -> Solution:
    """Iterate each pair until its own change is below ``tolerance``, on the calling thread.

    Args:
        kernel: exp(-cost / epsilon), T x N x P in C order; not changed.
        rows: marginal T x P, or T x 1 for all pairs.
        columns: marginal N x P or N x 1.
        max_iter, tolerance: as in ``sinkhorn``.
    """
    if kernel.shape[-1] == 1:  # alone on its axis, a pair would be summed in another order
        twice = solve_pairs(
            kernel.repeat(2, axis=-1), rows, columns, max_iter=max_iter, tolerance=tolerance
        )
        return Solution(*(field[..., :1] for field in twice))
    return _iterate(_Part.fresh(kernel, rows, columns), 0, max_iter, tolerance)


def _iterate(part: _Part, iterations: int, max_iter: int, tolerance: float) -> Solution:
    """Continue pairs that have had ``iterations`` until each stops."""
    live = np.ones(part.row.shape[1], dtype=bool)
    earlier: list[tuple[np.ndarray, Solution]] = []  # pairs and what they stopped with
    for iteration in range(iterations + 1, max_iter + 1):
        error = part.step()
        stops = live & (error < tolerance)
        if iteration == max_iter or not stops.any():
            continue
        live &= ~stops
        left = live.nonzero()[0]
        if len(left) == 0:
            break
        chosen = stops.nonzero()[0]  # they go on in place until the rest is packed
        earlier.append((chosen, part.state(error, iteration, chosen)))
        if len(live) >= PACK_BELOW * max(2, len(left)):
            kept = left if len(left) > 1 else np.unique([0, 1, left[0]])  # never one alone
            rest = _iterate(part.only(kept), iteration, max_iter, tolerance)
            mine = live[kept].nonzero()[0]
            earlier.append((left, Solution(*(field.take(mine, axis=-1) for field in rest))))
            break
    count = np.full(len(live), iteration, dtype=np.int64)
    whole = Solution(part.row, part.column, count, error)
    for pairs, solution in earlier:
        for target, source in zip(whole, solution):
            target[..., pairs] = source
    return whole


def solve_together(
    kernel: np.ndarray, rows: np.ndarray, columns: np.ndarray, *, max_iter: int, tolerance: float
) -> Solution:
    """Iterate all pairs until their mean change is below ``tolerance``; arguments as above."""
    if kernel.shape[-1] == 1:
        return solve_pairs(kernel, rows, columns, max_iter=max_iter, tolerance=tolerance)
    pairs = kernel.shape[-1]
    width = max(2, BLOCK_ELEMENTS // kernel[..., 0].size)
    # a last slice of one pair would be summed in another order
    ends = [*range(width, pairs - 1, width), pairs]
    slices = [slice(a, b) for a, b in zip([0, *ends], ends)]
    parts = [
        _Part.fresh(kernel[..., s], *(m if m.shape[-1] == 1 else m[:, s] for m in (rows, columns)))
        for s in slices
    ]
    change = np.float64("inf")
    iteration = 0
    while iteration < max_iter and not change < tolerance:
        iteration += 1
        change = np.concatenate(map_on_threads(_Part.step, parts)).mean()
    return Solution(
        np.concatenate([part.row for part in parts], axis=1),
        np.concatenate([part.column for part in parts], axis=1),
        np.full(pairs, iteration, dtype=np.int64),
        np.full(pairs, change, dtype=kernel.dtype),
    )


class Block(NamedTuple):
    """A rectangle of pairs: its costs, its marginals, and where its results go (all views).

    ``cost`` and ``plan`` are P0 x P1 x T x N, ``iterations`` and ``error`` P0 x P1, the marginals
    length x (P0 * P1) or length x 1.
    """

    cost: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    plan: np.ndarray
    iterations: np.ndarray
    error: np.ndarray


def solve_block(
    block: Block,
    solve: Callable[[np.ndarray, np.ndarray, np.ndarray], Solution],
    *,
    epsilon: float,
    limit: float,
) -> float:
    """Solve a block and fill in its results, unless some |cost| / epsilon is above ``limit``.

    Returns:
        the largest |cost| / epsilon, which may be infinite or NaN.
    """
    sides, pairs = block.cost.shape[2:], block.cost.shape[:2]
    kernel = np.empty((*sides, pairs[0] * pairs[1]), dtype=block.plan.dtype)
    in_place = kernel.reshape(*sides, *pairs)
    scale = kernel.dtype.type(-1.0 / epsilon)
    np.multiply(block.cost.transpose(2, 3, 0, 1), scale, out=in_place)
    largest = float(max(-kernel.min(), kernel.max()))
    if not largest <= limit:
        return largest
    np.exp(kernel, out=kernel)
    solution = solve(kernel, block.rows, block.columns)
    block.iterations[...] = solution.iterations.reshape(pairs)
    block.error[...] = solution.error.reshape(pairs)
    np.multiply(kernel, solution.row[:, None], out=kernel)
    target = block.plan.transpose(2, 3, 0, 1)
    np.multiply(in_place, solution.column.reshape(-1, *pairs), out=target)
    return largest
