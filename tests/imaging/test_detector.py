"""Counts: statistics, point spread, range."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from exitwave.errors import ConfigError
from exitwave.imaging.detector import record
from exitwave.imaging.hrtem import ImagingConditions, form_image

CONDITIONS = ImagingConditions(0.0, {}, 0.0, None, 0.0, dose=500.0, detector_blur=0.0)
VACUUM = np.ones((256, 256), np.float32)


@pytest.mark.parametrize("dose", [0.5, 30.0, 5e3, 1e7])
@pytest.mark.parametrize("blur", [0.0, 1.3])
def test_mistake_11_mean_counts_are_dose_times_area_within_three_sigma(dose, blur):
    counts = record(VACUUM, replace(CONDITIONS, dose=dose, detector_blur=blur), 0.8, np.random.default_rng(4))
    expected = dose * 0.8**2
    # The random rounding after the blur adds a variance of 1/4 at the most.
    sigma = np.sqrt((expected + (blur > 0) / 4) / counts.size)
    assert counts.mean() == pytest.approx(expected, abs=3 * sigma)


def test_mistake_11_counts_above_8_and_16_bits_are_neither_wrapped_nor_clipped():
    counts = record(VACUUM, replace(CONDITIONS, dose=1e6), 1.0, np.random.default_rng(0))
    assert counts.dtype == np.uint32
    assert counts.min() > 65535
    assert counts.max() > 1e6
    assert len(np.unique(counts)) > 1000


def test_mistake_11_dose_beyond_32_bits_is_refused():
    with pytest.raises(ConfigError, match="dose 5e\\+09 e⁻/Å² on pixels of 1 Å"):
        record(VACUUM, replace(CONDITIONS, dose=5e9), 1.0, np.random.default_rng(0))


def test_mistake_11_dose_is_that_of_the_image_pixel_in_the_whole_chain():
    vacuum = np.ones((1, 128, 128), np.complex64)
    for pixel_size, size in ((0.2, 128), (0.8, 32)):
        counts = form_image(vacuum, CONDITIONS, 300e3, 0.2, 1, pixel_size, size, (3, 5), np.random.default_rng(1))
        electrons = 500.0 * (128 * 0.2) ** 2
        assert counts.sum() == pytest.approx(electrons, abs=3 * np.sqrt(electrons))


def test_variance_without_point_spread_is_the_mean():
    counts = record(VACUUM, CONDITIONS, 0.4, np.random.default_rng(7))
    assert counts.var() / counts.mean() == pytest.approx(1, abs=4 * np.sqrt(2 / counts.size))


def test_point_spread_acts_on_the_noise():
    counts = record(VACUUM, replace(CONDITIONS, dose=1e5, detector_blur=1.5), 1.0, np.random.default_rng(7))
    impulse = np.zeros((33, 33))
    impulse[16, 16] = 1
    noise_left = (gaussian_filter(impulse, 1.5) ** 2).sum()
    assert counts.var() / counts.mean() == pytest.approx(noise_left, rel=0.05)


def test_point_spread_keeps_the_electrons_at_the_edge():
    edge = np.zeros((64, 64), np.float32)
    edge[0] = edge[:, 63] = 1
    sharp = record(edge, replace(CONDITIONS, dose=1e6), 1.0, np.random.default_rng(2))
    blurred = record(edge, replace(CONDITIONS, dose=1e6, detector_blur=2.0), 1.0, np.random.default_rng(2))
    assert float(blurred.sum()) == pytest.approx(float(sharp.sum()), abs=blurred.size / 2)


def test_dark_pixels_get_no_electrons():
    assert record(np.zeros((16, 16), np.float32), CONDITIONS, 1.0, np.random.default_rng(0)).sum() == 0
