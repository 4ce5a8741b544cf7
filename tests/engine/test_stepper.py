from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from slowfast.engine.stepper import Stepper, accumulation_group
from slowfast.errors import UsageError
from slowfast.structures import ModelOutput
from slowfast.utils import distributed as du
from tests.distributed import run_two_processes


def make_model():
    torch.manual_seed(3)
    return nn.Linear(4, 2)


def loss_of(model, x):
    out = model(x)
    return {"square": out.square().mean(), "sum": out.mean()}, ModelOutput(out)


def run(model, optimizer, data, *, iters, **options):
    """Feed ``data`` (one micro-batch per entry) and return the micro-steps."""
    stepper = Stepper(model, optimizer, **options)
    return [
        stepper.micro_step(lambda x=x: loss_of(model, x), iteration=i, iters=iters)
        for i, x in enumerate(data)
    ]


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def test_terms_are_summed_and_reported():
    model = make_model()
    (step,) = run(model, sgd(model), torch.ones(1, 3, 4), iters=1)
    assert set(step.terms) == {"square", "sum"}
    torch.testing.assert_close(step.loss, step.terms["square"] + step.terms["sum"])
    assert not step.loss.requires_grad
    assert step.output.logits.shape == (3, 2)
    assert not step.output.logits.requires_grad


def test_a_term_without_a_gradient_is_logged_and_not_counted():
    model = make_model()

    def compute():
        terms, output = loss_of(model, torch.ones(3, 4))
        return {**terms, "0": terms["sum"].detach() * 1000}, output

    step = Stepper(model, sgd(model)).micro_step(compute, iteration=0, iters=1)
    assert set(step.terms) == {"square", "sum", "0"}
    torch.testing.assert_close(step.loss, step.terms["square"] + step.terms["sum"])


def test_accumulated_micro_batches_equal_one_large_batch():
    data = torch.randn(4, 3, 4)
    whole, split = make_model(), make_model()
    run(whole, sgd(whole), data.flatten(0, 1)[None], iters=1)
    steps = run(split, sgd(split), data, iters=4, accumulation=4)
    torch.testing.assert_close(split.weight, whole.weight)
    assert [step.grad_norm is not None for step in steps] == [False, False, False, True]


def test_an_incomplete_tail_is_stepped_with_its_own_divisor():
    data = torch.randn(3, 2, 4)
    model = make_model()
    steps = run(model, sgd(model), data, iters=3, accumulation=2)
    assert [step.grad_norm is not None for step in steps] == [False, True, True]
    by_hand = make_model()
    run(by_hand, sgd(by_hand), data[:2].flatten(0, 1)[None], iters=1)
    run(by_hand, sgd(by_hand), data[2:], iters=1)
    torch.testing.assert_close(model.weight, by_hand.weight)


@pytest.mark.parametrize("first", [0, 2])
def test_a_smaller_last_micro_batch_counts_as_many_clips_as_it_has(first):
    data = [torch.randn(size, 4) for size in (4, 4, 4, 1)][first:]
    model, by_hand = make_model(), make_model()
    stepper = Stepper(model, sgd(model), accumulation=2)
    stepper.last_share = 0.25
    for i, x in enumerate(data):
        stepper.micro_step(lambda x=x: loss_of(model, x), iteration=i, iters=len(data))
    for pair in range(0, len(data), 2):
        run(by_hand, sgd(by_hand), torch.cat(data[pair : pair + 2])[None], iters=1)
    torch.testing.assert_close(model.weight, by_hand.weight)


def test_a_tail_that_is_carried_joins_the_first_step_of_the_next_epoch():
    """Text4Vis: gradients are cleared after a step only, and the divisor is constant."""
    data = torch.randn(6, 2, 4)
    model, resumed, by_hand = make_model(), make_model(), make_model()
    stepper = Stepper(model, sgd(model), accumulation=2, carry=True)
    norms = []
    for x, i in zip(data, (0, 1, 2, 0, 1, 2)):
        norms.append(stepper.micro_step(lambda x=x: loss_of(model, x), iteration=i, iters=3))
        if len(norms) == 3:  # the epoch's end
            resumed.load_state_dict(model.state_dict())
            later = Stepper(resumed, sgd(resumed), accumulation=2, carry=True)
            later.take_over({name: g.clone() for name, g in stepper.left_over().items()})
    assert [step.grad_norm is not None for step in norms] == [False, True, False] * 2

    optimizer = sgd(by_hand)
    for number, x in enumerate(data):
        (sum(loss_of(by_hand, x)[0].values()) / 2).backward()
        if number in (1, 4):
            optimizer.step()
            optimizer.zero_grad()
    torch.testing.assert_close(model.weight, by_hand.weight)
    torch.testing.assert_close(model.weight.grad, by_hand.weight.grad)

    for x, i in zip(data[3:], range(3)):
        later.micro_step(lambda x=x: loss_of(resumed, x), iteration=i, iters=3)
    assert torch.equal(resumed.weight, model.weight)
    assert torch.equal(resumed.weight.grad, model.weight.grad)


@pytest.mark.parametrize(
    ("iteration", "group"), [(0, (0, 4)), (3, (3, 4)), (4, (0, 2)), (5, (1, 2))]
)
def test_groups_of_an_epoch(iteration, group):
    assert accumulation_group(iteration, 6, 4) == group


def test_the_norm_is_measured_before_clipping():
    data = torch.randn(1, 3, 4) * 10
    plain, clipped = make_model(), make_model()
    (free,) = run(plain, sgd(plain), data, iters=1)
    (bound,) = run(clipped, sgd(clipped), data, iters=1, clip_l2norm=0.5)
    assert free.grad_norm > 0.5
    torch.testing.assert_close(bound.grad_norm, free.grad_norm)
    moved = torch.cat(
        [(p - q).flatten() for p, q in zip(clipped.parameters(), make_model().parameters())]
    )
    assert moved.norm().item() == pytest.approx(0.1 * 0.5, rel=1e-4)


