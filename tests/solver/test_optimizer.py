from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from slowfast.errors import UsageError
from slowfast.models.optimizer import construct_optimizer, get_epoch_lr, get_grad_norm_, set_lr
from slowfast.solver.optimizer import OPTIMIZER_REGISTRY, grad_norm, unwrap
from slowfast.utils.lr_policy import get_lr_at_epoch


def make_cfg(method="adamw", **options):
    solver = {
        "OPTIMIZING_METHOD": method,
        "BASE_LR": 0.1,
        "MOMENTUM": 0.9,
        "DAMPENING": 0.0,
        "NESTEROV": True,
        "BETAS": [0.9, 0.98],
        "EPSILON": 1e-6,
        "WEIGHT_DECAY": 0.01,
        "ZERO_WD_1D_PARAM": True,
        "LAYER_DECAY": 1.0,
        "LR_POLICY": "cosine",
        "COSINE_END_LR": 0.0,
        "COSINE_AFTER_WARMUP": False,
        "COSINE_RESTART_EPOCH": 0,
        "LR_UPDATE_PERIOD": 1,
        "STEPS": [],
        "LRS": [],
        "MAX_EPOCH": 4,
        "WARMUP_EPOCHS": 0.0,
        "WARMUP_START_LR": 0.01,
    } | options
    return SimpleNamespace(SOLVER=SimpleNamespace(**solver), BN=SimpleNamespace(WEIGHT_DECAY=0.0))


@pytest.mark.parametrize(
    ("method", "cls"),
    [
        ("sgd", torch.optim.SGD),
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
        ("mt_adamw", torch.optim.AdamW),
    ],
)
def test_methods_by_name(method, cls):
    optimizer = construct_optimizer(nn.Linear(2, 2), make_cfg(method))
    assert type(optimizer) is cls
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0]
    if cls is torch.optim.AdamW:
        assert optimizer.defaults["betas"] == (0.9, 0.98)
        assert optimizer.defaults["eps"] == 1e-6
        assert bool(optimizer.defaults["foreach"]) is (method == "mt_adamw")


def test_unknown_method_lists_the_known():
    known = "SOLVER.OPTIMIZING_METHOD: no OPTIMIZER named 'lion'; known: adam, adamw, mt_adamw, sgd"
    with pytest.raises(UsageError, match=known):
        construct_optimizer(nn.Linear(2, 2), make_cfg("lion"))


@pytest.fixture
def optimizers(monkeypatch):
    monkeypatch.setattr(OPTIMIZER_REGISTRY, "_obj_map", dict(OPTIMIZER_REGISTRY._obj_map))
    return OPTIMIZER_REGISTRY


def test_an_optimizer_of_ones_own_is_a_class_or_a_builder(optimizers):
    @optimizers.register()
    class Signs(torch.optim.Optimizer):
        def __init__(self, params, lr=1.0, weight_decay=0.0):
            super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @optimizers.register()
    def slow(groups, cfg):
        return torch.optim.SGD(groups, lr=cfg.SOLVER.BASE_LR / 10)

    own = construct_optimizer(nn.Linear(2, 2), make_cfg("Signs"))
    assert type(own) is Signs
    assert [group["weight_decay"] for group in own.param_groups] == [0.01, 0.0]
    assert own.defaults["lr"] == 0.1
    assert construct_optimizer(nn.Linear(2, 2), make_cfg("slow")).defaults["lr"] == 0.01


def test_an_optimizer_that_breaks_the_contract_is_named(optimizers):
    optimizers.register(lambda groups, cfg: None, names=["forgetful"])
    optimizers.register(lambda params: torch.optim.SGD(params, lr=1.0), names=["short"])
    expected = r"expected obj\(groups, cfg\) -> torch.optim.Optimizer"
    with pytest.raises(UsageError, match=f"OPTIMIZER <lambda> returned None; {expected}"):
        construct_optimizer(nn.Linear(2, 2), make_cfg("forgetful"))
    with pytest.raises(UsageError, match=rf"takes \(params\): too many positional.*; {expected}"):
        construct_optimizer(nn.Linear(2, 2), make_cfg("short"))


def test_multi_tensor_adamw_walks_the_same_path():
    results = []
    for method in ("adamw", "mt_adamw"):
        torch.manual_seed(1)
        model = nn.Linear(3, 3)
        optimizer = construct_optimizer(model, make_cfg(method))
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()
        results.append(model.weight.detach().clone())
    torch.testing.assert_close(*results)


def test_set_lr_applies_both_factors():
    optimizer = construct_optimizer(nn.Linear(2, 2), make_cfg())
    optimizer.param_groups[0]["layer_decay"] = 0.5
    optimizer.param_groups[1]["lr_scale"] = 10.0
    set_lr(optimizer, 0.2)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 2.0]


def test_state_survives_a_round_trip_through_the_safe_reader(tmp_path):
    model = nn.Linear(2, 2)
    optimizer = construct_optimizer(model, make_cfg())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    fresh = construct_optimizer(model, make_cfg())
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert fresh.param_groups[0]["param_names"] == ["weight"]
    torch.testing.assert_close(
        fresh.state[model.weight]["exp_avg"], optimizer.state[model.weight]["exp_avg"]
    )


def test_a_state_without_our_group_keys_still_steps():
    # What PySlowFast writes: no names, no rule factors.
    model = nn.Linear(2, 2)
    state = construct_optimizer(model, make_cfg()).state_dict()
    for group in state["param_groups"]:
        del group["param_names"], group["lr_scale"]
    optimizer = construct_optimizer(model, make_cfg())
    optimizer.load_state_dict(state)
    set_lr(optimizer, 0.3)
    assert [group["lr"] for group in optimizer.param_groups] == [0.3, 0.3]


def test_grad_norm_is_the_length_of_all_gradients_together():
    model = nn.Linear(1, 1)
    model.weight.grad = torch.tensor([[3.0]])
    model.bias.grad = torch.tensor([4.0])
    assert grad_norm(model.parameters()).item() == 5.0
    assert get_grad_norm_(model.parameters()).item() == 5.0
    assert get_grad_norm_(model.parameters(), norm_type=float("inf")).item() == 4.0


def test_grad_norm_without_gradients_is_zero():
    assert grad_norm(nn.Linear(1, 1).parameters()).item() == 0.0


def test_unwrap_finds_the_model_behind_compile():
    model = nn.Linear(1, 1)
    wrapped = nn.Module()
    wrapped._orig_mod = model
    assert unwrap(wrapped) is model
    assert unwrap(model) is model


def test_pyslowfast_names_agree():
    cfg = make_cfg()
    assert get_epoch_lr(2.0, cfg) == get_lr_at_epoch(cfg, 2.0) == pytest.approx(0.05)
