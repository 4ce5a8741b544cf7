"""The solver's blocks on the CPU: packing, threads, and bits that do not depend on company."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast.ops import sinkhorn_cpu as cpu
from slowfast.ops.sinkhorn import SinkhornError, sinkhorn


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def spread_costs(*pairs, rows=8, columns=4, seed=0):
    """Costs between 0 and a bound that differs from pair to pair: 2 to 100 iterations."""
    generator = torch.Generator().manual_seed(seed)
    bound = 2 * torch.rand(*pairs, 1, 1, generator=generator) ** 2
    return bound * torch.rand(*pairs, rows, columns, generator=generator)


def assert_same(one, other):
    for mine, yours in zip(one, other, strict=True):
        assert torch.equal(mine, yours)


def test_packing_changes_nothing(monkeypatch):
    cost = spread_costs(3, 50)
    whole = sinkhorn(cost)
    assert whole.iterations.unique().numel() > 8, "pairs must stop at many different times"
    for pack_below in (1, 2, 10**9):
        monkeypatch.setattr(cpu, "PACK_BELOW", pack_below)
        assert_same(sinkhorn(cost), whole)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 34), st.integers(1, 9), st.integers(1, 40), st.integers(0, 999))
def test_bits_do_not_depend_on_the_other_pairs(rows, columns, pairs, seed):
    cost = spread_costs(pairs, rows=rows, columns=columns, seed=seed)
    whole = sinkhorn(cost)
    some = torch.randperm(pairs, generator=torch.Generator().manual_seed(seed))[:7]
    assert_same(sinkhorn(cost[some]), (field[some] for field in whole))
    alone = int(some[0])
    assert_same(sinkhorn(cost[alone]), (field[alone] for field in whole))


def test_most_iterations_end_every_pair():
    result = sinkhorn(0.5 + spread_costs(40, rows=30), max_iter=3, tolerance=0)
    assert (result.iterations == 3).all()
    assert (result.error > 0).all()


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("rule", ["pair", "batch"])
def test_threads_give_the_same_bits(rule, monkeypatch):
    cost = spread_costs(9, 20)
    many = sinkhorn(cost, stop_rule=rule, chunk=7 if rule == "pair" else 0)
    torch.set_num_threads(1)
    assert_same(sinkhorn(cost, stop_rule=rule), many)
    monkeypatch.setattr(cpu, "BLOCK_ELEMENTS", 64)  # slices of the batch-wide rule
    torch.testing.assert_close(sinkhorn(cost, stop_rule=rule).plan, many.plan)


@pytest.mark.usefixtures("two_threads")
def test_threads_raise_what_one_thread_raises_and_work_in_inference_mode():
    cost = spread_costs(4, 10)
    with torch.inference_mode():
        inside = sinkhorn(cost.clone(), chunk=3).plan
    assert torch.equal(inside, sinkhorn(cost).plan)
    cost[3, 9, 0, 0] = float("nan")
    with pytest.raises(SinkhornError) as caught:
        sinkhorn(cost, chunk=3)
    assert caught.value.pairs == [39]


@pytest.mark.usefixtures("two_threads")
def test_map_on_threads_keeps_order_and_raises_the_first_mistake():
    assert cpu.map_on_threads(lambda x: x * x, range(20)) == [x * x for x in range(20)]
    assert cpu.map_on_threads(str, []) == []

    def refuse(item):
        if item == 3:
            raise ValueError(item)

    with pytest.raises(ValueError, match="3"):
        cpu.map_on_threads(refuse, range(9))


def test_a_wide_block_is_left_alone():
    cost = np.full((1, 2, 3, 2), 5.0, np.float32)
    plan, count, error = np.zeros_like(cost), np.zeros((1, 2), np.int64), np.zeros((1, 2))
    shares = np.full((3, 1), 1 / 3, np.float32), np.full((2, 1), 0.5, np.float32)
    block = cpu.Block(cost, *shares, plan, count, error)

    def solve(*arrays):
        return cpu.solve_pairs(*arrays, max_iter=9, tolerance=0.01)

    assert cpu.solve_block(block, solve, epsilon=0.1, limit=30) == pytest.approx(50)
    assert not plan.any()
    assert cpu.solve_block(block, solve, epsilon=0.5, limit=30) == pytest.approx(10)
    np.testing.assert_allclose(plan, 1 / 6, rtol=1e-6)
