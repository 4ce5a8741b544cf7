"""The optimal descriptor solver against POT, hand-worked cases and recorded plans."""

import shutil

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from slowfast.errors import UsageError
from slowfast.ops import sinkhorn as module
from slowfast.ops.similarity import cosines, normalize, transported_score
from slowfast.ops.sinkhorn import SinkhornError, sinkhorn


def costs(*shape, low=0.0, high=2.0, seed=0, dtype=torch.float32):
    unit = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return low + (high - low) * unit


def plain_loop(cost, epsilon=0.1, max_iter=100, tolerance=1e-2):
    """The published loop for one pair, step by step in float64."""
    kernel = np.exp(-cost.double().numpy() / epsilon)
    rows, columns = kernel.shape
    r, c, errors = np.ones(rows), np.ones(columns), []
    for _ in range(max_iter):
        before = r
        r = (1 / rows) / (kernel @ c)
        c = (1 / columns) / (kernel.T @ r)
        errors.append(np.abs(r - before).mean())
        if errors[-1] < tolerance:
            break
    return r[:, None] * kernel * c, len(errors), errors[-1]


def test_each_pair_follows_the_published_loop_on_its_own():
    cost = costs(3, 5, 8, 4)
    result = sinkhorn(cost.double())  # float32's r, near 1e3, would move the last counts by a few
    for i in range(3):
        for j in range(5):
            plan, iterations, error = plain_loop(cost[i, j])
            assert int(result.iterations[i, j]) == iterations
            np.testing.assert_allclose(result.plan[i, j], plan, atol=1e-9)
            np.testing.assert_allclose(result.error[i, j], error, rtol=1e-6)
    assert result.iterations.unique().numel() > 1, "the case must hold pairs of different length"


def test_hand_worked_two_by_two():
    # K = [[1, q], [q, 1]]: r = 1/2/(1+q), c = 1/2/(r(1+q)) = 1; the second round changes nothing.
    q = float(np.exp(-1 / 0.5))
    plan, iterations, error = sinkhorn(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), epsilon=0.5)
    expected = torch.tensor([[0.5, 0.5 * q], [0.5 * q, 0.5]]) / (1 + q)
    torch.testing.assert_close(plan, expected)
    assert int(iterations) == 2
    assert float(error) == pytest.approx(0, abs=1e-7)


def test_converged_plan_equals_pot():
    cost = costs(6, 7, 3, dtype=torch.float64)
    plan = sinkhorn(cost, tolerance=0, max_iter=3000).plan
    for mine, one in zip(plan, cost, strict=True):
        oracle = ot.sinkhorn(np.full(7, 1 / 7), np.full(3, 1 / 3), one.numpy(), 0.1, stopThr=1e-14)
        np.testing.assert_allclose(mine, oracle, atol=1e-9)


@pytest.mark.parametrize("epsilon", [1e-3, 5e-3])
def test_small_epsilon_equals_pot_with_logarithms(epsilon):
    cost = costs(4, 6, 3, low=0.5, high=1.0)
    assert not torch.exp(-cost / 1e-3).all(), "the plain kernel must underflow here"
    result = sinkhorn(cost, epsilon=epsilon, max_iter=50, tolerance=0)
    for mine, one in zip(result.plan, cost.double(), strict=True):
        # POT renews the columns' scaling first: transposed, its loop takes our steps.
        oracle = ot.bregman.sinkhorn_log(
            np.full(3, 1 / 3), np.full(6, 1 / 6), one.T.numpy(), epsilon, 50, 0, warn=False
        )
        np.testing.assert_allclose(mine, oracle.T, atol=1e-6)
    assert torch.isfinite(result.plan).all()


def test_logarithms_and_plain_numbers_agree(monkeypatch):
    cost = costs(9, 8, 4)
    plain = sinkhorn(cost)
    monkeypatch.setattr(module, "LARGEST_EXPONENT", 0.0)
    logs = sinkhorn(cost)
    torch.testing.assert_close(plain.plan, logs.plan, atol=1e-6, rtol=1e-5)
    assert torch.equal(plain.iterations, logs.iterations)


