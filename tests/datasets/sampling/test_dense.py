from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast.datasets.reading.timeline import (
    Timeline,
    constant_rate_timeline,
    nearest_frames,
    shown_frames,
)
from slowfast.datasets.sampling.dense import Dense, OpenVCLIP, kept_frames, linspace_float32
from slowfast.datasets.sampling.rules import CENTER_CLIP, FRAME_RULE_REGISTRY, RANDOM_CLIP
from slowfast.datasets.transforms.draws import LegacyRng

LONG = constant_rate_timeline(300, 30.0, pts_per_frame=512)


def indices(style: str, timeline: Timeline, k: int, clips: int, **options) -> list[int]:
    rule = FRAME_RULE_REGISTRY.get(style)(8, options.pop("rate", 8), **options)
    return rule.clip(timeline, clip=k, num_clips=clips).indices.tolist()


# Worked by hand from the description of PySlowFast's decoder, T = 8.
PUBLISHED = [
    ("openvclip", 300, 8, 0, 3, False, [0, 9, 18, 27, 36, 45, 54, 56]),
    ("openvclip", 300, 8, 1, 3, False, [82, 91, 100, 109, 118, 127, 136, 137]),
    ("openvclip", 300, 8, 1, 3, True, [82, 91, 100, 109, 118, 127, 136, 137]),
    ("slowfast_pyav", 300, 8, 1, 3, True, [122, 131, 140, 149, 158, 167, 176, 178]),
    ("slowfast_pyav", 300, 8, 2, 3, True, [244, 253, 262, 271, 280, 289, 298, 299]),
    ("openvclip", 5, 8, 0, 3, False, [0, 4, 4, 4, 4, 4, 4, 4]),
    ("openvclip", 300, 16, 0, 3, False, [0, 18, 36, 54, 72, 90, 108, 112]),
    ("openvclip", 300, 16, 1, 3, False, [63, 81, 99, 117, 135, 153, 171, 174]),
    ("openvclip", 90, 16, 2, 3, True, [0, 18, 36, 54, 72, 89, 89, 89]),
]


@pytest.mark.parametrize(("style", "n", "rate", "k", "clips", "offset", "expected"), PUBLISHED)
def test_published_examples(style, n, rate, k, clips, offset, expected) -> None:
    video = constant_rate_timeline(n, 30.0, pts_per_frame=512)
    assert indices(style, video, k, clips, rate=rate, use_offset=offset) == expected


def test_one_tick_a_frame_rounds_the_start_down() -> None:
    coarse = constant_rate_timeline(300, 30.0, pts_per_frame=1)
    assert indices("openvclip", coarse, 1, 3)[0] == 81
    assert indices("openvclip", LONG, 1, 3)[0] == 82


def test_without_duration_only_one_clip_length_is_used_and_the_offset_counts() -> None:
    video = constant_rate_timeline(300, 30.0, duration_known=False)
    with_offset = indices("openvclip", video, 1, 3, use_offset=True)
    assert with_offset == indices("slowfast_pyav", video, 1, 3, use_offset=True)
    assert with_offset[0] == 118  # floor((300 - 64) / 2)
    assert with_offset[-1] == 181


def test_the_central_clip_ignores_no_offset() -> None:
    assert indices("openvclip", LONG, CENTER_CLIP, 1)[0] == 122
    assert indices("uniform", LONG, CENTER_CLIP, 1) == [122, 130, 138, 146, 154, 162, 170, 178]


@pytest.mark.parity
def test_all_recorded_settings_of_pyslowfast_and_openvclip(parity) -> None:
    table = np.load(parity("slowfast/temporal_table.npz"))
    wrong = []
    rows = zip(
        table["rows"].tolist(), table["idx_fork"], table["idx_upstream"], table["start_end_fork"]
    )
    for row, fork, upstream, start_end in rows:
        n, num, den, ticks, target, t, rate, clips, k, offset, known, seed = row
        video = constant_rate_timeline(
            n, num / den, pts_per_frame=ticks, duration_known=bool(known)
        )
        for style, expected in (("openvclip", fork), ("slowfast_pyav", upstream)):
            rule = FRAME_RULE_REGISTRY.get(style)(
                t, rate, target, use_offset=bool(offset), corrected=False
            )
            rng = LegacyRng(seed) if seed >= 0 else None
            clip = rule.clip(video, clip=k, num_clips=clips, rng=rng)
            same = np.array_equal(clip.indices, expected[:t])
            if style == "openvclip":
                same &= (clip.start, clip.end) == tuple(start_end)
            if not same:
                wrong.append((style, row))
    assert not wrong, f"{len(wrong)} differ, first {wrong[0]}"


@given(st.floats(0, 5000), st.floats(0, 600), st.integers(1, 40))
def test_linspace_rounds_like_torch(start: float, span: float, steps: int) -> None:
    ours = linspace_float32(start, start + span, steps)
    theirs = torch.linspace(start, start + span, steps).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=2e-7)


