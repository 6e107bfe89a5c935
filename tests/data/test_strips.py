"""Images in strips: the same as at once, whatever the strips."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label, median_filter

from exitwave.benchmark import areas
from exitwave.benchmark.areas import without_artifacts
from exitwave.benchmark.tiling import interpolate, resample
from exitwave.data import strips as module
from exitwave.data.preprocess import filter_median, replace_outliers
from exitwave.data.strips import percentiles, strips, touching


@pytest.fixture
def narrow(monkeypatch):
    """Strips of a few rows, and small blocks."""

    def set_narrow():
        monkeypatch.setattr(module, "STRIP", 2000)
        monkeypatch.setattr(areas, "BLOCK", 40)

    return set_narrow


@pytest.fixture
def faulty():
    """Noise with hot pixels, clusters, lines and an edge that is hot."""
    rng = np.random.default_rng(3)
    image = rng.poisson(np.exp(rng.normal(3, 0.3, (220, 260)))).astype(np.float32)
    for edge in (1, 1, 1, 2, 3, 4):
        y, x = rng.integers(0, 200, 2)
        image[y : y + edge, x : x + edge] = 60000
    image[:, 90], image[0, 0], image[-1, 5:9] = 5000, 9999, 7777
    return image


def test_cleaning_in_strips_is_cleaning_at_once(faulty, narrow):
    barred = faulty.copy()
    barred[-40:], barred[-20:-15, 30:60] = 0, 70000
    yy, xx = np.indices(faulty.shape)
    masked = np.where(np.hypot(yy - 110, xx - 130) > 105, 0, faulty).astype(np.float32)
    whole = [replace_outliers(faulty, 6.0), *(part for i in (barred, masked) for part in without_artifacts(i, 6.0))]
    assert (whole[0] != faulty).sum() > 200
    assert whole[2][-40:].all()
    assert whole[4].mean() > 0.2
    narrow()
    parts = [replace_outliers(faulty, 6.0), *(part for i in (barred, masked) for part in without_artifacts(i, 6.0))]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", [(110, 130), (220, 100), (330, 301)])
def test_other_pixels_in_strips_are_those_at_once(faulty, narrow, shape):
    whole = resample(faulty, shape), interpolate(faulty, shape)
    narrow()
    np.testing.assert_allclose(resample(faulty, shape), whole[0], rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(interpolate(faulty, shape), whole[1], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("shape", [(110, 130), (220, 100), (330, 301), (1, 1), (500, 120)])
def test_a_map_on_another_grid_is_that_of_scikit_image(faulty, shape):
    from skimage.transform import resize

    coarser = any(new < old for new, old in zip(shape, faulty.shape, strict=True))
    other = resize(faulty, shape, order=1, mode="reflect", anti_aliasing=coarser, preserve_range=True, clip=False)
    np.testing.assert_allclose(interpolate(faulty, shape), other, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_medians_are_those_of_scipy(faulty, narrow, size):
    expected = median_filter(faulty, size, mode="reflect")
    np.testing.assert_array_equal(filter_median(faulty, size), expected)
    narrow()
    np.testing.assert_array_equal(filter_median(faulty, size), expected)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-(2.0**40), 2.0**40, width=32), min_size=1, max_size=200), st.integers(1, 60))
def test_percentiles_of_some_numbers_at_a_time_are_those_of_all(numbers, size):
    array = np.array(numbers, np.float32)
    found = percentiles(lambda: (array[k : k + size] for k in range(0, len(array), size)), (0, 0.5, 37, 50, 99, 100))
    expected = np.percentile(array.astype(np.float64), (0, 0.5, 37, 50, 99, 100))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(array).max())


def test_pixels_that_touch_are_numbered_as_regions_are():
    mask = np.random.default_rng(0).random((60, 70)) < 0.3
    mask[10, 0] = mask[9, 69] = True
    places = np.flatnonzero(mask)
    expected = label(mask, np.ones((3, 3)))[0].reshape(-1)[places]
    pairs = set(zip(expected.tolist(), touching(places, 70).tolist(), strict=True))
    assert len(pairs) == expected.max() == len({other for _, other in pairs})


def test_strips_cover_the_rows_once():
    rows = list(strips((1000, 5000)))
    assert [row for part in rows for row in range(part.start, part.stop)] == list(range(1000))
    assert len(rows) > 10
