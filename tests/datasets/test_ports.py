"""Data sets as the authors of PySlowFast's forks write them: older items, options written to."""

from __future__ import annotations

import logging
import random

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from slowfast.config import load_cfg
from slowfast.config.defaults import get_cfg
from slowfast.datasets import DATASET_REGISTRY, build_dataset, decoder, transform, utils
from slowfast.datasets import video_container as container
from slowfast.datasets.collate import collate
from slowfast.datasets.loader import construct_loader
from slowfast.engine.test import score_videos
from slowfast.errors import DataError, UsageError
from tests.video_files import frame_numbers, write_video

FRAMES = [torch.zeros(3, 2, 4, 4)]


@pytest.fixture
def register(monkeypatch):
    """Return a decorator that registers a data set for one test."""
    monkeypatch.setattr(DATASET_REGISTRY, "_obj_map", dict(DATASET_REGISTRY._obj_map))
    return lambda cls: (DATASET_REGISTRY.register(cls), cls)[1]


class Older(torch.utils.data.Dataset):
    """What a class of a fork has in common: items are the arguments."""

    items: list = []

    def __init__(self, cfg, mode):
        self.cfg = cfg

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def batches(name):
    """Return the batches of a test of one view, in this process."""
    opts = ["TEST.DATASET", name, "TEST.NUM_ENSEMBLE_VIEWS", 1, "TEST.NUM_SPATIAL_CROPS", 1]
    opts += ["NUM_GPUS", 0, "DATA_LOADER.NUM_WORKERS", 0]
    return construct_loader(load_cfg([], [str(word) for word in opts], env={}), "test")


@pytest.mark.parametrize(
    ("rest", "meta"),
    [
        (({},), {}),
        (({"path": "a.mp4"},), {"path": ["a.mp4", "a.mp4"]}),
        ((), {}),
        ((None,), {}),
        (("a.mp4",), {"meta": ["a.mp4", "a.mp4"]}),
        (([1, 2],), {"meta": [[1, 2], [1, 2]]}),
        ((np.zeros((1, 3)), "a.mp4"), {"meta": ["a.mp4", "a.mp4"]}),
    ],
)
def test_items_of_three_and_four_and_other_metas_make_the_usual_batch(register, rest, meta):
    @register
    class Epic(Older):
        items = [(FRAMES, 4, 0, *rest), (FRAMES, 2, 1, *rest)]

    ((inputs, labels, index, time, found),) = batches("Epic")
    assert inputs[0].shape == (2, 3, 2, 4, 4)
    assert labels.tolist() == [4, 2]
    assert index.tolist() == [0, 1]
    assert (time.shape, time.dtype) == ((2, 1, 3), torch.float64)
    assert found == meta


def test_several_clips_an_item_need_no_times_either():
    several = ([FRAMES, FRAMES], [1, 1], [3, 3], {})
    inputs, labels, index, time, _ = collate([several, several], "Repeated")
    assert len(inputs[0]) == len(labels) == len(index) == len(time) == 4


@pytest.mark.parametrize(
    ("item", "found"),
    [
        ((FRAMES, 4), "returned a tuple of 2"),
        (FRAMES[0], "returned a Tensor"),
        ({"frames": FRAMES}, "returned a dict"),
        (
            (FRAMES, {"verb": 1, "noun": 2}, 0, {}),
            r"returned a dict of labels \(verb, noun\): return the one to learn, and the others in",
        ),
        ((FRAMES, "jump", 0, {}), "returned label, index and time as str, int, ndarray, not all"),
        ((FRAMES, 1, "a.mp4", {}), "returned label, index and time as int, str, ndarray, not all"),
        ((FRAMES, 1, 0, "soon", {}), "returned label, index and time as int, int, str, not all"),
        (([np.zeros((3, 2, 4, 4))], 1, 0, {}), "returned frames as ndarray"),
        (([], 1, 0, {}), "returned frames as nothing"),
    ],
)
def test_items_that_cannot_be_understood_are_refused_with_the_contract(register, item, found):
    @register
    class Epic(Older):
        items = [item]

    expected = r"; expected: obj\(cfg, split\) with __len__, __getitem__\(i\) -> \(frames, label, "
    with pytest.raises(UsageError, match=f"data set Epic {found}.*{expected}") as error:
        list(batches("Epic"))
    assert "\n" not in str(error.value)


def test_clips_of_several_shapes_are_refused():
    small = [torch.zeros(3, 2, 2, 2)]
    with pytest.raises(UsageError, match=r"Epic returned clips of shapes \(\(3, 2, 2, 2\),\) and"):
        collate([(FRAMES, 0, 0), (small, 0, 1)], "Epic")


