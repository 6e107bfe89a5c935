"""Contrast transfer of whole images against the analytic optics of weak phase objects.

A wave ``exp(i p)`` with a weak phase p gives an image ``1 + 2 sum_k P(k) sin(chi(k)) exp(2 pi i k r)``, to first order,
where P is the spectrum of p (Scherzer 1949; Spence, High-Resolution Electron Microscopy, chapter 3).
"""

import numpy as np
import pytest

from exitwave.electron import wavelength
from exitwave.imaging.conditions import ImagingConditions
from exitwave.imaging.hrtem import expected_image

ENERGY = 300e3
LENGTH = wavelength(ENERGY)
CS = 1.2e7
"""Spherical aberration of the uncorrected instrument [Å]."""
SIZE, SAMPLING = 384, 0.4


def chi(k, defocus, spherical=0.0):
    """Textbook phase of a round lens [rad], underfocus positive."""
    return np.pi * LENGTH * k**2 * (spherical * LENGTH**2 * k**2 / 2 - defocus)


def image(phase, defocus, **aberrations):
    conditions = ImagingConditions(defocus=defocus, aberrations=aberrations)
    return expected_image(np.exp(1j * phase)[None].astype(np.complex64), conditions, ENERGY, SAMPLING, 1)


def frequencies(size=SIZE):
    """Frequencies along x and y [1/Å], and what averaging over a pixel leaves of each."""
    k = np.fft.fftfreq(size, SAMPLING)
    kept = np.sinc(k * SAMPLING)
    return k[None, :], k[:, None], kept[:, None] * kept[None, :]


@pytest.fixture(scope="module")
def noise():
    """Weak phase with a flat spectrum and random signs, like a thin amorphous film of point scatterers [rad]."""
    phase = np.random.default_rng(5).normal(size=(SIZE, SIZE))
    spectrum = np.fft.fft2(phase)
    return 1e-3 * np.fft.ifft2(spectrum / np.maximum(np.abs(spectrum), 1e-9)).real * SIZE


def measured_transfer(phase, defocus, **aberrations):
    """Transfer of each frequency, and the frequencies [1/Å], from an image of a weak phase; frequency 0 left out."""
    kx, ky, kept = frequencies()
    spectrum = np.fft.fft2(image(phase, defocus, **aberrations) - 1.0)
    transfer = (spectrum / (2 * np.fft.fft2(phase) * kept)).real
    return transfer.ravel()[1:], np.broadcast_to(kx, transfer.shape).ravel()[1:], np.repeat(ky, SIZE)[1:]


def zero_near(k, transfer, expected, width=0.02):
    """Frequency at which a straight line through the transfer near ``expected`` is 0."""
    near = np.abs(k - expected) < width
    slope, offset = np.polyfit(k[near], transfer[near], 1)
    return -offset / slope


@pytest.mark.parametrize(("defocus", "spherical"), [(0, 0), (300, 0), (-500, 0), (561, CS), (-200, -2e5)])
@pytest.mark.parametrize("period", [24, 8, 5])
def test_weak_sinusoidal_grating_has_the_contrast_twice_phase_times_sine_of_chi(period, defocus, spherical):
    strength, size = 0.01, 240
    k = 1 / (period * SAMPLING)
    x = np.arange(size) * SAMPLING
    grating = strength * np.cos(2 * np.pi * k * x)[None, :] * np.ones((size, 1))
    intensity = image(grating, defocus, C30=spherical)
    amplitude = 2 * np.mean(intensity * np.cos(2 * np.pi * k * x)[None, :]) / np.sinc(k * SAMPLING)
    expected = 2 * strength * np.sin(chi(k, defocus, spherical))
    assert amplitude == pytest.approx(expected, abs=2 * strength**2)
    assert intensity.mean() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("defocus", [0.0, 561.0, -700.0])
def test_every_frequency_of_a_weak_object_is_transferred_with_the_sine_of_chi(noise, defocus):
    transfer, kx, ky = measured_transfer(noise, defocus, C30=CS)
    k = np.hypot(kx, ky)
    # Pairs of strong frequencies make small second-order terms.
    error = transfer - np.sin(chi(k, defocus, CS))
    inside = k < 1 / (2 * SAMPLING) - 0.01
    assert np.abs(error[inside]).mean() < 5e-3
    assert np.abs(error[inside]).max() < 0.05


