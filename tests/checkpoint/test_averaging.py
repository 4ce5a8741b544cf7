"""Mixes and averages: hand-worked, as properties, against the recorded fuse, and refused."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast.checkpoint.averaging import average, mix
from slowfast.errors import UsageError

RATIOS = st.floats(0, 1)


def state(seed, **extra):
    generator = torch.Generator().manual_seed(seed)
    random = {
        "w": torch.randn(7, 3, generator=generator),
        "b": torch.randn((), generator=generator),
    }
    return {**random, **extra}


def test_the_ratio_belongs_to_the_original():
    original, finetuned = {"w": torch.tensor([10.0])}, {"w": torch.tensor([20.0])}
    for ratio, expected in ((0.0, 20.0), (0.2, 18.0), (1.0, 10.0)):
        mixed = mix(original=original, finetuned=finetuned, ratio_original=ratio)
        assert mixed["w"].item() == pytest.approx(expected)


@pytest.mark.parity
def test_recorded_fuse_of_the_released_code(parity):
    data = np.load(parity("ost/ost_tiny.npz"))
    keys = [k.removeprefix("fuse/fused/") for k in data.files if k.startswith("fuse/fused/")]
    assert len(keys) == 5
    sides = [
        {key: torch.from_numpy(data[f"{side}{key}"]) for key in keys}
        for side in ("sd/", "fuse/finetuned/")
    ]
    mixed = mix(original=sides[0], finetuned=sides[1], ratio_original=0.2)
    for key in keys:
        np.testing.assert_allclose(mixed[key], data[f"fuse/fused/{key}"], rtol=1e-6, atol=1e-7)


@settings(max_examples=25, deadline=None)
@given(RATIOS, st.integers(0, 1000))
def test_mixing_equals_is_the_identity_and_sides_are_symmetric(ratio, seed):
    one, two = state(seed), state(seed + 1)
    same = mix(original=one, finetuned=one, ratio_original=ratio)
    assert all(torch.equal(same[key], one[key]) for key in one)
    there = mix(original=one, finetuned=two, ratio_original=ratio)
    back = mix(original=two, finetuned=one, ratio_original=1 - ratio)
    for key in one:
        torch.testing.assert_close(there[key], back[key])
        low, high = torch.minimum(one[key], two[key]), torch.maximum(one[key], two[key])
        assert ((there[key] >= low - 1e-6) & (there[key] <= high + 1e-6)).all()


def test_uniform_averages_in_float64():
    values = [1e8, 1.0, -1e8, 3.0]
    states = [{"w": torch.tensor([value])} for value in values]
    mean = average(states, [0.25] * 4)
    assert mean["w"].item() == 1.0, "in float32 the small values vanish beside the large ones"
    assert mean["w"].dtype == torch.float32


def test_types_are_the_finetuned_sides():
    original = {"w": torch.ones(2), "n": torch.tensor([1]), "f": torch.tensor([True])}
    finetuned = {"w": torch.zeros(2).half(), "n": torch.tensor([1]), "f": torch.tensor([True])}
    mixed = mix(original=original, finetuned=finetuned, ratio_original=0.25)
    assert mixed["w"].tolist() == [0.25, 0.25]
    assert [mixed[key].dtype for key in "wnf"] == [torch.float16, torch.int64, torch.bool]


def test_buffers_are_the_originals_and_it_is_said(caplog):
    original = state(0, n=torch.tensor(3), **{"bn.running_mean": torch.tensor([1.0])})
    finetuned = state(1, n=torch.tensor(8), **{"bn.running_mean": torch.tensor([5.0])})
    with caplog.at_level(logging.INFO):
        mixed = mix(original=original, finetuned=finetuned, ratio_original=0.5)
    assert mixed["n"].item() == 3
    assert mixed["bn.running_mean"].item() == 1.0
    assert "2 parameters are mixed, 2 buffers (n, bn.running_mean) keep the original" in caplog.text
    mixed["n"] += 1
    assert original["n"].item() == 3, "the result shares no memory with its sources"
    tuned_alone = mix(original=original, finetuned=finetuned, ratio_original=0.0)
    assert all(torch.equal(tuned_alone[key], value) for key, value in finetuned.items())


def test_differing_counters_of_an_average_are_the_last_ones_and_said(caplog):
    with caplog.at_level(logging.WARNING):
        mean = average([state(0, n=torch.tensor(3)), state(1, n=torch.tensor(8))], [0.5, 0.5])
    assert mean["n"].item() == 8
    assert "1 tensors that are not floating-point differ" in caplog.text


def test_one_sided_keys():
    original, finetuned = state(0, table=torch.ones(2)), state(1, head=torch.ones(3))
    with pytest.raises(UsageError, match="the original weights: table; --only-original keep"):
        mix(original=original, finetuned=finetuned, ratio_original=0.2)
    with pytest.raises(UsageError, match="fine-tuned weights: head; --only-finetuned keep"):
        mix(original=original, finetuned=finetuned, ratio_original=0.2, only_original="keep")
    mixed = mix(
        original=original,
        finetuned=finetuned,
        ratio_original=0.2,
        only_original="keep",
        only_finetuned="keep",
    )
    assert set(mixed) == {"w", "b", "table", "head"}
    assert torch.equal(mixed["head"], finetuned["head"])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"w": torch.ones(7, 3)}, r"source 2 .*1 keys missing \(b\)"),
        (state(1, c=torch.ones(1)), r"1 surplus \(c\)"),
        ({**state(1), "w": torch.ones(7, 4)}, r"w of source 2 is \(7, 4\), before .*\(7, 3\)"),
        ({**state(1), "b": torch.tensor(float("nan"))}, "b of source 2 holds NaN"),
    ],
)
def test_mismatches_are_refused_by_name(other, message):
    with pytest.raises(UsageError, match=message):
        average([state(0), other], [0.5, 0.5])


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_ratios_outside(ratio):
    with pytest.raises(UsageError, match="expected 0"):
        mix(original=state(0), finetuned=state(1), ratio_original=ratio)
