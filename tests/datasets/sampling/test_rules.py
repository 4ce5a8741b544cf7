from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast.datasets.sampling.rules import (
    ALIASES,
    CENTER_CLIP,
    DENSE_STYLES,
    RANDOM_CLIP,
    SEGMENT_STYLES,
    FrameRule,
    Timeline,
    constant_rate_timeline,
    frame_rule,
    style_name,
    view_of_index,
)
from slowfast.datasets.transforms.draws import LegacyRng
from slowfast.errors import DataError, UsageError
from slowfast.structures import View

STYLES = DENSE_STYLES + SEGMENT_STYLES
# Only these promise ascending frames: the others wrap around by modulo or sort with repeats.
ASCENDING = ("uniform", "slowfast_pyav", "openvclip", "segment", "slowfast_ssv2")


def timelines() -> st.SearchStrategy[Timeline]:
    """Videos of constant or variable rate, late starts and unknown durations included."""

    @st.composite
    def build(draw: st.DrawFn) -> Timeline:
        n = draw(st.integers(1, 400))
        steps = draw(st.sampled_from(["even", "ragged", "unknown"]))
        fps = draw(st.sampled_from([0.0, 1.0, 15.0, 24000 / 1001, 25.0, 30.0, 60.0]))
        late = draw(st.sampled_from([0, 1, 15360]))
        seed = draw(st.integers(0, 1000))
        gaps = np.random.default_rng(seed).integers(1, 2000, size=n)
        even = np.full(n, 512)
        pts = late + np.cumsum(gaps if steps == "ragged" else even) - even[0]
        duration = draw(st.sampled_from([None, int(pts[-1] - pts[0] + 512)]))
        declared = draw(st.sampled_from([0, n, n + 7]))
        return Timeline(n, fps, None if steps == "unknown" else pts, 1 / 15360, declared, duration)

    return build()


@settings(max_examples=300, deadline=None)
@given(
    timelines(),
    st.sampled_from(STYLES),
    st.integers(1, 40),
    st.integers(1, 32),
    st.sampled_from([(RANDOM_CLIP, 1), (CENTER_CLIP, 3), (0, 1), (0, 3), (2, 3), (9, 10)]),
    st.booleans(),
    st.booleans(),
)
def test_every_rule_gives_t_frames_inside_the_video(
    timeline: Timeline,
    style: str,
    frames: int,
    rate: int,
    view: tuple[int, int],
    offset: bool,
    corrected: bool,
) -> None:
    rule = FrameRule(style, frames, rate, 30.0, 0.0, offset, corrected)
    k, clips = view
    clip = rule.clip(timeline, clip=k, num_clips=clips, rng=np.random.default_rng(3))
    again = rule.clip(timeline, clip=k, num_clips=clips, rng=np.random.default_rng(3))
    assert clip.indices.shape == (frames,)
    assert clip.indices.dtype == np.int64
    assert clip.indices.min() >= 0
    assert clip.indices.max() < timeline.num_frames
    assert np.array_equal(clip.indices, again.indices)
    if style in ASCENDING:
        assert (np.diff(clip.indices) >= 0).all()


@pytest.mark.parametrize("style", STYLES)
def test_a_video_without_frames_is_refused(style: str) -> None:
    with pytest.raises(DataError, match="none"):
        FrameRule(style, 8).clip(Timeline(0, 30.0), clip=0)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("n", [1, 10**7])
def test_one_frame_and_very_many(style: str, n: int) -> None:
    rule = FrameRule(style, 8, 8)
    clip = rule.clip(Timeline(n, 30.0), clip=CENTER_CLIP)
    assert clip.indices.max() < n
    assert n > 1 or clip.indices.tolist() == [0] * 8


@pytest.mark.parametrize("style", STYLES)
def test_a_random_clip_differs_between_seeds_and_takes_every_kind_of_generator(style: str) -> None:
    rule, timeline = FrameRule(style, 8, 4), constant_rate_timeline(300, 30.0)
    seen = {
        tuple(rule.clip(timeline, clip=RANDOM_CLIP, rng=LegacyRng(seed)).indices)
        for seed in range(5)
    }
    assert len(seen) > 1
    first = rule.clip(timeline, clip=RANDOM_CLIP, rng=np.random.default_rng(0))
    assert first.indices.max() < 300


def test_style_names() -> None:
    assert style_name("dense", "") == "uniform"
    assert style_name("segment", "") == "segment"
    assert all(target in STYLES for target in ALIASES.values())
    assert style_name("dense", "froster") == "openvclip"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sampling": "uniform"}, "DATA.SAMPLING is 'uniform'; known: dense, segment"),
        ({"compat": "openvlcip"}, "DATA.SAMPLING_COMPAT is 'openvlcip'; known: .*openvclip"),
        ({"compat": "ost"}, "needs DATA.SAMPLING 'segment'; it is 'dense'"),
        ({"timestamps": "old"}, "DATA.TIMESTAMPS is 'old'; known: legacy, corrected"),
        ({"num_frames": 0}, "DATA.NUM_FRAMES must be greater than 0; it is 0"),
        ({"sampling_rate": -1}, "DATA.SAMPLING_RATE must be greater than 0; it is -1"),
        ({"target_fps": 0}, "DATA.TARGET_FPS must be greater than 0"),
        ({"compat": "text4vis_dense", "num_frames": 200}, "a window of 128"),
    ],
)
def test_impossible_settings_are_refused(change: dict, words: str) -> None:
    arguments = {"sampling": "dense", "num_frames": 8, **change}
    with pytest.raises(UsageError, match=words):
        frame_rule(**arguments)


def test_frame_rule_passes_everything_on() -> None:
    rule = frame_rule(
        "dense",
        "openvclip",
        num_frames=8,
        sampling_rate=16,
        target_fps=25,
        fps_jitter=2.0,
        use_offset=True,
        timestamps="legacy",
    )
    assert rule == FrameRule("openvclip", 8, 16, 25, 2.0, True, False)


def test_jitter_of_the_target_rate_changes_random_clips_only() -> None:
    timeline = constant_rate_timeline(3000, 30.0)
    plain, jittered = FrameRule("uniform", 8, 16), FrameRule("uniform", 8, 16, fps_jitter=30.0)
    assert np.array_equal(
        plain.clip(timeline, clip=0).indices, jittered.clip(timeline, clip=0).indices
    )
    spans = {
        int(np.ptp(jittered.clip(timeline, clip=RANDOM_CLIP, rng=LegacyRng(s)).indices))
        for s in range(6)
    }
    assert len(spans) > 1
    assert max(spans) <= 112
    assert min(spans) >= 56


def test_view_of_index_is_view_major() -> None:
    views = [view_of_index(i, 3, 2) for i in range(7)]
    assert views[:3] == [(0, View(0, 0)), (0, View(0, 1)), (0, View(1, 0))]
    assert views[6] == (1, View(0, 0))
    assert view_of_index(5, 3, 1) == (1, View(2, 1))


@pytest.mark.parity
def test_view_of_index_as_recorded(parity) -> None:
    import json

    for case in json.loads(parity("slowfast/test_index.json").read_text()):
        if case["mode"] != "test":
            continue
        for item in case["items"]:
            video, view = view_of_index(item["dataset_index"], case["views"], case["crops"])
            assert (video, view.clip, view.crop) == (
                item["video_id"],
                item["temporal"],
                item["spatial"],
            )
