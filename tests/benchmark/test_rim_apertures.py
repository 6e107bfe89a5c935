"""What of a pixel lies in a disk is known between pixels, from a picture of the probe at one place."""

from __future__ import annotations

import numpy as np
import pytest

from exitwave.benchmark.rim_apertures import aperture_of
from exitwave.benchmark.rim_kernels import share_of
from exitwave.config.patterns import Bullseye
from exitwave.electron import wavelength
from exitwave.imaging.aperture import FINE, aperture_table
from exitwave.waves.probes import aperture_disk

SIZE = 32


def open_areas(x, y, radius, points=41):
    """Share of each pixel within a circle about x, y, by counting points."""
    edge = (np.arange(SIZE)[:, None] + (np.arange(points) + 0.5) / points - 0.5).ravel()
    inside = np.hypot(edge[:, None] - y, edge - x) <= radius
    return inside.reshape(SIZE, points, SIZE, points).mean(axis=(1, 3))


@pytest.mark.parametrize("radius", [1.9, 2.34, 4.68, 7.3])
def test_a_round_probe_is_known_at_any_place(radius):
    probe = open_areas(SIZE // 2, SIZE // 2, radius)
    aperture = aperture_of(1e-3 * probe)
    assert aperture.radius == pytest.approx(radius, abs=0.02)
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    for right, down in ((0.5, 0.0), (0.21, -0.37), (-0.46, 0.44)):
        true = open_areas(SIZE // 2 + right, SIZE // 2 + down, radius)
        share = aperture.share(y - SIZE // 2 - down, x - SIZE // 2 - right)
        assert np.abs(share - true).max() < 0.04


def test_noise_and_an_uneven_beam_leave_a_round_probe_round():
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    uneven = open_areas(SIZE // 2, SIZE // 2, 4.68) * (1 + 0.005 * x - 0.003 * y)
    counts = np.random.default_rng(0).poisson(5000 * uneven)
    assert aperture_of(counts).radius == pytest.approx(4.68, abs=0.02)


@pytest.mark.parametrize("radius", [2.34, 4.68])
def test_between_the_frequencies_of_a_multislice_is_their_sinc(radius):
    edge = 46.08
    semiangle = 1e3 * radius * wavelength(300e3) / edge
    amplitude = aperture_disk(SIZE, edge, semiangle, 300e3)
    share = aperture_of(np.fft.fftshift(amplitude) ** 2)
    y, x = np.mgrid[:SIZE, :SIZE].astype(float) - SIZE // 2
    k = np.fft.fftfreq(SIZE)
    for right, down in ((0.5, 0.0), (0.21, -0.37)):
        turned = np.fft.fft2(amplitude) * np.exp(-2j * np.pi * (k[:, None] * down + k * right))
        true = np.fft.fftshift(np.abs(np.fft.ifft2(turned)) ** 2)
        assert np.sqrt(((share.share(y - down, x - right) - true) ** 2).sum() / (true**2).sum()) < 0.05


def test_slopes_are_those_of_the_share():
    aperture = aperture_of(open_areas(SIZE // 2, SIZE // 2, 4.68))
    y, x = np.random.default_rng(1).uniform(-7, 7, (2, 200))
    _, along_y, along_x = np.array([share_of(aperture.table, FINE, *place) for place in zip(y, x, strict=True)]).T
    step = 1e-6
    for slope, (down, right) in ((along_y, (step, 0)), (along_x, (0, step))):
        numerical = (aperture.share(y + down, x + right) - aperture.share(y - down, x - right)) / (2 * step)
        np.testing.assert_allclose(slope, numerical, atol=1e-6)


def test_a_probe_with_rings_is_taken_from_its_picture():
    table = aperture_table(Bullseye(kind="bullseye"), 9.0)
    picture, half = np.zeros((SIZE, SIZE)), len(table) // 2
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    inside = np.maximum(abs(y), abs(x)) * FINE <= half
    picture[inside] = table[y[inside] * FINE + half, x[inside] * FINE + half]
    share = aperture_of(picture).share(y.astype(float), x.astype(float))
    # But for a factor, the picture itself.
    factor = (share * picture).sum() / (picture**2).sum()
    assert np.abs(share - factor * picture).max() < 0.02
    assert share[SIZE // 2, SIZE // 2] > 2 * share[inside].min()
