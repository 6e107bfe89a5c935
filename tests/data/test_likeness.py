import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from exitwave.data.likeness import (
    LEAST_IMAGES,
    NAMES,
    ODD,
    REFUSED,
    SMALLEST_FIELD,
    WARNED,
    compare,
    features,
    fields,
    learn_likeness,
)

EDGE = 96
PIXEL = 0.8


def micrograph(rng, edge=EDGE, sign=-1.0):
    """Dark (or, with sign 1, bright) discs with fringes on a grainy film, in shot noise."""
    y, x = np.indices((edge, edge))
    image = 1 + 0.15 * gaussian_filter(rng.normal(size=(edge, edge)), rng.uniform(1, 1.5))
    image *= 1 + rng.uniform(0, 0.15) * np.linspace(-1, 1, edge)
    for _ in range(rng.integers(0, 4) if edge <= EDGE else 8):
        inside = np.hypot(y - rng.uniform(0, edge), x - rng.uniform(0, edge)) < rng.uniform(8, 16)
        turned = rng.uniform(0, np.pi)
        fringes = np.cos(2 * np.pi * (np.cos(turned) * x + np.sin(turned) * y) / rng.uniform(2.8, 3.4))
        image += inside * (sign * rng.uniform(0.2, 0.4) + 0.1 * fringes)
    return rng.poisson(rng.uniform(30, 200) * np.maximum(image, 0)).astype(np.float32)


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    return np.stack([features(micrograph(rng)) for _ in range(120)])


