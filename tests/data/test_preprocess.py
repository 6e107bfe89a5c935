import numpy as np
import pytest
from scipy.ndimage import median_filter

from exitwave.config.models import Preprocessing
from exitwave.data.preprocess import has_contrast, normalize, preprocess, replace_outliers


@pytest.fixture
def counts():
    return np.random.default_rng(1).poisson(50, (2, 3, 24, 30)).astype(np.uint32)


def test_each_image_is_filtered_and_scaled_by_itself(counts):
    result = preprocess(counts, Preprocessing(median=3, normalization="minmax"))
    filtered = median_filter(counts[1, 2].astype(float), size=3, mode="reflect")
    expected = (filtered - filtered.min()) / (filtered.max() - filtered.min())
    assert result.dtype == np.float32
    assert result.shape == counts.shape
    np.testing.assert_allclose(result[1, 2], expected, atol=1e-6)


def test_standardised_images_have_mean_zero_and_unit_deviation(counts):
    result = preprocess(counts, Preprocessing(median=1, normalization="standard"))
    np.testing.assert_allclose(result.mean(axis=(-2, -1)), 0, atol=1e-5)
    np.testing.assert_allclose(result.std(axis=(-2, -1)), 1, rtol=1e-5)


def test_by_percentiles_the_few_brightest_and_darkest_pixels_are_cut_off():
    image = np.random.default_rng(0).permutation(128 * 128).reshape(128, 128) + 7
    result = preprocess(image, Preprocessing(median=1, outliers=0))
    assert (result == 1).sum() == (result == 0).sum() == 17
    low, high = np.percentile(image, (0.1, 99.9))
    np.testing.assert_allclose(result, np.clip((image - low) / (high - low), 0, 1), atol=1e-6)


@pytest.mark.parametrize("normalization", ["percentile", "root", "minmax", "standard"])
def test_constant_image_becomes_zero(normalization):
    images = np.full((2, 16, 16), 0.1, dtype=np.float32)
    result = preprocess(images, Preprocessing(normalization=normalization))
    assert (result == 0).all()
    assert not has_contrast(images).any()


def test_median_removes_a_hot_pixel_and_leaves_other_images_alone():
    images = np.zeros((3, 16, 16), dtype=np.uint32)
    images[1, 8, 8] = 10_000
    assert (preprocess(images, Preprocessing(median=3)) == 0).all()


def test_images_are_not_changed_in_place(counts):
    counts[0, 0, 5, 5] = 5000
    before = counts.copy()
    preprocess(counts, Preprocessing(median=1))
    np.testing.assert_array_equal(counts, before)
    floats = counts.astype(np.float32)
    replace_outliers(floats, 6)
    np.testing.assert_array_equal(floats, before)


@pytest.mark.parametrize("normalization", ["percentile", "root", "minmax", "standard"])
def test_result_does_not_depend_on_gain_and_offset(counts, normalization):
    one = preprocess(counts, Preprocessing(normalization=normalization))
    other = preprocess(counts * 3 + 7, Preprocessing(normalization=normalization))
    np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("times", [0.0, 2.0, 3.0, 10.0, 1000.0])
@pytest.mark.parametrize(
    "places",
    [[(60, 70)], [(0, 0)], [(0, 64)], [(127, 127)], [(60, 70), (60, 71)], [(30, 30), (31, 30), (90, 5)]],
    ids=["inside", "corner", "edge", "other corner", "a pair", "a pair and one"],
)
def test_hot_and_dead_pixels_are_replaced_by_what_is_around_them(places, times):
    image = np.random.default_rng(0).normal(100, 8, (128, 128)).astype(np.float32)
    faulty = image.copy()
    for place in places:
        faulty[place] = 100 * times
    result = replace_outliers(faulty, 6)
    changed = list(zip(*np.nonzero(result != faulty), strict=True))
    assert changed == sorted(places)
    assert all(abs(result[place] - 100) < 24 for place in places)
    # One pixel of 16,384 no longer decides what is dark and bright.
    one, other = (preprocess(i, Preprocessing(median=1)) for i in (image, faulty))
    assert np.abs(np.delete(one - other, [128 * y + x for y, x in places])).max() < 0.02


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("spacing", [2.2, 2.9, 4.0, 5.0])
@pytest.mark.parametrize("diameter", [24, 64, 256])
def test_fringes_stay_whatever_their_spacing_and_the_size_of_the_particle(noise, spacing, diameter):
    y, x = np.indices((256, 256))
    turned = (x, 0.5 * x + 0.87 * y, -0.5 * x + 0.87 * y)
    lattice = sum(np.cos(2 * np.pi * along / spacing) for along in turned)
    image = 100 * (1 + 0.3 * lattice * (np.hypot(x - 128, y - 128) < diameter / 2))
    image = (image + np.random.default_rng(0).normal(0, 100 * noise, image.shape)).astype(np.float32)
    assert (replace_outliers(image, 6) != image).sum() <= 1


