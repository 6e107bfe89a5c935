import numpy as np
import pytest
from scipy.ndimage import median_filter

from exitwave.config.models import Preprocessing
from exitwave.data.preprocess import preprocess


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


@pytest.mark.parametrize("normalization", ["minmax", "standard"])
def test_constant_image_becomes_zero(normalization):
    images = np.full((2, 16, 16), 0.1, dtype=np.float32)
    result = preprocess(images, Preprocessing(normalization=normalization))
    assert (result == 0).all()


def test_median_removes_a_hot_pixel_and_leaves_other_images_alone():
    images = np.zeros((3, 16, 16), dtype=np.uint32)
    images[1, 8, 8] = 10_000
    assert (preprocess(images, Preprocessing(median=3)) == 0).all()


def test_images_are_not_changed_in_place(counts):
    before = counts.copy()
    preprocess(counts, Preprocessing(median=1))
    np.testing.assert_array_equal(counts, before)


@pytest.mark.parametrize("normalization", ["minmax", "standard"])
def test_result_does_not_depend_on_gain_and_offset(counts, normalization):
    one = preprocess(counts, Preprocessing(normalization=normalization))
    other = preprocess(counts * 3 + 7, Preprocessing(normalization=normalization))
    np.testing.assert_allclose(one, other, atol=1e-4)