@pytest.mark.parametrize(("factor", "dip"), [(1.0, -1.0), (4 / 3, -np.sin(np.pi / 3))])
def test_scherzer_defocus_gives_one_broad_band_and_the_point_resolution_of_the_instrument(noise, factor, dip):
    # At the defocus sqrt(f C3 lambda), chi falls to -f pi/2 at k² = sqrt(f) / sqrt(C3 lambda³), then rises to 0 at
    # twice that k²: the point resolution is (4 f)^(-1/4) C3^(1/4) lambda^(3/4), 0.71 for Scherzer's f = 1 and the usual
    # 0.66 for the extended f = 4/3, where the band reaches further and sags in its middle.
    defocus = np.sqrt(factor * CS * LENGTH)
    transfer, kx, ky = measured_transfer(noise, defocus, C30=CS)
    k = np.hypot(kx, ky)
    resolution = (4 * factor) ** -0.25 * CS**0.25 * LENGTH**0.75
    assert 1 / zero_near(k, transfer, 1 / resolution) == pytest.approx(resolution, rel=3e-3)
    middle = np.abs(k - 1 / (np.sqrt(2) * resolution)) < 0.01
    assert transfer[middle].mean() == pytest.approx(dip, abs=0.01)
    band = (k > 0.55 / resolution) & (k < 0.9 / resolution)
    assert transfer[band].max() < -0.6
    if factor > 1:
        assert resolution == pytest.approx(2.04, abs=0.01)  # 2.0 Å in the data sheets of such microscopes
        assert resolution == pytest.approx(0.66 * CS**0.25 * LENGTH**0.75, rel=5e-3)


@pytest.mark.parametrize(("defocus", "spherical", "dark"), [(561, CS, True), (23, 1.94e4, True), (-23, -1.94e4, False)])
def test_atoms_are_dark_at_scherzer_underfocus_and_bright_with_negative_spherical_aberration(defocus, spherical, dark):
    r2 = (frequencies(96)[0] ** 2 + frequencies(96)[1] ** 2) * (96 * SAMPLING**2) ** 2
    atom = 0.1 * np.exp(-r2 / (2 * 0.4**2))
    intensity = image(atom, defocus, C30=spherical)
    contrast = intensity[0, 0] - 1
    assert (contrast < 0) == dark
    assert abs(contrast) == np.abs(intensity - 1).max() > 0.01


@pytest.mark.parametrize("defocus", [400.0, 900.0, 1500.0, -800.0])
def test_thon_rings_are_dark_where_chi_is_a_multiple_of_pi(noise, defocus):
    intensity = image(noise, defocus, C30=CS)
    kx, ky, kept = frequencies()
    power = np.abs(np.fft.fft2(intensity - 1.0) / kept) ** 2
    k, width = np.hypot(kx, ky), 1 / (SIZE * SAMPLING)
    ring = np.rint(k / width).astype(int)
    rings = np.bincount(ring.ravel(), power.ravel()) / np.bincount(ring.ravel())
    radius = np.bincount(ring.ravel(), k.ravel()) / np.bincount(ring.ravel())
    minima = radius[1:-1][(rings[1:-1] < rings[:-2]) & (rings[1:-1] <= rings[2:])]
    # Where chi turns around there is a wide flat place but no zero; rings closer than some bins merge.
    fine = np.linspace(0.05, 0.75, 200_001)
    phase = chi(fine, defocus, CS) / np.pi
    crossings = fine[1:][np.floor(phase[1:]) != np.floor(phase[:-1])]
    gaps = np.diff(crossings, prepend=0, append=1)
    crossings = crossings[np.minimum(gaps[1:], gaps[:-1]) > 5 * width]
    assert len(crossings) >= 2
    for crossing in crossings:
        assert np.abs(minima - crossing).min() < width


def test_astigmatism_makes_thon_rings_elliptic(noise):
    transfer, kx, ky = measured_transfer(noise, 600.0, C12=100.0, phi12=0.0)
    for along, across, defocus in ((kx, ky, 500.0), (ky, kx, 700.0)):
        axis = np.abs(across) < 0.02
        expected = np.sqrt(2 / (LENGTH * defocus))  # chi = -2 pi
        assert zero_near(np.abs(along)[axis], transfer[axis], expected) == pytest.approx(expected, rel=5e-3)
