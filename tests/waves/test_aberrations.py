"""Wavelength, aberration function and transfer function against abTEM and against analytic cases."""

import abtem
import numpy as np
import pytest
from abtem.core.energy import energy2wavelength

from exitwave.config.images import Aberrations
from exitwave.waves.aberrations import (
    HARMONICS,
    chi,
    chi_gradient,
    reciprocal_grid,
    transfer_function,
    wavelength,
)

ENERGY = 300e3
SHAPE, SAMPLING = (48, 64), 0.4

# About a quarter turn to some turns of phase at the edge of the band (25 mrad) for each order.
SIZES = {1: 60.0, 2: 2e3, 3: 1e5, 4: 5e6, 5: 2e8}
SINGLE = {f"C{n}{m}": SIZES[n] * (1 if m % 2 else -1) for n, m in HARMONICS}


def abtem_transfer(coefficients: dict[str, float]) -> np.ndarray:
    """abTEM's transfer function with its axes (x, y) turned into ours (y, x)."""
    ny, nx = SHAPE
    lens = abtem.transfer.Aberrations(coefficients, energy=ENERGY, gpts=(nx, ny), sampling=SAMPLING)
    return np.asarray(lens._evaluate_kernel()).T


def ours(coefficients: dict[str, float]) -> np.ndarray:
    return transfer_function(reciprocal_grid(SHAPE, SAMPLING, ENERGY), coefficients)


@pytest.mark.parametrize("energy", [60e3, 200e3, 300e3, 1e6])
def test_wavelength_agrees_with_abtem(energy):
    # abTEM has the constants of CODATA 2014.
    assert wavelength(energy) == pytest.approx(energy2wavelength(energy), rel=1e-7)


def test_wavelength_at_300_kv_is_the_textbook_value():
    assert wavelength(300e3) == pytest.approx(0.0196875, abs=1e-7)


def test_every_coefficient_of_the_config_is_a_term():
    terms = {f"C{n}{m}" for n, m in HARMONICS} | {f"phi{n}{m}" for n, m in HARMONICS if m}
    assert terms == set(Aberrations.model_fields) | {"C10"}


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_each_aberration_with_its_angle_agrees_with_abtem(name):
    coefficients = {name: SINGLE[name]}
    if name[2] != "0":
        coefficients[f"phi{name[1:]}"] = 0.7
    # abTEM evaluates chi, here up to some 10 rad, in single precision.
    np.testing.assert_allclose(ours(coefficients), abtem_transfer(coefficients), atol=2e-4)


def test_all_aberrations_together_agree_with_abtem():
    rng = np.random.default_rng(3)
    coefficients = {name: value / 5 for name, value in SINGLE.items()}
    coefficients |= {f"phi{n}{m}": rng.uniform(-np.pi, np.pi) for n, m in HARMONICS if m}
    np.testing.assert_allclose(ours(coefficients), abtem_transfer(coefficients), atol=5e-4)


def test_sharp_aperture_agrees_with_abtem():
    aperture = abtem.transfer.Aperture(
        semiangle_cutoff=15.3, energy=ENERGY, gpts=SHAPE[::-1], sampling=SAMPLING, soft=False
    )
    grid = reciprocal_grid(SHAPE, SAMPLING, ENERGY)
    np.testing.assert_array_equal(transfer_function(grid, {}, 15.3), np.asarray(aperture._evaluate_kernel()).T)


@pytest.mark.parametrize(("n", "m"), HARMONICS)
def test_mistake_07_angle_turns_the_aberration_by_that_many_radians(n, m):
    k = np.linspace(0.1, 1.2, 12)[:, None]
    phi = np.linspace(0, 2 * np.pi, 25)
    angle = np.pi / 3 if m else 0.0
    turned = chi(k, phi, {f"C{n}{m}": SIZES[n], f"phi{n}{m}": angle}, ENERGY)
    straight = chi(k, phi - angle, {f"C{n}{m}": SIZES[n]}, ENERGY)
    np.testing.assert_allclose(turned, straight, atol=1e-9)
    explicit = 2 * np.pi / wavelength(ENERGY) * SIZES[n] * (wavelength(ENERGY) * k) ** (n + 1) / (n + 1)
    np.testing.assert_allclose(straight, explicit * np.cos(m * (phi - angle)), atol=1e-9)


def test_mistake_07_astigmatism_at_half_a_right_angle_swaps_the_axes():
    # cos 2(phi - pi/2) = -cos 2 phi: an angle of pi/2 is a change of sign. Read as degrees it would be next to nothing.
    straight = ours({"C12": 60.0})
    turned = ours({"C12": 60.0, "phi12": np.pi / 2})
    np.testing.assert_allclose(turned, straight.conj(), atol=1e-5)


def test_defocus_is_minus_c10_in_the_quadratic_phase():
    k = np.array([0.5])
    underfocus = chi(k, np.zeros(1), {"C10": -100.0}, ENERGY)
    assert underfocus == pytest.approx(-np.pi * wavelength(ENERGY) * 100.0 * 0.25)


def test_grid_is_made_once_for_images_on_the_same_grid():
    assert reciprocal_grid(SHAPE, SAMPLING, ENERGY) is reciprocal_grid(SHAPE, SAMPLING, ENERGY)


# --- tilted illumination -------------------------------------------------------------------------

ALL = {name: value / 5 for name, value in SINGLE.items()} | {f"phi{n}{m}": 0.3 * n - 0.2 * m for n, m in HARMONICS if m}
TILT = (4.0, -2.5)
"""Some tilt [mrad]."""


