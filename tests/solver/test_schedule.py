from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast.errors import UsageError
from slowfast.solver.schedule import (
    POLICIES,
    Schedule,
    get_lr_at_epoch,
    previous_step,
    register_policy,
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


@given(iteration=st.integers(0, 200), iters=st.integers(1, 20), accumulation=st.integers(1, 8))
@settings(max_examples=200, deadline=None)
def test_previous_step_agrees_with_counting(iteration, iters, accumulation):
    last = 0
    for i in range(iteration):
        within = i % iters + 1
        if within % accumulation == 0 or within == iters:
            last = i
    assert previous_step(iteration, iters, accumulation) == last


@given(epoch=st.floats(0, 22))
@settings(max_examples=100, deadline=None)
def test_cosine_stays_between_its_ends(epoch):
    assert 3.33e-8 * (1 - 1e-9) <= CLIP_RECIPE.lr_at(epoch) <= 3.33e-6 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"LR_POLICY": "cosinus"}, "SOLVER.LR_POLICY='cosinus'.*ost_cosine"),
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


def test_a_registered_policy_is_found_by_name_and_only_once():
    try:
        register_policy("flat", warmup=False)(lambda schedule, epoch: schedule.base_lr)
        assert get_lr_at_epoch(solver_cfg(LR_POLICY="flat"), 7.0) == 0.1
        with pytest.raises(UsageError, match="registered twice"):
            register_policy("flat")(lambda schedule, epoch: 0.0)
    finally:
        POLICIES.pop("flat", None)
