"""The extension file of docs/data.md: a transform family and a frame rule, chosen by options."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from slowfast.config import load_cfg
from slowfast.datasets import build_dataset
from slowfast.datasets.sampling.rules import FRAME_RULE_REGISTRY
from slowfast.datasets.transforms.base import TRANSFORM_REGISTRY
from slowfast.errors import UsageError
from tests.video_files import write_video

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
EXTENSION = PAGE.split("```python\n# file: my_pipeline.py\n")[1].split("```")[0]
WRONG = """

@TRANSFORM_REGISTRY.register()
class Unfinished(Transform):
    pass


@TRANSFORM_REGISTRY.register()
def halves(cfg, split):
    return lambda frames: frames[::2]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(EXTENSION + WRONG)
    write_video(folder / "a.mp4", 5, size=(64, 48))
    for split in ("train", "val", "test"):
        (folder / f"{split}.csv").write_text("a.mp4 0\n")
    return folder


@pytest.fixture(autouse=True)
def _leave_no_names(monkeypatch):
    for registry in (TRANSFORM_REGISTRY, FRAME_RULE_REGISTRY):
        monkeypatch.setattr(registry, "_obj_map", dict(registry._obj_map))
    yield
    # imported once a process: its names must be made anew for each test
    for name in [n for n, m in sys.modules.items() if "mine.py" in str(getattr(m, "__file__", ""))]:
        del sys.modules[name]


def make_cfg(folder, *opts):
    base = ["EXTENSIONS", [str(folder / "mine.py")], "DATA.PATH_TO_DATA_DIR", str(folder)]
    base += ["DATA.PATH_PREFIX", str(folder), "DATA.NUM_FRAMES", 8, "MODEL.NUM_CLASSES", 2]
    base += ["NUM_GPUS", 0, "TEST.NUM_SPATIAL_CROPS", 4, "TEST.NUM_ENSEMBLE_VIEWS", 1]
    base += ["DATA.TRANSFORMS", "Quarters", "DATA.SAMPLING", "FirstFrames"]
    return load_cfg([], [str(word) for word in [*base, *opts]], env={})


def test_both_are_chosen_by_their_names_and_read_their_own_options(folder):
    dataset = build_dataset("kinetics", make_cfg(folder, "DATA.STD", [2.0] * 3), "test")
    assert len(dataset) == 4  # one clip of four crops
    clips = [dataset[i][0][0] for i in range(4)]
    assert all(clip.shape == (3, 8, 24, 32) for clip in clips)
    assert torch.equal(clips[0][:, 4], clips[0][:, 7])  # 5 frames: the last is repeated
    assert not torch.equal(clips[0], clips[3])
    plain = build_dataset("kinetics", make_cfg(folder, "DATA.STD", [1.0] * 3), "test")
    assert torch.equal(2 * clips[3], plain[3][0][0])
    train = build_dataset("kinetics", make_cfg(folder), "train")
    assert train[0][0][0].shape == (3, 8, 24, 32)


@pytest.mark.parametrize(
    ("opts", "split", "message"),
    [
        (("TEST.NUM_SPATIAL_CROPS", 3), "test", "NUM_SPATIAL_CROPS 3: expected .* one of 1, 4"),
        (("TEST.CROP_AXIS", "width"), "test", "DATA.TRANSFORMS Quarters cuts along: long"),
        (("DATA.TRANSFORMS", "quarters"), "train", "'quarters'; known: .*Quarters, .*text4vis"),
        (("DATA.TRANSFORMS", "halves"), "train", "halves is no Transform; expected: subclass"),
        (
            ("DATA.TRANSFORMS", "Unfinished"),
            "train",
            r"TRANSFORM Unfinished has no from_cfg; expected: .*crops\(frames, indices\) -> clips",
        ),
        (("DATA.SAMPLING", "LastFrames"), "train", "DATA.SAMPLING is 'LastFrames'; known: .*Firs"),
        (
            ("DATA.SAMPLING_COMPAT", "ost"),
            "train",
            "SAMPLING_COMPAT 'ost' needs DATA.SAMPLING 'segment'; it is 'FirstFrames'",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(folder, opts, split, message):
    with pytest.raises(UsageError, match=message) as error:
        build_dataset("kinetics", make_cfg(folder, *opts), split)
    assert "\n" not in str(error.value)
