"""Thermal motion: the table, the displacements, and averaging over phonons."""

from __future__ import annotations

import numpy as np
import pytest
from ase.data import atomic_masses, atomic_numbers
from ase.formula import Formula

from exitwave.config.exit_waves import PlaneWave
from exitwave.errors import ConfigError
from exitwave.structures.body import SiteRole
from exitwave.structures.structure import Structure
from exitwave.waves.exit_waves import simulate_exit_waves
from exitwave.waves.thermal import (
    COMPOUNDS,
    DEBYE_WALLER,
    check_elements,
    compound_of,
    rms_displacement,
    thermal_motion,
)


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


def atoms(numbers: list[int], times: int = 1, **arrays: list[int]) -> Structure:
    """Atoms of the given numbers, all in one particle if ``object_id`` is not given."""
    repeated = {name: np.repeat(np.array(values, np.uint8), times) for name, values in arrays.items()}
    repeated.setdefault("object_id", np.ones(len(numbers) * times, np.uint8))
    cell = np.array([20.0, 20.0, 20.0])
    return Structure(
        np.zeros((len(numbers) * times, 3)), np.repeat(np.array(numbers, np.uint8), times), cell=cell, **repeated
    )


def debye_waller(symbol: str, compound: str | None = None, temperature: float = 300.0) -> float:
    return 8 * np.pi**2 * rms_displacement(symbol, temperature, compound) ** 2


def by_debye(debye_temperature: float, mass: float, temperature: float = 300.0) -> float:
    """B [Å²] of <u²> = 3 ħ² T / (M k Θ²) (Φ(x) + x/4), x = Θ/T, integrated here from scratch; mass in u."""
    from scipy import constants, integrate

    x = debye_temperature / temperature
    phi = integrate.quad(lambda t: t / np.expm1(t), 0, x)[0] / x
    scale = 3 * constants.hbar**2 * temperature / (mass * constants.atomic_mass * constants.k * debye_temperature**2)
    return 8 * np.pi**2 * float(scale * (phi + x / 4)) * 1e20


SEARS = {"Al": 0.81, "Si": 0.52, "V": 0.58, "Fe": 0.34, "Ni": 0.34, "Cu": 0.56, "Ge": 0.61, "Nb": 0.45, "Mo": 0.22}
SEARS |= {"Pd": 0.45, "Ag": 0.73, "Ta": 0.32, "W": 0.161, "Pt": 0.37, "Au": 0.62, "Pb": 2.11}


@pytest.mark.parametrize(("symbol", "published"), SEARS.items())
def test_debye_waller_factors_agree_with_an_independent_table(symbol: str, published: float) -> None:
    """Sears & Shelley, Acta Cryst. A47 (1991) 441: B at room temperature [Å²], another analysis of phonon spectra."""
    assert debye_waller(symbol, temperature=295.0) == pytest.approx(published, rel=0.07)


@pytest.mark.parametrize(
    ("symbol", "debye_temperature", "mass"), [("Cd", 181, 95.69), ("Se", 181, 95.69), ("Co", 445, 58.93)]
)
def test_elements_without_another_source_follow_the_debye_model(
    symbol: str, debye_temperature: float, mass: float
) -> None:
    assert debye_waller(symbol) == pytest.approx(by_debye(debye_temperature, mass), rel=1e-2)


@pytest.mark.parametrize(
    ("compound", "debye_temperature"),
    [
        ("GaAs", 344),
        ("ZnS", 349),
        ("GaN", 592),
        ("ZnO", 414),
        ("MgO", 946),
        ("Al2O3", 1047),
        ("SiO2", 470),
        ("CeO2", 480),
    ],
)
def test_compounds_vibrate_up_to_a_half_more_than_their_calorimetric_debye_temperature_says(
    compound: str, debye_temperature: float
) -> None:
    """Which is a mean over the acoustic modes of all atoms; the soft modes that matter most for <u²> lie below it."""
    counts = Formula(compound).count()
    mass = sum(atomic_masses[atomic_numbers[symbol]] * n for symbol, n in counts.items()) / sum(counts.values())
    mean = sum(debye_waller(symbol, compound) * n for symbol, n in counts.items()) / sum(counts.values())
    assert 1.0 < mean / by_debye(debye_temperature, mass) < 1.5


def test_mos2_has_the_mean_of_the_published_ellipsoids() -> None:
    """Schönfeld, Huang & Moss (1983): U11, U33 [Å²]. The elements' values are half that of Mo and twice that of S."""
    for symbol, u11, u33 in (("Mo", 0.0048, 0.0075), ("S", 0.0038, 0.0051)):
        assert rms_displacement(symbol, 295.0, "MoS2") ** 2 == pytest.approx((2 * u11 + u33) / 3, rel=2e-3)
    assert debye_waller("Mo") < 0.55 * debye_waller("Mo", "MoS2")
    assert debye_waller("S") > 2 * debye_waller("S", "MoS2")


