import cv2
import numpy as np
import pytest
import torch

from slowfast.config.defaults import get_cfg
from slowfast.datasets.build import build_dataset
from slowfast.datasets.frames import FolderReader, Framefolder, count_frames
from slowfast.datasets.reading.timeline import Clip
from slowfast.datasets.sampling.dense import Dense
from slowfast.errors import DataError, DecodeError, UsageError


def colour(i: int) -> tuple[int, int, int]:
    """Return the RGB of frame i: red counts the frames, green and blue do not move."""
    return 10 * i, 200, 30


def write_folder(folder, count, template="img_{:05d}.png", size=(32, 40)):
    folder.mkdir()
    for i in range(count):
        image = np.full((*size, 3), colour(i), np.uint8)
        cv2.imwrite(str(folder / template.format(i + 1)), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def clip(*indices):
    return Clip(np.array(indices), float(indices[0]), float(indices[-1]))


@pytest.fixture
def root(tmp_path):
    write_folder(tmp_path / "a", 12)
    write_folder(tmp_path / "b", 20)
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.csv").write_text("a 12 1\nb 20 0\n")
    return tmp_path


def make_cfg(root, **changes):
    cfg = get_cfg()
    values = {
        "DATA.PATH_TO_DATA_DIR": str(root), "DATA.PATH_PREFIX": str(root), "DATA.NUM_FRAMES": 4,
        "DATA.FRAME_TEMPLATE": "img_{:05d}.png", "DATA.SAMPLING": "segment",
        "DATA.TRAIN_CROP_SIZE": 32, "DATA.TEST_CROP_SIZE": 32, "DATA.TRAIN_JITTER_SCALES": [32, 32],
        "DATA.MEAN": [0.0] * 3, "DATA.STD": [1.0] * 3, "MODEL.NUM_CLASSES": 2,
        "TEST.NUM_ENSEMBLE_VIEWS": 1, "TEST.NUM_SPATIAL_CROPS": 1, **changes,
    }  # fmt: skip
    cfg.merge_from_list([word for pair in values.items() for word in pair])
    return cfg


def test_items_are_rgb_frames_counted_from_one(root):
    dataset = Framefolder(make_cfg(root), "test")
    frames, label, index, time, _ = dataset[0]
    assert (label, index, time.tolist()) == (1, 0, [[1.0, 10.0, 0.0]])
    want = torch.tensor([colour(i) for i in (1, 4, 7, 10)]) / 255  # middles of four parts of three
    torch.testing.assert_close(frames[0][:, :, 5, 5].T, want)


def test_channel_swap_is_not_needed_and_not_done(root):
    cfg = make_cfg(root, **{"DATA.REVERSE_INPUT_CHANNEL": True})
    assert not Framefolder(cfg, "test").swap_channels


def test_dense_spacing_counts_images(root):
    reader = FolderReader(str(root / "b"), 20, "img_{:05d}.png", 30.0)
    rule = Dense(3, sampling_rate=4)
    clips, (frames,) = reader.read_clips(lambda t: [rule.clip(t, clip=0)])
    assert clips[0].indices.tolist() == [0, 4, 8]
    assert frames[:, 0, 0, 0].tolist() == [0, 40, 80]


def test_an_image_that_clips_share_is_read_once(root, monkeypatch):
    reader = FolderReader(str(root / "a"), 12, "img_{:05d}.png", 30.0)
    read = []
    monkeypatch.setattr(reader, "_read", lambda i, real=reader._read: read.append(i) or real(i))
    _, (first, second) = reader.read_clips(lambda t: [clip(5, 2, 5), clip(2, 11)])
    assert read == [2, 5, 11]
    assert first[:, 0, 0, 0].tolist() == [50, 20, 50]
    assert second[:, 0, 0, 0].tolist() == [20, 110]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (
            lambda path: path.unlink(),
            r"img_00003.png: No such file or directory \(DATA.FRAME_TEMPLATE img_\{:05d\}.png\)",
        ),
        (lambda path: path.write_bytes(b""), "img_00003.png is no readable image"),
        (lambda path: path.write_text("text"), "img_00003.png is no readable image"),
        (
            lambda path: cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8)),
            r"several sizes: \[\(8, 8\), \(32, 40\)\]",
        ),
    ],
)
def test_bad_images_are_broken_videos(root, damage, reason):
    damage(root / "a" / "img_00003.png")
    reader = FolderReader(str(root / "a"), 12, "img_{:05d}.png", 30.0)
    with pytest.raises(DecodeError, match=reason):
        reader.read_clips(lambda t: [clip(1, 2)])
    reader.read_clips(lambda t: [clip(1, 3)])  # an image that is not wanted is not looked at