@pytest.mark.parametrize("mean", [0.002, 0.05, 0.3, 1, 25])
def test_electrons_are_no_outliers_however_few(mean):
    image = np.random.default_rng(0).poisson(mean, (256, 256)).astype(np.float32)
    changed = replace_outliers(image, 6) != image
    assert changed.sum() < 0.01 * image.sum()


@pytest.mark.parametrize("line", ["column", "row", "track"])
def test_dead_columns_and_tracks_of_cosmic_rays_are_replaced(line):
    image = np.random.default_rng(0).normal(100, 3, (256, 256)).astype(np.float32)
    along = np.arange(256)
    place = {"column": (along, 20), "row": (255, along), "track": (20 + along[:12], 30 + along[:12] // 2)}[line]
    faulty = image.copy()
    faulty[place] = np.random.default_rng(1).uniform(500, 2000, np.broadcast(*place).shape)
    result = replace_outliers(faulty, 6)
    assert np.abs(result[place] - 100).max() < 20
    faulty[place] = result[place]
    np.testing.assert_array_equal(result, faulty)


@pytest.mark.parametrize("spacing", [3, 4, 5])
def test_a_lattice_of_bright_dots_is_kept_but_for_its_corners(spacing):
    image = np.random.default_rng(0).normal(0, 1, (256, 256)).astype(np.float32)
    image[64:128:spacing, 64:128:spacing] += 100
    assert (replace_outliers(image, 6) != image).sum() <= 4


def test_bright_columns_far_apart_keep_their_shot_noise():
    """Counts of 200 scatter by 14, those of the background around them by 1."""
    y, x = np.indices((256, 256))
    columns = sum(np.exp(-((y - 14 * i - 9) ** 2 + (x - 14 * j - 9) ** 2) / 4.5) for i in range(18) for j in range(18))
    image = np.random.default_rng(0).poisson(1 + 200 * columns).astype(np.float32)
    assert (replace_outliers(image, 6) != image).sum() <= 2


@pytest.mark.parametrize("offset", [-100, -1000, 0, 10_000])
def test_an_outlier_is_one_whatever_the_offset(offset):
    image = np.random.default_rng(0).normal(100 + offset, 5, (64, 64)).astype(np.float32)
    image[30, 40] += 200
    assert replace_outliers(image, 6)[30, 40] < 130 + offset


def test_a_limit_of_zero_replaces_nothing():
    image = np.random.default_rng(0).normal(100, 5, (64, 64)).astype(np.float32)
    image[3, 4] = 1e6
    np.testing.assert_array_equal(replace_outliers(image, 0), image)


def test_the_root_shows_what_is_faint(counts):
    linear, root = (preprocess(counts, Preprocessing(normalization=name)) for name in ("percentile", "root"))
    np.testing.assert_allclose(root, np.sqrt(linear), atol=1e-6)


def test_normalising_knows_no_neighbours():
    """Only the grey values count: a shuffled image is normalised as the image is."""
    image = np.random.default_rng(0).normal(100, 5, (64, 64))
    shuffled = np.random.default_rng(1).permutation(image.ravel())
    for normalization in ("percentile", "root", "minmax", "standard"):
        one, other = (normalize(values.reshape(64, 64), normalization) for values in (image, shuffled))
        np.testing.assert_allclose(np.sort(one, axis=None), np.sort(other, axis=None), atol=1e-6)
