import numpy as np
import torch

from slowfast.datasets.collate import collate


def sample(index, label=0, meta=None, value=0.0):
    frames = [torch.full((3, 2, 4, 4), value)]
    return frames, label, index, np.array([[0.0, 9.0, 0.0]]), meta or {}


def test_five_items_with_pyslowfasts_shapes_and_types():
    inputs, labels, index, time, meta = collate([sample(4, 1, value=1.0), sample(7, 2)])
    assert [x.shape for x in inputs] == [(2, 3, 2, 4, 4)]
    assert inputs[0][:, 0, 0, 0, 0].tolist() == [1.0, 0.0]
    assert (labels.dtype, labels.tolist()) == (torch.int64, [1, 2])
    assert (index.dtype, index.tolist()) == (torch.int64, [4, 7])
    assert (time.dtype, time.shape) == (torch.float64, (2, 1, 3))
    assert meta == {}


def test_several_clips_of_a_video_stay_adjacent():
    def several(index, values):
        frames = [[torch.full((1, 1, 2, 2), v)] for v in values]
        n = len(values)
        return frames, [index] * n, [index] * n, [np.zeros(3)] * n, {}

    inputs, labels, index, time, _ = collate([several(3, [1.0, 2.0]), several(5, [3.0, 4.0])])
    assert inputs[0].flatten(1)[:, 0].tolist() == [1, 2, 3, 4]
    assert labels.tolist() == index.tolist() == [3, 3, 5, 5]
    assert time.shape == (4, 3)


def test_failed_videos_are_left_out_and_named():
    failed = (None, 1, 3, None, {"failed": [(3, "a.mp4", 1, "empty")]})
    inputs, labels, index, _, meta = collate([sample(2), failed, sample(4)])
    assert index.tolist() == [2, 4]
    assert meta == {"failed": [(3, "a.mp4", 1, "empty")]}
    assert len(inputs[0]) == len(labels) == 2


def test_a_batch_of_failures_is_empty_but_whole():
    inputs, labels, index, time, meta = collate([(None, 1, 3, None, {"failed": [3]})])
    assert inputs == []
    assert len(labels) == len(index) == len(time) == 0
    assert meta == {"failed": [3]}


def test_several_labels_and_pathways_and_own_meta():
    first = (
        [torch.zeros(1, 2, 2, 2), torch.zeros(1, 4, 2, 2)],
        torch.tensor([1.0, 0.0]),
        0,
        0.0,
        {"name": "a"},
    )
    second = (
        [torch.ones(1, 2, 2, 2), torch.ones(1, 4, 2, 2)],
        torch.tensor([1.0, 1.0]),
        1,
        0.0,
        {"name": "b"},
    )
    inputs, labels, _, _, meta = collate([first, second])
    assert [x.shape for x in inputs] == [(2, 1, 2, 2, 2), (2, 1, 4, 2, 2)]
    assert labels.tolist() == [[1.0, 0.0], [1.0, 1.0]]
    assert meta == {"name": ["a", "b"]}


def test_a_bare_tensor_counts_as_one_pathway():
    inputs, *_ = collate([(torch.zeros(3, 1, 2, 2), 0, 0, 0, {})] * 2)
    assert [x.shape for x in inputs] == [(2, 3, 1, 2, 2)]
