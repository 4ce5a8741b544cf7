from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slowfast.datasets.reading.timeline import Timeline
from slowfast.datasets.sampling.rules import CENTER_CLIP, FRAME_RULE_REGISTRY, RANDOM_CLIP
from slowfast.datasets.sampling.segment import Segment
from slowfast.datasets.transforms.draws import LegacyRng


def legacy(seed: int) -> np.random.RandomState:
    """NumPy's global generator as it is after ``numpy.random.seed(seed)``."""
    return np.random.RandomState(seed)


def clip(style: str, n: int, t: int, k: int = 0, clips: int = 1, rng=None) -> list[int]:
    return (
        FRAME_RULE_REGISTRY.get(style)(t)
        .clip(Timeline(n, 30.0), clip=k, num_clips=clips, rng=rng)
        .indices.tolist()
    )


# index_i = floor(i n / T + n / 2T), by hand
@pytest.mark.parametrize(
    ("n", "t", "expected"),
    [
        (8, 8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (20, 8, [1, 3, 6, 8, 11, 13, 16, 18]),
        (300, 8, [18, 56, 93, 131, 168, 206, 243, 281]),
        (5, 8, [0, 0, 1, 2, 2, 3, 4, 4]),
        (1, 4, [0, 0, 0, 0]),
        (10, 1, [5]),
    ],
)
def test_ost_single_view(n: int, t: int, expected: list[int]) -> None:
    assert clip("ost", n, t) == clip("ost", n, t, CENTER_CLIP, 4) == expected


def test_ost_training_is_replayed_from_the_legacy_generator() -> None:
    np.random.seed(123)  # noqa: NPY002
    drawn = np.random.randint(37, size=8)  # noqa: NPY002
    expected = (np.arange(8) * 37 + drawn).tolist()
    assert clip("ost", 300, 8, RANDOM_CLIP, 1, legacy(123)) == expected
    assert clip("ost", 300, 8, RANDOM_CLIP, 1, LegacyRng(123)) == expected


def test_ost_training_of_a_short_video_rounds_half_to_even_and_wraps() -> None:
    assert clip("ost", 5, 8, RANDOM_CLIP, 1, None) == [0, 1, 1, 2, 2, 3, 4, 4]
    assert clip("ost", 4, 8, RANDOM_CLIP, 1, None) == [0, 0, 1, 2, 2, 2, 3, 0]
    assert clip("ost", 1, 4, RANDOM_CLIP, 1, None) == [0, 0, 0, 0]


def test_ost_training_never_sees_the_tail() -> None:
    seen = {i for seed in range(200) for i in clip("ost", 15, 8, RANDOM_CLIP, 1, legacy(seed))}
    assert seen == set(range(8))


def test_ost_random_views_are_independent_draws_of_one_stream() -> None:
    rng = LegacyRng(5)
    views = [clip("ost_random_views", 100, 8, k, 4, rng) for k in range(4)]
    state = legacy(5)
    assert views == [(np.arange(8) * 12 + state.randint(12, size=8)).tolist() for _ in range(4)]
    assert clip("ost_random_views", 100, 8) == clip("ost", 100, 8)


def test_several_views_are_spread_and_the_same_in_every_run() -> None:
    views = [clip("ost", 80, 8, k, 5) for k in range(5)]
    assert [v[0] for v in views] == [1, 3, 5, 7, 9]
    assert all(np.diff(v).tolist() == [10] * 7 for v in views)


@given(st.integers(1, 300), st.integers(1, 32), st.integers(1, 6))
def test_segment_takes_one_frame_of_each_part(n: int, t: int, clips: int) -> None:
    for k in range(clips):
        frames = clip("segment", n, t, k, clips)
        for i, frame in enumerate(frames):
            assert i * n // t <= frame <= max((i + 1) * n / t, 1)
    drawn = clip("segment", n, t, RANDOM_CLIP, 1, np.random.default_rng(n))
    for i, frame in enumerate(drawn):
        assert i * n / t - 1 < frame < (i + 1) * n / t


def test_segment_training_sees_every_frame() -> None:
    seen = set()
    for seed in range(300):
        seen |= set(clip("segment", 15, 8, RANDOM_CLIP, 1, np.random.default_rng(seed)))
    assert seen == set(range(15))


def test_segment_of_variable_rate_parts_the_time() -> None:
    pts = np.concatenate([np.arange(30) * 1024, 30720 + np.arange(60) * 512])
    video = Timeline(90, 22.5, pts, 1 / 15360)
    rule = Segment(4)
    assert rule.clip(video, clip=0).indices.tolist() == [7, 22, 45, 75]
    by_number = Segment(4, corrected=False)
    assert by_number.clip(video, clip=0).indices.tolist() == [11, 33, 56, 78]
    drawn = rule.clip(video, clip=RANDOM_CLIP, rng=np.random.default_rng(0)).indices
    assert drawn[0] < 15 <= drawn[1] < 30 <= drawn[2] < 60 <= drawn[3]


def test_text4vis_test_by_hand() -> None:
    assert clip("text4vis", 20, 8, 0, 1) == [0, 2, 5, 7, 10, 12, 15, 17]
    # starts: floor of 4 points from 0 to 100 / 8 - 1 = 11.5 -> 0, 3, 7, 11
    assert [clip("text4vis", 100, 8, k, 4)[0] for k in range(4)] == [0, 3, 7, 11]
    assert clip("text4vis", 100, 8, 3, 4) == [11, 23, 36, 48, 61, 73, 86, 98]
    # n < T: the points run from 0 to -0.5, so the last start is -1 and wraps
    assert clip("text4vis", 4, 8, 1, 2) == [3, 0, 0, 0, 1, 1, 2, 2]
    assert clip("text4vis", 20, 8, CENTER_CLIP, 3) == clip("text4vis", 20, 8)


def test_text4vis_training_by_hand() -> None:
    state = legacy(1)
    ticks = [0, 2, 5, 7, 10, 12, 15, 17, 20]
    expected = [a + state.randint(b - a) for a, b in zip(ticks, ticks[1:])]
    assert clip("text4vis", 20, 8, RANDOM_CLIP, 1, legacy(1)) == expected
    assert clip("text4vis", 20, 8, RANDOM_CLIP, 1, LegacyRng(1)) == expected
    repeats = legacy(0).randint(5, size=3)
    assert clip("text4vis", 5, 8, RANDOM_CLIP, 1, legacy(0)) == sorted([0, 1, 2, 3, 4, *repeats])
    assert clip("text4vis", 8, 8, RANDOM_CLIP, 1, np.random.default_rng(0)) == list(range(8))


def test_text4vis_dense_by_hand() -> None:
    short = clip("text4vis_dense", 100, 8, RANDOM_CLIP)
    assert short == [0, 16, 32, 48, 64, 80, 96, 12]
    start = legacy(3).randint(0, 172)
    drawn = clip("text4vis_dense", 300, 4, RANDOM_CLIP, 1, legacy(3))
    assert drawn == [start, start + 32, start + 64, start + 96]
    assert clip("text4vis_dense", 300, 4, 2, 3) == [172, 204, 236, 268]
    assert [clip("text4vis_dense", 300, 4, k)[0] for k in (0, CENTER_CLIP)] == [86, 86]


def test_ssv2_by_hand() -> None:
    # edges round((n - 1) / T i) for n = 20, T = 8: 0 2 5 7 10 12 14 17 19
    expected = [1, 3, 6, 8, 11, 13, 15, 18]
    assert clip("slowfast_ssv2", 20, 8, 0) == clip("slowfast_ssv2", 20, 8, 2, 3) == expected
    edges = [0, 2, 5, 7, 10, 12, 14, 17, 19]
    source = LegacyRng(0).python
    drawn = [source.integers(a, b + 1) for a, b in zip(edges, edges[1:])]
    assert clip("slowfast_ssv2", 20, 8, RANDOM_CLIP, 1, LegacyRng(0)) == drawn


@pytest.mark.parametrize("style", ["segment", "ost", "text4vis", "slowfast_ssv2"])
def test_random_frames_without_a_generator_are_our_own_bug(style: str) -> None:
    with pytest.raises(AssertionError, match="generator"):
        clip(style, 100, 8, RANDOM_CLIP)


# ---- Text4Vis once more: its rules restated in NumPy's own calls, over many lengths ----

LENGTHS = (*range(3, 41), 47, 63, 64, 65, 100, 127, 128, 129, 130, 131, 136, 200, 255, 256, 257)
LENGTHS += (263, 300, 333, 499, 512, 777, 1000, 1024, 1499, 1775)


@pytest.mark.parametrize("t", [8, 16, 32])
def test_text4vis_test_rule_over_all_lengths(t: int) -> None:
    """K starts by linspace in whole numbers: NumPy >= 1.20 rounds down, also below 0."""
    for n in LENGTHS:
        part = n / t
        one = [int(i * part) % n for i in range(t)]
        assert clip("text4vis", n, t) == one == clip("text4vis", n, t, CENTER_CLIP, 4)
        for clips in (1, 2, 3, 4, 10):
            starts = np.linspace(0, part - 1, num=clips, dtype=int).tolist()
            for k, start in enumerate(starts):
                want = [int(start + i * part) % n for i in range(t)]
                assert clip("text4vis", n, t, k, clips) == want, (n, clips, k)


def test_text4vis_starts_of_short_videos_by_hand() -> None:
    """n = 3, T = 8: the points 0, -0.3125, -0.625 round down to 0, -1, -1."""
    assert clip("text4vis", 3, 8, 0, 3) == [0, 0, 0, 1, 1, 1, 2, 2]
    # int() of -1, -0.625, -0.25, 0.125, 0.5, 0.875, 1.25, 1.625, then modulo 3
    assert clip("text4vis", 3, 8, 1, 3) == clip("text4vis", 3, 8, 2, 3) == [2, 0, 0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("t", [8, 16, 32])
def test_text4vis_training_rule_over_all_lengths(t: int, seed: int) -> None:
    """The draws of ``numpy.random.seed``, one length after the other on one stream."""
    np.random.seed(seed)  # noqa: NPY002
    stream = legacy(seed)
    for n in LENGTHS:
        if n <= t:
            more = np.random.randint(n, size=t - n)  # noqa: NPY002
            want = sorted([*range(n), *more.tolist()])
        else:
            edges = [i * n // t for i in range(t + 1)]
            want = [a + int(np.random.randint(b - a)) for a, b in zip(edges, edges[1:])]  # noqa: NPY002
        assert clip("text4vis", n, t, RANDOM_CLIP, 1, stream) == want, n
        assert all(0 <= index < n for index in want)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("t", [8, 16, 32])
def test_text4vis_dense_rules_over_all_lengths(t: int, seed: int) -> None:
    """Training and published validation draw the window; tests spread it evenly."""
    stride = 128 // t
    for n in LENGTHS:
        np.random.seed(seed)  # noqa: NPY002
        start = 0 if n <= 128 else int(np.random.randint(0, n - 128))  # noqa: NPY002
        want = [(start + i * stride) % n for i in range(t)]
        assert clip("text4vis_dense", n, t, RANDOM_CLIP, 1, legacy(seed)) == want
        for clips in (2, 3, 4, 10):
            step = int(np.floor(max(0, n - 128) / (clips - 1)))
            for k in range(clips):
                want = [(k * step + i * stride) % n for i in range(t)]
                assert clip("text4vis_dense", n, t, k, clips) == want, (n, clips, k)
