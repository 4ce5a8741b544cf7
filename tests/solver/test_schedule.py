from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from slowfast.errors import UsageError
from slowfast.solver.schedule import (
    LR_POLICY_REGISTRY,
    Schedule,
    get_lr_at_epoch,
    last_update,
    previous_step,
)

CLIP_RECIPE = Schedule("cosine", 3.33e-6, 22, 2, 3.33e-8, 3.33e-8, True)


def solver_cfg(**options):
    solver = {
        "LR_POLICY": "cosine",
        "BASE_LR": 0.1,
        "COSINE_END_LR": 0.0,
        "COSINE_AFTER_WARMUP": False,
        "COSINE_RESTART_EPOCH": 0,
        "STEPS": [],
        "LRS": [],
        "MAX_EPOCH": 300,
        "WARMUP_EPOCHS": 0.0,
        "WARMUP_START_LR": 0.01,
        "LR_UPDATE_PERIOD": 1,
    }
    return SimpleNamespace(SOLVER=SimpleNamespace(**(solver | options)))


@pytest.mark.parametrize(
    ("epoch", "lr"), [(0, 3.33e-8), (1, 1.68165e-6), (2, 3.33e-6), (10, 2.19102e-6), (22, 3.33e-8)]
)
def test_hand_worked_values_of_the_clip_recipe(epoch, lr):
    assert CLIP_RECIPE.lr_at(epoch) == pytest.approx(lr, rel=1e-5)


def test_without_after_warmup_the_peak_stays_below_the_base_rate():
    schedule = Schedule("cosine", 1.0, 10, 2, 0.0, 0.0, False)
    assert schedule.lr_at(2) == pytest.approx((1 + math.cos(0.2 * math.pi)) / 2)
    assert max(schedule.lr_at(e / 10) for e in range(100)) < 1.0


@pytest.mark.parametrize(
    ("epoch", "factor"), [(0, 1), (2.99, 1), (3, 0.1), (7.5, 0.01), (10, 0.01)]
)
def test_steps_change_at_their_boundaries(epoch, factor):
    schedule = Schedule("steps_with_relative_lrs", 0.5, 10, steps=(0, 3, 7), lrs=(1.0, 0.1, 0.01))
    assert schedule.lr_at(epoch) == pytest.approx(0.5 * factor)


def test_restarted_cosine_repeats_its_period():
    schedule = Schedule("cosine", 1.0, 9, 1, 1.0, 0.0, True, cosine_restart_epoch=4)
    assert schedule.lr_at(1) == 1.0
    assert schedule.lr_at(3) == pytest.approx(0.5)
    assert schedule.lr_at(4.999) < 1e-5
    assert schedule.lr_at(5) == 1.0


@pytest.mark.parity
def test_recorded_rates_of_pyslowfast(parity):
    recorded = np.load(parity("slowfast/lr.npz"))
    cases = json.loads(str(recorded["settings_json"]))
    assert len(cases) >= 5
    for name, flat in cases.items():
        options = {key.removeprefix("SOLVER."): value for key, value in zip(flat[::2], flat[1::2])}
        cfg = solver_cfg(**options)
        ours = [get_lr_at_epoch(cfg, float(epoch)) for epoch in recorded["epochs"]]
        np.testing.assert_allclose(ours, recorded[f"lr/{name}"], rtol=1e-12, atol=0, err_msg=name)


@pytest.mark.parity
def test_recorded_rates_of_ost(parity):
    recorded = np.load(parity("ost/ost_schedule.npz"))
    cases = json.loads(bytes(recorded["index.json"]))
    assert len(cases) >= 8
    for case in cases:
        name = case["name"]
        n, accumulation = case["micro_steps_per_epoch"], case["ACCUMULATION_STEPS"]
        schedule = Schedule("ost_cosine", case["LR"], case["EPOCHS"], case["WARMUP_EPOCHS"])
        step_indices = recorded[f"{name}/optimizer_step_micro_index"]
        # The published loop throws an epoch's incomplete tail away; ours steps there. Up to that,
        # each step runs at the rate of the step before it.
        before = [0, *step_indices[:-1].tolist()]
        used = [schedule.lr_at(i / n) for i in before]
        np.testing.assert_allclose(used, recorded[f"{name}/lr_used"], rtol=1e-12, atol=0)
        if n % accumulation == 0:
            ours = [schedule.lr_for_step(int(i), n, accumulation) for i in step_indices]
            np.testing.assert_allclose(ours, recorded[f"{name}/lr_used"], rtol=1e-12, atol=0)


