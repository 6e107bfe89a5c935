"""Wavelength, aberration function and transfer function against abTEM and against analytic cases."""

import abtem
import numpy as np
import pytest
from abtem.core.energy import energy2wavelength

from exitwave.config.imaging import Aberrations
from exitwave.imaging.aberrations import HARMONICS, chi, reciprocal_grid, transfer_function, wavelength

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
