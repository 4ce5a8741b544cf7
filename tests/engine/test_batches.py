from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast.engine.batches import as_batch, as_logits, evaluation_loss, training_errors
from slowfast.structures import ModelOutput, VideoBatch

INDEX = torch.tensor([4, 5])


def test_pyslowfasts_five_items_become_a_batch():
    batch = as_batch(([torch.zeros(2, 3)], torch.tensor([0, 1]), INDEX, None, {"broken": [1]}))
    assert batch.index.tolist() == [4, 5]
    assert batch.meta == {"broken": [1]}
    assert len(batch) == 2


def test_a_lone_tensor_is_one_pathway_and_no_meta_is_empty():
    batch = as_batch((torch.zeros(2, 3), torch.tensor([0, 1]), [4, 5], None, None))
    assert [x.shape for x in batch.inputs] == [(2, 3)]
    assert batch.index.tolist() == [4, 5]
    assert batch.meta == {}


def test_a_batch_stays_the_same_object():
    batch = VideoBatch([], INDEX, INDEX)
    assert as_batch(batch) is batch


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=6))
@settings(max_examples=50, deadline=None)
def test_probabilities_and_logits_give_the_same_softmax(values):
    logits = torch.tensor([values, values[::-1]])
    probabilities = logits.softmax(dim=1)
    torch.testing.assert_close(as_logits(probabilities).softmax(dim=1), probabilities)


@pytest.mark.parametrize(
    "scores", [[[0.2, 0.2]], [[1.5, -0.5]], [[0.5, 0.5], [3.0, 1.0]], [[25.0, 24.0]]]
)
def test_scores_that_are_no_distribution_stay_as_they_are(scores):
    scores = torch.tensor(scores)
    assert torch.equal(as_logits(scores), scores)


def test_a_certain_class_gives_no_nan():
    scores = torch.tensor([[1.0, 0.0]])
    assert torch.equal(as_logits(scores).softmax(dim=1), scores)


def test_several_labels_per_video():
    scores = torch.tensor([[0.9, 0.8]])
    torch.testing.assert_close(as_logits(scores, multi_label=True).sigmoid(), scores)
    loss = evaluation_loss(torch.tensor([[0.0, 0.0]]), torch.tensor([[1, 0]]), multi_label=True)
    assert loss.item() == pytest.approx(0.693147, rel=1e-5)


def test_evaluation_loss_is_cross_entropy():
    assert evaluation_loss(torch.zeros(2, 4), torch.tensor([0, 3])).item() == pytest.approx(
        1.386294, rel=1e-5
    )


def test_errors_of_plain_labels():
    scores = torch.tensor([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    errors = training_errors(ModelOutput(scores), torch.tensor([0, 1]))
    assert errors == [50.0, 0.0]


def test_errors_of_mixed_labels_add_the_second_class_to_the_first():
    # 0.7 of class 2 and 0.3 of class 0: class 2 alone loses to class 1, with class 0 it wins.
    scores = torch.tensor([[3.0, 4.0, 2.0]])
    errors = training_errors(ModelOutput(scores), torch.tensor([[0.3, 0.0, 0.7]]))
    assert errors[0] == 0.0
    assert scores.tolist() == [[3.0, 4.0, 2.0]]


def test_columns_that_are_no_classes_have_no_error():
    output = ModelOutput(torch.eye(2), extras={"labels": torch.tensor([7, 9])})
    assert training_errors(output, torch.tensor([7, 9])) == (None, None)


def test_multi_hot_labels_have_no_top_k():
    output = ModelOutput(torch.eye(2))
    assert training_errors(output, torch.tensor([[1.0, 1.0], [0.0, 1.0]])) == (None, None)
