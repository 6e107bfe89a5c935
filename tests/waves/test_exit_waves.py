"""Exit waves against plainly written abTEM runs, and against what must hold for any multislice."""

from __future__ import annotations

import abtem
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

from exitwave.config.exit_waves import PlaneWave
from exitwave.errors import ConfigError, StructureError
from exitwave.structures.structure import Structure
from exitwave.waves.exit_waves import propagate, simulate_exit_waves
from exitwave.waves.grid import output_grid

EDGE, HEIGHT, SAMPLING, ENERGY, SLICES = 25.6, 30.0, 0.4, 300e3, 15
THICKNESS = HEIGHT / SLICES


def block(**changes: object) -> PlaneWave:
    """Set as abTEM is, unless told otherwise."""
    given = {"sampling": SAMPLING, "energy": ENERGY, "scheme": "conventional", **changes}
    return PlaneWave(**{"kind": "plane_wave", "structures": "s", **given})


def sphere(crystal: Atoms, radius: float) -> Atoms:
    crystal = crystal.repeat(8)
    crystal.rotate(20, (1, 2, 3), rotate_cell=True)
    crystal.positions -= crystal.positions.mean(axis=0)
    return crystal[np.linalg.norm(crystal.positions, axis=1) < radius]


def scene(crystal: Atoms, substrate: bool = True) -> Structure:
    """A sphere sunk into a random slab of carbon, reaching over the edge of the periodic cell."""
    particle = sphere(crystal, 6.0)
    n_carbon = 400 if substrate else 0
    carbon = np.random.default_rng(0).uniform((0, 0, 2), (EDGE, EDGE, 12), (n_carbon, 3))
    positions = np.concatenate([carbon, particle.positions + np.array([3.0, 14.0, 16.3])])
    positions[:, :2] %= EDGE
    numbers = np.concatenate([np.full(n_carbon, 6), particle.numbers]).astype(np.uint8)
    object_id = (np.arange(len(numbers)) >= n_carbon).astype(np.uint8)
    return Structure(positions, numbers, object_id, np.array([EDGE, EDGE, HEIGHT]))


GOLD = bulk("Au", cubic=True)
CADMIUM_SELENIDE = bulk("CdSe", "wurtzite", a=4.2985, c=7.0152)


def abtem_exit_wave(structure: Structure, parametrization: str = "lobato", slices: int = SLICES) -> abtem.Waves:
    potential = abtem.Potential(
        Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=True),
        gpts=round(1.5 * EDGE / SAMPLING),
        slice_thickness=(structure.cell[2] / slices,) * slices,
        parametrization=parametrization,
        projection="infinite",
    )
    return abtem.PlaneWave(energy=ENERGY).multislice(potential).compute(progress_bar=False)


