"""Quadratures, envelopes and motion against what they stand for."""

import time
from itertools import product
from math import factorial

import numpy as np
import pytest

from exitwave.electron import wavelength
from exitwave.imaging.coherence import (
    TOLERANCE,
    drift_transfer,
    fitted_quadrature,
    focal_quadrature,
    quadrature_error,
    spatial_envelope,
    temporal_envelope,
    vibration_transfer,
)

INTERVALS = [0.3, 0.97, 1.45, 2.0, 2.9, 4.0, 5.8, 8.0, 12.0]


def test_gauss_hermite_quadrature_has_the_moments_of_a_gaussian():
    offsets, weights = focal_quadrature(15.0, 7)
    moments = [float(weights @ offsets**power) for power in range(5)]
    assert moments == pytest.approx([1, 0, 15.0**2, 0, 3 * 15.0**4], abs=1e-9)


@pytest.mark.parametrize("nodes", [2, 4, 6])
def test_gauss_hermite_error_is_below_its_bound(nodes):
    offsets, weights = focal_quadrature(1.0, nodes)
    for interval in (0.5, 1.0, 2.0):
        bound = factorial(nodes) / factorial(2 * nodes) * interval ** (2 * nodes)
        assert quadrature_error(offsets, weights, np.linspace(0, interval, 500)) <= bound


@pytest.mark.parametrize("interval", INTERVALS)
def test_fitted_quadrature_keeps_its_bound_for_every_pair_of_frequencies(interval):
    spread, length = 15.0, wavelength(300e3)
    reach = interval / spread
    offsets, weights = fitted_quadrature(spread, reach)
    k2 = np.linspace(0, reach / (np.pi * length), 200)
    waves = np.exp(1j * np.pi * length * np.multiply.outer(offsets, k2))
    found = np.einsum("n,nk,nl->kl", weights, waves, waves.conj())
    exact = np.exp(-((np.pi * length * spread * np.subtract.outer(k2, k2)) ** 2) / 2)
    assert np.abs(found - exact).max() <= 1.01 * TOLERANCE
    assert weights.sum() == pytest.approx(1)
    assert weights.min() > 0


@pytest.mark.parametrize("interval", INTERVALS)
def test_fitted_quadrature_is_not_wasteful(interval):
    phases = np.linspace(0, interval, 1000)
    nodes = len(fitted_quadrature(1.0, interval)[0])
    hermite = next(n for n in range(1, 100) if quadrature_error(*focal_quadrature(1.0, n), phases) <= TOLERANCE)
    assert nodes <= hermite
    # Two nodes and weights each can be chosen: a quadrature with two less, however fitted, cannot even reach 3 times
    # the tolerance; best of all evenly spaced ones, a family that tends to the best for long intervals.
    fewer = nodes - 2
    if fewer > 0:
        errors = []
        for step, width in product(np.linspace(0.2, 3, 57), np.linspace(0.7, 1.3, 25)):
            offsets = step * (np.arange(fewer) - (fewer - 1) / 2)
            weights = np.exp(-(offsets**2) / (2 * width**2))
            errors.append(quadrature_error(offsets, weights / weights.sum(), phases))
        assert min(errors) > TOLERANCE


def test_without_focal_spread_or_with_hardly_any_one_node_suffices():
    for spread in (0.0, 1e-3):
        offsets, weights = fitted_quadrature(spread, 0.1)
        assert (offsets.tolist(), weights.tolist()) == ([0.0], [1.0])
    assert len(focal_quadrature(0.0, 7)[0]) == 1


def test_images_with_nearly_the_same_spread_share_a_fit():
    one, other = fitted_quadrature(15.0, 0.1)[0], fitted_quadrature(15.2, 0.1)[0]
    np.testing.assert_array_equal(one / 15.0, other / 15.2)


def test_temporal_envelope_is_the_mean_phase_factor_over_the_spread():
    k2, length, spread = np.linspace(0, 1.2, 7), wavelength(300e3), 20.0
    offsets, weights = focal_quadrature(spread, 60)
    mean = np.exp(1j * np.pi * length * np.multiply.outer(offsets, k2)).T @ weights
    np.testing.assert_allclose(temporal_envelope(k2, length, spread), mean.real, atol=1e-6)


def test_spatial_envelope_is_the_mean_phase_factor_over_directions():
    spread = 0.4  # mrad
    offsets, weights = focal_quadrature(spread * 1e-3, 60)
    for slope_x, slope_y in ((0.0, 0.0), (1500.0, 0.0), (1000.0, -2500.0)):
        directions = np.multiply.outer(np.exp(1j * slope_y * offsets), np.exp(1j * slope_x * offsets))
        mean = weights @ directions @ weights
        found = spatial_envelope((np.array(slope_x), np.array(slope_y)), spread)
        assert float(found) == pytest.approx(mean.real, abs=1e-6)


def test_drift_is_the_spectrum_of_a_line_and_vibration_that_of_a_gaussian():
    ky, kx = np.fft.fftfreq(8, 0.5), np.fft.fftfreq(10, 0.5)
    places = (np.arange(20000) + 0.5) / 20000 - 0.5
    line = np.exp(-2j * np.pi * np.multiply.outer(0.8 * ky[:, None] - 1.3 * kx, places)).mean(axis=-1)
    np.testing.assert_allclose(drift_transfer(ky, kx, (-1.3, 0.8)), line.real, atol=1e-6)
    offsets, weights = focal_quadrature(0.3, 40)
    shaken = np.exp(-2j * np.pi * np.multiply.outer(kx, offsets)) @ weights
    np.testing.assert_allclose(vibration_transfer(kx, 0.3), shaken.real, atol=1e-6)


@pytest.mark.parametrize(("spread", "reach"), [(40.0, 0.39), (21.8, 1.55), (100.0, 1.55)])
def test_wide_spreads_of_fine_waves_get_even_nodes_within_the_bound_at_once(spread: float, reach: float) -> None:
    start = time.process_time()
    offsets, weights = fitted_quadrature(spread, reach)
    assert time.process_time() - start < 1
    assert quadrature_error(offsets / spread, weights, np.linspace(0, spread * reach, 3000)) <= TOLERANCE
