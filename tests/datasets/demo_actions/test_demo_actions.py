"""The demo data set: its texts, its drawings, and how it is written."""

import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast.datasets.demo_actions import Sizes, compositions, demo_actions
from slowfast.datasets.demo_actions import writer as writer_module
from slowfast.datasets.demo_actions.drawing import (
    BACKGROUNDS,
    FIGURES,
    MOTIONS,
    figure_coverage,
    random_clip,
    render,
)
from slowfast.datasets.demo_actions.vocabulary import (
    Composition,
    spatial_descriptors,
    temporal_descriptors,
    texts,
    write_texts,
)
from slowfast.datasets.demo_actions.writer import MARK, plan, write_video
from slowfast.datasets.generators import GENERATOR_REGISTRY
from slowfast.errors import DataError
from slowfast.text import load_classes, load_descriptors

LABEL_DB = Path(__file__).resolve().parents[3] / "label_db" / "demo_actions"
TINY = Sizes(train=1, test_seen=1, test_unseen=1)
SEEN = [c for c in compositions() if not c.is_unseen]
UNSEEN = [c for c in compositions() if c.is_unseen]


def clip(motion="growing", *, shape="square", **changes):
    """A clip of a figure in the middle, without noise or shake."""
    spec = random_clip(Composition("red", shape, motion), 0, 1)
    spec = spec._replace(
        height=80,
        width=80,
        num_frames=21,
        offset=(0.0, 0.0),
        tilt=0.0,
        shake=0.0,
        noise=0.0,
        radius=0.3,
        pace=0.5,
        heading=0.0,
    )
    return spec._replace(**changes)


def coverage(spec):
    time = np.linspace(0, 1, spec.num_frames, dtype=np.float32)
    camera = np.zeros((spec.num_frames, 2), np.int64)
    return figure_coverage(spec, MOTIONS[spec.composition.motion](spec, time), camera)


# ---- classes and texts ----


def test_every_part_and_every_pair_of_parts_is_seen() -> None:
    assert (len(SEEN), len(UNSEEN)) == (64, 16)
    for i, j in combinations(range(3), 2):
        assert {(c[i], c[j]) for c in SEEN} == {(c[i], c[j]) for c in SEEN + UNSEEN}
        # Latin square: no two unseen classes share two parts.
        assert max(Counter((c[i], c[j]) for c in UNSEEN).values()) == 1


@pytest.mark.parametrize("describe", [spatial_descriptors, temporal_descriptors])
def test_descriptors_differ_between_classes_and_use_words_of_seen_ones(describe) -> None:
    sets = [frozenset(describe(c)) for c in compositions()]
    assert len(set(sets)) == len(sets)
    assert all(len(own) == 4 for own in sets)
    known = {word for c in SEEN for text in describe(c) for word in text.split()}
    assert {word for c in UNSEEN for text in describe(c) for word in text.split()} <= known


def test_shipped_texts_are_those_of_the_rules(tmp_path) -> None:
    write_texts(tmp_path)
    for name, content in texts().items():
        assert (LABEL_DB / name).read_text() == content == (tmp_path / name).read_text()


def test_shipped_texts_load_as_any_data_sets_do() -> None:
    vocabulary = load_classes(LABEL_DB / "classes.csv")
    assert vocabulary.names == tuple(c.name for c in compositions())
    for name, classes in (("seen.txt", SEEN), ("unseen.txt", UNSEEN)):
        subset = vocabulary.subset(load_classes(LABEL_DB / name).names)
        assert subset.names == tuple(c.name for c in classes)
    for kind in ("spatial", "temporal"):
        path = LABEL_DB / "descriptors" / f"{kind}_4.json"
        assert len(load_descriptors(path, vocabulary, kind=kind, num=4)) == 80


