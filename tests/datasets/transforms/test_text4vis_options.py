"""The data side of Text4Vis, from options to batches, on small folders of frames."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
import torchvision.transforms as tv
from PIL import Image

from slowfast.config.defaults import get_cfg
from slowfast.datasets import from_config
from slowfast.datasets.frames import Framefolder
from slowfast.datasets.loader import construct_loader, shuffle_dataset
from slowfast.datasets.transforms.rand_augment import (
    PerFrame,
    RandAugment,
    Text4VisRandAugment,
)
from slowfast.datasets.transforms.text4vis import SomethingTransform, Text4VisTransform
from slowfast.errors import DataError, UsageError
from tests.distributed import run_two_processes

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SIDES = {"wide": (70, 101, 20), "tall": (99, 72, 13)}  # height, width, frames
CLASSES = (
    "Pushing something from left to right",
    "Bending something",
    "Pushing something from right to left",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A landscape and a portrait video, listed with wrong lengths, and a small SSv2."""
    root = tmp_path_factory.mktemp("folders")
    for name, (height, width, count) in SIDES.items():
        (root / name).mkdir()
        pixels = np.random.default_rng(count).integers(0, 256, (count, height, width, 3))
        for i, frame in enumerate(pixels.astype(np.uint8)):
            Image.fromarray(frame).save(root / name / f"img_{i + 1:05d}.png")
    for split in ("train", "val", "test"):
        (root / f"{split}.csv").write_text("wide 999 0\ntall 999 1\n")
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    (root / "sided.csv").write_text("wide 20 0\nwide 20 1\nwide 20 2\n")
    return root


def make_cfg(root, **changes):
    cfg = get_cfg()
    values = {
        "TRAIN.DATASET": "framefolder", "TEST.DATASET": "framefolder",
        "DATA.PATH_TO_DATA_DIR": str(root), "DATA.PATH_PREFIX": str(root), "DATA.NUM_FRAMES": 8,
        "DATA.FRAME_TEMPLATE": "img_{:05d}.png", "DATA.FRAME_COUNT": "folder",
        "DATA.SAMPLING": "segment", "DATA.SAMPLING_COMPAT": "text4vis",
        "DATA.TRANSFORMS": "text4vis", "DATA.TRAIN_CROP_SIZE": 64, "DATA.TEST_CROP_SIZE": 64,
        "DATA.MEAN": list(MEAN), "DATA.STD": list(STD), "MODEL.NUM_CLASSES": 3, "NUM_GPUS": 0,
        "TEST.NUM_ENSEMBLE_VIEWS": 1, "TEST.NUM_SPATIAL_CROPS": 1, "TEST.CROP_AXIS": "width",
        "TRAIN.BATCH_SIZE": 2, "TEST.BATCH_SIZE": 12, "DATA_LOADER.NUM_WORKERS": 0, **changes,
    }  # fmt: skip
    cfg.merge_from_list([word for pair in values.items() for word in pair])
    return cfg


def published_clip(root, name, frames, crop):
    """Return 3 x T x 64 x 64 of torchvision's classes, from frame numbers that count from 1."""
    cutting = tv.CenterCrop(64) if crop is None else lambda image: image.crop(crop)
    bicubic = tv.InterpolationMode.BICUBIC
    chain = tv.Compose([tv.Resize(64, bicubic), cutting, tv.ToTensor(), tv.Normalize(MEAN, STD)])
    images = [Image.open(root / name / f"img_{i:05d}.png").convert("RGB") for i in frames]
    return torch.stack([chain(image) for image in images], dim=1)


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_single_view_from_the_folder_to_the_tensor(root, split):
    dataset = Framefolder(make_cfg(root), split)
    assert len(dataset) == 2
    for video, (name, (_, _, count)) in enumerate(SIDES.items()):
        frames, label, index, _, _ = dataset[video]
        first = [int(i * count / 8) + 1 for i in range(8)]
        assert torch.equal(frames[0], published_clip(root, name, first, None))
        assert label == index == video