def exact_chi(angle: np.ndarray, coefficients: dict[str, float]) -> np.ndarray:
    """Aberration function at complex angles [rad]."""
    return chi(np.abs(angle) / wavelength(ENERGY), np.angle(angle), coefficients, ENERGY)


def numerical_gradient(angle: np.ndarray, coefficients: dict[str, float]) -> np.ndarray:
    """Gradient by central differences, along x as the real and along y as the imaginary part [rad/rad]."""
    step = 1e-6
    along_x, along_y = (
        (exact_chi(angle + step * way, coefficients) - exact_chi(angle - step * way, coefficients)) / (2 * step)
        for way in (1, 1j)
    )
    return along_x + 1j * along_y


@pytest.mark.parametrize("azimuth", [0.0, 0.7, 2.5])
def test_tilt_turns_spherical_aberration_into_coma_astigmatism_and_defocus(azimuth):
    # |a + t|^4 / 4 = a^4/4 + t a^3 cos + t² a² (2 + cos 2(...)) / 2 + linear and constant terms, with a the angle to t.
    spherical, tilt = 1e5, 3e-3
    equivalent = {
        "C30": spherical,
        "C21": 3 * spherical * tilt,
        "phi21": azimuth,
        "C12": spherical * tilt**2,
        "phi12": azimuth,
        "C10": 2 * spherical * tilt**2,
    }
    grid = reciprocal_grid(SHAPE, SAMPLING, ENERGY)
    tilted = transfer_function(grid, {"C30": spherical}, tilt=(3 * np.cos(azimuth), 3 * np.sin(azimuth)))
    np.testing.assert_allclose(tilted, abtem_transfer(equivalent), atol=2e-4)


def test_tilted_transfer_is_that_of_abtem_at_the_tilted_angles_without_shift():
    grid = reciprocal_grid(SHAPE, SAMPLING, ENERGY)
    direct = complex(*TILT) * 1e-3
    angle = grid.angle + direct
    lens = abtem.transfer.Aberrations(ALL, energy=ENERGY)
    expected = np.asarray(lens._evaluate_from_angular_grid(np.abs(angle), np.angle(angle)))
    slope = numerical_gradient(np.array([direct]), ALL)
    linear = slope.real * grid.angle.real + slope.imag * grid.angle.imag + exact_chi(np.array([direct]), ALL)
    np.testing.assert_allclose(transfer_function(grid, ALL, tilt=TILT), expected * np.exp(1j * linear), atol=1e-3)


def test_direct_beam_of_a_tilted_illumination_keeps_its_phase_and_the_image_does_not_shift():
    grid = reciprocal_grid((64, 64), 1.0, ENERGY)
    transfer = transfer_function(grid, ALL, tilt=TILT)
    assert transfer[0, 0] == pytest.approx(1)
    # The phase falls to second order around the direct beam: opposite beams differ by the coma only.
    slope = np.angle(transfer[0, 1] * transfer[0, -1].conj()) / (2 * grid.angle[0, 1].real)
    assert abs(slope) < 1e-2 * abs(numerical_gradient(np.array([complex(*TILT) * 1e-3]), ALL)[0])


def test_aperture_stays_on_the_optic_axis_and_is_displaced_against_a_tilted_beam():
    grid = reciprocal_grid(SHAPE, SAMPLING, ENERGY)
    passes = transfer_function(grid, {}, 12.0, tilt=(5.0, 0.0)) != 0
    expected = np.hypot(1e3 * grid.angle.real + 5, 1e3 * grid.angle.imag) <= 12
    np.testing.assert_array_equal(passes, expected)
    assert not transfer_function(grid, {}, 4.0, tilt=(5.0, 0.0))[0, 0]  # dark field


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_gradient_of_each_aberration_is_that_of_chi(name):
    coefficients = {name: SINGLE[name]} | ({} if name[2] == "0" else {f"phi{name[1:]}": 0.7})
    grid = reciprocal_grid(SHAPE, SAMPLING, ENERGY)
    along_x, along_y = chi_gradient(grid, coefficients)
    expected = numerical_gradient(grid.angle, coefficients)
    np.testing.assert_allclose(along_x + 1j * along_y, expected, atol=1e-6 * np.abs(expected).max())


def test_gradient_under_tilt_is_the_difference_to_that_at_the_direct_beam():
    grid = reciprocal_grid(SHAPE, SAMPLING, ENERGY)
    along_x, along_y = chi_gradient(grid, ALL, TILT)
    direct = complex(*TILT) * 1e-3
    expected = numerical_gradient(grid.angle + direct, ALL) - numerical_gradient(np.array([direct]), ALL)
    np.testing.assert_allclose(along_x + 1j * along_y, expected, atol=1e-6 * np.abs(expected).max())
    assert along_x[0, 0] == pytest.approx(0, abs=1e-9)
    assert along_y[0, 0] == pytest.approx(0, abs=1e-9)


def test_gradient_damps_as_the_spatial_envelope_of_abtem():
    ny, nx = SHAPE
    envelope = abtem.transfer.SpatialEnvelope(4.0, ALL, energy=ENERGY, gpts=(nx, ny), sampling=SAMPLING)
    along_x, along_y = chi_gradient(reciprocal_grid(SHAPE, SAMPLING, ENERGY), ALL)
    ours_damped = np.exp(-((4e-3 / 2) ** 2) * (along_x**2 + along_y**2))  # abTEM's convention of the spread
    np.testing.assert_allclose(ours_damped, np.asarray(envelope._evaluate_kernel()).T, atol=2e-4)
    assert 0.01 < ours_damped.mean() < 0.99