@pytest.fixture(scope="module")
def reference(found):
    return json.loads(json.dumps(learn_likeness(found, np.arange(len(found)) // 2, EDGE), allow_nan=False))


def likeness(image, reference):
    return compare(fields(image, reference["edge"]), reference, PIXEL)


def test_no_feature_knows_where_a_grey_scale_begins_and_how_far_it_goes():
    image = micrograph(np.random.default_rng(1))
    # Whole numbers: nothing is rounded.
    np.testing.assert_allclose(features(4 * image + 1000), features(image), rtol=1e-9, atol=1e-9)


def test_exchanging_bright_and_dark_turns_the_sign_of_the_odd_features_alone():
    image = micrograph(np.random.default_rng(2))
    signs = np.where(np.isin(NAMES, ODD), -1, 1)
    np.testing.assert_allclose(features(image.max() - image), signs * features(image), rtol=1e-6, atol=1e-6)


def test_white_noise_has_a_flat_spectrum_and_the_whiteness_of_chance_whatever_the_size():
    rng = np.random.default_rng(3)
    for edge in (64, 128, 200):
        values = np.mean([features(rng.normal(size=(edge, edge))) for _ in range(12)], axis=0)
        found = dict(zip(NAMES, values, strict=True))
        assert [found[f"ring_{number}"] for number in range(4, 13)] == pytest.approx([0] * 9, abs=0.03)
        assert found["whiteness"] == pytest.approx(0, abs=0.25)
        assert found["tails"] == pytest.approx(np.log10(3), abs=0.02)
        assert found["skewness"] == pytest.approx(0, abs=0.02)


def test_images_like_those_of_the_training_pass(reference):
    """Of 100 images that the reference has not seen, at most 2 are told and none is refused."""
    rng = np.random.default_rng(4)
    distances = np.array([likeness(micrograph(rng), reference).distance for _ in range(100)])
    assert (distances > WARNED).mean() <= 0.02
    assert distances.max() < REFUSED


@pytest.mark.parametrize("change", ["offset", "gain", "8 bit", "turned", "data of four fields", "brighter on one side"])
def test_what_a_microscopist_does_to_an_image_does_not_make_it_unlike(reference, change):
    image = micrograph(np.random.default_rng(6), 2 * EDGE if change == "data of four fields" else EDGE)
    changed = {
        "offset": image + 5000,
        "gain": image * 37,
        "8 bit": np.round(image / image.max() * 80) + 120,
        "turned": np.rot90(image),
        "data of four fields": image,
        "brighter on one side": image * np.linspace(0.9, 1.1, image.shape[1]),
    }[change]
    assert likeness(changed, reference).told == ()


def unlike(kind):
    """An image that is no bright-field micrograph of particles."""
    rng = np.random.default_rng(8)
    y, x = np.indices((2 * EDGE, 2 * EDGE)) - EDGE
    if kind == "dark field":
        return micrograph(rng, 2 * EDGE, sign=3.0)
    if kind == "shot noise":
        return rng.poisson(50, x.shape).astype(np.float32)
    if kind == "normal noise":
        return rng.normal(100, 10, x.shape).astype(np.float32)
    if kind == "crystal":
        lattice = sum(np.cos(2 * np.pi * (np.cos(turn) * x + np.sin(turn) * y) / 5) for turn in (0.2, 1.25, 2.3))
        return rng.poisson(50 * (1 + 0.3 * lattice)).astype(np.float32)
    if kind == "diffraction":
        spots = sum(
            10**4 * np.exp(-np.hypot(i, j)) * (np.hypot(y - 30 * i, x - 30 * j) < 4)
            for i in range(-3, 4)
            for j in range(-3, 4)
        )
        return rng.poisson(spots + 1).astype(np.float32)
    if kind == "photograph":
        return gaussian_filter(rng.normal(size=x.shape), 12).astype(np.float32)
    if kind == "text":
        return np.where(np.kron(rng.random((x.shape[0] // 4, x.shape[1] // 4)) < 0.15, np.ones((4, 4))), 0, 255)
    raise ValueError(kind)


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("dark field", "bright on dark"),
        ("shot noise", "white noise"),
        ("normal noise", "white noise"),
        ("crystal", "fringes or spots are far stronger"),
        ("diffraction", "most are dark"),
        ("photograph", "are far weaker"),
        ("text", "sharp edges"),
    ],
)
def test_what_is_no_micrograph_is_told_with_what_differs(reference, kind, word):
    compared = likeness(unlike(kind), reference)
    assert compared.distance > WARNED
    assert word in "; ".join(compared.told)


def test_a_pixel_wrong_by_three_is_told_by_the_spectrum(reference):
    image = micrograph(np.random.default_rng(9), EDGE)
    told = "; ".join(likeness(np.kron(image, np.ones((3, 3))), reference).told)
    assert "is the pixel size right?" in told


def test_few_images_make_no_limits(found):
    assert learn_likeness(found[: LEAST_IMAGES - 1], range(LEAST_IMAGES - 1), EDGE) is None
    # Nor do many of few structures.
    assert learn_likeness(found, np.arange(len(found)) % 9, EDGE) is None


def test_training_images_too_small_for_a_ring_make_limits_of_the_others():
    rng = np.random.default_rng(5)
    small = np.stack([features(micrograph(rng, SMALLEST_FIELD)) for _ in range(LEAST_IMAGES)])
    assert np.isnan(small).any()
    reference = json.loads(json.dumps(learn_likeness(small, range(len(small)), SMALLEST_FIELD), allow_nan=False))
    assert np.isfinite(compare([micrograph(rng, SMALLEST_FIELD)], reference, PIXEL).distance)


def test_what_has_no_contrast_or_is_too_small_cannot_be_compared(reference):
    assert likeness(np.full((EDGE, EDGE), 7.0), reference) is None
    assert likeness(micrograph(np.random.default_rng(0), SMALLEST_FIELD - 1), reference) is None


def test_fields_are_spread_over_the_image_and_bounded_in_number():
    image = np.arange(1000 * 300).reshape(1000, 300)
    spread = list(fields(image, 100))
    assert len(spread) == 8 * 3
    assert {part.shape for part in spread} == {(100, 100)}
    assert spread[0][0, 0] == 0
    assert spread[-1][-1, -1] == image[-1, -1]
    assert [part.shape for part in fields(image[:60], 100)] == [(60, 100)] * 3