def test_oxygen_moves_more_than_cerium_in_ceria() -> None:
    """Yashima et al., Chem. Phys. Lett. 372 (2003) 784, at any temperature."""
    assert rms_displacement("O", compound="CeO2") > rms_displacement("Ce", compound="CeO2")


def test_compounds_are_made_of_known_elements_and_have_all_of_theirs() -> None:
    for name, values in COMPOUNDS.items():
        assert set(Formula(name).count()) == values.keys() <= DEBYE_WALLER.keys()


@pytest.mark.parametrize(
    ("symbol", "together", "compound"),
    [
        ("Mo", {"Mo", "S"}, "MoS2"),
        ("Mo", {"Mo"}, None),
        ("S", {"Mo", "S", "W"}, "MoS2"),
        ("W", {"Mo", "S", "W"}, "WS2"),
        ("Ti", {"Sr", "Ti", "O"}, "SrTiO3"),
        ("Ti", {"Ti", "O", "N"}, "TiO2"),
        ("Au", {"Au", "Ce", "O"}, None),
        ("Ga", {"Ga", "Al"}, None),
    ],
)
def test_the_compound_is_the_largest_whose_elements_are_all_there(
    symbol: str, together: set[str], compound: str | None
) -> None:
    assert compound_of(symbol, together) == compound


def test_compounds_are_looked_for_in_each_part_of_a_structure() -> None:
    """A titanium core in a titania shell with CO on it, on silica: objects, grains and molecules are told apart."""
    structure = atoms(
        [8, 14, 22, 22, 8, 6, 8],
        object_id=[0, 0, 1, 1, 1, 1, 1],
        grain=[0, 0, 0, 1, 1, 0, 0],
        role=[0, 0, 0, 0, 0, SiteRole.ADSORBATE, SiteRole.ADSORBATE],
    )
    motion = thermal_motion(structure, 250.0)
    places = [("O", "SiO2"), ("Si", "SiO2"), ("Ti", None), ("Ti", "TiO2"), ("O", "TiO2"), ("C", None), ("O", None)]
    np.testing.assert_allclose(motion.rms, [rms_displacement(symbol, 250.0, name) for symbol, name in places])


def test_what_was_taken_is_said_by_table() -> None:
    structure = atoms([42, 16, 6, 79], object_id=[1, 1, 0, 0])
    used = thermal_motion(structure, 300.0, {"Au": 0.09}).used
    assert used == "MoS2: Mo 0.0761, S 0.0656; elements: C 0.0439; given: Au 0.0900"
    waves = simulate_exit_waves(gold_on_carbon(), block(), np.random.default_rng(0))
    assert waves.metadata["rms_displacements"] == "elements: Au 0.0897, C 0.0439"
    rest = simulate_exit_waves(gold_on_carbon(), block(frozen_phonons=0), np.random.default_rng(0))
    assert rest.metadata["rms_displacements"] == ""


def test_displacements_have_the_stated_rms_along_every_axis() -> None:
    structure = atoms([6, 79], 20_000)
    drawn = thermal_motion(structure, 600.0).displacements(np.random.default_rng(0))
    for number, symbol in ((6, "C"), (79, "Au")):
        expected = rms_displacement(symbol, 300.0) * np.sqrt(2)
        np.testing.assert_allclose(drawn[structure.numbers == number].std(axis=0), expected, rtol=0.02)
    np.testing.assert_allclose(np.corrcoef(drawn[structure.numbers == 79].T), np.eye(3), atol=0.03)


def test_unknown_element_is_refused_with_those_known() -> None:
    check_elements(DEBYE_WALLER)
    with pytest.raises(ConfigError, match=r"none for Pu, U; allowed: Ag, Al, As, Au"):
        check_elements(["Au", "U", "Pu"])


def test_given_displacements_hold_at_any_temperature_beside_those_of_the_table() -> None:
    motion = thermal_motion(atoms([8, 58, 79, 92]), 600.0, {"O": 0.08, "U": 0.06})
    expected = [0.08, rms_displacement("Ce", 600.0, "CeO2"), rms_displacement("Au", 600.0), 0.06]
    np.testing.assert_allclose(motion.rms, expected)
    check_elements(["O", "U", "Au"], ["O", "U"])
    with pytest.raises(ConfigError, match=r"none for U; allowed: .*rms_displacements"):
        check_elements(["O", "U"], ["O"])
    with pytest.raises(ConfigError, match=r"none for U; allowed"):
        thermal_motion(atoms([92]), 300.0)


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