def test_one_row_or_one_column_gives_the_uniform_plan_in_two_rounds():
    for shape in ((4, 1, 5), (4, 6, 1), (4, 1, 1)):
        cost = costs(*shape, dtype=torch.float64)  # float32 rounds r, up to 1e8, by whole numbers
        plan, iterations, _ = sinkhorn(cost)
        torch.testing.assert_close(plan.float(), torch.full(shape, 1 / (shape[1] * shape[2])))
        assert (iterations <= 2).all()


def test_a_plan_is_the_same_bits_in_any_company(monkeypatch):
    cost = costs(4, 11, 8, 4)
    cost[2, 3] *= 40  # one pair needs logarithms
    cost[3, 1] = 0.3 + 0.01 * cost[3, 1]  # one stops early
    whole = sinkhorn(cost)
    for entries in (1, 96, 352, 960):
        monkeypatch.setitem(module.BLOCK_ELEMENTS, "cpu", entries)
        for mine, other in zip(sinkhorn(cost), whole, strict=True):
            assert torch.equal(mine, other)
    for i, j in ((0, 0), (2, 3), (3, 1), (1, 10)):
        for mine, other in zip(sinkhorn(cost[i, j]), whole, strict=True):
            assert torch.equal(mine, other[i, j])
    for columns_first in (cost.transpose(0, 1).contiguous().transpose(0, 1), cost.mT.contiguous()):
        given = columns_first if columns_first.shape == cost.shape else columns_first.mT
        assert torch.equal(sinkhorn(given).plan, whole.plan)


def test_the_plan_keeps_the_layout_of_the_cost():
    cost = costs(2, 8, 4, 3).permute(0, 3, 1, 2)
    assert sinkhorn(cost).plan.stride() == cost.stride()


def test_batch_rule_stops_all_pairs_together():
    cost = costs(4, 8, 4)
    cost[0] = 0.7
    result = sinkhorn(cost, stop_rule="batch")
    assert result.iterations.unique().numel() == 1
    assert int(sinkhorn(cost[:1], stop_rule="batch").iterations) < int(result.iterations[0])
    singles = torch.stack([sinkhorn(c, stop_rule="batch").plan for c in cost])
    assert torch.equal(singles, sinkhorn(cost).plan)