def test_two_clips_of_three_crops_in_the_published_order(root):
    """Published: crops outermost, then clips. Ours: clips outermost, crops in the same order.

    By hand: 70 x 101 becomes 64 x 92, steps of 7; 99 x 72 becomes 88 x 64, steps of 0 and 6.
    """
    cfg = make_cfg(root, **{"TEST.NUM_ENSEMBLE_VIEWS": 2, "TEST.NUM_SPATIAL_CROPS": 3})
    dataset = Framefolder(cfg, "test")
    boxes = {
        "wide": [(0, 0, 64, 64), (28, 0, 92, 64), (14, 0, 78, 64)],
        "tall": [(0, 12, 64, 76)] * 3,
    }
    starts = {"wide": [0, 1], "tall": [0, 0]}  # two points from 0 to n / 8 - 1, rounded down
    for video, (name, (_, _, count)) in enumerate(SIDES.items()):
        samples = dataset.__getitems__(range(6 * video, 6 * video + 6))
        for view in range(6):
            m, k = divmod(view, 2)
            frames = [int(starts[name][k] + i * count / 8) % count + 1 for i in range(8)]
            want = published_clip(root, name, frames, boxes[name][m])
            assert torch.equal(samples[k * 3 + m][0][0], want), (name, view)


def test_sizes_follow_the_crop_or_the_option(root):
    big = {"DATA.TRAIN_CROP_SIZE": 224, "DATA.TEST_CROP_SIZE": 224}
    for split in ("train", "val", "test"):
        assert from_config.transform_of(make_cfg(root, **big), split).short_side == 256
        assert from_config.transform_of(make_cfg(root), split).short_side == 64
    cfg = make_cfg(root, **big, **{"DATA.TEST_SHORT_SIZE": 240})
    assert from_config.transform_of(cfg, "test").short_side == 240
    assert from_config.transform_of(cfg, "train").short_side == 256
    huge = make_cfg(root, **{"DATA.TEST_CROP_SIZE": 336})
    assert from_config.transform_of(huge, "test").short_side == 336


def test_augmentation_by_options(root):
    cfg = make_cfg(root, **{"AUG.CLIP_GRAY_SCALE": 0.2})
    assert from_config.transform_of(cfg, "train").rand_augment is None
    more = {"AUG.ENABLE": True, "AUG.RE_PROB": 0.0, "AUG.AA_TYPE": "text4vis-n2-m9"}
    cfg = make_cfg(root, **more, **{"AUG.CLIP_GRAY_SCALE": 0.2, "AUG.AA_PER_FRAME": True})
    train = from_config.transform_of(cfg, "train")
    assert train == Text4VisTransform(
        64, 64, MEAN, STD, gray=0.2, rand_augment=PerFrame(Text4VisRandAugment(9.0, 2))
    )
    for split in ("val", "test"):
        assert from_config.transform_of(cfg, split).rand_augment is None
    cfg = make_cfg(root, **more)
    assert from_config.transform_of(cfg, "train").rand_augment == Text4VisRandAugment(9.0, 2)
    sample = Framefolder(cfg, "train")[0]
    assert sample[0][0].shape == (3, 8, 64, 64)
    assert torch.equal(pickle.loads(pickle.dumps(Framefolder(cfg, "train")))[0][0][0], sample[0][0])


def test_frames_can_be_augmented_by_themselves_in_the_other_pipeline_too(root):
    cfg = make_cfg(
        root,
        **{"DATA.TRANSFORMS": "slowfast", "TEST.CROP_AXIS": "long", "AUG.ENABLE": True,
           "AUG.AA_PER_FRAME": True, "DATA.TRAIN_JITTER_SCALES": [64, 64], "AUG.RE_PROB": 0.0},
    )  # fmt: skip
    augment = from_config.transform_of(cfg, "train").rand_augment
    assert isinstance(augment, PerFrame)
    assert isinstance(augment.augment, RandAugment)
    assert Framefolder(cfg, "train")[0][0][0].shape == (3, 8, 64, 64)


def test_one_crop_has_no_axis(root):
    cfg = make_cfg(root, **{"DATA.TRANSFORMS": "clip", "DATA.RESIZE": "opencv"})
    assert Framefolder(cfg, "test")[0][0][0].shape == (3, 8, 64, 64)


def test_published_validation_of_dense_sampling_is_random_in_time_only(root):
    legacy = {"VAL.PROTOCOL": "legacy", "DATA.SAMPLING": "dense"}
    cfg = make_cfg(root, **legacy, **{"DATA.SAMPLING_COMPAT": "text4vis_dense"})
    dataset = Framefolder(cfg, "val")
    frames = [(16 * i) % 20 + 1 for i in range(8)]  # shorter than the window: it starts at 0
    assert torch.equal(dataset[0][0][0], published_clip(root, "wide", frames, None))


