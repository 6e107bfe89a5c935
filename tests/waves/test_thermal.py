"""Thermal motion: the table, the displacements, and averaging over phonons."""

from __future__ import annotations

import numpy as np
import pytest

from exitwave.config.exit_waves import PlaneWave
from exitwave.errors import ConfigError
from exitwave.structures.structure import Structure
from exitwave.waves.exit_waves import simulate_exit_waves
from exitwave.waves.thermal import DEBYE_WALLER, check_elements, displacements, rms_displacement


def gold_on_carbon(edge: float = 12.8) -> Structure:
    rng = np.random.default_rng(0)
    carbon = rng.uniform((0, 0, 2), (edge, edge, 8), (100, 3))
    gold = np.stack(np.meshgrid(*[np.arange(3) * 2.9] * 3), axis=-1).reshape(-1, 3) + np.array([3.0, 3.0, 9.0])
    return Structure(
        np.concatenate([carbon, gold]),
        np.repeat(np.array([6, 79], np.uint8), [100, 27]),
        np.repeat(np.array([0, 1], np.uint8), [100, 27]),
        np.array([edge, edge, 20.0]),
    )


def block(**changes: object) -> PlaneWave:
    return PlaneWave(**{"kind": "plane_wave", "structures": "s", "sampling": 0.4, "frozen_phonons": 2, **changes})


SEARS = {"Al": 0.81, "Si": 0.52, "Fe": 0.34, "Ni": 0.34, "Cu": 0.56, "Ge": 0.61, "Mo": 0.22, "Pd": 0.45, "Ag": 0.73}
SEARS |= {"W": 0.161, "Pt": 0.37, "Au": 0.62, "Pb": 2.11}


@pytest.mark.parametrize(("symbol", "published"), SEARS.items())
def test_debye_waller_factors_agree_with_an_independent_table(symbol: str, published: float) -> None:
    """Sears & Shelley, Acta Cryst. A47 (1991) 441: B at room temperature [Å²], another analysis of phonon spectra."""
    assert 8 * np.pi**2 * rms_displacement(symbol, 295.0) ** 2 == pytest.approx(published, rel=0.07)


def test_cdse_follows_the_debye_model() -> None:
    """<u²> = 3 ħ² T / (M k Θ²) (Φ(x) + x/4), x = Θ/T, integrated here from scratch."""
    from scipy import constants, integrate

    debye_temperature, temperature, mass = 181.0, 300.0, (112.414 + 78.971) / 2 * constants.atomic_mass
    x = debye_temperature / temperature
    phi = integrate.quad(lambda t: t / np.expm1(t), 0, x)[0] / x
    scale = 3 * constants.hbar**2 * temperature / (mass * constants.k * debye_temperature**2)
    u2 = scale * (phi + x / 4) * 1e20
    assert rms_displacement("Cd") ** 2 == pytest.approx(u2, rel=5e-3)
    assert rms_displacement("Se") == rms_displacement("Cd")


def test_displacements_have_the_stated_rms_along_every_axis() -> None:
    numbers = np.repeat(np.array([6, 79], np.uint8), 20_000)
    drawn = displacements(numbers, 600.0, np.random.default_rng(0))
    for number, symbol in ((6, "C"), (79, "Au")):
        expected = rms_displacement(symbol, 300.0) * np.sqrt(2)
        np.testing.assert_allclose(drawn[numbers == number].std(axis=0), expected, rtol=0.02)
    np.testing.assert_allclose(np.corrcoef(drawn[numbers == 79].T), np.eye(3), atol=0.03)


def test_unknown_element_is_refused_with_those_known() -> None:
    check_elements(DEBYE_WALLER)
    with pytest.raises(ConfigError, match=r"none for Pu, U; allowed: Ag, Al, Au"):
        check_elements(["Au", "U", "Pu"])


def test_given_displacements_hold_at_any_temperature_beside_those_of_the_table() -> None:
    numbers = np.repeat(np.array([8, 58, 79], np.uint8), 20_000)
    drawn = displacements(numbers, 600.0, np.random.default_rng(0), {"O": 0.08, "Ce": 0.06})
    expected = {8: 0.08, 58: 0.06, 79: rms_displacement("Au", 600.0)}
    for number, rms in expected.items():
        np.testing.assert_allclose(drawn[numbers == number].std(axis=0), rms, rtol=0.02)
    check_elements(["O", "Ce", "Au"], ["O", "Ce"])
    with pytest.raises(ConfigError, match=r"none for Ce; allowed: .*rms_displacements"):
        check_elements(["O", "Ce"], ["O"])


def test_mistake_01_phonons_differ_and_their_average_converges() -> None:
    """Earlier code read one phonon eight times, so that nothing was averaged."""
    found = simulate_exit_waves(gold_on_carbon(), block(frozen_phonons=128), np.random.default_rng(1))
    for waves in (found.whole, found.particles):
        flat = (np.abs(waves) ** 2).reshape(128, -1)
        assert len(np.unique(flat, axis=0)) == 128
        single = flat.var(axis=0, ddof=1).mean()
        assert single > 1e-5
        for averaged in (4, 16):
            means = flat.reshape(-1, averaged, flat.shape[1]).mean(axis=1)
            assert means.var(axis=0, ddof=1).mean() == pytest.approx(single / averaged, rel=0.35)


def test_both_waves_of_a_phonon_see_the_same_displacements() -> None:
    """Without substrate the whole structure is the particles, and the two waves differ in focus alone."""
    structure = gold_on_carbon().only_particles()
    found = simulate_exit_waves(structure, block(frozen_phonons=3), np.random.default_rng(0))
    np.testing.assert_allclose(found.whole, found.particles, atol=1e-5)  # mid-height and mean height coincide here


def test_seed_decides_the_waves() -> None:
    first, again, other = (
        simulate_exit_waves(gold_on_carbon(), block(), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    for name in ("whole", "particles"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
        assert not np.allclose(getattr(first, name), getattr(other, name))


def test_atoms_at_rest_draw_nothing() -> None:
    rng = np.random.default_rng(0)
    simulate_exit_waves(gold_on_carbon(), block(frozen_phonons=0), rng)
    assert rng.random() == np.random.default_rng(0).random()


def test_thermal_motion_weakens_the_lattice_reflections_by_the_debye_waller_factor() -> None:
    """Mean amplitude of a weak scatterer's waves falls as exp(-2 π² <u²> k²), to first order in the potential."""
    # Seven atoms in 48 pixels lie at evenly spread sub-pixel positions, so that the interpolation of abTEM's potential
    # weakens the reflection alike at rest and in motion.
    edge, n = 12.8, 7
    x, y = (a.ravel() for a in np.meshgrid(*[np.arange(n) * edge / n] * 2))
    structure = Structure(
        np.stack([x, y, np.full(n**2, 2.0)], axis=1),
        np.full(n**2, 6, np.uint8),
        np.ones(n**2, np.uint8),
        np.array([edge, edge, 4.0]),
    )
    rest, hot = (
        simulate_exit_waves(
            structure, block(frozen_phonons=phonons, temperature=3000.0), np.random.default_rng(0)
        ).particles.mean(axis=0)
        for phonons in (0, 200)
    )
    ratio = np.abs(np.fft.fft2(hot)[0, n] / np.fft.fft2(rest)[0, n])
    expected = np.exp(-2 * np.pi**2 * rms_displacement("C", 3000.0) ** 2 * (n / edge) ** 2)
    assert expected < 0.9
    assert ratio == pytest.approx(expected, abs=0.01)
