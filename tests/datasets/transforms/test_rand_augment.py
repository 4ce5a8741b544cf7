import random

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from slowfast.datasets.transforms.draws import LegacyRng
from slowfast.datasets.transforms.rand_augment import (
    WEIGHTS,
    RandAugment,
    operations,
    parse_policy,
    rand_augment_transform,
)
from slowfast.errors import UsageError

NEAREST = Image.Resampling.NEAREST


@pytest.fixture
def image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 40, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("rand", RandAugment()),
        ("rand-m9-mstd0.5-inc1", RandAugment(9, 2, 0.5, True)),
        ("rand-m7-n4-mstd0.5-inc0", RandAugment(7, 4, 0.5, False)),
        ("rand-m3-w0", RandAugment(3, weighted=True)),
    ],
)
def test_configuration_strings(text, want):
    assert parse_policy(text) == want


@pytest.mark.parametrize("text", ["augmix-m3", "rand-m", "rand-x3", "rand-mstd", ""])
def test_unknown_strings_are_refused(text):
    with pytest.raises(UsageError, match="AUG.AA_TYPE"):
        parse_policy(text)


def test_unknown_interpolation_is_refused():
    with pytest.raises(UsageError, match="AUG.INTERPOLATION is 'area'"):
        parse_policy("rand", "area")


def test_order_of_the_fifteen_operations():
    assert " ".join(operations(True)) == (
        "AutoContrast Equalize Invert Rotate Posterize Solarize SolarizeAdd Color Contrast"
        " Brightness Sharpness ShearX ShearY TranslateX TranslateY"
    )
    assert WEIGHTS.keys() <= operations(True).keys()
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "increasing", "level", "want"),
    [
        ("Rotate", True, 10, 30.0),
        ("ShearX", True, 5, 0.15),
        ("TranslateY", True, 10, 0.45),
        ("Posterize", True, 9, 1),  # 4 - int(3.6)
        ("Posterize", False, 9, 3),
        ("Solarize", True, 10, 0),
        ("Solarize", True, 5, 128),
        ("Solarize", False, 5, 128),
        ("SolarizeAdd", True, 5, 55),
        ("Color", False, 0, 0.1),
        ("Sharpness", False, 10, 1.9),
        ("Brightness", True, 10, 0.9),  # away from 1, with a sign
    ],
)
def test_amounts_by_hand(name, increasing, level, want):
    operation = operations(increasing)[name]
    assert operation.amount(level) == pytest.approx(want)
    assert operation.base == (1.0 if name == "Brightness" else 0.0)


def test_operations_equal_pillow(image):
    table = operations(True)

    def run(name, amount):
        return np.asarray(table[name].apply(image, amount, NEAREST))

    pixels = np.asarray(image)
    np.testing.assert_array_equal(run("Invert", 0), 255 - pixels)
    np.testing.assert_array_equal(run("Posterize", 2), pixels & 0b11000000)
    np.testing.assert_array_equal(run("Posterize", 8), pixels)
    assert table["Posterize"].amount(10.0) == 0  # which Pillow's own function may refuse
    assert not run("Posterize", 0).any()
    np.testing.assert_array_equal(
        run("Solarize", 100), np.where(pixels < 100, pixels, 255 - pixels)
    )
    added = np.where(pixels < 128, np.minimum(255, pixels.astype(int) + 30), pixels)
    np.testing.assert_array_equal(run("SolarizeAdd", 30), added)
    np.testing.assert_array_equal(run("Color", 0.4), ImageEnhance.Color(image).enhance(0.4))
    np.testing.assert_array_equal(run("Equalize", 0), ImageOps.equalize(image))


def test_translations_and_rotations_fill_with_grey(image):
    table = operations(True)
    moved = np.asarray(table["TranslateX"].apply(image, 0.25, NEAREST))  # 10 of 40 to the left
    np.testing.assert_array_equal(moved[:, :30], np.asarray(image)[:, 10:])
    assert (moved[:, 30:] == 128).all()
    down = np.asarray(table["TranslateY"].apply(image, -0.5, NEAREST))
    np.testing.assert_array_equal(down[10:], np.asarray(image)[:10])
    sheared = np.asarray(table["ShearY"].apply(image, 0.3, NEAREST))
    assert (sheared[-1, -1] == 128).all()
    rotated = np.asarray(table["Rotate"].apply(image, 30.0, NEAREST))
    assert (rotated[0, 0] == 128).all()


def test_all_frames_of_a_clip_are_changed_alike(image):
    clip = np.repeat(np.asarray(image)[None], 5, axis=0)
    augment = parse_policy("rand-m9-n3-mstd0.5-inc1", "random")
    for seed in range(10):
        out = augment(clip, np.random.default_rng(seed))
        assert out.shape == clip.shape
        assert out.dtype == np.uint8
        assert (out == out[0]).all()


def test_half_of_the_operations_are_skipped_and_signs_are_even():
    augment = parse_policy("rand-m10-n4-inc1")
    drawn = [op for seed in range(300) for op in augment.draw(np.random.default_rng(seed))]
    assert 450 < len(drawn) < 750  # of 1200
    signs = [amount > 0 for name, amount, _ in drawn if name in ("Rotate", "ShearX", "TranslateY")]
    assert 0.3 < np.mean(signs) < 0.7


def test_weighted_choice_never_draws_twice_nor_weightless_operations():
    augment = parse_policy("rand-m5-n6-w0-p1")
    for seed in range(30):
        names = [name for name, *_ in augment.draw(np.random.default_rng(seed))]
        assert len(set(names)) == 6
        assert not {"Posterize", "Invert"} & set(names)


def test_draws_replay_the_two_global_generators():
    np.random.seed(4)  # noqa: NPY002
    random.seed(4)
    augment = parse_policy("rand-m7-n4-mstd0.5-inc1", "bilinear")
    want = []
    for index in np.random.choice(15, 4):  # noqa: NPY002
        if random.random() > 0.5:
            continue
        level = min(10, max(0, random.gauss(7, 0.5)))
        operation = list(operations(True).values())[index]
        amount = operation.amount(level) if operation.amount else 0.0
        if operation.signed and random.random() > 0.5:
            amount = -amount
        want.append((list(operations(True))[index], operation.base + amount))
    assert [(name, amount) for name, amount, _ in augment.draw(LegacyRng(4))] == want


def test_pyslowfasts_function_maps_lists_of_images(image):
    transform = rand_augment_transform("rand-m9-p1-n2", {"interpolation": Image.Resampling.BICUBIC})
    first, second = transform([image, image])
    np.testing.assert_array_equal(np.asarray(first), np.asarray(second))
