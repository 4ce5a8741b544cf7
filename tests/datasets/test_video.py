import json
import pickle

import numpy as np
import pytest
import torch

from slowfast.config.defaults import get_cfg
from slowfast.datasets import from_config
from slowfast.datasets.build import build_dataset
from slowfast.datasets.collate import collate
from slowfast.datasets.lists.annotations import PathArray, VideoList
from slowfast.datasets.loader import construct_loader, shuffle_dataset
from slowfast.datasets.reading.decoder import VideoReader
from slowfast.datasets.sampling.segment import Segment
from slowfast.datasets.sampling.views import Views
from slowfast.datasets.transforms.base import Transform
from slowfast.datasets.transforms.slowfast import SlowFastTransform, SpatialSampling
from slowfast.datasets.video import Kinetics, VideoDataset
from slowfast.errors import DataError, DecodeError, UsageError
from tests.distributed import run_two_processes
from tests.video_files import frame_numbers, sequential, write_video

IDENTITY = {"mean": (0.0,) * 3, "std": (1.0,) * 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five videos of 30 numbered frames (video v counts from 100 v); number 2 is broken."""
    folder = tmp_path_factory.mktemp("videos")
    for v in range(5):
        write_video(folder / f"v{v}.mp4", [100 * v + i for i in range(30)], size=(80, 64))
    (folder / "v2.mp4").write_text("this is no video")
    rows = "".join(f"v{v}.mp4 {v % 3}\n" for v in range(5))
    for split in ("train", "val", "test"):
        (folder / f"{split}.csv").write_text(rows)
    (folder / "good.csv").write_text(rows.replace("v2.mp4 2\n", ""))
    return folder


def make_cfg(folder, **changes):
    cfg = get_cfg()
    values = {
        "DATA.PATH_TO_DATA_DIR": str(folder), "DATA.PATH_PREFIX": str(folder),
        "DATA.NUM_FRAMES": 4, "DATA.SAMPLING": "segment", "DATA.TRAIN_CROP_SIZE": 64,
        "DATA.TEST_CROP_SIZE": 64, "DATA.TRAIN_JITTER_SCALES": [64, 64], "DATA.MEAN": [0.0] * 3,
        "DATA.STD": [1.0] * 3, "DATA.RANDOM_FLIP": False, "MODEL.NUM_CLASSES": 3, "NUM_GPUS": 0,
        "TEST.NUM_ENSEMBLE_VIEWS": 2, "TEST.NUM_SPATIAL_CROPS": 3, "TEST.BATCH_SIZE": 12,
        "TRAIN.BATCH_SIZE": 2, "DATA_LOADER.NUM_WORKERS": 0, **changes,
    }  # fmt: skip
    cfg.merge_from_list([word for pair in values.items() for word in pair])
    return cfg


def numbers(frames) -> list[int]:
    """Return the frame numbers that a float 3 x T x 64 x W crop from the left edge shows."""
    return frame_numbers((frames.permute(1, 2, 3, 0).numpy() * 255).round().astype(np.uint8))


class WholeFrames(Transform):
    """A transform that leaves the frames as they are."""

    def random(self, frames_THWC, rng):
        return torch.from_numpy(frames_THWC).permute(3, 0, 1, 2) / 255


def test_a_test_item_is_a_view_in_pyslowfasts_order(folder):
    dataset = Kinetics(make_cfg(folder), "test")
    assert len(dataset) == dataset.num_videos == 30
    assert dataset.num_clips_per_video == 6
    frames, label, index, time, meta = dataset[6 + 3]  # video 1, clip 1, first crop
    assert (label, index, meta) == (1, 9, {})
    assert frames[0].shape == (3, 4, 64, 64)
    # clip 1 of 2: three quarters of each of the four parts of 7.5 frames
    assert numbers(frames[0]) == [105, 113, 120, 128]
    assert time.tolist() == [[5.0, 28.0, 0.0]]


def test_the_three_crops_are_left_centre_and_right(folder):
    dataset = Kinetics(make_cfg(folder), "test")
    left, centre, right = (dataset[i][0][0] for i in range(3))
    with VideoReader(folder / "v0.mp4") as reader:
        whole = torch.from_numpy(reader.read([1])[0]).permute(2, 0, 1) / 255
    torch.testing.assert_close(left[:, 0], whole[:, :, :64])
    torch.testing.assert_close(centre[:, 0], whole[:, :, 8:72])
    torch.testing.assert_close(right[:, 0], whole[:, :, 16:])


def test_all_views_come_from_one_open_and_one_read(folder, monkeypatch):
    opened, read = [], []
    monkeypatch.setattr(
        "slowfast.datasets.video.VideoReader",
        lambda path, **options: opened.append(path) or VideoReader(path, **options),
    )
    monkeypatch.setattr(
        VideoReader,
        "read",
        lambda self, i, real=VideoReader.read: read.append(len(i)) or real(self, i),
    )
    dataset = Kinetics(make_cfg(folder), "test")
    order = [7, 0, 1, 9, 8, 3, 2, 4, 6, 5, 11, 10]
    samples = dataset.__getitems__(order)
    assert [sample[2] for sample in samples] == order
    assert len(opened) == 2
    assert read == [8, 8]  # two clips of four frames, once for all crops
    for sample in samples:
        torch.testing.assert_close(sample[0][0], dataset[sample[2]][0][0], rtol=0, atol=0)


def test_single_crops_are_central_and_of_pyslowfasts_size(folder):
    cfg = make_cfg(folder, **{"TEST.NUM_SPATIAL_CROPS": 1, "DATA.TRAIN_JITTER_SCALES": [80, 80]})
    frames = Kinetics(cfg, "test")[0][0][0]
    with VideoReader(folder / "v0.mp4") as reader:
        image = torch.from_numpy(reader.read([1])).permute(0, 3, 1, 2).float() / 255
    scaled = torch.nn.functional.interpolate(image, size=(80, 100), mode="bilinear")
    torch.testing.assert_close(frames[:, 0], scaled[0, :, 8:72, 18:82])


@pytest.mark.parity
def test_index_table_of_pyslowfast(parity, monkeypatch):
    """What the published data set asks of decoder and sampler for every index of a 2-line list."""
    asked = {}

    class Recorder:
        def read_clips(self, choose):
            clips = choose(None)
            return clips, [np.zeros((4, 8, 8, 3), np.uint8) for _ in clips]

        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *args: None  # noqa: E731

    class Rule:
        def clip(self, timeline, *, clip, rng, num_clips=1):
            asked["temporal"] = clip
            return type("Clip", (), {"indices": np.arange(4), "start": 0.0, "end": 1.0})()

    class Asked(Transform):
        def random(self, frames, rng):
            asked["spatial"] = [-1]
            return torch.zeros(3, 4, 8, 8)

        def crops(self, frames, crops):
            asked["spatial"] = list(crops)
            return [torch.zeros(3, 4, 8, 8) for _ in crops]

    for case in json.loads(parity("slowfast/test_index.json").read_text()):
        test = case["mode"] == "test"
        paths = list(dict.fromkeys(item["path"] for item in case["items"]))
        labels = list({item["path"]: item["label"] for item in case["items"]}.values())
        dataset = VideoDataset(
            VideoList(PathArray(paths), np.array(labels)),
            rule=Rule(),
            transform=Asked(),
            views=Views(case["views"], case["crops"], expanded=True)
            if test
            else Views(random=True),
        )
        monkeypatch.setattr(dataset, "open", lambda video: asked.update(video=video) or Recorder())
        cfg = get_cfg()
        cfg.merge_from_list(
            ["TEST.NUM_SPATIAL_CROPS", case["crops"], "DATA.TEST_CROP_SIZE", 224,
             "DATA.TRAIN_JITTER_SCALES", [256, 320]]
        )  # fmt: skip
        cfg.merge_from_list(["VAL.PROTOCOL", "legacy"])
        sampling = from_config.transform_of(cfg, case["mode"]).sampling
        assert len(dataset) == case["len"]
        for item in case["items"]:
            frames, label, index, time, meta = dataset[item["dataset_index"]]
            assert paths[asked["video"]] == item["path"]
            assert asked["video"] == item["video_id"] == index // dataset.num_clips_per_video
            assert asked["temporal"] == item["temporal"]
            assert asked["spatial"] == [item["spatial"]]
            assert (label, index) == (item["label"], item["returned_index"])
            assert (sampling.min_scale, sampling.max_scale) == (
                item["min_scale"],
                item["max_scale"],
            )
            assert sampling.crop_size == item["crop"]
            assert [list(x.shape) for x in frames] == item["num_frames_list_shape"]
            assert list(time.shape) == item["time_shape"]
            assert meta == item["meta"]


def test_validation_takes_the_centre_or_as_published_a_random_clip(folder):
    centre = Kinetics(make_cfg(folder), "val")
    assert len(centre) == 5
    frames, label, index, _, _ = centre[1]
    assert (label, index) == (1, 1)
    with VideoReader(folder / "v1.mp4") as reader:
        middle = torch.from_numpy(reader.read([3, 11, 18, 26])).permute(3, 0, 1, 2) / 255
    torch.testing.assert_close(frames[0], middle[..., 8:72])

    legacy = Kinetics(make_cfg(folder, **{"VAL.PROTOCOL": "legacy"}), "val")
    draws = []
    for epoch in range(4):
        legacy.set_epoch(epoch)
        draws.append(legacy[1][3].tolist())
    assert len({str(draw) for draw in draws}) > 1
    assert legacy.__getitems__([2])[0][4]["failed"][0][0] == 2  # never replaced


def test_random_draws_belong_to_seed_epoch_and_index_alone(folder):
    cfg = make_cfg(folder, **{"DATA.TRAIN_JITTER_SCALES": [64, 80], "DATA.RANDOM_FLIP": True})
    dataset = Kinetics(cfg, "train")
    alone = dataset[3]
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    _, _, together = Kinetics(cfg, "train").__getitems__([0, 4, 3])
    torch.testing.assert_close(alone[:4], together[:4], rtol=0, atol=0)
    dataset._set_epoch_num(1)
    assert not torch.equal(dataset[3][0][0], alone[0][0])
    cfg.merge_from_list(["RNG_SEED", 2])
    assert not torch.equal(Kinetics(cfg, "train")[3][0][0], alone[0][0])


def test_a_broken_video_is_replaced_in_training_and_named(folder):
    dataset = Kinetics(make_cfg(folder), "train")
    dataset.transform = WholeFrames()
    frames, label, index, _, meta = dataset[2]
    assert index != 2
    assert label == index % 3
    assert {number // 100 for number in numbers(frames[0])} == {index}
    ((path, reason),) = set(meta["broken"])
    assert path.endswith("v2.mp4")
    assert "not a video" in reason
    again = dataset.__getitems__([1, 2])[1]
    assert again[2] == index
    torch.testing.assert_close(again[0][0], frames[0], rtol=0, atol=0)
    assert dataset[1][4] == {}


def test_a_list_of_broken_videos_ends_the_run(folder):
    (folder / "bad.csv").write_text("v2.mp4 0\n")
    dataset = Kinetics(make_cfg(folder, **{"DATA.TRAIN_FILE": "bad.csv"}), "train")
    with pytest.raises(
        DataError, match=r"21 videos in a row could not be read, the last one .*v2.mp4"
    ):
        dataset[0]


def test_a_broken_video_is_dropped_from_a_test_and_named(folder):
    dataset = Kinetics(make_cfg(folder), "test")
    batch = collate(dataset.__getitems__(range(6, 24)))
    assert batch[2].tolist() == [*range(6, 12), *range(18, 24)]
    failed = batch[4]["failed"]
    assert [entry[0] for entry in failed] == list(range(12, 18))
    index, path, label, reason = failed[0]
    assert (index, label) == (12, 2)
    assert path == str(folder / "v2.mp4")
    assert "not a video" in reason
    with pytest.raises(DecodeError, match="v2.mp4: not a video"):
        dataset[12]


def test_a_file_that_is_absent_is_a_broken_video(folder):
    (folder / "absent.csv").write_text("nowhere/x.mp4 1\nv0.mp4 0\n")
    dataset = Kinetics(make_cfg(folder, **{"DATA.TEST_FILE": "absent.csv"}), "test")
    (sample,) = dataset.__getitems__([0])
    assert sample[4]["failed"][0][3] == "no such file"


def test_several_clips_and_cuts_of_a_training_video(folder):
    cfg = make_cfg(
        folder,
        **{
            "DATA.TRAIN_CROP_NUM_TEMPORAL": 2,
            "DATA.TRAIN_CROP_NUM_SPATIAL": 1,
            "AUG.NUM_SAMPLE": 3,
        },
    )
    dataset = Kinetics(cfg, "train")
    frames, labels, index, time, _ = dataset[1]
    assert len(frames) == 6
    assert labels == index == [1] * 6
    assert [t.tolist() for t in time[:3]] == [time[0].tolist()] * 3
    assert time[0].tolist() != time[3].tolist()
    inputs, _, _, times, _ = collate([dataset[0], dataset[1]])
    assert inputs[0].shape == (12, 3, 4, 64, 64)
    assert times.shape == (12, 3)


def test_channels_are_swapped_on_request(folder):
    plain = Kinetics(make_cfg(folder), "test")[0][0][0]
    swapped = Kinetics(make_cfg(folder, **{"DATA.REVERSE_INPUT_CHANNEL": True}), "test")[0][0][0]
    torch.testing.assert_close(swapped, plain[[2, 1, 0]])


def test_dummy_load_gives_the_first_item_for_ever(folder):
    dataset = Kinetics(make_cfg(folder, **{"DATA.DUMMY_LOAD": True}), "train")
    assert [sample[2] for sample in dataset.__getitems__([3, 4])] == [0, 0]
    assert dataset[1] is dataset[4]


def test_videos_of_several_labels_are_listed_once_for_each(folder):
    (folder / "multi.csv").write_text("v0.mp4 0\nv1.mp4 1\nv0.mp4 2\n")
    cfg = make_cfg(folder, **{"DATA.MULTI_LABEL": True, "DATA.VAL_FILE": "multi.csv"})
    dataset = Kinetics(cfg, "val")
    assert len(dataset) == 2
    assert collate([dataset[0], dataset[1]])[1].tolist() == [[1, 0, 1], [0, 1, 0]]
    assert list(dataset.videos.lines) == [1, 2]


def test_labels_count_the_named_classes(folder):
    (folder / "classes.txt").write_text("run\njump\n")
    cfg = make_cfg(folder, **{"TEXT.CLASSES": str(folder / "classes.txt"), "MODEL.NUM_CLASSES": 0})
    with pytest.raises(DataError, match=r"train.csv:3: label 2 is outside 0\.\.1"):
        Kinetics(cfg, "train")
    (folder / "named.csv").write_text("v0.mp4,jump\nv1.mp4,run\n")
    cfg.merge_from_list(["DATA.TRAIN_FILE", "named.csv"])
    assert Kinetics(cfg, "train").videos.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("changes", "split", "message"),
    [
        (
            {"DATA.TRANSFORMS": "pil"},
            "val",
            "DATA.TRANSFORMS is 'pil'; known: clip, open_clip, slowfast, text4vis",
        ),
        ({"TEST.NUM_SPATIAL_CROPS": 4}, "test", "NUM_SPATIAL_CROPS 4"),
        ({"TEST.NUM_ENSEMBLE_VIEWS": -1}, "test", "NUM_ENSEMBLE_VIEWS is -1"),
        ({"DATA.TRAIN_CROP_SIZE": 72}, "train", "DATA.TRAIN_CROP_SIZE 72 does not fit .* 64"),
        ({"DATA.TEST_SHORT_SIZE": 32}, "test", "DATA.TEST_CROP_SIZE 64 does not fit .* 32"),
        ({"DATA.TRANSFORMS": "clip", "DATA.TEST_SHORT_SIZE": 32}, "test", "does not fit"),
        ({"DATA.DECODING_BACKEND": "decord"}, "val", "DATA.DECODING_BACKEND is 'decord'"),
        ({}, "valid", "unknown split 'valid'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(folder, changes, split, message):
    with pytest.raises(UsageError, match=message):
        Kinetics(make_cfg(folder, **changes), split)


def test_a_list_of_frame_folders_is_sent_to_the_right_data_set(folder):
    (folder / "clips").mkdir(exist_ok=True)
    (folder / "folders.txt").write_text("clips 12 0\n")
    with pytest.raises(UsageError, match="choose the data set framefolder"):
        Kinetics(make_cfg(folder, **{"DATA.VAL_FILE": "folders.txt"}), "val")


def test_pipeline_of_ost_by_options(folder):
    cfg = make_cfg(
        folder,
        **{"DATA.TRANSFORMS": "clip", "DATA.RESIZE": "opencv", "DATA.TRAIN_CROP_SIZE": 32,
           "DATA.TEST_CROP_SIZE": 32, "AUG.CLIP_COLOR_JITTER": 0.8, "AUG.CLIP_GRAY_SCALE": 0.2},
    )  # fmt: skip
    train = from_config.transform_of(cfg, "train")
    assert (train.size, train.short_side, train.method) == (32, 36, "opencv")
    assert (train.jitter.probability, train.jitter.per_frame, train.gray) == (0.8, True, 0.2)
    test, val = from_config.transform_of(cfg, "test"), from_config.transform_of(cfg, "val")
    assert (test.short_side, val.short_side) == (32, 36)
    assert test.jitter is val.jitter is None
    assert val.gray == 0
    cfg.merge_from_list(["TEST.NUM_SPATIAL_CROPS", 1])
    assert from_config.transform_of(cfg, "test").short_side == 36
    assert Kinetics(cfg, "train")[0][0][0].shape == (3, 4, 32, 32)


def test_augmentation_is_for_training_only(folder):
    cfg = make_cfg(folder, **{"AUG.ENABLE": True, "AUG.RE_PROB": 1.0})
    train = from_config.transform_of(cfg, "train")
    assert train.rand_augment.magnitude == 9
    assert train.erasing.probability == 1.0
    for split in ("val", "test"):
        transform = from_config.transform_of(cfg, split)
        assert transform.rand_augment is transform.erasing is None
    assert Kinetics(cfg, "train")[0][0][0].shape == (3, 4, 64, 64)


def test_a_data_set_can_be_sent_to_a_process_that_was_not_forked(folder):
    cfg = make_cfg(folder, **{"AUG.ENABLE": True})
    for split in ("train", "test"):
        dataset = Kinetics(cfg, split)
        copy = pickle.loads(pickle.dumps(dataset))
        torch.testing.assert_close(copy[1][0], dataset[1][0])


def test_plain_arguments_need_no_config(folder):
    dataset = VideoDataset(
        VideoList([str(folder / "v3.mp4")], np.array([1])),
        rule=Segment(2),
        transform=SlowFastTransform(SpatialSampling(64, 64, 64), **IDENTITY),
        views=Views(),
    )
    assert dataset[0][0][0].shape == (3, 2, 64, 64)
    with pytest.raises(IndexError):
        dataset[1]


def test_every_name_is_the_same_data_set(folder):
    for name in ("kinetics", "ucf101", "hmdb51", "ssv2videos", "activitynet"):
        dataset = build_dataset(name, make_cfg(folder), "test")
        assert isinstance(dataset, VideoDataset)


def test_workers_deliver_what_one_process_delivers(folder):
    cfg = make_cfg(folder, **{"DATA.TRAIN_JITTER_SCALES": [64, 80]})
    alone = construct_loader(cfg, "train")
    cfg.merge_from_list(["DATA_LOADER.NUM_WORKERS", 2])
    loader = construct_loader(cfg, "train")
    for epoch in (0, 1):
        shuffle_dataset(alone, epoch)
        shuffle_dataset(loader, epoch)
        for one, two in zip(alone, loader, strict=True):
            torch.testing.assert_close(one[:4], two[:4], rtol=0, atol=0)
            assert one[4] == two[4]


def _tested(folder):
    return [batch[2].tolist() for batch in construct_loader(make_cfg(folder), "test")]


def test_two_processes_test_each_video_once(folder):
    seen = [i for part in run_two_processes(_tested, folder) for batch in part for i in batch]
    assert sorted(seen) == [i for i in range(30) if not 12 <= i < 18]  # all but the broken one


@pytest.mark.parity
@pytest.mark.parametrize(
    ("clip", "want"),
    [
        (0, [0, 9, 18, 27, 36, 45, 54, 56]),
        (1, [82, 91, 100, 109, 118, 127, 136, 137]),
    ],
)
def test_the_whole_published_chain_on_a_real_file(parity, tmp_path, clip, want):
    """Oracle: sequential decoding, the published frame table, and torch's functions one by one."""
    video = parity("slowfast/videos/h264_30fps_300f.mp4")
    (tmp_path / "test.csv").write_text(f"{video.name},4\n")
    mean, std = [0.481, 0.457, 0.408], [0.268, 0.261, 0.275]
    cfg = make_cfg(
        tmp_path,
        **{"DATA.PATH_PREFIX": str(video.parent), "DATA.PATH_LABEL_SEPARATOR": ",",
           "DATA.SAMPLING": "dense", "DATA.SAMPLING_COMPAT": "openvclip", "DATA.NUM_FRAMES": 8,
           "DATA.TIMESTAMPS": "legacy", "DATA.USE_OFFSET_SAMPLING": True, "MODEL.NUM_CLASSES": 5,
           "DATA.TEST_CROP_SIZE": 32, "DATA.MEAN": mean, "DATA.STD": std,
           "TEST.NUM_ENSEMBLE_VIEWS": 3},
    )  # fmt: skip
    dataset = Kinetics(cfg, "test")
    frames = torch.from_numpy(sequential(video)[want])  # T x 48 x 64 x 3
    normal = (frames / 255 - torch.tensor(mean)) / torch.tensor(std)
    scaled = torch.nn.functional.interpolate(
        normal.permute(3, 0, 1, 2), size=(32, 42), mode="bilinear"
    )
    for crop, left in enumerate((0, 5, 10)):
        (got,), label, index, _, _ = dataset[clip * 3 + crop]
        assert (label, index) == (4, clip * 3 + crop)
        torch.testing.assert_close(got, scaled[..., left : left + 32])
