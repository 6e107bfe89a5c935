"""Projected scattering factors against abTEM's, numerical quadrature and the error function."""

from __future__ import annotations

import abtem
import numpy as np
import pytest
from abtem.integrals import ScatteringFactorProjectionIntegrals
from abtem.parametrizations import validate_parametrization
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray
from scipy.special import erf, j0

from exitwave.errors import ConfigError
from exitwave.waves.scattering import LAST_ELEMENT, TOLERANCE, Projection, check_parametrization, projection

PARAMETRIZATIONS = ["lobato", "kirkland", "peng"]
SAMPLING = 0.4 / 1.5
SIZE = 48


def finite(
    symbol: str, parametrization: str, thickness: float, size: int = SIZE, sampling: float = SAMPLING
) -> Projection:
    return projection(atomic_numbers[symbol], parametrization, size, sampling, "finite", thickness)


def transform(of: Projection, depth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Transform of an atom's potential in a slice along the row ky = 0, [depth, kx >= 0]."""
    row = of.factors[:, 0, : of.factors.shape[1] // 2].astype(np.float64)
    return of.weights(depth).T.astype(np.float64) @ row


def infinite_row(symbol: str, parametrization: str) -> NDArray[np.float64]:
    of = projection(atomic_numbers[symbol], parametrization, SIZE, SAMPLING, "infinite", 1.0)
    return of.factors[0, 0, : SIZE // 2].astype(np.float64)


def quadrature(
    symbol: str, parametrization: str, k: NDArray[np.float64], lower: float, upper: float
) -> NDArray[np.float64]:
    """Hankel transform of abTEM's three-dimensional potential, integrated along z from lower to upper [V Å³]."""
    nodes, weights = np.polynomial.legendre.leggauss(160)
    nodes, weights = (nodes + 1) / 2, weights / 2
    # Cubes of the nodes, since the potential is as steep as 1 / r at the nucleus.
    r, dr = 12 * nodes**3, 36 * nodes**2 * weights
    potential = validate_parametrization(parametrization).potential(symbol)
    total = np.zeros(len(k))
    for end, sign in ((upper, 1), (lower, -1)):
        z, dz = end * nodes**3, 3 * end * nodes**2 * weights
        along = (potential(np.hypot(r[:, np.newaxis], z)) * dz).sum(axis=1)
        total += sign * (j0(2 * np.pi * np.outer(k, r)) * (2 * np.pi * r * dr * along)).sum(axis=1)
    return total


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
def test_infinite_projection_is_abtems(parametrization: str) -> None:
    for symbol in ("C", "Se", "Au"):
        reference = ScatteringFactorProjectionIntegrals(parametrization).get_scattering_factor(
            symbol, (SIZE, SIZE), (SAMPLING, SAMPLING), "cpu"
        )
        of = projection(atomic_numbers[symbol], parametrization, SIZE, SAMPLING, "infinite", 2.0)
        # abTEM adds up in single precision; Lobato's terms of carbon nearly cancel.
        np.testing.assert_allclose(of.factors, reference[np.newaxis], rtol=1e-4)
        np.testing.assert_array_equal(of.weights(np.array([-3.0, 0.0, 1.9])), np.ones((1, 3), np.float32))
        assert of.factors.dtype == np.float32
        assert of.reach == 0


@pytest.mark.parametrize("size", [33, 96])
def test_factors_depend_on_the_frequency_alone(size: int) -> None:
    factors = finite("Au", "lobato", 2.0, size).factors
    np.testing.assert_array_equal(factors, factors.transpose(0, 2, 1))
    for row, column in ((3, 4), (-4, 3), (-3, -4)):
        np.testing.assert_allclose(factors[:, row, column], factors[:, 0, 5], rtol=1e-4)


@pytest.mark.parametrize("thickness", [0.5, 2.0, 5.3])
@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
def test_slices_add_up_to_the_infinite_projection(parametrization: str, thickness: float) -> None:
    for symbol in ("H", "C", "Au", "Cs"):
        of = finite(symbol, parametrization, thickness)
        beyond = int(np.ceil(of.reach / thickness)) + 1
        for depth in np.linspace(0, thickness, 7):
            total = transform(of, depth + thickness * np.arange(-beyond, beyond + 1)).sum(axis=0)
            np.testing.assert_allclose(total, infinite_row(symbol, parametrization), rtol=1e-5)


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
def test_slices_agree_with_quadrature_of_abtems_potential(parametrization: str) -> None:
    k = np.fft.fftfreq(SIZE, SAMPLING)[: SIZE // 2]
    for symbol in ("C", "Au"):
        for thickness, depths in ((0.5, (0.0, 0.21, -0.4, 1.7)), (2.0, (1.0, 0.1, 2.0, 2.6, -2.2))):
            of = finite(symbol, parametrization, thickness)
            reference = [quadrature(symbol, parametrization, k, -depth, thickness - depth) for depth in depths]
            error = np.abs(transform(of, np.array(depths)) - reference) / infinite_row(symbol, parametrization)
            assert error.max() < 1.1 * TOLERANCE


def test_slices_of_peng_atoms_are_error_functions() -> None:
    k = np.fft.fftfreq(SIZE, SAMPLING)[: SIZE // 2]
    strength, width = np.array(validate_parametrization("peng").parameters["Se"])[..., np.newaxis, np.newaxis]
    depth = np.linspace(-4, 5.5, 200)[:, np.newaxis]
    # exp(-B s²) with s = q / 2 is a Gaussian along z, too; 47.878 V Å² = h² / (2π m e).
    faces = [erf(2 * np.pi * height / np.sqrt(width)) for height in (1.5 - depth, -depth)]
    exact = 47.878 * (strength * np.exp(-width * k**2 / 4) * (faces[0] - faces[1]) / 2).sum(axis=0)
    error = np.abs(transform(finite("Se", "peng", 1.5), depth[:, 0]) - exact) / infinite_row("Se", "peng")
    assert error.max() < 1.1 * TOLERANCE


def test_an_atom_beyond_reach_leaves_a_slice_empty() -> None:
    of = finite("Au", "lobato", 2.0)
    depth = np.array([-of.reach, 2 + of.reach, -30.0, 30.0])
    np.testing.assert_allclose(of.weights(depth), 0, atol=1e-14)
    assert np.abs(transform(of, np.array([-of.reach + 0.3]))).max() > 0
    assert of.reach < 3


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
def test_few_terms_are_enough_for_every_element(parametrization: str) -> None:
    last = 98 if parametrization == "peng" else 103
    terms = {
        symbol: len(finite(symbol, parametrization, 2.0, size=8).factors)
        for symbol in chemical_symbols[1 : last + 1 : 9]
    }
    assert max(terms.values()) <= 6, terms
    assert len(finite("Au", parametrization, 0.5).factors) == 5


def test_one_expansion_serves_all_thicknesses() -> None:
    assert finite("Au", "lobato", 2.0).factors is finite("Au", "lobato", 0.5).factors


@pytest.mark.parametrize("thickness", [0.5, 1.0, 2.0])
def test_slices_of_a_gold_atom_agree_with_abtems_finite_projection(thickness: float) -> None:
    """On a grid of 0.05 Å, blurred by 0.05 Å rms and 0.3 Å away from the core, to 0.15 % of the rms there.

    abTEM tabulates the potential at points: at the core, where it is singular, the value of the nearest point stands
    for its pixel, so that the integral over the slice comes out 1 % too low; our potential is limited to the band.
    """
    size, edge, height, z = 256, 12.8, 8.0, 4.13
    sampling, n_slices = edge / size, round(height / thickness)
    atoms = Atoms("Au", [(edge / 2, edge / 2, z)], cell=(edge, edge, height), pbc=True)
    potential = abtem.Potential(
        atoms, gpts=size, slice_thickness=thickness, projection="finite", periodic=False, box=(edge, edge, height)
    )
    with abtem.config.set({"diagnostics.progress_bar": False, "local_diagnostics.progress_bar": False}):
        reference = potential.build(lazy=False).array
    of = finite("Au", "lobato", thickness, size, sampling)
    spectra = np.tensordot(of.weights(z - thickness * np.arange(n_slices)).T, of.factors, 1) / sampling**2
    slices = np.fft.fftshift(np.fft.ifft2(spectra).real, axes=(1, 2))

    k = np.fft.fftfreq(size, sampling)
    blur = np.exp(-2 * (np.pi * 0.05) ** 2 * (k[:, np.newaxis] ** 2 + k**2))
    blurred, expected = (np.fft.ifft2(np.fft.fft2(array) * blur).real for array in (slices, reference))
    x = (np.arange(size) - size // 2) * sampling
    r = np.hypot(x[:, np.newaxis], x)
    ring = (r > 0.3) & (r < 5)
    assert np.linalg.norm((blurred - expected)[:, ring]) < 1.5e-3 * np.linalg.norm(expected[:, ring])
    np.testing.assert_allclose(slices.sum(axis=(1, 2)).max(), reference.sum(axis=(1, 2)).max(), rtol=0.02)


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
def test_elements_are_those_of_abtem(parametrization: str) -> None:
    known = [s for s in validate_parametrization(parametrization).parameters if s in atomic_numbers]
    last = atomic_numbers[LAST_ELEMENT[parametrization]]
    assert sorted(atomic_numbers[symbol] for symbol in known) == list(range(1, last + 1))


def test_elements_without_a_factor_are_refused_by_name() -> None:
    check_parametrization(["Au", "Lr"], "kirkland")
    with pytest.raises(ConfigError, match=r"peng, which has no scattering factor for Es, Lr; allowed: .* H to Cf"):
        check_parametrization(["Lr", "Au", "Es"], "peng")
    with pytest.raises(ConfigError, match="Fm"):
        projection(100, "peng", SIZE, SAMPLING, "finite", 2.0)
