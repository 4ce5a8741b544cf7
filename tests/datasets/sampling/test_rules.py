from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast.config.defaults import get_cfg
from slowfast.datasets.reading.timeline import Timeline, constant_rate_timeline
from slowfast.datasets.sampling.dense import Dense, OpenVCLIP
from slowfast.datasets.sampling.rules import (
    CENTER_CLIP,
    FRAME_RULE_REGISTRY,
    RANDOM_CLIP,
    FrameRule,
    find_rule,
)
from slowfast.datasets.sampling.segment import Ost, Segment
from slowfast.datasets.sampling.views import view_of_index
from slowfast.datasets.transforms.draws import LegacyRng
from slowfast.errors import DataError, UsageError
from slowfast.structures import View

STYLES = sorted(FRAME_RULE_REGISTRY.names())
# These wrap around by modulo or sort with repeats; the others promise ascending frames.
WRAPPING = ("ost", "vifi_clip", "tc_clip", "ost_random_views", "text4vis", "text4vis_dense")


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
    rule = FRAME_RULE_REGISTRY.get(style)(frames, rate, 30.0, 0.0, offset, corrected)
    k, clips = view
    clip = rule.clip(timeline, clip=k, num_clips=clips, rng=np.random.default_rng(3))
    again = rule.clip(timeline, clip=k, num_clips=clips, rng=np.random.default_rng(3))
    assert clip.indices.shape == (frames,)
    assert clip.indices.dtype == np.int64
    assert clip.indices.min() >= 0
    assert clip.indices.max() < timeline.num_frames
    assert np.array_equal(clip.indices, again.indices)
    if style not in WRAPPING:
        assert (np.diff(clip.indices) >= 0).all()


@pytest.mark.parametrize("style", STYLES)
def test_a_video_without_frames_is_refused(style: str) -> None:
    with pytest.raises(DataError, match="none"):
        FRAME_RULE_REGISTRY.get(style)(8).clip(Timeline(0, 30.0), clip=0)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("n", [1, 10**7])
def test_one_frame_and_very_many(style: str, n: int) -> None:
    rule = FRAME_RULE_REGISTRY.get(style)(8, 8)
    clip = rule.clip(Timeline(n, 30.0), clip=CENTER_CLIP)
    assert clip.indices.max() < n
    assert n > 1 or clip.indices.tolist() == [0] * 8


@pytest.mark.parametrize("style", STYLES)
def test_a_random_clip_differs_between_seeds_and_takes_every_kind_of_generator(style: str) -> None:
    rule, timeline = FRAME_RULE_REGISTRY.get(style)(8, 4), constant_rate_timeline(300, 30.0)
    seen = {
        tuple(rule.clip(timeline, clip=RANDOM_CLIP, rng=LegacyRng(seed)).indices)
        for seed in range(5)
    }
    assert len(seen) > 1
    first = rule.clip(timeline, clip=RANDOM_CLIP, rng=np.random.default_rng(0))
    assert first.indices.max() < 300


def test_names_of_rules() -> None:
    assert find_rule("dense") is find_rule("dense", "uniform") is Dense
    assert find_rule("segment") is Segment
    assert find_rule("dense", "froster") is find_rule("dense", "stdd") is OpenVCLIP
    assert find_rule("segment", "tc_clip") is Ost


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("densely",), "DATA.SAMPLING is 'densely'; known: dense, froster, .*segment"),
        (("dense", "openvlcip"), "DATA.SAMPLING_COMPAT is 'openvlcip'; known: .*openvclip"),
        (("dense", "ost"), "'ost' needs DATA.SAMPLING 'segment'; it is 'dense'"),
    ],
)
def test_unknown_names_are_refused(names: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        find_rule(*names)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_frames": 0}, "DATA.NUM_FRAMES must be greater than 0; it is 0"),
        ({"sampling_rate": -1}, "DATA.SAMPLING_RATE must be greater than 0; it is -1"),
        ({"target_fps": 0}, "DATA.TARGET_FPS must be greater than 0"),
        ({"num_frames": 200}, "a window of 128"),
    ],
)
def test_impossible_settings_are_refused(change: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        FRAME_RULE_REGISTRY.get("text4vis_dense")(**{"num_frames": 8, **change})


def test_options_reach_the_rule() -> None:
    cfg = get_cfg()
    cfg.merge_from_list(
        ["DATA.NUM_FRAMES", 8, "DATA.SAMPLING_RATE", 16, "DATA.TARGET_FPS", 25]
        + ["DATA.TRAIN_JITTER_FPS", 2.0, "DATA.USE_OFFSET_SAMPLING", True]
        + ["DATA.TIMESTAMPS", "legacy"]
    )
    assert OpenVCLIP.from_cfg(cfg, "train") == OpenVCLIP(8, 16, 25, 2.0, True, False)
    assert OpenVCLIP.from_cfg(cfg, "test") == OpenVCLIP(8, 16, 25, 0.0, True, False)


def test_a_rule_that_gives_other_frames_than_those_of_the_video_is_named() -> None:
    class Beyond(FrameRule):
        def indices(self, timeline, clip, clips, rng):
            return np.arange(self.num_frames) + timeline.num_frames

    with pytest.raises(
        UsageError, match=r"FRAME_RULE Beyond took frames \[9, 10\] of a video of 9"
    ):
        Beyond(2).clip(Timeline(9, 30.0), clip=0)
    with pytest.raises(UsageError, match="FRAME_RULE FrameRule has no indices; expected: subclass"):
        FrameRule(2).clip(Timeline(9, 30.0), clip=0)


def test_jitter_of_the_target_rate_changes_random_clips_only() -> None:
    timeline = constant_rate_timeline(3000, 30.0)
    plain, jittered = Dense(8, 16), Dense(8, 16, fps_jitter=30.0)
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