def test_clipping_by_value_wins_over_the_norm():
    model = make_model()
    run(model, sgd(model), torch.ones(1, 3, 4) * 10, iters=1, clip_value=0.01, clip_l2norm=1e-9)
    assert (model.weight - make_model().weight).abs().max().item() == pytest.approx(0.001, rel=1e-3)


def test_a_clip_value_of_zero_is_a_value():
    model = make_model()
    run(model, sgd(model), torch.ones(1, 3, 4), iters=1, clip_value=0.0)
    torch.testing.assert_close(model.weight, make_model().weight)


def test_bfloat16_computes_in_half_and_keeps_float32_weights():
    model = make_model()
    stepper = Stepper(model, sgd(model), amp_dtype=torch.bfloat16)
    seen = []

    def compute():
        out = model(torch.ones(3, 4))
        seen.append(out.dtype)
        return {"loss": out.float().mean()}, ModelOutput(out)

    step = stepper.micro_step(compute, iteration=0, iters=1)
    assert seen == [torch.bfloat16]
    assert model.weight.dtype == torch.float32
    assert step.loss.dtype == torch.float32
    assert not stepper.scaler.is_enabled()


def test_float16_scales_and_a_step_with_infinite_gradients_is_skipped():
    model = make_model()
    stepper = Stepper(model, sgd(model), amp_dtype=torch.float16)
    assert stepper.scaler.is_enabled()
    before = stepper.scaler.get_scale()

    def compute():
        out = model(torch.ones(1, 4))
        return {"loss": out.float().sum() * 1e38}, ModelOutput(out)

    stepper.micro_step(compute, iteration=0, iters=1)
    torch.testing.assert_close(model.weight, make_model().weight)
    assert stepper.scaler.get_scale() < before


def test_no_gradient_at_all_is_stepped_without_an_error():
    model = make_model()
    other = nn.Parameter(torch.ones(()))
    stepper = Stepper(model, sgd(model))
    step = stepper.micro_step(
        lambda: ({"loss": other * 2}, ModelOutput(torch.zeros(1, 2))), iteration=0, iters=1
    )
    assert step.grad_norm.item() == 0.0


def make_cfg(**train):
    options = {"MIXED_PRECISION": True, "AMP_DTYPE": "bfloat16", "ACCUMULATION_TAIL": "step"}
    options |= train
    solver = SimpleNamespace(CLIP_GRAD_VAL=None, CLIP_GRAD_L2NORM=1.0)
    return SimpleNamespace(TRAIN=SimpleNamespace(**options), SOLVER=solver)


@pytest.mark.parametrize("off", [0, 0.0, None])
def test_clipping_to_0_is_off_as_in_pyslowfast(off):
    cfg, model = make_cfg(MIXED_PRECISION=False), make_model()
    cfg.SOLVER.CLIP_GRAD_VAL, cfg.SOLVER.CLIP_GRAD_L2NORM = off, None
    before = [parameter.detach().clone() for parameter in model.parameters()]
    stepper = Stepper.from_cfg(cfg, model, sgd(model), accumulation=1)
    stepper.micro_step(
        lambda: (
            {"loss": sum(p.sum() for p in model.parameters())},
            ModelOutput(torch.zeros(1, 2)),
        ),
        iteration=0,
        iters=1,
    )
    assert not any(torch.equal(p, old) for p, old in zip(model.parameters(), before))


def test_options_are_read_once():
    model = make_model()
    stepper = Stepper.from_cfg(make_cfg(), model, sgd(model), accumulation=2)
    assert stepper.amp_dtype is torch.bfloat16
    assert stepper.clip_l2norm == 1.0
    assert stepper.accumulation == 2
    off = Stepper.from_cfg(make_cfg(MIXED_PRECISION=False), model, sgd(model), accumulation=1)
    assert off.amp_dtype is None
    assert not off.carry
    carrying = make_cfg(ACCUMULATION_TAIL="carry")
    assert Stepper.from_cfg(carrying, model, sgd(model), accumulation=2).carry


def test_unknown_precision_is_refused():
    model = make_model()
    with pytest.raises(UsageError, match="TRAIN.AMP_DTYPE='fp8' is unknown; known: float16"):
        Stepper.from_cfg(make_cfg(AMP_DTYPE="fp8"), model, sgd(model), accumulation=1)


def _train_share(data, accumulation):
    model = nn.parallel.DistributedDataParallel(make_model())
    share = data[:, du.get_rank() :: 2]
    reduced = []
    model.register_comm_hook(None, lambda state, bucket: _count(reduced, bucket))
    steps = run(model, sgd(model), share, iters=len(share), accumulation=accumulation)
    return model.module.weight.detach(), len(reduced), float(steps[-1].grad_norm)


def _count(reduced, bucket):
    reduced.append(1)
    work = torch.distributed.all_reduce(bucket.buffer(), async_op=True).get_future()
    return work.then(lambda future: future.value()[0] / 2)


def test_two_ranks_equal_one_and_reduce_once_per_step():
    data = torch.randn(4, 2, 4)
    alone = make_model()
    steps = run(alone, sgd(alone), data, iters=4, accumulation=2)
    for weight, reductions, norm in run_two_processes(_train_share, data, 2):
        torch.testing.assert_close(weight, alone.weight)
        assert reductions == 2
        assert norm == pytest.approx(float(steps[-1].grad_norm), rel=1e-5)
