from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from slowfast.datasets.transforms.draws import LegacyRng
from slowfast.datasets.transforms.rand_augment import (
    NEAREST,
    PerFrame,
    RandAugment,
    Text4VisRandAugment,
    parse_policy,
)
from slowfast.datasets.transforms.rand_augment import TEXT4VIS_OPERATIONS as OPERATIONS
from slowfast.errors import UsageError


@pytest.fixture
def image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))


@pytest.fixture
def frames(image) -> np.ndarray:
    return np.repeat(np.asarray(image)[None], 3, axis=0)


# the table of ildoonet/pytorch-randaugment: name, amount at strength 0 and 30
TABLE = """AutoContrast 0 1, Equalize 0 1, Invert 0 1, Rotate 0 30, Posterize 0 4, Solarize 0 256,
SolarizeAdd 0 110, Color .1 1.9, Contrast .1 1.9, Brightness .1 1.9, Sharpness .1 1.9, ShearX 0 .3,
ShearY 0 .3, CutoutAbs 0 40, TranslateXabs 0 100, TranslateYabs 0 100"""


def test_sixteen_operations_in_the_published_order():
    want = [(n, float(a), float(b)) for n, a, b in (line.split() for line in TABLE.split(","))]
    assert list(OPERATIONS) == [name for name, _, _ in want]
    for (name, op), (_, low, high) in zip(OPERATIONS.items(), want):
        if name not in ("AutoContrast", "Equalize", "Invert"):  # which take no amount
            assert (op.amount(0), op.amount(30)) == pytest.approx((low, high))
    signed = [name for name, op in OPERATIONS.items() if op.signed]
    assert signed == ["Rotate", "ShearX", "ShearY", "TranslateXabs", "TranslateYabs"]


def affine(image: Image.Image, *matrix: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)


def solarize_add(image: Image.Image, added: float) -> Image.Image:
    """Restate it in NumPy: add, clip, cut off, then invert what is 128 or more."""
    values = np.clip(np.asarray(image).astype(float) + added, 0, 255).astype(np.uint8)
    return Image.fromarray(np.where(values < 128, values, 255 - values).astype(np.uint8))


@pytest.mark.parametrize(
    ("name", "amount", "oracle"),
    [
        ("AutoContrast", 0.3, ImageOps.autocontrast),
        ("Equalize", 0.3, ImageOps.equalize),
        ("Invert", 0.3, lambda i: Image.fromarray(255 - np.asarray(i))),
        ("Rotate", -9.0, lambda i: i.rotate(-9.0, Image.Resampling.NEAREST, fillcolor=(0, 0, 0))),
        ("Posterize", 1.2, lambda i: Image.fromarray(np.asarray(i) & 0b10000000)),
        ("Posterize", 3.6, lambda i: ImageOps.posterize(i, 3)),
        ("Posterize", 0.8, lambda i: Image.fromarray(np.asarray(i) & 0)),
        (
            "Solarize",
            76.8,
            lambda i: Image.fromarray(
                np.where(np.asarray(i) < 76.8, np.asarray(i), 255 - np.asarray(i)).astype(np.uint8)
            ),
        ),
        ("SolarizeAdd", 33.0, lambda i: solarize_add(i, 33.0)),
        ("SolarizeAdd", 36.667, lambda i: solarize_add(i, 36.667)),
        ("Color", 0.64, lambda i: Image.blend(i.convert("L").convert("RGB"), i, 0.64)),
        ("Contrast", 0.64, lambda i: ImageEnhance.Contrast(i).enhance(0.64)),
        ("Brightness", 0.64, lambda i: Image.blend(Image.new("RGB", i.size), i, 0.64)),
        ("Sharpness", 0.64, lambda i: ImageEnhance.Sharpness(i).enhance(0.64)),
        ("ShearX", 0.09, lambda i: affine(i, 1, 0.09, 0, 0, 1, 0)),
        ("ShearY", -0.09, lambda i: affine(i, 1, 0, 0, -0.09, 1, 0)),
        ("TranslateXabs", 30.0, lambda i: affine(i, 1, 0, 30, 0, 1, 0)),
        ("TranslateYabs", -30.0, lambda i: affine(i, 1, 0, 0, 0, 1, -30)),
    ],
)
def test_each_operation_against_another_way_to_do_it(image, name, amount, oracle):
    got = OPERATIONS[name].apply(image, amount, NEAREST)
    np.testing.assert_array_equal(np.asarray(got), np.asarray(oracle(image)))


def test_translation_by_hand(image):
    got = np.asarray(OPERATIONS["TranslateXabs"].apply(image, 30.0, NEAREST))
    np.testing.assert_array_equal(got[:, :90], np.asarray(image)[:, 30:])
    assert (got[:, 90:] == 0).all()


def test_solarize_add_by_hand():
    """parity: 100 + 33 = 133 is inverted to 122; 250 + 33 is cut to 255 and becomes 0."""
    gray = Image.fromarray(
        np.array([[[0] * 3, [94] * 3, [95] * 3, [100] * 3, [250] * 3]], np.uint8)
    )
    got = np.asarray(OPERATIONS["SolarizeAdd"].apply(gray, 33.0, NEAREST))
    assert got[0, :, 0].tolist() == [33, 127, 127, 122, 0]