@pytest.mark.parity
@pytest.mark.parametrize("part", ["eval", "train"])
@pytest.mark.parametrize("kind", ["spatial", "temporal"])
def test_recorded_plans_of_the_released_code(parity, part, kind):
    data = np.load(parity("ost/ost_tiny.npz"))
    frames = torch.from_numpy(data[f"{part}/frame_feat" if part == "train" else "frame_feat"])
    texts = torch.from_numpy(data[f"{part}/desc_{kind}" if part == "train" else f"desc_{kind}"])
    cost = 1 - torch.einsum("btd,knd->bktn", frames, texts)
    result = sinkhorn(cost, stop_rule="batch")
    np.testing.assert_allclose(result.plan.flatten(0, 1), data[f"{part}/P_{kind}"], atol=1e-6)
    assert int(result.iterations.max()) == int(data[f"{part}/iters_{kind}"])
    for iteration, error in enumerate(data[f"{part}/err_{kind}"], start=1):
        got = sinkhorn(cost, stop_rule="batch", max_iter=iteration, tolerance=0).error
        np.testing.assert_allclose(got.flatten()[0], error, rtol=2e-2, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 6), st.integers(0, 10_000), st.sampled_from([0.05, 0.1, 1])
)
def test_columns_are_exact_and_rows_close(rows, columns, seed, epsilon):
    plan = sinkhorn(costs(3, rows, columns, seed=seed), epsilon=epsilon, tolerance=1e-6).plan
    assert (plan >= 0).all()
    torch.testing.assert_close(plan.sum(-2), torch.full((3, columns), 1 / columns))
    torch.testing.assert_close(plan.sum((-1, -2)), torch.ones(3))
    assert (plan.sum(-1) - 1 / rows).abs().max() < 0.05


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 9), st.integers(2, 6), st.integers(0, 10_000))
def test_permuting_rows_columns_or_pairs_permutes_the_plan(rows, columns, seed):
    cost = costs(5, rows, columns, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    pair, row, column = (torch.randperm(n, generator=generator) for n in (5, rows, columns))
    plan = sinkhorn(cost).plan
    assert torch.equal(sinkhorn(cost[pair]).plan, plan[pair])
    moved = sinkhorn(cost[:, row][:, :, column]).plan
    torch.testing.assert_close(moved, plan[:, row][:, :, column], atol=1e-5, rtol=1e-3)


def test_given_marginals():
    cost = costs(4, 5, 3)
    rows = torch.tensor([0.1, 0.4, 0.2, 0.3, 0.0])
    columns = torch.rand(4, 3) + 0.1
    columns /= columns.sum(-1, keepdim=True)
    plan = sinkhorn(
        cost, row_marginal=rows, column_marginal=columns, tolerance=0, max_iter=500
    ).plan
    torch.testing.assert_close(plan.sum(-1), rows.expand(4, 5), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(plan.sum(-2), columns)
    uniform = torch.full((5,), 0.2)
    assert torch.equal(sinkhorn(cost, row_marginal=uniform).plan, sinkhorn(cost).plan)
    stable = sinkhorn(cost, epsilon=1e-3, row_marginal=rows, column_marginal=columns).plan
    torch.testing.assert_close(stable.sum(-2), columns)


@pytest.mark.parametrize("scale", [1e-30, 1e4, 1e8])
def test_extreme_costs_stay_finite(scale):
    for cost in (scale * costs(3, 8, 4), scale * costs(3, 8, 4, low=-1, high=1)):
        plan = sinkhorn(cost).plan
        assert plan.isfinite().all()
        torch.testing.assert_close(plan.sum((-1, -2)), torch.ones(3), atol=1e-4, rtol=1e-4)


def test_no_gradient_float32_under_autocast_and_input_untouched():
    cost = costs(2, 4, 3).requires_grad_()
    kept = cost.detach().clone()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plan = sinkhorn(cost).plan
    assert plan.dtype == torch.float32
    assert not plan.requires_grad
    assert torch.equal(cost.detach(), kept)
    half = sinkhorn(kept.half()).plan
    assert half.dtype == torch.float32
    assert torch.equal(half, sinkhorn(kept.half().float()).plan)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_broken_costs_name_their_pairs(value):
    cost = costs(3, 4, 5, 2)
    cost[1, 2, 0, 0] = cost[2, 0, 4, 1] = value
    with pytest.raises(SinkhornError, match="2 of 12 pairs") as caught:
        sinkhorn(cost)
    assert caught.value.pairs == [6, 8]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilon": 0.0}, "epsilon must be positive"),
        ({"max_iter": 0}, "max_iter"),
        ({"stop_rule": "pairs"}, "choose 'pair' or 'batch'"),
        ({"row_marginal": torch.ones(4)}, "expected a last axis of 3"),
        ({"row_marginal": torch.tensor([1.0, -1.0, 1.0])}, "negative"),
        ({"column_marginal": torch.ones(2)}, "same positive sum"),
    ],
)
def test_wrong_usage_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        sinkhorn(costs(2, 3, 2), **change)
    with pytest.raises(UsageError, match="rows, columns"):
        sinkhorn(torch.zeros(3))


def spread_costs(*pairs, rows=8, columns=4, seed=0):
    """Costs between 0 and a bound that differs from pair to pair: 2 to 100 iterations."""
    generator = torch.Generator().manual_seed(seed)
    bound = 2 * torch.rand(*pairs, 1, 1, generator=generator) ** 2
    return bound * torch.rand(*pairs, rows, columns, generator=generator)


def assert_same(one, other):
    for mine, yours in zip(one, other, strict=True):
        assert torch.equal(mine, yours)


def test_neither_packing_nor_rare_looks_change_a_pair(monkeypatch):
    cost = spread_costs(3, 50)
    whole = sinkhorn(cost)
    assert whole.iterations.unique().numel() > 8, "pairs must stop at many different times"
    for pack_above, look_every in ((0, 1), (0, 8), (10**9, 5), (10**9, 1000)):
        monkeypatch.setattr(module, "PACK_ABOVE", pack_above)
        monkeypatch.setitem(module.LOOK_EVERY, "cpu", look_every)
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


