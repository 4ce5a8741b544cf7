from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms as tv
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from slowfast.datasets.transforms import text4vis as X
from slowfast.datasets.transforms.draws import LegacyRng
from slowfast.errors import DataError, UsageError
from slowfast.text.labels import load_classes

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
BICUBIC, BILINEAR = tv.InterpolationMode.BICUBIC, tv.InterpolationMode.BILINEAR
REPLAYED = (0, 3, 5)  # mirrored, grey, neither
LABELS = Path(__file__).resolve().parents[3] / "label_db" / "ssv2"


def make_frames(height: int, width: int, count: int = 3) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def torchvision_chain(frames: np.ndarray, *steps) -> torch.Tensor:
    """Return 3 x T x S x S of torchvision's own classes on Pillow images."""
    chain = tv.Compose([*steps, tv.ToTensor(), tv.Normalize(MEAN, STD)])
    return torch.stack([chain(Image.fromarray(frame)) for frame in frames], dim=1)


@pytest.fixture
def frames() -> np.ndarray:
    return make_frames(60, 85)


@pytest.mark.parametrize(
    ("sides", "short", "size"),
    [((240, 320), 256, 224), ((320, 240), 256, 224), ((121, 83), 64, 64), ((64, 99), 64, 64)],
)
def test_the_single_view_is_torchvisions_to_the_last_bit(sides, short, size):
    frames = make_frames(*sides, 2)
    want = torchvision_chain(frames, tv.Resize(short, BICUBIC), tv.CenterCrop(size))
    (got,) = X.Text4VisTransform(size, short, MEAN, STD).crops(frames, [1])
    torch.testing.assert_close(got, want, rtol=0, atol=0)
    assert got.is_contiguous()


@given(st.integers(8, 400), st.integers(8, 400), st.sampled_from([64, 224, 256, 336]))
@settings(max_examples=60, deadline=None)
def test_resized_sides_are_torchvisions(height, width, short):
    image = Image.new("L", (width, height))
    resized = tv.Resize(short, tv.InterpolationMode.NEAREST)(image)
    assert X.resized_sides(height, width, short) == resized.size[::-1]


def corners(height, width, size, number, axis="width"):
    return [(box.left, box.top) for box in X.fixed_boxes(height, width, size, number, axis)]


@pytest.mark.parametrize(
    ("height", "width", "want"),
    [
        (256, 256, (16, 16)),
        (256, 341, (58, 16)),  # 58.5 to the even side
        (256, 343, (60, 16)),  # 59.5
        (341, 256, (16, 58)),
    ],
)
def test_the_centre_is_rounded_half_to_even(height, width, want):
    assert corners(height, width, 224, 1) == [want]


def test_three_crops_by_hand():
    # rest 117 x 32: steps of 29 and 8; left, right, centre
    assert corners(256, 341, 224, 3) == [(0, 16), (116, 16), (58, 16)]
    # a portrait video is cut along its width too
    assert corners(341, 256, 224, 3) == [(0, 58), (32, 58), (16, 58)]
    assert corners(256, 341, 224, 3, "long") == [(0, 16), (58, 16), (116, 16)]
    assert corners(341, 256, 224, 3, "long") == [(16, 0), (16, 58), (16, 116)]


def test_five_and_ten_crops_by_hand():
    five = [(0, 0), (116, 0), (0, 32), (116, 32), (58, 16)]
    assert corners(256, 341, 224, 5) == corners(256, 341, 224, 5, "long") == five
    assert corners(256, 341, 224, 10) == [place for place in five for _ in range(2)]


def test_too_small_frames_are_refused():
    with pytest.raises(DataError, match=r"60 x 85 pixels is smaller than the crop of 64"):
        X.fixed_boxes(60, 85, 64, 3)