def test_a_folder_without_frames_is_a_broken_video(root):
    (root / "test.csv").write_text("a 0 1\nb 20 0\n")
    (failed,) = Framefolder(make_cfg(root), "test").__getitems__([0])[0][4]["failed"]
    assert failed[3] == "the list says that it holds 0 frames"


def test_a_damaged_folder_is_replaced_in_training_and_reported_in_the_test(root):
    for path in (root / "a").iterdir():
        path.unlink()
    _, _, index, _, meta = Framefolder(make_cfg(root), "train")[0]
    assert index == 1
    assert meta["broken"][0][0] == str(root / "a")
    (failed,) = Framefolder(make_cfg(root), "test").__getitems__([0])[0][4]["failed"]
    assert failed[:3] == (0, str(root / "a"), 1)


@pytest.mark.parametrize("template", ["img.jpg", "{", "{name}.jpg", "{}_{}.jpg", "img_{:05d.jpg"])
def test_wrong_templates_are_refused(root, template):
    with pytest.raises(UsageError, match="DATA.FRAME_TEMPLATE"):
        Framefolder(make_cfg(root, **{"DATA.FRAME_TEMPLATE": template}), "val")


def test_a_list_without_frame_counts_is_refused(root):
    (root / "val.csv").write_text("a 1\nb 0\n")
    with pytest.raises(DataError, match="folder, number of frames, label"):
        Framefolder(make_cfg(root), "val")


# ---- the length of a folder, and rows that are left out ----


def test_a_folder_is_as_long_as_its_images_and_not_as_its_list_says(root):
    (root / "test.csv").write_text("a 999 1\nb 3 0\n")
    dataset = Framefolder(make_cfg(root, **{"DATA.FRAME_COUNT": "folder"}), "test")
    assert [sample[3].tolist() for sample in dataset.__getitems__([0, 1])] == [
        [[1.0, 10.0, 0.0]],  # of 12
        [[2.0, 17.0, 0.0]],  # of 20
    ]
    listed = Framefolder(make_cfg(root), "test")
    assert listed[1][3].tolist() == [[0.0, 2.0, 0.0]]
    with pytest.raises(DecodeError, match="img_00125.png: No such file"):
        listed[0]  # the middle of the first quarter of 999


@pytest.mark.parametrize(
    "stray",
    [
        "img_00000.png",  # frames count from 1
        "img_0013.png", "img_000013.png",  # five digits are asked for
        "img_00013.jpg", "img_00013.png.bak", "flow_x_00013.png", "Thumbs.db", ".DS_Store",
        "img_0001\u0663.png",  # a digit, but not one that the template writes
    ],
)  # fmt: skip
def test_stray_files_are_not_counted(root, stray):
    """The published code counts every file: one of these would move all frames."""
    (root / "a" / stray).write_text("")
    assert count_frames(root / "a", "img_{:05d}.png") == 12


@pytest.mark.parametrize(
    ("template", "names", "want"),
    [
        ("image_{:04d}.jpg", ["image_0001.jpg", "image_0002.jpg", "image_10000.jpg"], 3),
        ("image_{:06d}.jpg", ["image_000001.jpg", "image_0002.jpg"], 1),
        ("{}.jpg", ["1.jpg", "2.jpg", "02.jpg"], 2),
        ("f[{:d}](+).png", ["f[1](+).png", "f1.png"], 1),
        ("{{{:02d}}}.png", ["{01}.png", "01.png"], 1),
    ],
)
def test_names_of_several_templates(tmp_path, template, names, want):
    for name in names:
        (tmp_path / name).write_text("")
    assert count_frames(tmp_path, template) == want