def on_output_grid(waves: abtem.Waves) -> NDArray[np.complex64]:
    """Fourier-cut to the output grid, rows y and columns x."""
    spectrum = np.fft.fft2(waves.array.T)
    kept = np.fft.fftfreq(len(spectrum), 1 / len(spectrum)).astype(int)
    size = len(spectrum) * 2 // 3
    kept = np.flatnonzero((kept >= -size // 2) & (kept < size // 2))
    outside = spectrum.copy()
    outside[np.ix_(kept, kept)] = 0
    assert np.abs(outside).max() < 1e-6 * np.abs(spectrum).max(), "the cut loses part of abTEM's band"
    return np.fft.ifft2(spectrum[np.ix_(kept, kept)]) * (size / len(spectrum)) ** 2


def scattered_error(wave: NDArray[np.complex64], reference: NDArray[np.complex64]) -> float:
    return float(np.linalg.norm(wave - reference) / np.linalg.norm(reference - reference.mean()))


def to_exit_plane(wave: NDArray[np.complex64], height_in_focus: float) -> NDArray[np.complex64]:
    return propagate(wave, HEIGHT + THICKNESS / 2 - height_in_focus, ENERGY, SAMPLING)


@pytest.mark.parametrize("crystal", [GOLD, CADMIUM_SELENIDE], ids=["Au", "CdSe"])
@pytest.mark.parametrize("parametrization", ["lobato", "kirkland"])
def test_both_waves_equal_a_direct_abtem_run(crystal: Atoms, parametrization: str) -> None:
    structure = scene(crystal)
    found = simulate_exit_waves(structure, block(parametrization=parametrization), np.random.default_rng(0))
    z = structure.positions[:, 2]
    reference = on_output_grid(abtem_exit_wave(structure, parametrization))
    assert scattered_error(to_exit_plane(found.whole[0], (z.min() + z.max()) / 2), reference) < 5e-5
    reference = on_output_grid(abtem_exit_wave(structure.only_particles(), parametrization))
    height_in_focus = z[structure.object_id > 0].mean()
    assert scattered_error(to_exit_plane(found.particles[0], height_in_focus), reference) < 5e-5


def test_vacuum_around_the_particle_changes_nothing_but_focus() -> None:
    """Slices before, between and after the atoms are skipped; abTEM on the cell cut to the particle agrees."""
    structure = scene(GOLD, substrate=False)
    z = structure.positions[:, 2]
    first = int(z.min() // THICKNESS)
    cut = Structure(
        structure.positions - (0, 0, first * THICKNESS),
        structure.numbers,
        structure.object_id,
        np.array([EDGE, EDGE, HEIGHT - first * THICKNESS]),
    )
    wave = simulate_exit_waves(structure, block(), np.random.default_rng(0)).particles[0]
    reference = on_output_grid(abtem_exit_wave(cut, slices=SLICES - first))
    assert scattered_error(to_exit_plane(wave, z.mean()), reference) < 5e-5


def test_empty_slices_between_two_particles_are_propagated() -> None:
    lower = np.array([[8.0, 8.0, 3.0], [9.0, 12.0, 3.5]])
    positions = np.concatenate([lower, lower + np.array([6.0, 4.0, 21.0])])
    structure = Structure(
        positions,
        np.full(4, 79, np.uint8),
        np.array([1, 1, 2, 2], np.uint8),
        np.array([EDGE, EDGE, HEIGHT]),
    )
    wave = simulate_exit_waves(structure, block(), np.random.default_rng(0)).particles[0]
    reference = on_output_grid(abtem_exit_wave(structure))
    assert scattered_error(to_exit_plane(wave, positions[:, 2].mean()), reference) < 5e-5


@pytest.mark.parametrize("distance", [80.0, -35.0])
def test_going_back_is_positive_defocus_in_abtem(distance: float) -> None:
    wave = simulate_exit_waves(scene(GOLD), block(), np.random.default_rng(0)).whole[0]
    waves = abtem.Waves(wave.T.copy(), energy=ENERGY, extent=EDGE)
    defocused = waves.apply_ctf(abtem.CTF(defocus=distance, energy=ENERGY)).array.T
    assert scattered_error(propagate(wave, -distance, ENERGY, SAMPLING), defocused) < 1e-4


def test_particle_wave_is_in_focus() -> None:
    """The contrast of a single atom, a weak phase object, is least in focus."""
    atom = Structure(
        np.array([[9.0, 12.0, 7.0]]),
        np.array([6], np.uint8),
        np.ones(1, np.uint8),
        np.array([EDGE, EDGE, HEIGHT]),
    )
    wave = simulate_exit_waves(atom, block(slice_thickness=0.5), np.random.default_rng(0)).particles[0]
    distances = np.linspace(-6, 6, 49)
    contrast = [np.std(np.abs(propagate(wave, d, ENERGY, SAMPLING)) ** 2) for d in distances]
    assert abs(distances[np.argmin(contrast)]) <= 0.5


def test_without_particles_the_particle_wave_is_the_plane_wave() -> None:
    structure = scene(GOLD)
    carbon = Structure(
        structure.positions,
        np.full_like(structure.numbers, 6),
        np.zeros_like(structure.object_id),
        structure.cell,
    )
    found = simulate_exit_waves(carbon, block(frozen_phonons=2), np.random.default_rng(0))
    assert found.whole.shape == found.particles.shape == (2, 64, 64)
    assert found.whole.dtype == found.particles.dtype == np.complex64
    assert (found.particles == 1).all()
    assert np.std(np.abs(found.whole)) > 1e-3


def test_vacuum_is_the_plane_wave_of_amplitude_one() -> None:
    nothing = Structure(
        np.zeros((0, 3)),
        np.zeros(0, np.uint8),
        np.zeros(0, np.uint8),
        np.array([EDGE, EDGE, HEIGHT]),
    )
    exit_waves = simulate_exit_waves(nothing, block(), np.random.default_rng(0))
    assert (exit_waves.whole == 1).all()
    assert (exit_waves.particles == 1).all()
    assert exit_waves.metadata["intensity_lost"] == 0


def test_wave_moves_with_the_structure_in_x_and_y() -> None:
    structure = scene(GOLD)
    moved = Structure(
        structure.positions + SAMPLING * np.array([8, 2, 0]),
        structure.numbers,
        structure.object_id,
        structure.cell,
    )
    still, shifted = (simulate_exit_waves(s, block(), np.random.default_rng(0)).whole[0] for s in (structure, moved))
    assert scattered_error(np.roll(still, (2, 8), axis=(0, 1)), shifted) < 5e-5


def test_metadata_tell_what_was_simulated() -> None:
    metadata = simulate_exit_waves(scene(GOLD), block(slice_thickness=1.9), np.random.default_rng(0)).metadata
    assert metadata["simulation_grid"] == 96
    assert metadata["n_slices"] == 16
    assert metadata["slice_thickness"] == 1.9
    assert 0 < metadata["intensity_lost"] < 0.05


def test_users_abtem_configuration_does_not_change_the_waves() -> None:
    expected = simulate_exit_waves(scene(GOLD), block(), np.random.default_rng(0))
    with abtem.config.set({"antialias.cutoff": 0.9, "fft": "numpy"}):
        found = simulate_exit_waves(scene(GOLD), block(), np.random.default_rng(0))
    assert np.array_equal(found.whole, expected.whole)
    assert np.array_equal(found.particles, expected.particles)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_position_that_is_not_finite_is_refused(value: float) -> None:
    structure = scene(GOLD)
    structure.positions[7, 1] = value
    with pytest.raises(StructureError, match=r"positions: atom 7 .* allowed"):
        simulate_exit_waves(structure, block(), np.random.default_rng(0))


def test_cell_that_is_not_square_is_refused() -> None:
    structure = scene(GOLD)
    structure.cell[1] = 30.0
    with pytest.raises(StructureError, match=r"cell is \[25.6, 30.0, 30.0\]"):
        simulate_exit_waves(structure, block(), np.random.default_rng(0))


@pytest.mark.parametrize(("field", "sampling", "grid"), [(102.4, 0.4, 256), (51.2, 0.2, 256), (12.8, 0.4, 32)])
def test_output_grid(field: float, sampling: float, grid: int) -> None:
    assert output_grid(field, sampling) == grid


@pytest.mark.parametrize(
    ("field", "sampling", "allowed"),
    [(100.0, 0.3, "whole number"), (66.0, 2.0, "an even number"), (10.0, 0.4, "32 pixels or more")],
)
def test_impossible_grid_is_an_error_that_names_both_keys(field: float, sampling: float, allowed: str) -> None:
    with pytest.raises(ConfigError, match=rf"sampling is .* field_of_view .* allowed: .*{allowed}"):
        output_grid(field, sampling)
