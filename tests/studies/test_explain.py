"""What OST sees in one video."""

import json

import numpy as np
import pytest

from slowfast.config import load_cfg
from slowfast.datasets.demo_actions.drawing import random_clip, render
from slowfast.datasets.demo_actions.vocabulary import (
    compositions,
    spatial_descriptors,
    temporal_descriptors,
)
from slowfast.datasets.demo_actions.writer import write_video
from slowfast.engine.test import test as run_test
from slowfast.errors import UsageError
from slowfast.studies.explain import Explainer, Explanation, confident_videos, draw_explanation
from slowfast.visualization.transport_plan import PlanPanel

UNSEEN = {c.name: c for c in compositions() if c.is_unseen}


def config(folder, *opts):
    where = ["DATA.PATH_TO_DATA_DIR", folder, "DATA.PATH_PREFIX", folder, "OUTPUT_DIR", folder]
    fixed = ["TEST.ALLOW_RANDOM_WEIGHTS", True, "DATA_LOADER.NUM_WORKERS", 0]
    words = [str(word) for word in (*where, *fixed, *opts)]
    return load_cfg("configs/demo/test_unseen.yaml", words, env={})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    lines = []
    for label, composition in enumerate(list(UNSEEN.values())[:2]):
        spec = random_clip(composition, 0, label)._replace(num_frames=12, fps=12)
        write_video(folder / f"{label}.mp4", render(spec), 12)
        lines.append(f"{label}.mp4 {label}\n")
    (folder / "test_unseen.csv").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def explained(folder):
    return Explainer(config(folder))(1)


def test_it_says_what_was_recognised_among_which_classes(explained) -> None:
    assert explained.label == list(UNSEEN)[1]
    assert explained.recognised in UNSEEN
    assert explained.num_classes == 16
    assert 1 / 16 <= explained.score <= 1


def test_frames_are_those_that_the_model_saw(explained) -> None:
    # Six parts of 12 frames: the middle of each, at 12 frames a second.
    assert explained.frames.shape[0] == len(explained.seconds) == 6
    assert np.diff(explained.seconds) == pytest.approx([2 / 12] * 5)


def test_plans_belong_to_the_recognised_class(explained) -> None:
    composition = UNSEEN[explained.recognised]
    spatial, temporal = explained.panels
    assert (spatial.kind, tuple(spatial.descriptors)) == (
        "spatial",
        spatial_descriptors(composition),
    )
    assert (temporal.kind, tuple(temporal.descriptors)) == (
        "temporal",
        temporal_descriptors(composition),
    )
    for panel in explained.panels:
        assert panel.plan_TN.shape == (6, 4)
        np.testing.assert_allclose(panel.plan_TN.sum(axis=0), 0.25, rtol=1e-4)


def test_it_agrees_with_the_test_run(folder, explained) -> None:
    # prepare() seeds both runs alike, so that the random weights are the same.
    run_test(config(folder))
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert rows[1]["top"][0] == explained.recognised
    assert rows[1]["scores"][0] == pytest.approx(explained.score, rel=1e-4)


@pytest.mark.parametrize("opts", [("OST.MATCHING", "category"), ("MODEL.MODEL_NAME", "ViFiCLIP")])
def test_only_descriptors_have_plans(folder, opts) -> None:
    with pytest.raises(UsageError, match="plans are made by OST's head between frames and desc"):
        Explainer(config(folder, *opts, "MODEL.LOSS_FUNC", "cross_entropy"))


def test_picture_is_written(explained, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    path = draw_explanation(explained, tmp_path / "plan.png", note=", all unseen")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_sharpness_is_one_for_plans_that_decide_and_small_for_even_ones() -> None:
    def sharpness(plan):
        panels = [PlanPanel("spatial", ["a", "b"], np.array(plan))]
        return Explanation("", "", "", 0.0, 2, np.zeros(0), [], panels).sharpness

    assert sharpness([[0.5, 0.0], [0.0, 0.5]]) == 1.0
    assert sharpness([[0.25, 0.25], [0.25, 0.25]]) == 0.5


def test_confident_videos_are_right_ones_by_score(tmp_path) -> None:
    rows = [
        {"id": 0, "label_name": "a", "top": ["a", "b"], "scores": [0.5, 0.1]},
        {"id": 1, "label_name": "a", "top": ["b", "a"], "scores": [0.9, 0.1]},
        {"id": 2, "label_name": "b", "top": ["b", "a"], "scores": [0.8, 0.1]},
        {"id": 3, "label_name": "b", "failed": "truncated"},
    ]
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert confident_videos(path, 5) == [2, 0]
    assert confident_videos(path, 1) == [2]


def test_of_several_crops_the_central_one_is_explained(folder, monkeypatch) -> None:
    """Text4Vis counts its three crops left, right, centre."""
    opts = ("DATA.TRANSFORMS", "text4vis", "TEST.CROP_AXIS", "width", "TEST.NUM_SPATIAL_CROPS", 3)
    explainer = Explainer(config(folder, *opts))
    asked: list[list[int]] = []
    crops = type(explainer.dataset.transform).crops
    monkeypatch.setattr(
        type(explainer.dataset.transform),
        "crops",
        lambda self, frames, indices: asked.append(indices) or crops(self, frames, indices),
    )
    explainer(0)
    assert asked == [[2]]