def test_kept_frames_needs_no_frame_in_the_window() -> None:
    pts = np.array([15360, 15872, 16384])  # the first frame is shown after one second
    assert kept_frames(pts, 60, 30720, 0.0, 10.0) == (0, 0)
    assert kept_frames(pts, 60, 30720, 50.0, 59.0) == (2, 2)


def test_legacy_time_stamps_lose_the_start_of_a_late_file_and_corrected_ones_do_not() -> None:
    late = Timeline(60, 30.0, 15360 + np.arange(60) * 512, 1 / 15360, 60, 30720)
    on_time = constant_rate_timeline(60, 30.0, pts_per_frame=512)
    legacy = OpenVCLIP(4, 4, corrected=False)
    corrected = OpenVCLIP(4, 4, corrected=True)
    assert legacy.clip(late, clip=0).indices.tolist() == [0, 0, 0, 0]
    expected = corrected.clip(on_time, clip=0).indices.tolist()
    assert corrected.clip(late, clip=0).indices.tolist() == expected == [0, 5, 10, 12]


def test_uniform_has_no_stretch_and_no_clamp() -> None:
    assert indices("uniform", LONG, 0, 3, use_offset=True) == [0, 8, 16, 24, 32, 40, 48, 56]
    assert indices("uniform", LONG, 2, 3, use_offset=True)[-1] == 299
    assert indices("uniform", LONG, 2, 3)[0] == 162  # 243 * 2 / 3
    slow = constant_rate_timeline(100, 15.0)
    assert indices("uniform", slow, 0, 1) == [0, 4, 8, 12, 16, 20, 24, 28]


def test_uniform_repeats_the_last_frame_of_a_short_video() -> None:
    short = constant_rate_timeline(20, 30.0)
    assert indices("uniform", short, 0, 1) == [0, 8, 16, 19, 19, 19, 19, 19]


def test_a_stated_rate_that_the_time_stamps_contradict_is_not_believed() -> None:
    wrong = Timeline(300, 60.0, np.arange(300) * 512, 1 / 15360)
    assert wrong.rate == pytest.approx(30.0)
    assert indices("uniform", wrong, 0, 1) == indices("uniform", LONG, 0, 1)
    rounded = Timeline(90, 30.0, np.round(np.arange(90) * 1000 / 30).astype(int), 0.001)
    assert rounded.rate == 30.0
    assert not rounded.variable_rate


def variable() -> Timeline:
    """30 frames at 15 fps, then 60 frames at 30 fps."""
    pts = np.concatenate([np.arange(30) * 1024, 30720 + np.arange(60) * 512])
    return Timeline(90, 22.5, pts, 1 / 15360, 90, 61440)


def test_variable_rate_goes_by_time_stamps() -> None:
    video = variable()
    assert video.variable_rate
    even = indices("uniform", video, 0, 1)  # frames 8 / 30 s apart
    assert even == [0, 4, 8, 12, 16, 20, 24, 28]
    late = indices("uniform", video, 2, 3, use_offset=True)
    assert late == [33, 41, 49, 57, 65, 73, 81, 89]
    assert indices("uniform", video, 0, 1, corrected=False) == [0, 6, 12, 18, 24, 30, 36, 42]


def test_variable_rate_in_the_published_style_spreads_in_time() -> None:
    spread = indices("openvclip", variable(), 0, 1)
    times = variable().pts[spread] / 15360
    assert np.diff(times)[:-1] == pytest.approx(np.full(6, 9 / 30), abs=0.05)


@settings(deadline=None)
@given(st.integers(1, 500), st.integers(1, 16), st.integers(1, 8), st.booleans())
def test_uniform_equals_exact_arithmetic_at_whole_steps(n, t, rate, offset) -> None:
    video = constant_rate_timeline(n, 30.0)
    rule = Dense(t, rate, use_offset=offset)
    for k in range(3):
        slack = max(n - 1 - rate * (t - 1), 0)
        start = slack * k / (2 if offset else 3)
        expected = [min(math.floor(start + rate * i + 0.5), n - 1) for i in range(t)]
        assert rule.clip(video, clip=k, num_clips=3).indices.tolist() == expected


def test_random_starts_reach_both_ends_and_are_replayed() -> None:
    rule = Dense(2, 5)
    video = constant_rate_timeline(8, 30.0)
    starts = {
        int(rule.clip(video, clip=RANDOM_CLIP, rng=LegacyRng(s)).indices[0]) for s in range(60)
    }
    assert starts == {0, 1, 2}


def test_nearest_and_shown_frames_on_one_frame() -> None:
    one = np.array([5])
    assert nearest_frames(one, np.array([0.0, 9.0])).tolist() == [0, 0]
    assert shown_frames(one, np.array([0.0, 9.0])).tolist() == [0, 0]


@given(st.lists(st.integers(0, 9999), min_size=1, max_size=50, unique=True), st.floats(-10, 10010))
def test_nearest_frames_against_search(times: list[int], target: float) -> None:
    pts = np.sort(np.array(times))
    found = int(nearest_frames(pts, np.array([target]))[0])
    assert abs(pts[found] - target) == np.abs(pts - target).min()