@pytest.mark.parametrize("rule", ["pair", "batch"])
def test_threads_give_the_same_plans(rule):
    cost = spread_costs(90, 200)
    one = sinkhorn(cost, stop_rule=rule)
    torch.set_num_threads(2)
    try:
        two = sinkhorn(cost, stop_rule=rule)
    finally:
        torch.set_num_threads(1)
    if rule == "pair":
        assert_same(one, two)
    torch.testing.assert_close(one.plan, two.plan)


def test_inference_mode():
    cost = spread_costs(4, 10)
    with torch.inference_mode():
        inside = sinkhorn(cost.clone()).plan
    assert torch.equal(inside, sinkhorn(cost).plan)


class CountsLooks(TorchDispatchMode):
    """Counts the operators that wait for a device to tell the host something."""

    LOOKS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal")

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function.name().split("::")[1].split(".")[0] in self.LOOKS
        return function(*args, **(kwargs or {}))


def looks(cost, **settings):
    operator = module._sinkhorn._init_fn  # its plain body, inside which modes can see
    rule = (settings.get("max_iter", 100), settings.get("tolerance", 0.0), False)
    with CountsLooks() as seen:
        operator(cost, None, None, 0.1, *rule)
    return seen.count


def test_the_host_looks_at_a_device_once_in_eight_iterations(monkeypatch):
    cost = spread_costs(5, 30)
    on_cpu = looks(cost)
    monkeypatch.delitem(module.LOOK_EVERY, "cpu")
    assert looks(cost) <= 2 + 100 // 8
    assert on_cpu > 5 * looks(cost)
    assert looks(cost, max_iter=7) <= 2


def transported(video, text):
    similarity = cosines(video, text)
    plan, iterations, _ = sinkhorn(1 - similarity)
    return transported_score(similarity, plan), iterations


# Without a compiler for C++ the last of them cannot run.
BACKENDS = ["eager", "aot_eager", *(["inductor"] if shutil.which("c++") else [])]


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_whole_graph_holds_the_solver_for_any_sizes(backend):
    torch._dynamo.reset()
    compiled = torch.compile(transported, fullgraph=True, dynamic=True, backend=backend)
    for videos, frames, classes, descriptors in ((3, 8, 5, 4), (2, 6, 7, 3)):
        text = normalize(torch.randn(classes, descriptors, 16))
        mine = normalize(torch.randn(videos, frames, 16)).requires_grad_()
        other = mine.detach().clone().requires_grad_()
        expected, iterations = transported(mine, text)
        found, count = compiled(other, text)
        torch.testing.assert_close(found, expected)
        assert torch.equal(count, iterations)
        expected.sum().backward()
        found.sum().backward()
        torch.testing.assert_close(other.grad, mine.grad)
    with pytest.raises(SinkhornError, match="14 of 14 pairs"):
        compiled(other.detach() * float("nan"), text)


def test_the_operator_keeps_its_contract_with_torch():
    cost = spread_costs(2, 3).permute(1, 0, 2, 3)
    torch.library.opcheck(module._sinkhorn, (cost, None, None, 0.1, 100, 0.01, False))
    rows = torch.full((8,), 1 / 8)
    torch.library.opcheck(module._sinkhorn, (cost.double(), rows, None, 0.1, 9, 0.01, True))


def test_no_pairs_at_all():
    plan, iterations, error = sinkhorn(torch.zeros(0, 4, 3, 2))
    assert plan.shape == (0, 4, 3, 2)
    assert iterations.shape == error.shape == (0, 4)


@pytest.mark.gpu
def test_the_same_plans_on_the_device(monkeypatch):
    cost = costs(5, 40, 16, 4)
    cost[0, 0] *= 40
    monkeypatch.setitem(module.BLOCK_ELEMENTS, "cuda", 64 * 64)
    plan, iterations, _ = sinkhorn(cost.cuda())
    expected = sinkhorn(cost)
    torch.testing.assert_close(plan.cpu(), expected.plan, atol=1e-6, rtol=1e-4)
    assert (iterations.cpu() - expected.iterations).abs().max() <= 1
    assert torch.equal(sinkhorn(cost.cuda()).plan, plan)
