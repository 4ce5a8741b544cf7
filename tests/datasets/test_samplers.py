import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast.datasets.samplers import ExactBatchSampler, LastBatch, TrainBatchSampler, last_batch
from slowfast.errors import UsageError

sizes = st.integers(1, 4)


@given(st.integers(16, 60), sizes, sizes, st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_many_processes_see_the_global_batches_of_one(num_items, batch, world, epoch):
    one = TrainBatchSampler(num_items, batch * world, seed=3)
    many = [
        TrainBatchSampler(num_items, batch, seed=3, rank=r, world_size=world) for r in range(world)
    ]
    for sampler in [one, *many]:
        sampler.set_epoch(epoch)
    joined = [sum(parts, []) for parts in zip(*many)]
    assert joined == list(one)
    assert all(len(sampler) == len(one) == len(joined) for sampler in many)
    seen = [i for part in joined for i in part]
    assert len(set(seen)) == len(seen) == num_items // (batch * world) * batch * world


def test_epochs_differ_and_repeat_and_seeds_differ():
    sampler = TrainBatchSampler(40, 4, seed=1)
    first = list(sampler)
    assert first == list(sampler)
    sampler.set_epoch(1)
    assert first != list(sampler)
    sampler.set_epoch(0)
    assert first == list(sampler)
    assert first != list(TrainBatchSampler(40, 4, seed=2))


@pytest.mark.parametrize("skipped", [0, 3, 10])
def test_skipping_resumes_in_the_middle_of_one_epoch_only(skipped):
    sampler = TrainBatchSampler(40, 4, seed=1)
    whole = list(sampler)
    sampler.skip(skipped)
    assert len(sampler) == 10
    assert list(sampler) == whole[skipped:]
    assert list(sampler) == whole


@given(st.integers(1, 60), sizes, sizes, st.sampled_from(["auto", "True", "False"]))
@settings(max_examples=100, deadline=None)
def test_each_process_gets_as_much_of_the_last_batch(num_items, batch, world, drop):
    last = last_batch(num_items, batch, world, drop=drop)
    rest = num_items % (batch * world)
    lost = rest / num_items
    kept = rest >= world and (drop == "False" or (drop == "auto" and lost > 0.05))
    assert last.share == (rest // world if kept else 0)
    if num_items < batch * world and not kept:
        return
    many = [
        TrainBatchSampler(num_items, batch, seed=3, rank=r, world_size=world, last=last)
        for r in range(world)
    ]
    epochs = [list(sampler) for sampler in many]
    assert {len(sampler) for sampler in many} == {len(epoch) for epoch in epochs}
    assert [len(part) for part in epochs[0]] == [len(part) for part in epochs[-1]]
    seen = [i for epoch in epochs for part in epoch for i in part]
    assert len(set(seen)) == len(seen) == many[0].num_used
    assert many[0].num_used == num_items - (rest % world if kept else rest)
    alone = TrainBatchSampler(num_items, batch * world, seed=3, last=LastBatch(rest, ""))
    for parts, whole in zip(zip(*epochs), alone):
        assert sum(parts, []) == whole[: len(parts[0]) * world]


@pytest.mark.parametrize(
    ("clips", "options", "expected"),
    [
        (22, {"drop": "auto"}, (6, "TRAIN.DROP_LAST auto")),
        (22, {"drop": "True"}, (0, "TRAIN.DROP_LAST True")),
        (22, {"drop": "auto", "whole": "they are compared"}, (0, "they are compared")),
        (22, {"drop": "False", "whole": "they are compared"}, (6, "TRAIN.DROP_LAST False")),
        (22, {"drop": "False", "least": 7}, (0, "it has not 7 clips for each of 1 processes")),
        (336, {"drop": "auto"}, (0, "")),
        (337, {"drop": "auto"}, (0, "TRAIN.DROP_LAST auto")),
    ],
)
def test_what_becomes_of_the_last_batch_and_why(clips, options, expected):
    assert last_batch(clips, 16, 1, **options) == expected


def test_too_few_videos_for_a_batch_is_an_early_error():
    with pytest.raises(
        UsageError, match="5 training videos do not fill one batch of 6; lower TRAIN.BATCH_SIZE"
    ):
        TrainBatchSampler(5, 3, seed=0, world_size=2)
    with pytest.raises(UsageError, match="expected >= 1"):
        TrainBatchSampler(5, 0, seed=0)


@given(st.integers(0, 23), st.integers(1, 12), st.integers(1, 30), sizes)
@settings(max_examples=80, deadline=None)
def test_every_clip_once_with_whole_videos(num_videos, views, batch, world):
    seen: list[int] = []
    for rank in range(world):
        sampler = ExactBatchSampler(num_videos * views, views, batch, rank=rank, world_size=world)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        for clips in batches:
            videos = {clip // views for clip in clips}
            assert len(clips) == len(videos) * views
            assert len(clips) <= max(batch, views)
            assert all(video % world == rank for video in videos)
        seen += [clip for part in batches for clip in part]
    assert sorted(seen) == list(range(num_videos * views))


def test_exact_batches_can_be_skipped_too():
    sampler = ExactBatchSampler(12, 2, 4)
    sampler.set_epoch(5)
    sampler.skip(2)
    assert list(sampler) == [[8, 9, 10, 11]]
    assert len(list(sampler)) == 3


def test_a_last_video_with_fewer_clips_is_not_overrun():
    assert list(ExactBatchSampler(5, 3, 3)) == [[0, 1, 2], [3, 4]]
