"""Few shots, and lists of subsets of the classes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast.datasets.preparation.class_table import load_table
from slowfast.datasets.preparation.derived import (
    ClassList,
    draw_shots,
    few_shot_lists,
    plain_names,
    subset_lists,
)
from slowfast.datasets.preparation.entries import Video, list_text
from slowfast.errors import DataError, UsageError
from tests.datasets.miniatures import LABEL_DB

NAMES = ("run", "sit", "wave")
PATHS = [f"{name}/{name}_{i}.avi" for name in NAMES for i in range(30)]
LABELS = [label for label in range(3) for _ in range(30)]


def draw(shots: int, seed: int, paths: list[str] = PATHS, labels: list[int] = LABELS) -> list[str]:
    return draw_from(paths, labels, shots=shots, seed=seed)


def draw_from(paths, labels, names=NAMES, **options) -> list[str]:
    source = ClassList([Video(path, label) for path, label in zip(paths, labels)], names)
    return [video.path for video in draw_shots(source, **options)]


@given(st.sampled_from((1, 2, 4, 8, 16)), st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_each_class_has_k_different_videos(shots: int, seed: int) -> None:
    chosen = draw(shots, seed)
    assert len(set(chosen)) == len(chosen)
    assert Counter(path.split("/")[0] for path in chosen) == dict.fromkeys(NAMES, shots)
    assert draw(shots, seed) == chosen
    assert set(chosen) <= set(draw(2 * shots if shots < 16 else 30, seed))


def test_every_seed_draws_another_set_and_every_video_is_drawn_alike() -> None:
    sets = {tuple(draw(4, seed)) for seed in range(50)}
    assert len(sets) == 50
    counts = Counter(path for seed in range(600) for path in draw(10, seed))
    assert len(counts) == 90
    # binomial(600, 1/3): mean 200, standard deviation 11.5
    assert 200 - 5 * 11.5 < min(counts.values()) <= max(counts.values()) < 200 + 5 * 11.5


def test_order_folders_and_suffixes_do_not_matter() -> None:
    other = [f"train/{path.split('/')[1]}".replace(".avi", ".mp4") for path in PATHS][::-1]
    found = draw(4, 7, other, LABELS[::-1])
    assert {Path(path).stem for path in found} == {Path(path).stem for path in draw(4, 7)}


def test_a_missing_video_is_the_only_one_that_is_replaced() -> None:
    before = draw(4, 7)
    paths, labels = list(PATHS), list(LABELS)
    place = paths.index(before[5])
    del paths[place], labels[place]
    after = draw(4, 7, paths, labels)
    assert set(before) - set(after) == {before[5]}
    assert len(after) == len(before)


def test_too_few_videos() -> None:
    with pytest.raises(DataError, match="2 classes have fewer than 2 training videos for 2 shots: "
                                        "'sit' has 1, 'wave' has 0"):  # fmt: skip
        draw_from(["a", "b", "c"], [0, 0, 1], shots=2, seed=1)
    chosen = draw_from(["a", "b"], [0, 0], shots=2, seed=1, partial=True)
    assert sorted(chosen) == ["a", "b"]
    with pytest.raises(DataError, match="'sit' has 1"):
        draw_from(["a", "b", "c"], [0, 0, 1], shots=2, seed=1, partial=True)


def test_a_video_that_is_listed_twice_counts_once() -> None:
    with pytest.raises(DataError, match="'run' has 1"):
        draw_from(["a.avi", "x/a.avi"], [0, 0], NAMES[:1], shots=2, seed=1)


def test_a_list_for_each_number_and_seed() -> None:
    videos = [Video(path, label) for path, label in zip(PATHS, LABELS)]
    lists = {
        "train": ClassList(videos, NAMES),
        "base_train": ClassList(videos[:60], NAMES[:2]),
        "val": ClassList(videos, NAMES),
    }
    found = few_shot_lists(lists, shots=(1, 16), seeds=(5, 6), partial=False)
    assert {name: len(own.videos) for name, own in found.items()} == {
        f"{part}_{shots}shot_seed{seed}": shots * classes
        for part, classes in (("train", 3), ("base_train", 2))
        for shots in (1, 16)
        for seed in (5, 6)
    }
    assert found["train_1shot_seed5"] != found["train_1shot_seed6"]
    only = few_shot_lists({"val1": lists["val"]}, shots=(1,), seeds=(5,), partial=False)
    assert list(only) == ["val1_1shot_seed5"]
    both = {"val": lists["val"], "test": lists["val"]}
    with pytest.raises(UsageError, match="no training list to draw from"):
        few_shot_lists(both, shots=(1,), seeds=(5,), partial=False)


# -- subsets -----------------------------------------------------------------------------------


def lists_of(names, *lists: str) -> dict[str, ClassList]:
    """The same list, a video for each class, under several names."""
    videos = [Video(name, label) for label, name in enumerate(names)]
    return dict.fromkeys(lists, ClassList(videos, names))


@pytest.mark.parametrize("dataset", ["kinetics400", "hmdb51", "ucf101", "ssv2"])
def test_base_and_novel_count_their_own_classes_by_name(dataset) -> None:
    classes = load_table(LABEL_DB / dataset)
    found = subset_lists(lists_of(classes.names, "train", "val"), classes, "val")
    assert list(found) == ["base_train", "base_val", "novel_val"]
    sizes = {name: len(own.videos) for name, own in found.items()}
    assert sizes["base_val"] + sizes["novel_val"] == len(classes)
    for own in found.values():
        assert [own.names[video.label] for video in own.videos] == [v.path for v in own.videos]
        assert sorted(video.label for video in own.videos) == list(range(len(own.names)))


def test_zero_shot_splits_of_kinetics600() -> None:
    classes = load_table(LABEL_DB / "kinetics600")
    lists = {**lists_of(classes.names, "test"), "val": ClassList([], classes.names)}
    found = subset_lists(lists, classes, "test")
    assert {name: len(own.videos) for name, own in found.items()} == {
        f"zero_shot_split{i}": 160 for i in (1, 2, 3)
    }
    second = found["zero_shot_split2"]
    assert all(second.names[video.label] == video.path for video in second.videos)


def test_published_base_classes_of_hmdb51_give_the_same_lists() -> None:
    right, published = (load_table(LABEL_DB / "hmdb51", name) for name in ("right", "published"))
    lists = lists_of(right.folders, "train", "val")
    pairs = zip(
        subset_lists(lists, right, "val").values(), subset_lists(lists, published, "val").values()
    )
    for own, other in pairs:
        assert own.videos == other.videos
        assert own.names != other.names


def test_unknown_subsets() -> None:
    with pytest.raises(UsageError, match="no such subset of classes; known for ucf101: base, nov"):
        load_table(LABEL_DB / "ucf101").subset("bass")


def test_plain_names_are_those_of_split_1() -> None:
    train, test = ClassList([Video("a.avi", 0)], ("a",)), ClassList([], ("a",))
    assert plain_names({"train_split1": train, "test_split1": test}) == {
        "train": train, "val": test, "test": test,
    }  # fmt: skip
    assert plain_names({"train": train, "val": test}) == {}


def test_fields_are_parted_by_tabs_where_a_path_holds_a_blank() -> None:
    assert list_text([Video("a b.mp4", 3), Video("c", 4)]) == "a b.mp4\t3\nc\t4\n"
    assert list_text([Video("a", 3, frames=7)]) == "a 7 3\n"