@pytest.mark.parametrize(
    ("changes", "split", "message"),
    [
        (
            {"DATA.TRANSFORMS": "slowfast", "TEST.NUM_SPATIAL_CROPS": 3},
            "test",
            "CROP_AXIS is width, but DATA.TRANSFORMS slowfast cuts along: long",
        ),
        (
            {"DATA.TRANSFORMS": "clip", "TEST.NUM_SPATIAL_CROPS": 3},
            "train",
            "clip cuts along: long",
        ),
        ({"TEST.NUM_SPATIAL_CROPS": 2}, "test", "one of 1, 3, 5, 10"),
        ({"DATA.TEST_SHORT_SIZE": 60}, "test", "DATA.TEST_CROP_SIZE 64 does not fit .* 60"),
        ({"AUG.ENABLE": True}, "train", "no random erasing; set AUG.RE_PROB 0"),
        (
            {"AUG.ENABLE": True, "AUG.RE_PROB": 0.0, "AUG.AA_TYPE": "text4vis"},
            "train",
            "AUG.AA_TYPE is 'text4vis': expected text4vis-n<operations>",
        ),
        ({"TRAIN.DATASET": "ssv2", "DATA.TRAIN_CROP_SIZE": 256}, "train", "short side 240"),
        ({"TRAIN.DATASET": "ssv2"}, "train", "there are no class names"),
        ({"TRAIN.DATASET": "ssv2", "DATA.MULTI_LABEL": True}, "train", "DATA.MULTI_LABEL"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_refused(root, changes, split, message):
    with pytest.raises(UsageError, match=message):
        Framefolder(make_cfg(root, **changes), split)


# ---- Something-Something ----


def sided(root, **changes):
    return make_cfg(
        root,
        **{"TRAIN.DATASET": "ssv2", "DATA.TRAIN_FILE": "sided.csv", "DATA.VAL_FILE": "sided.csv",
           "TEXT.CLASSES": str(root / "classes.txt"), **changes},
    )  # fmt: skip


def test_the_data_sets_name_chooses_the_pipeline(root):
    for name, kind in (
        ("ssv2", SomethingTransform),
        ("Ssv2videos", SomethingTransform),
        ("something_v2", SomethingTransform),
        ("framefolder", Text4VisTransform),
    ):
        cfg = sided(root, **{"TRAIN.DATASET": name})
        assert type(from_config.transform_of(cfg, "train")) is kind
        assert type(from_config.transform_of(cfg, "test")) is Text4VisTransform
    assert from_config.transform_of(sided(root), "train").partners == {0: 2, 2: 0}


def test_the_label_of_a_sample_follows_its_mirror(root):
    """Each clip equals the unmirrored draw, or its mirror image with the other label."""
    dataset = Framefolder(sided(root), "train")
    plain = Framefolder(sided(root, **{"DATA.RANDOM_FLIP": False}), "train")
    seen = set()
    for epoch in range(6):
        dataset.set_epoch(epoch)
        plain.set_epoch(epoch)
        for index in range(3):
            (clip,), label, place, _, _ = dataset[index]
            (want,), own, _, _, _ = plain[index]
            assert (own, place) == (index, index)
            mirrored = torch.equal(clip, want.flip(-1))
            assert mirrored or torch.equal(clip, want)
            assert label == ((2, 1, 0)[index] if mirrored else index)
            seen.add((index, mirrored))
    assert seen == {(index, mirrored) for index in range(3) for mirrored in (False, True)}


def test_each_cut_of_a_video_has_its_own_label(root):
    cfg = sided(root, **{"AUG.NUM_SAMPLE": 6, "TRAIN.BATCH_SIZE": 3})
    ((_, labels, indices, _, _),) = construct_loader(cfg, "train")
    found = {(int(i), int(label)) for i, label in zip(indices, labels, strict=True)}
    assert {(1, 1)} < found <= {(0, 0), (0, 2), (1, 1), (2, 2), (2, 0)}
    assert {(0, 0), (0, 2)} <= found or {(2, 0), (2, 2)} <= found


def test_validation_keeps_labels_and_takes_the_centre(root):
    dataset = Framefolder(sided(root), "val")
    bicubic = tv.InterpolationMode.BICUBIC
    image = Image.open(root / "wide" / "img_00001.png")
    chain = tv.Compose(
        [tv.Resize((240, 320), bicubic), tv.CenterCrop(64), tv.ToTensor(), tv.Normalize(MEAN, STD)]
    )
    for sample in dataset.__getitems__([0, 1, 2]):
        assert sample[1] == sample[2]
        torch.testing.assert_close(sample[0][0][:, 0], chain(image), rtol=0, atol=0)


# ---- TRAIN.EPOCH_SIZE ----


def epoch_cfg(root, **changes):
    return make_cfg(root, **{"TRAIN.EPOCH_SIZE": 13, **changes})


def test_an_epoch_goes_through_a_short_list_several_times(root):
    """floor(13 / 2) = 6 times; each time with other draws."""
    dataset = Framefolder(epoch_cfg(root), "train")
    assert len(dataset) == dataset.num_videos == 12
    assert len(dataset.videos) == 2
    samples = dataset.__getitems__(range(12))
    assert [sample[2] for sample in samples] == [0, 1] * 6
    assert [sample[1] for sample in samples] == [0, 1] * 6
    clips = [sample[0][0] for sample in samples[::2]]
    assert all(not torch.equal(a, b) for i, a in enumerate(clips) for b in clips[:i])
    once = Framefolder(make_cfg(root), "train")
    assert torch.equal(once[1][0][0], samples[1][0][0])  # the first round is that of a plain epoch
    with pytest.raises(IndexError):
        dataset[12]


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_small_epoch_is_the_list_once(root, size):
    assert len(Framefolder(epoch_cfg(root, **{"TRAIN.EPOCH_SIZE": size}), "train")) == 2


@pytest.mark.parametrize("split", ["val", "test"])
def test_only_training_repeats(root, split):
    assert len(Framefolder(epoch_cfg(root), split)) == 2


def epochs_of(loader, epochs=(0, 1)):
    out = []
    for epoch in epochs:
        shuffle_dataset(loader, epoch)
        out.append([(batch[2].tolist(), batch[0][0]) for batch in loader])
    return out


def test_loader_schedule_and_shuffling_see_the_long_epoch(root):
    loader = construct_loader(epoch_cfg(root, **{"TRAIN.BATCH_SIZE": 4}), "train")
    assert len(loader) == 3  # a list of two alone would not fill one batch
    first, second = epochs_of(loader)
    orders = [[i for indices, _ in epoch for i in indices] for epoch in (first, second)]
    assert [sorted(order) for order in orders] == [[0] * 6 + [1] * 6] * 2
    assert orders[0] != orders[1]
    assert not torch.equal(first[0][1], second[0][1])


def test_a_long_epoch_continues_in_its_middle_and_with_workers(root):
    loader = construct_loader(epoch_cfg(root), "train")
    (whole,) = epochs_of(loader, [3])
    loader.batch_sampler.skip(4)
    (rest,) = epochs_of(loader, [3])
    workers = construct_loader(epoch_cfg(root, **{"DATA_LOADER.NUM_WORKERS": 2}), "train")
    (again,) = epochs_of(workers, [3])
    assert len(whole) == len(again) == 6
    for part, want in ((rest, whole[4:]), (again, whole)):
        for (indices, clips), (want_indices, want_clips) in zip(part, want, strict=True):
            assert indices == want_indices
            assert torch.equal(clips, want_clips)


def _half_epoch(root):
    cfg = epoch_cfg(root, **{"TRAIN.BATCH_SIZE": 4, "NUM_GPUS": 2})
    return epochs_of(construct_loader(cfg, "train"), [1])[0]


def test_two_processes_share_a_long_epoch(root):
    (alone,) = epochs_of(construct_loader(epoch_cfg(root, **{"TRAIN.BATCH_SIZE": 4}), "train"), [1])
    a, b = run_two_processes(_half_epoch, root)
    for (one, left), (two, right), (both, clips) in zip(a, b, alone, strict=True):
        assert one + two == both
        assert torch.equal(torch.cat([left, right]), clips)


def test_a_broken_video_of_a_long_epoch_is_replaced_and_named(root):
    (root / "half.csv").write_text("absent 20 0\ntall 13 1\n")
    dataset = Framefolder(epoch_cfg(root, **{"DATA.TRAIN_FILE": "half.csv"}), "train")
    samples = dataset.__getitems__(range(12))
    assert {sample[2] for sample in samples} == {1}
    assert all(("broken" in sample[4]) == (i % 2 == 0) for i, sample in enumerate(samples))
    assert {path for sample in samples for path, _ in sample[4].get("broken", [])} == {
        str(root / "absent")
    }


def test_a_list_that_is_left_empty_is_no_division_by_zero(root):
    (root / "nothing.csv").write_text("wide 3 0\n")
    cfg = epoch_cfg(root, **{"DATA.TRAIN_FILE": "nothing.csv", "DATA.MIN_LISTED_FRAMES": 8})
    with pytest.raises(DataError, match="all 1 folders are listed with fewer than 8"):
        Framefolder(cfg, "train")