def test_ost_rate_falls_where_the_warm_up_ends():
    schedule = Schedule("ost_cosine", 8e-6, 10, 5)
    assert schedule.lr_at(0) == 0.0
    assert schedule.lr_at(4.999) == pytest.approx(8e-6, rel=1e-3)
    assert schedule.lr_at(5) == pytest.approx(4.04e-6)
    assert schedule.lr_at(10) == pytest.approx(8e-8)


def test_ost_first_two_steps_run_at_rate_zero():
    schedule = Schedule("ost_cosine", 1.0, 4, 2)
    assert [schedule.lr_for_step(i, 10) for i in range(4)] == [0.0, 0.0, 0.05, 0.1]


def test_other_policies_use_the_rate_of_the_step_itself():
    assert CLIP_RECIPE.lr_for_step(30, 10, 4) == CLIP_RECIPE.lr_at(3.0)


TEXT4VIS = Schedule("cosine", 5e-5, 30, 5, 0.0, 0.0, True, update_period=10)


@pytest.mark.parametrize(
    ("epoch", "iteration", "lr"),
    [
        # Zero until the tenth iteration, then 5e-5 e / 5 with e = 0.09, kept for ten iterations.
        (0, 0, 0.0),
        (0, 8, 0.0),
        (0, 9, 9e-7),
        (0, 18, 9e-7),
        (0, 19, 1.9e-6),
        # The first iteration of an epoch is one more, so that the value of 0.99 lasts for one.
        (0, 99, 9.9e-6),
        (1, 0, 1e-5),
        (1, 8, 1e-5),
        (1, 9, 1.09e-5),
        (4, 99, 4.99e-5),
        (5, 0, 5e-5),
        # 2.5e-5 (1 + cos(pi (e - 5) / 25)): at a third of it 3.75e-5, at the end 0.
        (13, 39, 2.5e-5 * (1 + math.cos(math.pi * 8.39 / 25))),
        (13, 48, 2.5e-5 * (1 + math.cos(math.pi * 8.39 / 25))),
        (29, 99, 2.5e-5 * (1 - math.cos(math.pi * 0.01 / 25))),
    ],
)
def test_hand_worked_rates_of_text4vis(epoch, iteration, lr):
    assert TEXT4VIS.lr_for_step(100 * epoch + iteration, 100) == pytest.approx(lr, rel=1e-9)


def test_text4vis_ends_at_zero_and_has_one_rate_in_a_short_epoch():
    assert TEXT4VIS.lr_at(30) == pytest.approx(0.0, abs=1e-18)
    assert TEXT4VIS.lr_at(5 + 25 / 3) == pytest.approx(3.75e-5)
    rates = [TEXT4VIS.lr_for_step(i, 8) for i in range(3 * 8)]
    assert rates == pytest.approx([0.0] * 8 + [1e-5] * 8 + [2e-5] * 8)


def test_published_rates_by_counting():
    found = [TEXT4VIS.lr_for_step(i, 28) for i in range(30 * 28)]
    expected, rate = [], None
    for epoch in range(30):
        for i in range(28):
            if i == 0 or (i + 1) % 10 == 0:
                e = epoch + i / 28
                rate = 5e-5 * e / 5 if e < 5 else 2.5e-5 * (1 + math.cos(math.pi * (e - 5) / 25))
            expected.append(rate)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-20)