def test_a_data_set_without_a_length_or_with_another_constructor_is_refused(register):
    @register
    class Endless(torch.utils.data.Dataset):
        def __init__(self, cfg, mode):
            self.num_videos = 3

    @register
    class Split(Older):
        def __init__(self, cfg):
            super().__init__(cfg, "train")

    with pytest.raises(UsageError, match="data set Endless has no __len__; expected: obj"):
        build_dataset("endless", get_cfg(), "train")
    with pytest.raises(UsageError, match="data set Split cannot be called so: too many"):
        build_dataset("split", get_cfg(), "train")


def test_a_constructor_that_writes_options_has_a_copy_of_its_own(register, caplog):
    @register
    class OneView(Older):
        items = [(FRAMES, 0, i, {}) for i in range(6)]

        def __init__(self, cfg, mode):
            super().__init__(cfg, mode)
            cfg.TEST.NUM_ENSEMBLE_VIEWS = 2
            cfg.TEST.NUM_SPATIAL_CROPS = 1

    cfg = load_cfg([], ["TEST.NUM_ENSEMBLE_VIEWS", "10", "TEST.DATASET", "OneView"])
    assert cfg.is_frozen()
    with caplog.at_level(logging.INFO):
        build_dataset("OneView", cfg, "train")
        dataset = build_dataset("OneView", cfg, "test")
    assert dataset.cfg.TEST.NUM_ENSEMBLE_VIEWS == dataset.num_clips_per_video == 2
    assert cfg.TEST.NUM_ENSEMBLE_VIEWS == 10
    notices = [record.getMessage() for record in caplog.records]
    assert notices == [
        "data set OneView sets TEST.NUM_ENSEMBLE_VIEWS 2, TEST.NUM_SPATIAL_CROPS 1 in its own copy"
        " of the options"
    ]


