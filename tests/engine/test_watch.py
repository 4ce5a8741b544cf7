from __future__ import annotations

import pytest
import torch

from slowfast.engine.watch import LossError, LossWatch
from slowfast.structures import VideoBatch


def batch_of(*ids):
    return VideoBatch([], torch.zeros(len(ids)), torch.tensor(ids))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_no_number_stops_and_names_the_batch(value):
    watch = LossWatch(lambda index: f"{index} (clip{index}.mp4)")
    watch.look(torch.tensor(1.0), batch_of(1), "epoch 1, iteration 1")
    with pytest.raises(LossError) as caught:
        watch.look(torch.tensor(value), batch_of(7, 9), "epoch 3, iteration 12")
    text = str(caught.value)
    assert "epoch 3, iteration 12" in text
    assert "7 (clip7.mp4), 9 (clip9.mp4)" in text
    assert caught.value.exit_code == 1


def test_without_names_the_ids_are_given_and_long_batches_cut():
    with pytest.raises(LossError, match="batch: 0, 1, .* 15 and 4 more"):
        LossWatch().look(torch.tensor(float("nan")), batch_of(*range(20)), "epoch 1")


def test_an_explosion_is_measured_against_five_losses():
    watch = LossWatch(explosion_factor=3.0)
    for _ in range(5):
        watch.look(torch.tensor(2.0), batch_of(0), "")
    watch.look(torch.tensor(5.9), batch_of(0), "")
    with pytest.raises(LossError, match="jumped from 2.78 .* to 9, above .*FACTOR=3"):
        watch.look(torch.tensor(9.0), batch_of(0), "")


def test_four_losses_are_too_few_to_call_it_an_explosion():
    watch = LossWatch(explosion_factor=1.5)
    for value in (1.0, 1.0, 1.0, 1.0, 100.0):
        watch.look(torch.tensor(value), batch_of(0), "")


def test_explosion_is_off_by_default():
    watch = LossWatch()
    for value in (1.0, 1.0, 1.0, 1.0, 1.0, 1e9):
        watch.look(torch.tensor(value), batch_of(0), "")


def test_the_window_survives_a_resume():
    watch = LossWatch(explosion_factor=2.0)
    for value in (1.0, 2.0, 3.0, 4.0, 5.0, 5.5):
        watch.look(torch.tensor(value), batch_of(0), "")
    other = LossWatch(explosion_factor=2.0)
    other.load_state_dict(watch.state_dict())
    assert list(other.recent) == [2.0, 3.0, 4.0, 5.0, 5.5]


@pytest.mark.gpu
def test_on_a_device_the_loss_is_looked_at_one_step_later():
    watch = LossWatch()
    watch.look(torch.tensor(float("nan"), device="cuda"), batch_of(3), "epoch 1, iteration 1")
    with pytest.raises(LossError, match="iteration 1; batch: 3"):
        watch.look(torch.tensor(1.0, device="cuda"), batch_of(4), "epoch 1, iteration 2")
