"""Facts about models, machine and run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from slowfast.config import get_cfg
from slowfast.errors import UsageError
from slowfast.utils import env, misc


class Towers(nn.Module):
    """A model with an image side and a text side."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Linear(8, 4, bias=False)
        self.norm = nn.BatchNorm1d(4)
        self.text = nn.Linear(6, 4, bias=False)
        self.text.weight.requires_grad_(False)

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        return self.norm(self.image(inputs[0]))


def test_parameters() -> None:
    model = Towers()
    assert misc.params_count(model) == 32 + 8 + 24
    assert misc.params_count(model, ignore_bn=True) == 32 + 24


@pytest.mark.parametrize("loss", [torch.tensor(float("nan")), float("nan")])
def test_a_nan_loss_stops_with_its_batch(loss) -> None:
    with pytest.raises(RuntimeError, match=r"NaN: videos a, b"):
        misc.check_nan_losses(loss, "videos a, b")


@pytest.mark.parametrize("loss", [torch.tensor(1.0), float("inf")])
def test_other_losses_pass(loss) -> None:
    misc.check_nan_losses(loss)


def test_memory() -> None:
    used, total = misc.cpu_mem_usage()
    assert 0 < used < total
    assert misc.gpu_mem_usage() >= 0


@pytest.mark.parametrize(
    ("period", "expected"), [(1, [0, 1, 2, 3]), (3, [2, 3]), (10, [3]), (0, [3])]
)
def test_evaluation_epochs(period: int, expected: list[int]) -> None:
    cfg = get_cfg()
    cfg.SOLVER.MAX_EPOCH, cfg.TRAIN.EVAL_PERIOD = 4, period
    assert [epoch for epoch in range(4) if misc.is_eval_epoch(cfg, epoch)] == expected


@pytest.mark.parametrize(
    "table",
    [
        {"run": 0, "jump": 1, "7": 2},
        {"0": "run", "1": "jump", "2": "7"},
        {"2": "7", "0": "run", "1": "jump"},
    ],
)
def test_both_forms_of_class_names(tmp_path: Path, table: dict) -> None:
    path = tmp_path / "names.json"
    path.write_text(json.dumps(table))
    assert misc.load_class_names(path) == ["run", "jump", "7"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "not JSON"),
        ("[]", "expected"),
        ("{}", "no such table"),
        ('{"a": 0, "b": 2}', "ids 0 to 1"),
        ('{"a": 0, "b": 0}', "ids 0 to 1"),
        ('{"x": "a"}', "ids 0 to 0"),
    ],
)
def test_bad_class_names_are_refused(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "names.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=rf"names\.json: .*{match}"):
        misc.load_class_names(path)


def test_absent_class_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        misc.load_class_names(tmp_path / "none.json")


def test_parents_and_subset(tmp_path: Path) -> None:
    for name, content in (
        ("names.json", '{"run": 0, "jump": 1, "swim": 2}'),
        ("parents.json", '{"dry": ["run", "jump"], "wet": ["swim"]}'),
        ("subset.txt", "swim\n\nrun\n"),
        ("wrong.txt", "fly\n"),
    ):
        (tmp_path / name).write_text(content)
    names, parents, subset = misc.get_class_names(
        tmp_path / "names.json", tmp_path / "parents.json", tmp_path / "subset.txt"
    )
    assert names == ["run", "jump", "swim"]
    assert parents == {"dry": [0, 1], "wet": [2]}
    assert subset == [2, 0]
    assert misc.get_class_names(tmp_path / "names.json")[1:] == (None, None)
    with pytest.raises(UsageError, match="'fly' is no class of"):
        misc.get_class_names(tmp_path / "names.json", None, tmp_path / "wrong.txt")
    with pytest.raises(UsageError, match="cannot be read"):
        misc.get_class_names(tmp_path / "names.json", None, tmp_path / "none.txt")


def test_flops_are_multiply_adds_and_leave_the_mode() -> None:
    model = Towers().train()
    model.norm.eval()  # as frozen batch norms are
    assert misc.count_flops(model, model.image, [torch.ones(1, 8)]) == pytest.approx(32e-9)
    assert model.training
    assert not model.norm.training


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("no tracing here\nsecond line"), "no tracing here"),
        (KeyError("boxes"), "'boxes'"),
        (AssertionError(), "AssertionError"),
        (NotImplementedError(), "NotImplementedError"),
    ],
)
def test_what_cannot_be_traced_is_one_notice_and_not_fatal(caplog, error, said) -> None:
    def stubborn(x: torch.Tensor) -> torch.Tensor:
        raise error

    with caplog.at_level("INFO", logger="slowfast"):
        assert misc.count_flops(Towers(), stubborn, [torch.ones(1)]) == 0.0
    assert [record.getMessage() for record in caplog.records] == [f"FLOPs were not counted: {said}"]


class ForkModel(nn.Module):
    """A model of a fork, which looks at its input before it computes."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.project = nn.Linear(3, 2, bias=False)

    def forward(self, x: list[torch.Tensor]) -> torch.Tensor:
        assert x[0].shape[2] == self.frames
        return self.project(x[0].mean(dim=(2, 3, 4)))


@pytest.mark.parametrize(("frames", "counted"), [(4, True), (5, False)])
def test_a_fork_logs_its_model_as_in_its_training_loop(caplog, frames, counted) -> None:
    cfg = get_cfg()
    cfg.DATA.NUM_FRAMES, cfg.MODEL.ARCH = 4, "slow"
    with caplog.at_level("INFO", logger="slowfast"):
        flops, params = misc.log_model_info(ForkModel(frames), cfg, use_train_input=True)
    assert params == 6
    assert (flops > 0) == counted
    assert "Params: 6  trainable: 6" in caplog.text
    assert ("FLOPs were not counted" in caplog.text) == (not counted)


def test_launch_job_is_launch() -> None:
    cfg = get_cfg()
    cfg.NUM_GPUS = 0
    assert misc.launch_job(cfg, None, lambda c: c.NUM_GPUS) == 0


def test_path_managers_open_files(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("text")
    for manager in (env.pathmgr, env.checkpoint_pathmgr):
        with manager.open(str(path)) as file:
            assert file.read() == "text"


def test_setup_environment_gives_a_console(capsys) -> None:
    from slowfast.utils import logging as slog

    env.setup_environment()
    try:
        slog.get_logger("x").info("heard")
    finally:
        slog.reset_logging()
    assert "heard" in capsys.readouterr().out