def test_the_views_that_a_constructor_writes_group_clips_into_videos(register, tmp_path):
    @register
    class OneCrop(Older):
        items = [([torch.eye(3)[i // 2].view(3, 1, 1, 1)], i // 2, i, {}) for i in range(6)]

        def __init__(self, cfg, mode):
            cfg.TEST.NUM_SPATIAL_CROPS = 1

    class Mean(torch.nn.Linear):
        def forward(self, x):
            return x[0].mean((2, 3, 4)) * self.bias

    opts = ["TEST.DATASET", "OneCrop", "TEST.NUM_ENSEMBLE_VIEWS", "2", "NUM_GPUS", "0"]
    opts += ["DATA_LOADER.NUM_WORKERS", "0", "OUTPUT_DIR", str(tmp_path)]
    cfg = load_cfg([], [*opts, "TEST.NUM_SPATIAL_CROPS", "3"], env={})
    model = Mean(1, 3)
    torch.nn.init.ones_(model.bias)
    scores = score_videos(cfg, model, construct_loader(cfg, "test"))
    assert scores.labels.tolist() == scores.scores.argmax(1).tolist() == [0, 1, 2]


def two_pathways(*opts):
    return load_cfg([], ["MODEL.ARCH", "slowfast", *opts], env={})


def test_two_pathways_are_packed_by_the_architecture(tmp_path):
    clip = torch.arange(16.0).view(1, 16, 1, 1).expand(3, 16, 2, 2)
    (one,) = utils.pack_pathway_output(load_cfg([], ["MODEL.ARCH", "slow"], env={}), clip)
    assert one is clip
    (default,) = utils.pack_pathway_output(get_cfg(), clip)
    assert default is clip
    slow, fast = utils.pack_pathway_output(two_pathways(), clip)
    assert fast is clip
    # ALPHA 8: linspace(0, 15, 2)
    assert slow[0, :, 0, 0].tolist() == [0.0, 15.0]
    with pytest.raises(UsageError, match="SLOWFAST.ALPHA 8 leaves no frame of 4"):
        utils.pack_pathway_output(two_pathways(), clip[:, :4])


def test_a_data_set_of_ours_gives_two_pathways_where_the_architecture_has_them(tmp_path):
    write_video(tmp_path / "a.mp4", 40, size=(64, 64))
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text("a.mp4 0\n")
    small = ["DATA.PATH_TO_DATA_DIR", str(tmp_path), "DATA.PATH_PREFIX", str(tmp_path)]
    small += ["DATA.NUM_FRAMES", "16", "DATA.SAMPLING_RATE", "1", "MODEL.NUM_CLASSES", "2"]
    small += ["DATA.TRAIN_CROP_SIZE", "32", "DATA.TEST_CROP_SIZE", "32"]
    for split in ("train", "test"):
        cfg = two_pathways(*small, "DATA.TRAIN_JITTER_SCALES", "[32, 36]", "AUG.NUM_SAMPLE", "2")
        samples = [build_dataset("kinetics", cfg, split)[0]]
        inputs, *_ = collate(samples, "Kinetics")
        clips = 2 if split == "train" else 1  # repeated augmentation
        assert [x.shape for x in inputs] == [(clips, 3, 2, 32, 32), (clips, 3, 16, 32, 32)]
        assert torch.equal(inputs[0][:, :, 1], inputs[1][:, :, 15])


@pytest.fixture
def video(tmp_path):
    return str(write_video(tmp_path / "a.mp4", 300))


def test_decoding_as_in_a_forks_data_set(video):
    """T = 8 of 300 frames at 8: the published example, with its stretched spacing."""
    opened = container.get_video_container(video, True, "pyav")
    assert opened.streams.video[0].frames == 300
    frames = decoder.decode(opened, 8, 8, 1, 3, target_fps=30, backend="pyav", use_offset=True)
    assert frames.dtype == torch.uint8
    assert frame_numbers(frames.numpy()) == [122, 131, 140, 149, 158, 167, 176, 178]

    opened = container.get_video_container(video, backend="torchvision")
    newer, times, difference = decoder.decode(
        opened, [8], [8], 0, 3, video_meta={}, max_spatial_scale=0, time_diff_prob=0.0
    )
    assert frame_numbers(newer[0].numpy()) == [0, 9, 18, 27, 36, 45, 54, 56]
    assert times.tolist() == [[0.0, 55.0, 0.0]]
    assert difference is None


def test_a_random_clip_draws_from_pythons_generator(video):
    random.seed(3)
    frames = decoder.decode(container.get_video_container(video), 8, 8, -1, num_clips=1)
    random.seed(3)
    start, end = decoder.get_start_end_idx(300, 56, -1, 1)
    assert end == start + 55
    assert frame_numbers(frames.numpy())[0] in (int(start), int(start) + 1)


def test_a_video_that_cannot_be_decoded_gives_none_with_a_warning(tmp_path, caplog):
    path = write_video(tmp_path / "a.mp4", 30)
    opened, again = (container.get_video_container(str(path)) for _ in range(2))
    path.write_bytes(b"gone")
    assert decoder.decode(opened, 8, 8) is None
    assert "a.mp4" in caplog.text
    assert decoder.decode(again, [8], [8]) == (None, None, None)
    with pytest.raises(av.FFmpegError):
        container.get_video_container(str(path))


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        ((300, 64, 0, 3), (0.0, 63.0)),
        ((300, 64, 1, 3), (236 / 3, 236 / 3 + 63)),
        ((301, 64, 1, 3, True), (118.0, 181.0)),  # floor(237 / 2)
        ((300, 64, 0, 1, True), (118.0, 181.0)),
        ((10, 64, 2, 3), (0.0, 63.0)),
    ],
)
def test_windows_by_hand(arguments, want):
    assert decoder.get_start_end_idx(*arguments) == pytest.approx(want)


def test_images_of_a_frame_folder(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 8, 3), dtype=np.uint8)
    paths = [str(tmp_path / f"{i}.png") for i in range(2)]
    for path, image in zip(paths, pixels):
        Image.fromarray(image).save(path)
    images = utils.retry_load_images(paths, retry=3)
    assert torch.equal(images, torch.from_numpy(pixels[..., ::-1].copy()))  # BGR
    listed = utils.retry_load_images(paths, backend="cv2")
    assert np.array_equal(listed[1], cv2.imread(paths[1]))
    with pytest.raises(DataError, match="none.png: cannot be read as an image, nor can 0 others"):
        utils.retry_load_images([*paths, str(tmp_path / "none.png")], retry=1)


def test_the_sampling_rate_of_a_long_cycle():
    assert utils.get_random_sampling_rate(0, 4) == 4
    random.seed(0)
    drawn = {utils.get_random_sampling_rate(6, 4) for _ in range(50)}
    assert drawn == {4, 5, 6}


def test_random_augmentation_of_a_list_of_images():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    augment = transform.create_random_augment((20, 30), "rand-m9-n3-p1", "bicubic")
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - as a fork's data set draws
    first, second = augment([image, image])
    assert first.tobytes() == second.tobytes() != image.tobytes()
    with pytest.raises(UsageError, match="AUG.AA_TYPE is 'augmix-m3'"):
        transform.create_random_augment(224, "augmix-m3")