# ---- drawing ----


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(compositions()), st.integers(0, 2**31))
def test_any_clip_can_be_drawn_and_encoded(composition, key) -> None:
    spec = random_clip(composition, 3, key)
    assert spec.height % 2 == spec.width % 2 == 0
    assert 64 <= min(spec.height, spec.width) <= max(spec.height, spec.width) <= 120
    assert 1 <= spec.num_frames / spec.fps <= 3.05
    assert spec.background in BACKGROUNDS
    few = spec._replace(num_frames=3)
    frames = render(few)
    assert frames.shape == (3, spec.height, spec.width, 3)
    assert frames.dtype == np.uint8


def test_clips_are_a_function_of_seed_and_key() -> None:
    spec = random_clip(SEEN[0], 0, 5)
    np.testing.assert_array_equal(render(spec), render(random_clip(SEEN[0], 0, 5)))
    assert spec != random_clip(SEEN[0], 1, 5)
    assert spec != random_clip(SEEN[0], 0, 6)


def test_clips_vary() -> None:
    specs = [random_clip(SEEN[0], 0, key) for key in range(60)]
    for field in ("fps", "num_frames", "height", "width", "background", "rgb"):
        assert len({getattr(spec, field) for spec in specs}) > 2, field


@pytest.mark.parametrize("shape", FIGURES)
def test_figures_have_a_body_and_fit_their_radius(shape) -> None:
    covered = coverage(clip("blinking", shape=shape, heading=0.0))[0]
    y, x = np.nonzero(covered > 0.5)
    assert 0.1 < covered.mean() * 80**2 / (np.pi * 24**2) <= 1.02
    assert np.hypot(y - 39.5, x - 39.5).max() <= 24 * 1.2


def test_growing_grows() -> None:
    area = coverage(clip("growing")).sum((1, 2))
    assert (np.diff(area) > 0).all()
    assert area[-1] > 20 * area[0]


def test_blinking_shows_and_hides() -> None:
    area = coverage(clip("blinking")).sum((1, 2))
    assert set(np.unique(area > 0)) == {False, True}
    assert np.ptp(area[area > 0]) == 0


def test_splitting_gives_two_separate_pieces() -> None:
    covered = coverage(clip("splitting"))
    first, last = covered[0].max(axis=0) > 0.5, covered[-1].max(axis=0) > 0.5
    runs = [int((np.diff(columns.astype(int)) == 1).sum()) for columns in (first, last)]
    assert runs == [1, 2]
    assert covered[-1].sum() < covered[0].sum()


def test_moving_crosses_the_picture_in_its_heading() -> None:
    covered = coverage(clip("moving", heading=0.0))
    centre = (covered * np.arange(80)).sum((1, 2)) / covered.sum((1, 2))
    assert (np.diff(centre) > 0).all()
    assert centre[0] < 20
    assert centre[-1] > 60


def test_spinning_turns_without_leaving_its_place() -> None:
    covered = coverage(clip("spinning", heading=1.0))
    area = covered.sum((1, 2))
    assert np.ptp(area) < 0.03 * area.mean()
    # A square that has turned by 45 degrees is wider.
    widths = (covered.max(axis=1) > 0.5).sum(axis=1)
    assert widths.max() > 1.25 * widths.min()


def test_figure_has_its_colour_and_the_background_has_none_as_vivid() -> None:
    frames = render(clip("growing", background="plain", num_frames=2))
    middle, corner = frames[-1, 40, 40].astype(int), frames[-1, 2, 2].astype(int)
    assert middle[0] > 2 * max(middle[1:])
    assert np.ptp(corner) <= 0.26 * corner.max() + 1


def test_camera_shake_moves_figure_and_background_together() -> None:
    still, shaken = (render(clip("growing", shake=s, background="checks")) for s in (0.0, 1.5))
    assert (still[0] == shaken[0]).all()
    assert (still[1:] != shaken[1:]).any()


# ---- writing ----


def test_generator_is_registered() -> None:
    assert GENERATOR_REGISTRY.get("demo_actions") is demo_actions


