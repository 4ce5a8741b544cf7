"""Confusion matrix and tables by hand."""

from __future__ import annotations

import csv

import torch

from slowfast.evaluation import confusion

NAMES = ("run", "jump", "a, b")
PREDICTED = torch.tensor([0, 1, 1, 0, 2])
LABELS = torch.tensor([0, 0, 0, 1, 1])


def test_matrix_and_shares() -> None:
    matrix = confusion.confusion_matrix(PREDICTED, LABELS, 3)
    assert matrix.tolist() == [[1, 2, 0], [1, 0, 1], [0, 0, 0]]
    scores = torch.nn.functional.one_hot(PREDICTED, 3).float()
    assert torch.equal(confusion.confusion_matrix(scores, LABELS, 3), matrix)
    shares = confusion.normalize_rows(matrix)
    assert shares[1].tolist() == [0.5, 0.0, 0.5]
    assert shares[2].tolist() == [0.0, 0.0, 0.0]


def test_worst_pairs_are_ordered_and_bounded() -> None:
    matrix = confusion.confusion_matrix(PREDICTED, LABELS, 3)
    found = confusion.worst_pairs(matrix, NAMES)
    assert [(c.true, c.predicted, c.videos) for c in found] == [
        ("run", "jump", 2),
        ("jump", "a, b", 1),
        ("jump", "run", 1),
    ]
    assert found[0].share == 2 / 3
    assert len(confusion.worst_pairs(matrix, NAMES, limit=1)) == 1


def test_csv_survives_commas() -> None:
    text = confusion.matrix_csv(confusion.confusion_matrix(PREDICTED, LABELS, 3), NAMES)
    rows = list(csv.reader(text.splitlines()))
    assert rows[0][1:] == list(NAMES)
    assert rows[3] == ["a, b", "0", "0", "0"]


def test_table_puts_the_worst_first_and_absent_classes_last() -> None:
    matrix = confusion.confusion_matrix(PREDICTED, LABELS, 3)
    header, *lines = confusion.class_table(matrix, NAMES).splitlines()
    assert header.split() == ["%", "right/videos", "class"]
    assert [line.split()[-1] for line in lines] == ["jump", "run", "b"]
    assert lines[0].split() == ["0.00", "0/2", "jump"]
    assert lines[2].split()[0] == "-"
    assert confusion.class_table(matrix, NAMES, worst=1) == f"{header}\n{lines[0]}"