def test_empty_and_absent_folders_are_broken_videos(root):
    (root / "empty").mkdir()
    (root / "empty" / "x.txt").write_text("")
    (root / "train.csv").write_text("empty 12 1\nb 20 0\n")
    (root / "test.csv").write_text("empty 12 1\ngone 12 1\nb 20 0\n")
    counted = make_cfg(root, **{"DATA.FRAME_COUNT": "folder"})
    meta = Framefolder(counted, "train")[0][4]
    reason = "none of its 1 files is named like img_00001.png"
    assert set(meta["broken"]) == {(str(root / "empty"), reason)}
    samples = Framefolder(counted, "test").__getitems__([0, 1])
    assert [sample[4]["failed"][0][3] for sample in samples] == [
        reason,
        "the folder cannot be listed: No such file or directory",
    ]


SHORT = "a 7 1\nb 20 0\nc 8 1\nd 0 1\ne 100 0\n"


@pytest.mark.parametrize("split", ["train", "val"])
def test_folders_listed_as_too_short_are_left_out(root, split, caplog):
    """Text4Vis drops rows of fewer than 8 frames, whatever the folder holds."""
    (root / f"{split}.csv").write_text(SHORT)
    with caplog.at_level("INFO"):
        videos = Framefolder(make_cfg(root, **{"DATA.MIN_LISTED_FRAMES": 8}), split).videos
    assert [path.rsplit("/", 1)[1] for path in videos.paths] == ["b", "c", "e"]
    assert videos.labels.tolist() == [0, 1, 0]
    assert videos.num_frames.tolist() == [20, 8, 100]
    assert videos.lines.tolist() == [2, 3, 5]
    assert videos.missing == (1, 2)
    lines = [
        record.getMessage() for record in caplog.records if "MIN_LISTED" in record.getMessage()
    ]
    assert lines == [
        f"{root / split}.csv: 2 of 5 folders are listed with fewer than 8 frames"
        " (DATA.MIN_LISTED_FRAMES) and left out"
    ]


def test_a_test_leaves_out_nothing(root, caplog):
    (root / "test.csv").write_text(SHORT)
    with caplog.at_level("INFO"):
        dataset = Framefolder(make_cfg(root, **{"DATA.MIN_LISTED_FRAMES": 8}), "test")
    assert len(dataset) == 5
    assert "MIN_LISTED" not in caplog.text


def test_no_folder_that_is_long_enough_is_an_error(root):
    with pytest.raises(
        DataError, match=r"train.csv: all 2 folders .* lower DATA.MIN_LISTED_FRAMES"
    ):
        Framefolder(make_cfg(root, **{"DATA.MIN_LISTED_FRAMES": 21}), "train")


def test_ssv2_is_a_data_set_of_folders(root):
    assert isinstance(build_dataset("ssv2", make_cfg(root), "val"), Framefolder)


def test_published_lists_with_odd_names_are_read(root):
    """HMDB-51's names hold brackets and signs; names with blanks need tabs (published: none)."""
    names = ["[Clip]_#1_(x)&+,;@~!_jump_f_cm_np1_ri_bad_0", "my video"]
    for name in names:
        write_folder(root / name, 9)
    rows = "".join(f"{name}\t9\t{label}\n" for label, name in enumerate(names))
    (root / "test.csv").write_text(rows)
    dataset = Framefolder(make_cfg(root, **{"DATA.FRAME_COUNT": "folder"}), "test")
    assert [sample[1] for sample in dataset.__getitems__([0, 1])] == [0, 1]
    (root / "val.csv").write_text(f"{names[0]} 9 1\n")
    assert Framefolder(make_cfg(root), "val")[0][1] == 1
    (root / "train.csv").write_text("my video 9 0\na 12 1\n")
    with pytest.raises(DataError, match=r"train.csv:1: 4 fields .* another one, such as a tab"):
        Framefolder(make_cfg(root), "train")
