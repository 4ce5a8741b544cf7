import cv2
import numpy as np
import pytest
import torch

from slowfast.config.defaults import get_cfg
from slowfast.datasets.frames import FolderReader, Framefolder
from slowfast.datasets.sampling import FrameRule
from slowfast.datasets.timeline import Clip
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
    rule = FrameRule("uniform", 3, sampling_rate=4)
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
        (lambda path: path.unlink(), "img_00003.png: No such file or directory"),
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