def test_video_file_holds_the_frames(tmp_path) -> None:
    frames = render(clip("growing", num_frames=12))
    write_video(tmp_path / "a.mp4", frames, fps=15)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == 15
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(decoded) == 12
    assert np.abs(np.stack(decoded).astype(int) - frames).mean() < 8
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.fixture
def small(monkeypatch):
    """Let the generator draw three classes and write stand-ins instead of videos."""
    chosen = (*SEEN[:2], UNSEEN[0])
    monkeypatch.setattr(writer_module, "compositions", lambda: chosen)
    written: list[Path] = []

    def write(path, frames, fps):
        written.append(path)
        path.write_bytes(frames.tobytes()[:64])

    monkeypatch.setattr(writer_module, "write_video", write)
    return written


def test_lists_name_every_video_and_its_class(tmp_path, small) -> None:
    folder = demo_actions(tmp_path / "demo", sizes=Sizes(2, 1, 3), workers=1)
    rows = {
        part: [line.split("\t") for line in (folder / f"{part}.csv").read_text().splitlines()]
        for part in ("train", "test_seen", "test_unseen")
    }
    assert {part: len(lines) for part, lines in rows.items()} == {
        "train": 4,
        "test_seen": 2,
        "test_unseen": 3,
    }
    first, second = (composition.name for composition in SEEN[:2])
    assert [label for _, label in rows["train"]] == [first, first, second, second]
    assert {label for _, label in rows["test_unseen"]} == {UNSEEN[0].name}
    names = [name for lines in rows.values() for name, _ in lines]
    assert all((folder / name).is_file() for name in names)
    contents = [(folder / name).read_bytes() for name in names]
    assert len(set(contents)) == len(contents)  # no clip in two lists
    assert json.loads((folder / MARK).read_text())["train"] == 2
    assert not (tmp_path / "demo.partial").exists()


def test_complete_data_set_is_left_alone(tmp_path, small) -> None:
    first = demo_actions(tmp_path / "demo", sizes=TINY, workers=1)
    before = len(small)
    assert demo_actions(tmp_path / "demo", sizes=TINY, workers=1) == first
    assert len(small) == before


def test_interrupted_run_is_continued(tmp_path, small, monkeypatch) -> None:
    healthy = writer_module.write_video

    def dies_at_the_third(path, frames, fps):
        if len(small) == 2:
            raise KeyboardInterrupt
        healthy(path, frames, fps)

    monkeypatch.setattr(writer_module, "write_video", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        demo_actions(tmp_path / "demo", sizes=Sizes(2, 1, 1), workers=1)
    assert not (tmp_path / "demo").exists()
    monkeypatch.setattr(writer_module, "write_video", healthy)
    seen: list[tuple[int, int]] = []
    demo_actions(
        tmp_path / "demo", sizes=Sizes(2, 1, 1), workers=1, report=lambda *pair: seen.append(pair)
    )
    assert seen == [(3, 7), (4, 7), (5, 7), (6, 7), (7, 7)]
    assert len(small) == len(set(small)) == 7


def test_clips_of_an_interrupted_run_with_another_seed_are_not_kept(tmp_path, small) -> None:
    partial = tmp_path / "demo.partial"
    demo_actions(tmp_path / "demo", sizes=TINY, workers=1)
    (tmp_path / "demo").rename(partial)
    demo_actions(tmp_path / "demo", seed=1, sizes=TINY, workers=1)
    assert len(small) == 2 * 5


@pytest.mark.parametrize("seed", [0, 1])
def test_other_settings_or_other_files_are_refused(tmp_path, small, seed) -> None:
    folder = tmp_path / "demo"
    if seed:
        demo_actions(folder, sizes=TINY, workers=1)
    else:
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"demo: expected the demo data set .*remove the folder"):
        demo_actions(folder, seed=seed, sizes=TINY, workers=1)


def test_plan_is_what_the_demo_trains_on() -> None:
    jobs = plan(Sizes())
    assert {part: len(own) for part, own in jobs.items()} == {
        "train": 768,
        "test_seen": 128,
        "test_unseen": 192,
    }
    assert len({job.key for own in jobs.values() for job in own}) == 768 + 128 + 192