@pytest.mark.parametrize(
    ("place", "box"),
    [
        ((0.0, 0.0), (114, 84, 120, 90)),  # at the far corner: cut off by the frame
        ((1.0, 1.0), (0, 0, 12, 12)),  # centre at pixel 1, moved into the frame
        ((0.5, 0.5), (54, 39, 66, 51)),  # 60.5 - 6 and 45.5 - 6, rounded down
    ],
)
def test_cutout_by_hand(image, place, box):
    """A square of 12 pixels, drawn with both of its ends."""
    got = np.asarray(OPERATIONS["CutoutAbs"].apply(image, 12.0, place))
    want = image.copy()
    ImageDraw.Draw(want).rectangle(box, (125, 123, 114))
    np.testing.assert_array_equal(got, np.asarray(want))
    inside = got[box[1] : box[3] + 1, box[0] : box[2] + 1]
    assert (inside == (125, 123, 114)).all()


def published_draw(count: int, strength: float) -> list[tuple[str, float, float, float]]:
    """Restate one call with the global generators: name, amount, and a cutout's centre."""
    rows = [line.split() for line in TABLE.split(",")]
    out = []
    for name, low, high in random.choices(rows, k=count):
        amount = strength / 30 * (float(high) - float(low)) + float(low)
        x = y = 0.0
        if name.startswith(("Rotate", "Shear", "Translate")) and random.random() > 0.5:
            amount = -amount
        if name == "CutoutAbs":
            x, y = np.random.uniform(120), np.random.uniform(90)  # noqa: NPY002
        out.append((name, amount, x, y))
    return out


def test_draws_replay_the_published_generators():
    seen = set()
    for seed in range(60):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        want = published_draw(3, 9)
        got = Text4VisRandAugment(9.0, 3).draw(LegacyRng(seed))
        assert [drawn.name for drawn in got] == [name for name, *_ in want]
        for drawn, (name, amount, x, y) in zip(got, want):
            seen.add(name)
            if name not in ("AutoContrast", "Equalize", "Invert"):
                assert drawn.amount == pytest.approx(amount, abs=1e-12)
            if name == "CutoutAbs":
                assert 120 + (1 - 120) * drawn.how[0] == pytest.approx(x)
                assert 90 + (1 - 90) * drawn.how[1] == pytest.approx(y)
    assert seen == set(OPERATIONS)


def test_operations_repeat_and_signs_are_even():
    rng = np.random.default_rng(0)
    drawn = [Text4VisRandAugment(9.0, 2).draw(rng) for _ in range(4000)]
    names = [one.name for pair in drawn for one in pair]
    assert {names.count(name) for name in OPERATIONS} <= set(range(420, 580))  # 500 each
    assert any(a.name == b.name for a, b in drawn)
    signs = [one.amount > 0 for pair in drawn for one in pair if one.name == "Rotate"]
    assert 0.42 < np.mean(signs) < 0.58


def test_a_clip_is_changed_alike_and_frames_by_themselves(frames):
    same = parse_policy("text4vis-n2-m9")
    each = PerFrame(same)
    alike, apart = 0, 0
    for seed in range(10):
        clip = same(frames, np.random.default_rng(seed))
        assert clip.shape == frames.shape
        assert clip.dtype == np.uint8
        alike += bool((clip == clip[0]).all())
        flicker = each(frames, np.random.default_rng(seed))
        apart += bool((flicker[0] != flicker[1]).any())
        np.testing.assert_array_equal(flicker[0], clip[0])
    assert alike == 10
    assert apart >= 8


def test_frames_of_one_draw_are_what_the_published_call_makes(frames):
    """PerFrame calls once a frame, on one stream."""
    rng = LegacyRng(4)
    want = [Text4VisRandAugment(9.0, 2)(frames[t : t + 1], rng)[0] for t in range(3)]
    got = PerFrame(Text4VisRandAugment(9.0, 2))(frames, LegacyRng(4))
    np.testing.assert_array_equal(got, np.stack(want))


def test_a_mirrored_view_can_be_augmented(frames):
    got = Text4VisRandAugment(9.0, 4)(frames[:, :, ::-1], np.random.default_rng(0))
    assert got.shape == frames.shape


def test_names():
    assert parse_policy("text4vis-n3-m4.5") == Text4VisRandAugment(4.5, 3)
    assert type(parse_policy("rand-m9-mstd0.5-inc1")) is RandAugment
    assert parse_policy("rand-m9", "bilinear").interpolation == "bilinear"


@pytest.mark.parametrize("text", ["text4vis", "text4vis-m9-n2", "text4vis-n2-m31", "ildoonet-n2"])
def test_other_names_are_refused(text):
    with pytest.raises(UsageError, match="AUG.AA_TYPE is"):
        parse_policy(text)
