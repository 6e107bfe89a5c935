"""Fingerprints of images, against what is known of blurred noise."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from exitwave.data.image_fingerprint import (
    ASPECTS,
    LAGS,
    LEVELS,
    NAMES,
    Scale,
    image_fingerprint,
    nearest,
    nearest_of_another_group,
)
from exitwave.data.likeness import RINGS


def numbers(image, aspect):
    found = dict(zip(NAMES, image_fingerprint(image), strict=True))
    return np.array([found[name] for name in ASPECTS[aspect]])


def blurred(sigma, edge=256, seeds=6):
    return [gaussian_filter(np.random.default_rng(seed).normal(size=(edge, edge)), sigma) for seed in range(seeds)]


def test_a_gaussian_blur_has_a_gaussian_autocorrelation_twice_as_wide_in_variance():
    sigma = 1.5
    found = np.mean([numbers(image, "autocorrelation") for image in blurred(sigma, seeds=24)], axis=0)
    away = np.hypot(*np.mgrid[-40:41, -40:41])
    expected = [np.exp(-(away[np.abs(away - lag) <= 0.5] ** 2) / (4 * sigma**2)).mean() for lag in LAGS]
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_the_power_of_blurred_noise_falls_as_the_square_of_the_transfer_of_the_blur():
    sigma = 1.0
    found = 10 ** np.mean([numbers(image, "spectrum") for image in blurred(sigma)], axis=0)
    middle = (RINGS[1:] + RINGS[:-1]) / 2
    expected = np.exp(-4 * np.pi**2 * sigma**2 * middle**2)
    fine = slice(5, 10)  # many frequencies in a ring, over which the transfer hardly changes
    np.testing.assert_allclose(found[fine] / found[5], expected[fine] / expected[5], rtol=0.15)


def test_grey_values_are_quantiles_on_the_scale_of_a_network():
    image = np.random.default_rng(0).random((128, 128))
    np.testing.assert_allclose(numbers(image, "grey values"), LEVELS, atol=0.02)


def test_a_fingerprint_does_not_know_where_a_grey_scale_begins_and_how_far_it_goes():
    image = blurred(1.5, 96, 1)[0]
    np.testing.assert_allclose(image_fingerprint(300 * image + 70), image_fingerprint(image), atol=1e-4)


@pytest.mark.parametrize("image", [np.ones((64, 64)), np.random.default_rng(0).random((20, 64))])
def test_without_contrast_or_room_there_is_none(image):
    assert image_fingerprint(image) is None


def test_a_small_field_lacks_the_numbers_that_need_room_and_they_do_not_tell():
    found = image_fingerprint(np.random.default_rng(0).random((32, 32)))
    assert np.isnan(found[NAMES.index("lag_24")])
    assert np.isfinite(found[NAMES.index("lag_16")])
    points = Scale.of(np.stack([found, found + 1])).points(found[None])
    assert points[0, NAMES.index("lag_24")] == 0


def test_images_whose_numbers_all_differ_by_the_usual_spread_are_one_apart():
    rng = np.random.default_rng(0)
    found = 5 + 3 * rng.normal(size=(5000, len(NAMES)))
    scale = Scale.of(found)
    one, other = scale.points(np.stack([scale.middle, scale.middle + scale.spread]))
    assert np.linalg.norm(one - other) == pytest.approx(1)
    # Of a normal distribution half the range from the 16th to the 84th percentile is a standard deviation.
    np.testing.assert_allclose(scale.spread, 3, rtol=0.06)


def test_one_number_far_out_does_not_decide():
    rng = np.random.default_rng(1)
    scale = Scale.of(rng.normal(size=(500, len(NAMES))))
    far = np.zeros((1, len(NAMES)))
    far[0, 0] = 1e6
    assert np.linalg.norm(scale.points(far)) < 4


def test_the_nearest_image_is_found_and_those_of_the_same_structure_do_not_count():
    points = np.array([[0.0, 0], [0.1, 0], [3, 0], [3, 4]])
    assert nearest(points[:1] + 0.9, points[1:])[0].tolist() == [0]
    np.testing.assert_allclose(nearest_of_another_group(points, ["a", "a", "b", "c"]), [3, 2.9, 2.9, 4])