@given(iteration=st.integers(0, 500), iters=st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_a_period_of_one_changes_nothing(iteration, iters):
    assert last_update(iteration, iters, 1) == iteration


def test_the_period_is_an_option():
    cfg = solver_cfg(LR_UPDATE_PERIOD=10, WARMUP_EPOCHS=5.0, WARMUP_START_LR=0.0)
    schedule = Schedule.from_cfg(cfg)
    assert schedule.lr_for_step(8, 100) == 0.0
    assert schedule.lr_for_step(9, 100) > 0.0


@given(iteration=st.integers(0, 200), iters=st.integers(1, 20), accumulation=st.integers(1, 8))
@settings(max_examples=200, deadline=None)
def test_previous_step_agrees_with_counting(iteration, iters, accumulation):
    last = 0
    for i in range(iteration):
        within = i % iters + 1
        if within % accumulation == 0 or within == iters:
            last = i
    assert previous_step(iteration, iters, accumulation) == last


@given(iteration=st.integers(0, 200), iters=st.integers(1, 20), accumulation=st.integers(1, 8))
@settings(max_examples=200, deadline=None)
def test_previous_step_agrees_with_counting_where_the_tail_is_carried(
    iteration, iters, accumulation
):
    assume(accumulation <= iters)
    steps = [i for i in range(iteration) if (i % iters + 1) % accumulation == 0]
    found = previous_step(iteration, iters, accumulation, carry=True)
    assert found == (steps[-1] if steps else 0)


@given(epoch=st.floats(0, 22))
@settings(max_examples=100, deadline=None)
def test_cosine_stays_between_its_ends(epoch):
    assert 3.33e-8 * (1 - 1e-9) <= CLIP_RECIPE.lr_at(epoch) <= 3.33e-6 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"LR_POLICY": "cosinus"}, "SOLVER.LR_POLICY: no LR_POLICY named 'cosinus'.*ost_cosine"),
        ({"COSINE_END_LR": 0.1}, "SOLVER.COSINE_END_LR=0.1 must be below"),
        (
            {"LR_POLICY": "steps_with_relative_lrs", "STEPS": [1, 2], "LRS": [1.0, 0.1]},
            "SOLVER.STEPS=.*start with 0",
        ),
        (
            {"LR_POLICY": "steps_with_relative_lrs", "STEPS": [0, 2], "LRS": [1.0]},
            "SOLVER.LRS has 1 values for the 2",
        ),
    ],
)
def test_impossible_settings_are_refused(options, named):
    with pytest.raises(UsageError, match=named):
        get_lr_at_epoch(solver_cfg(**options), 0.0)


def test_factors_to_spare_are_never_reached():
    """PySlowFast's SLOWFAST_8x8_R50_stepwise has six factors for four steps."""
    options = {"STEPS": [0, 94, 154, 196], "LRS": [1, 0.1, 0.01, 0.001, 0.0001, 0.00001]}
    cfg = solver_cfg(LR_POLICY="steps_with_relative_lrs", MAX_EPOCH=239, **options)
    rates = [get_lr_at_epoch(cfg, epoch) for epoch in (93.9, 94, 195.9, 238.9)]
    assert rates == pytest.approx([0.1, 0.01, 1e-3, 1e-4])


@pytest.fixture
def policies(monkeypatch):
    monkeypatch.setattr(LR_POLICY_REGISTRY, "_obj_map", dict(LR_POLICY_REGISTRY._obj_map))
    return LR_POLICY_REGISTRY


def test_a_registered_policy_is_found_by_name(policies):
    @policies.register(warmup=False)
    def flat(schedule, epoch):
        return schedule.base_lr * schedule.cfg.SOLVER.FLAT

    assert get_lr_at_epoch(solver_cfg(LR_POLICY="flat", FLAT=3.0, WARMUP_EPOCHS=9.0), 7.0) == (
        pytest.approx(0.3)
    )


def test_a_policy_of_pyslowfasts_form_gets_the_config_and_the_warm_up(policies):
    @policies.register()
    def lr_func_root(cfg, cur_epoch):
        return cfg.SOLVER.BASE_LR * (1 - cur_epoch / cfg.SOLVER.MAX_EPOCH) ** 0.5

    cfg = solver_cfg(LR_POLICY="root", MAX_EPOCH=8, WARMUP_EPOCHS=2.0, WARMUP_START_LR=0.0)
    assert get_lr_at_epoch(cfg, 6.0) == pytest.approx(0.05)
    assert get_lr_at_epoch(cfg, 1.0) == pytest.approx(0.1 * 0.75**0.5 / 2)


def test_a_policy_without_a_rate_is_named(policies):
    policies.register(lambda schedule, epoch: None, names=["silent"])
    with pytest.raises(UsageError, match=r"LR_POLICY <lambda> returned None; expected obj\(sched"):
        get_lr_at_epoch(solver_cfg(LR_POLICY="silent"), 7.0)
