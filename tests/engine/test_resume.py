from __future__ import annotations

import os
import signal

import pytest
import torch

from slowfast.engine.train import train
from slowfast.errors import Interrupted, UsageError
from tests.engine.tiny import Recorder, assert_same_training, last_state, tiny_cfg


@pytest.fixture
def unbroken(tmp_path, monkeypatch):
    """Return (losses, final state) of a training without interruption, for given options."""

    def run(*opts):
        with monkeypatch.context() as patch:
            recorder = Recorder(patch)
            train(tiny_cfg(tmp_path / "unbroken", *opts))
        return recorder.losses, last_state(tmp_path / "unbroken")

    return run


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def interrupt_and_resume(folder, monkeypatch, at, *opts):
    """Train, stop with SIGTERM after micro-step ``at``, train on; return losses and state."""
    with monkeypatch.context() as patch:
        first = Recorder(patch, at, terminate)
        with pytest.raises(Interrupted, match="SIGTERM; saved .*checkpoint_epoch"):
            train(tiny_cfg(folder, *opts))
    with monkeypatch.context() as patch:
        second = Recorder(patch)
        train(tiny_cfg(folder, *opts))
    assert not set(first.losses) & set(second.losses), "a micro-step was trained twice"
    return first.losses | second.losses, last_state(folder)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("at", [(0, 1), (0, 2), (1, 0)])
def test_interrupted_and_resumed_equals_unbroken(tmp_path, monkeypatch, unbroken, at, workers):
    opts = ("DATA_LOADER.NUM_WORKERS", workers)
    losses, state = unbroken(*opts)
    broken_losses, broken_state = interrupt_and_resume(tmp_path / "broken", monkeypatch, at, *opts)
    assert broken_losses == losses
    assert_same_training(broken_state, state)
    assert broken_state["best"] == state["best"]


@pytest.mark.parametrize("at", [(0, 1), (1, 1)])
def test_a_smaller_last_batch_is_trained_in_its_place(tmp_path, monkeypatch, unbroken, at):
    opts = ("TRAIN.DROP_LAST", "auto", "TRAIN.ACCUMULATION_STEPS", 2)
    losses, state = unbroken(*opts)
    assert max(losses) == (1, 3)
    broken_losses, broken_state = interrupt_and_resume(tmp_path / "broken", monkeypatch, at, *opts)
    assert broken_losses == losses
    assert_same_training(broken_state, state)


def test_with_accumulation_the_step_is_finished_first(tmp_path, monkeypatch, unbroken):
    opts = ("TRAIN.ACCUMULATION_STEPS", 2, "TRAIN.BATCH_SIZE", 2)
    losses, state = unbroken(*opts)
    broken_losses, broken_state = interrupt_and_resume(
        tmp_path / "broken", monkeypatch, (0, 2), *opts
    )
    assert broken_losses == losses
    assert_same_training(broken_state, state)


@pytest.mark.parametrize("at", [(0, 1), (0, 2), (1, 1)])
def test_gradients_that_an_epoch_leaves_over_survive(tmp_path, monkeypatch, unbroken, at):
    opts = ("TRAIN.ACCUMULATION_STEPS", 2, "TRAIN.ACCUMULATION_TAIL", "carry")
    losses, state = unbroken(*opts)
    assert state["left_over_gradients"], "three micro-steps of an epoch leave one over"
    broken_losses, broken_state = interrupt_and_resume(tmp_path / "broken", monkeypatch, at, *opts)
    assert broken_losses == losses
    assert_same_training(broken_state, state)
    for name, gradient in state["left_over_gradients"].items():
        assert torch.equal(broken_state["left_over_gradients"][name], gradient), name


@pytest.mark.parametrize(
    "opts",
    [
        ("MIXUP.ENABLE", True, "MODEL.LOSS_FUNC", "soft_cross_entropy"),
        ("TRAIN.MIXED_PRECISION", True, "TRAIN.AMP_DTYPE", "float16"),
        ("TRAIN.KILL_LOSS_EXPLOSION_FACTOR", 50.0, "SOLVER.LR_POLICY", "ost_cosine"),
        ("BN.USE_PRECISE_STATS", True, "BN.NUM_BATCHES_PRECISE", 2),
    ],
)
def test_every_kind_of_state_survives(tmp_path, monkeypatch, unbroken, opts):
    losses, state = unbroken(*opts)
    broken_losses, broken_state = interrupt_and_resume(
        tmp_path / "broken", monkeypatch, (0, 1), *opts
    )
    assert broken_losses == losses
    assert_same_training(broken_state, state)


def test_statistics_of_a_resumed_epoch_are_those_of_the_whole_epoch(tmp_path, monkeypatch):
    import simplejson

    def epoch_losses(folder):
        lines = (folder / "json_stats.log").read_text().splitlines()
        stats = [simplejson.loads(line.removeprefix("json_stats: ")) for line in lines]
        return {line["epoch"]: line["loss"] for line in stats if line["_type"] == "train_epoch"}

    train(tiny_cfg(tmp_path / "unbroken"))
    interrupt_and_resume(tmp_path / "broken", monkeypatch, (0, 1))
    assert epoch_losses(tmp_path / "broken") == epoch_losses(tmp_path / "unbroken")


def test_a_kill_without_warning_goes_on_from_the_last_epoch(tmp_path, monkeypatch, unbroken):
    class Killed(Exception):
        pass

    def kill():
        raise Killed

    losses, state = unbroken()
    with monkeypatch.context() as patch:
        Recorder(patch, (1, 1), kill)
        with pytest.raises(Killed):
            train(tiny_cfg(tmp_path / "broken"))
    with monkeypatch.context() as patch:
        second = Recorder(patch)
        train(tiny_cfg(tmp_path / "broken"))
    assert second.losses == {key: value for key, value in losses.items() if key[0] == 1}
    assert_same_training(last_state(tmp_path / "broken"), state)


