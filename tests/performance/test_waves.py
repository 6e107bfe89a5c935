"""Exit waves of whole structure and particles alone: against abTEM, and against the bare Fourier transforms."""

from __future__ import annotations

import time
from typing import Any

import abtem
import numpy as np
import pytest
from ase import Atoms
from numpy.typing import NDArray

from exitwave.config.blocks import NanoparticlesOnSubstrate, PlaneWave
from exitwave.structures.recipes import build_structure
from exitwave.waves.grid import simulation_grid
from exitwave.waves.plane_wave import ExitWaves, propagate, simulate_exit_waves
from exitwave.waves.thermal import displacements

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(timer=time.process_time)]

FIELD, SAMPLING = 102.4, 0.4
STRUCTURES = NanoparticlesOnSubstrate(
    kind="nanoparticles_on_substrate",
    count=1,
    field_of_view=FIELD,
    particles={"material": "Au", "number": 3, "radius": 18},
    substrate={"thickness": 40},
)
WAVES = PlaneWave(kind="plane_wave", structures="s", sampling=SAMPLING, frozen_phonons=1)


def test_exit_waves_of_a_phonon(side_by_side: Any, bare_transforms: Any) -> None:
    structure = build_structure(STRUCTURES, np.random.default_rng(0))
    height = structure.cell[2]
    n_slices = round(height / WAVES.slice_thickness)
    particle = structure.object_id > 0

    def ours() -> ExitWaves:
        return simulate_exit_waves(structure, WAVES, np.random.default_rng(1))

    def with_abtem() -> list[abtem.Waves]:
        moved = structure.positions + displacements(structure.numbers, WAVES.temperature, np.random.default_rng(1))
        moved[:, :2] %= FIELD
        return [
            abtem.PlaneWave(energy=WAVES.energy).multislice(
                abtem.Potential(
                    Atoms(structure.numbers[atoms], moved[atoms], cell=structure.cell, pbc=True),
                    gpts=simulation_grid(FIELD, SAMPLING),
                    slice_thickness=height / n_slices,
                ),
                lazy=False,
            )
            for atoms in (slice(None), particle)
        ]

    results = side_by_side(
        "exit waves, 256² stored, 1 phonon",
        ours,
        {"abTEM": with_abtem, "its own FFTs alone": bare_transforms(ours)},
        rounds=7,
    )
    z = structure.positions[:, 2]
    exit_plane = height * (1 + 0.5 / n_slices)
    distances = (exit_plane - (z.min() + z.max()) / 2, exit_plane - z[particle].mean())
    for wave, distance, reference in zip(results["ours"].waves[:, 0], distances, results["abTEM"], strict=True):
        expected = on_output_grid(reference.array.T, len(wave))
        error = propagate(wave, distance, WAVES.energy, SAMPLING) - expected
        assert np.linalg.norm(error) < 0.01 * np.linalg.norm(expected - expected.mean())


def on_output_grid(wave: NDArray[np.complex64], size: int) -> NDArray[np.complex64]:
    kept = np.r_[: size // 2, -(size // 2) : 0]
    return np.fft.ifft2(np.fft.fft2(wave)[np.ix_(kept, kept)]) * (size / len(wave)) ** 2