@pytest.mark.parametrize(
    ("number", "axis"), [(1, "width"), (3, "width"), (3, "long"), (5, "width"), (10, "long")]
)
def test_the_centre_index_names_the_central_box(number, axis):
    chain = X.Text4VisTransform(32, 40, MEAN, STD, number, axis)
    boxes = X.fixed_boxes(40, 56, 32, number, axis)
    assert boxes[chain.centre if number > 1 else 0][:2] == (4, 12)
    assert chain.centre == {1: 1, 5: 4, 10: 8}.get(number, 2 if axis == "width" else 1)


def test_crops_follow_the_asked_order_and_the_tenth_is_mirrored(frames):
    chain = X.Text4VisTransform(40, 48, MEAN, STD, 10)
    small = torchvision_chain(frames, tv.Resize(48, BICUBIC))
    centre, mirror, last = chain.crops(frames, [8, 9, 6])
    y, x = 4, 2 * ((68 - 40) // 4)
    torch.testing.assert_close(centre, small[..., y : y + 40, x : x + 40], rtol=0, atol=0)
    assert torch.equal(mirror, centre.flip(-1))
    torch.testing.assert_close(last, small[..., 8:48, 28:68], rtol=0, atol=0)


def draw_box(width: int, height: int) -> tuple[int, int, int, int] | None:
    """Restate the random resized crop with Python's generator: left, top, right, bottom."""
    for _ in range(10):
        area = random.uniform(0.08, 1.0) * (width * height)
        ratio = random.uniform(3.0 / 4, 4.0 / 3)
        sides = [int(round(math.sqrt(area * ratio))), int(round(math.sqrt(area / ratio)))]
        if random.random() < 0.5:
            sides.reverse()
        if sides[0] <= width and sides[1] <= height:
            left = random.randint(0, width - sides[0])
            top = random.randint(0, height - sides[1])
            return left, top, left + sides[0], top + sides[1]
    return None


@pytest.mark.parametrize("seed", REPLAYED)
def test_training_replays_the_published_chain(frames, seed):
    """Oracle: Pillow and torchvision step by step, draws from Python's own generator."""
    random.seed(seed)
    box = draw_box(79, 56)
    assert box is not None
    steps = [tv.Resize(56, BICUBIC), lambda image: image.crop(box), tv.Resize((32, 32), BILINEAR)]
    if random.random() < 0.5:
        steps.append(tv.RandomHorizontalFlip(1.0))
    if random.random() < 0.2:
        steps.append(tv.Grayscale(3))
    chain = X.Text4VisTransform(32, 56, MEAN, STD, gray=0.2)
    got = chain.random(frames, LegacyRng(seed))
    torch.testing.assert_close(got, torchvision_chain(frames, *steps), rtol=0, atol=0)


def test_the_replayed_seeds_see_every_branch():
    seen = []
    for seed in REPLAYED:
        random.seed(seed)
        draw_box(79, 56)
        seen.append((random.random() < 0.5, random.random() < 0.2))
    assert seen == [(True, False), (False, True), (False, False)]


@given(st.integers(16, 400), st.integers(16, 400), st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_random_boxes_stay_inside_and_keep_area_and_aspect(height, width, seed):
    box = X.resized_crop_box(height, width, np.random.default_rng(seed))
    if box is None:
        return
    assert 0 <= box.top <= box.top + box.height <= height
    assert 0 <= box.left <= box.left + box.width <= width
    slack = (box.height + box.width + 1) / 2  # rounding of the two sides
    assert 0.08 * height * width - slack <= box.height * box.width <= height * width
    assert 3 / 4 - 1 / box.height <= box.width / box.height <= 4 / 3 + 2 / box.height


def test_area_is_uniform_and_sides_change_places():
    rng = np.random.default_rng(0)
    boxes = [X.resized_crop_box(4000, 4000, rng) for _ in range(3000)]
    shares = np.array([b.height * b.width for b in boxes if b]) / 4000**2
    # uniform on [0.08, 1], but large boxes off the square do not fit: quantiles below 0.7 are safe
    small = shares[shares < 0.7]
    assert abs(float(np.median(small)) - 0.39) < 0.02
    ratios = np.array([b.width / b.height for b in boxes if b and b.height * b.width < 10**7])
    wide = float((ratios > 1).mean())
    # aspect is uniform on [3/4, 4/3]: above 1 in 4 of 7 cases; swapped in half of them
    assert abs(wide - 0.5) < 0.04


def test_ten_misses_fall_back_to_the_short_side_and_a_random_square():
    """A strip fits no box: ten tries of five draws each, then left and top."""
    strip = make_frames(8, 400, 1)
    seed = next(s for s in range(50) if (random.seed(s), draw_box(400, 8))[1] is None)
    random.seed(seed)
    draw_box(400, 8)
    left, top = random.randint(0, 1600 - 32), random.randint(0, 0)
    image = tv.Resize(32, BILINEAR)(Image.fromarray(strip[0]))
    want = np.asarray(image)[top : top + 32, left : left + 32]
    chain = X.Text4VisTransform(32, 8, MEAN, STD, flip=False)
    np.testing.assert_array_equal(chain.random_cut(strip, LegacyRng(seed))[0], want)


def test_flip_and_grey_can_be_switched_off_and_a_centred_clip_is_not_augmented(frames):
    chain = X.Text4VisTransform(60, 60, MEAN, STD, flip=False)
    for seed in range(8):
        assert not chain.augment(frames, LegacyRng(seed))[1]
    chain = X.Text4VisTransform(32, 40, MEAN, STD, gray=1.0, centred=True)
    assert torch.equal(chain.random(frames, np.random.default_rng(0)), chain.crops(frames, [1])[0])


def test_rand_augment_sees_the_frames_at_their_first_size(frames):
    seen = []

    def augment(clip, rng):
        seen.append(clip.shape)
        return 255 - clip

    plain = X.Text4VisTransform(32, 40, MEAN, STD, flip=False)
    changed = X.Text4VisTransform(32, 40, MEAN, STD, flip=False, rand_augment=augment)
    got = changed.random(frames, np.random.default_rng(3))
    assert seen == [(3, 60, 85, 3)]
    want = plain.random(255 - frames, np.random.default_rng(3))
    assert torch.equal(got, want)


# ---- Something-Something ----


def test_there_are_thirteen_places_by_hand():
    """A 100 x 80 crop of 320 x 240: the rest is 220 x 160, quarters are 55 and 40."""
    places = X.quarter_positions(240, 320, 100, 80)
    assert set(places) == {
        (0, 0), (220, 0), (0, 160), (220, 160), (110, 80),
        (0, 80), (220, 80), (110, 160), (110, 0),
        (55, 40), (165, 40), (55, 120), (165, 120),
    }  # fmt: skip
    assert len(places) == 13


def test_multi_scale_boxes_of_something_by_hand():
    """240 x 320: sides 240, 210, 180, 158 and ten pairs of them, no side near 224."""
    rng = np.random.default_rng(0)
    drawn = {X.multi_scale_box(240, 320, 224, rng, 13) for _ in range(6000)}
    sides = (240, 210, 180, 158)
    pairs = [(w, h) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1]
    assert {(box.width, box.height) for box in drawn} == set(pairs)
    want = {(y, x, h, w) for w, h in pairs for x, y in X.quarter_positions(240, 320, w, h)}
    assert drawn == want
    assert {(b.left, b.top) for b in drawn if (b.width, b.height) == (210, 180)} == set(
        X.quarter_positions(240, 320, 210, 180)
    )
    # 210 is within 2 pixels of 212 and becomes it
    near = {X.multi_scale_box(240, 320, 212, rng, 13).width for _ in range(200)}
    assert near == {240, 212, 180, 158}


@pytest.mark.parametrize("seed", [1, 2])
def test_something_replays_the_published_chain(seed):
    frames, partners = make_frames(60, 85), {86: 87, 87: 86}
    random.seed(seed)
    sides = (240, 210, 180, 158)
    pairs = [(w, h) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1]
    w, h = random.choice(pairs)
    x, y = random.choice(X.quarter_positions(240, 320, w, h))
    steps = [
        tv.Resize((240, 320), BICUBIC),
        lambda image: image.crop((x, y, x + w, y + h)),
        tv.Resize((32, 32), BILINEAR),
    ]
    mirrored = random.random() < 0.5
    steps += [tv.RandomHorizontalFlip(1.0)] if mirrored else []
    steps += [tv.Grayscale(3)] if random.random() < 0.2 else []
    chain = X.SomethingTransform(32, 32, MEAN, STD, gray=0.2, partners=partners)
    got, label = chain.random_labelled(frames, 86, LegacyRng(seed))
    torch.testing.assert_close(got, torchvision_chain(frames, *steps), rtol=0, atol=0)
    assert label == (87 if mirrored else 86)


def test_labels_follow_the_mirror(frames):
    chain = X.SomethingTransform(32, 32, MEAN, STD, partners={4: 5, 5: 4, 7: X.UNMIRRORED})
    for label, mirror in ((4, 5), (5, 4), (6, 6), (7, None)):
        got = set()
        for seed in range(12):
            tensor, new = chain.random_labelled(frames, label, np.random.default_rng(seed))
            plain = X.SomethingTransform(32, 32, MEAN, STD, flip=False)
            same = torch.equal(tensor, plain.random(frames, np.random.default_rng(seed)))
            got.add((same, new))
        assert got == ({(True, label)} if mirror is None else {(True, label), (False, mirror)})


def test_a_centred_clip_of_something_keeps_its_label_and_shape(frames):
    chain = X.SomethingTransform(200, 200, MEAN, STD, centred=True, partners={0: 1})
    got, label = chain.random_labelled(frames, 0, np.random.default_rng(1))
    want = torchvision_chain(frames, tv.Resize((240, 320), BICUBIC), tv.CenterCrop(200))
    assert torch.equal(got, want)
    assert label == 0


PUBLISHED = {86: 87, 87: 86, 93: 94, 94: 93, 166: 167, 167: 166}


def test_partners_of_all_classes_are_the_published_numbers():
    assert X.mirror_partners(load_classes(LABELS / "classes.csv").names) == PUBLISHED
    assert X.mirror_partners((), 174) == PUBLISHED


def test_partners_of_some_classes_count_anew():
    names = ("Putting something", "Pulling [something] from right to left", "Turning the camera"
             " left while filming something", "Pulling [something] from left to right")  # fmt: skip
    assert X.mirror_partners(names) == {1: 3, 3: 1, 2: X.UNMIRRORED}
    assert X.mirror_partners(("run", "jump")) == {}


@pytest.mark.parametrize("part", ["base.txt", "novel.txt"])
def test_partners_within_the_base_and_novel_classes_have_mirrored_names(part):
    names = load_classes(LABELS / part).names
    for label, partner in X.mirror_partners(names).items():
        words = {"left", "right"} & set(names[label].lower().split())
        assert words
        if partner != X.UNMIRRORED:
            assert sorted(names[label].split()) == sorted(names[partner].split()) or (
                "camera" in names[label]
            )


def test_label_numbers_without_names_need_all_174_classes():
    with pytest.raises(UsageError, match="MODEL.NUM_CLASSES is 87, and there are no class names"):
        X.mirror_partners((), 87)


@pytest.mark.parity
def test_pixels_of_the_published_loader(parity):
    """Recorded uint8 frames and the normalised clips that the published loader made of them."""
    recorded = np.load(parity("text4vis/model_base_transf.npz"))
    chain = X.Text4VisTransform(64, 64, MEAN, STD)
    for frames, want in zip(recorded["video_uint8"], recorded["video"], strict=True):
        (got,) = chain.crops(frames, [1])
        np.testing.assert_array_equal(got.transpose(0, 1).numpy(), want)