def test_a_signal_during_validation_saves_and_the_validation_is_made_up_for(
    tmp_path, monkeypatch, unbroken
):
    import slowfast.engine.train as module

    _, state = unbroken("TRAIN.CHECKPOINT_PERIOD", 5)
    original = module.evaluate
    folder, opts = tmp_path / "broken", ("TRAIN.CHECKPOINT_PERIOD", 5)
    with monkeypatch.context() as patch:
        patch.setattr(module, "evaluate", lambda *args, **kwargs: terminate())
        with pytest.raises(Interrupted, match="checkpoint_epoch_00001.pyth"):
            train(tiny_cfg(folder, *opts))
    validated = []

    def evaluate(*args, **kwargs):
        validated.append(kwargs["epoch"])
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(module, "evaluate", evaluate)
        train(tiny_cfg(folder, *opts))
    assert validated == [0, 1]
    assert_same_training(last_state(folder), state)


def test_a_finished_training_is_only_validated(tmp_path, monkeypatch):
    first = train(tiny_cfg(tmp_path))
    recorder = Recorder(monkeypatch)
    second = train(tiny_cfg(tmp_path))
    assert recorder.losses == {}
    assert second["top1_err"] == first["top1_err"]
    assert second["loss"] == first["loss"]


def test_without_auto_resume_it_starts_anew(tmp_path, monkeypatch):
    train(tiny_cfg(tmp_path))
    recorder = Recorder(monkeypatch)
    train(tiny_cfg(tmp_path, "TRAIN.AUTO_RESUME", False))
    assert (0, 0) in recorder.losses


def test_an_unreadable_newest_checkpoint_gives_way_to_the_one_before(
    tmp_path, monkeypatch, unbroken, caplog
):
    losses, state = unbroken()
    folder = tmp_path / "broken"
    train(tiny_cfg(folder))
    newest = folder / "checkpoints" / "checkpoint_epoch_00002.pyth"
    newest.write_bytes(newest.read_bytes()[:1000])
    recorder = Recorder(monkeypatch)
    train(tiny_cfg(folder))
    assert recorder.losses == {key: value for key, value in losses.items() if key[0] == 1}
    assert_same_training(last_state(folder), state)


def test_another_model_is_refused_by_name(tmp_path):
    train(tiny_cfg(tmp_path))
    with pytest.raises(UsageError, match="does not continue this training: .*head.weight"):
        train(tiny_cfg(tmp_path, "MODEL.NUM_CLASSES", 5))


def test_another_optimizer_is_refused(tmp_path):
    train(tiny_cfg(tmp_path))
    with pytest.raises(UsageError, match="does not continue this training: .*parameter group"):
        train(tiny_cfg(tmp_path, "SOLVER.ZERO_WD_1D_PARAM", True))


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    train(tiny_cfg(tmp_path, "SOLVER.MAX_EPOCH", 1))
    (path,) = (tmp_path / "checkpoints").glob("checkpoint_epoch_*")
    state = torch.load(path, weights_only=True)
    state["model_state"]["head.weight"][0, 0] = torch.nan
    torch.save(state, path)
    with pytest.raises(UsageError, match=r"epoch_00001.pyth: head.weight holds NaN"):
        train(tiny_cfg(tmp_path))


def test_another_batch_size_keeps_the_share_of_the_epoch(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        Recorder(patch, (0, 1), terminate)
        with pytest.raises(Interrupted):
            train(tiny_cfg(tmp_path))  # 2 of 3 iterations
    recorder = Recorder(monkeypatch)
    train(tiny_cfg(tmp_path, "TRAIN.BATCH_SIZE", 2))  # 7 iterations
    assert min(recorder.losses) == (0, 4)


def test_starting_weights_bring_neither_optimizer_nor_epoch(tmp_path, monkeypatch):
    train(tiny_cfg(tmp_path / "first"))
    source = tmp_path / "first" / "checkpoints" / "checkpoint_epoch_00002.pyth"
    recorder = Recorder(monkeypatch, (0, 0), terminate)
    with pytest.raises(Interrupted):
        train(tiny_cfg(tmp_path / "second", "TRAIN.CHECKPOINT_FILE_PATH", source))
    assert list(recorder.losses) == [(0, 0)]
    steps = [
        moments["step"]
        for moments in last_state(tmp_path / "second")["optimizer_state"]["state"].values()
    ]
    assert set(map(float, steps)) == {1.0}


def test_a_checkpoint_of_pyslowfast_resumes(tmp_path, monkeypatch):
    """Theirs hold the epoch's index, weights, optimizer and config only."""
    train(tiny_cfg(tmp_path, "TRAIN.CHECKPOINT_PERIOD", 1))
    path = tmp_path / "checkpoints" / "checkpoint_epoch_00001.pyth"
    state = torch.load(path, weights_only=True)
    kept = {key: state[key] for key in ("epoch", "model_state", "optimizer_state", "cfg")}
    for group in kept["optimizer_state"]["param_groups"]:
        group.pop("param_names")
        group.pop("lr_scale")
    torch.save(kept, path)
    (tmp_path / "checkpoints" / "checkpoint_epoch_00002.pyth").unlink()
    recorder = Recorder(monkeypatch)
    train(tiny_cfg(tmp_path))
    assert min(recorder.losses) == (1, 0)
