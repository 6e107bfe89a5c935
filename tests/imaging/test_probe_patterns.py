"""Diffraction patterns from waves of probes: against those of a scattering matrix, and between frequencies."""

from __future__ import annotations

import numpy as np
import pytest

from exitwave.config.exit_waves import Probe
from exitwave.electron import interaction_parameter, wavelength
from exitwave.imaging.aperture import FINE
from exitwave.imaging.patterns import Geometry, Optics, disks_of, render
from exitwave.imaging.probe_patterns import render_waves
from exitwave.structures.structure import Structure
from exitwave.waves.beam_space import propagate
from exitwave.waves.beams import coupling, excitation_errors, find_beams
from exitwave.waves.probe_waves import simulate_probes
from known_crystals import strontium_titanate

ENERGY = 300e3
LENGTH = wavelength(ENERGY)
EDGE, CELLS = 3.905, 8
BOX = EDGE * CELLS


def crystal(layers: int) -> Structure:
    """SrTiO3 [001] at rest in a box of whole cells, its planes of atoms a quarter of a cell from the faces."""
    cell = strontium_titanate(shift=0.25)
    shifts = np.stack(np.meshgrid(*map(np.arange, (CELLS, CELLS, layers)), indexing="ij"), axis=-1).reshape(-1, 1, 3)
    positions = ((shifts + cell.fractional) * EDGE).reshape(-1, 3)
    numbers = np.tile(cell.numbers, len(shifts))
    objects = np.ones(len(numbers), np.uint8)
    return Structure(positions, numbers, objects, np.array([BOX, BOX, layers * EDGE]))


@pytest.mark.parametrize(("layers", "limit"), [(5, 0.02), (16, 0.05)])
def test_scattering_matrix_agrees_with_our_probe_multislice_on_a_perfect_crystal(layers: int, limit: float) -> None:
    """All of it: beams and rendering on one side, atoms, slices and transforms on the other.

    Atoms at rest scatter further than any beams and any grid hold, so that both differ from what is true.
    """
    semiangle = 5.0
    block = Probe(
        kind="probe", structures="any", semiangle=semiangle, sampling=BOX / 280, slice_thickness=EDGE / 8,
        projection="finite", positions="centre",
    )  # fmt: skip
    (waves,) = simulate_probes([(crystal(layers), np.random.default_rng(0))], block)
    position = tuple(waves.positions[0].tolist())
    assert position == (BOX / 2, BOX / 2)
    geometry, radius = Geometry(96, 1 / BOX), semiangle * 1e-3 / LENGTH * BOX
    # The disk of the multislice, whose amplitude falls over a pixel of its spectrum.
    half = int((radius + 2) * FINE)
    table = np.clip(radius + 0.5 - np.hypot(*np.mgrid[-half : half + 1, -half : half + 1]) / FINE, 0, 1) ** 2
    multislice = render_waves(waves.amplitudes[0, 0, -1], BOX, position, geometry)
    cell = strontium_titanate(shift=0.25)
    edge = int(semiangle * 1e-3 / LENGTH * BOX + 2.5)
    y, x = np.mgrid[-edge : edge + 1, -edge : edge + 1]
    tilts = np.stack([y.ravel(), x.ravel()], axis=1).astype(np.int16)
    beams = find_beams(cell, LENGTH, 3.4, 0.2, semiangle * 1e-3 / LENGTH)
    matrix = coupling(cell, beams, np.zeros(5), "lobato")
    s = excitation_errors(beams.g, LENGTH)[:, None] - LENGTH * beams.g[:, :2] @ (tilts[:, ::-1] / BOX).T
    thickness = float(waves.planes[-1])
    (amplitudes,) = propagate(matrix, s, interaction_parameter(ENERGY), thickness, 1)
    bloch = render(
        disks_of(amplitudes, tilts, beams.g, 1 / BOX, thickness, LENGTH), geometry, Optics(table, LENGTH, 0.0, position)
    )
    assert np.abs(multislice - bloch).sum() / bloch.sum() < limit
    elsewhere = render(
        disks_of(amplitudes, tilts, beams.g, 1 / BOX, thickness, LENGTH), geometry, Optics(table, LENGTH, 0.0, (0.9, 0))
    )
    assert np.abs(multislice - elsewhere).sum() / bloch.sum() > 0.1


@pytest.fixture(scope="module")
def spectra() -> np.ndarray:
    """Two waves that end within their box, [phonon, ky, kx], of intensity 1 in all."""
    rng = np.random.default_rng(4)
    y, x = (np.mgrid[:64, :64] - 32) / 64
    window = np.exp(-((np.hypot(y, x) / 0.12) ** 2))
    waves = window * (rng.standard_normal((2, 64, 64)) + 1j * rng.standard_normal((2, 64, 64)))
    found = np.fft.fftshift(np.fft.fft2(waves), axes=(1, 2))
    return found / np.sqrt((np.abs(found) ** 2).sum(axis=(1, 2), keepdims=True))


def exact(spectra: np.ndarray, edge: float, q: np.ndarray) -> np.ndarray:
    """Mean intensity of the spectra at directions (x, y) [n, 2], by a sum over the wave."""
    size = spectra.shape[-1]
    waves = np.fft.ifft2(np.fft.ifftshift(spectra, axes=(1, 2)))
    place = (np.arange(size) * edge / size)[:, None]
    along_x, along_y = (np.exp(-2j * np.pi * place * q[:, axis]) for axis in (0, 1))
    found = np.einsum("pyx,yn,xn->pn", waves, along_y, along_x)
    return np.asarray((np.abs(found) ** 2).mean(axis=0))


def test_patterns_between_frequencies_are_those_of_the_wave(spectra: np.ndarray) -> None:
    edge = 40.0
    geometry = Geometry(48, 0.031, (0.37, -1.4), 0.04, 0.7)
    pattern = render_waves(spectra.astype(np.complex64), edge, (edge / 2, edge / 2), geometry)
    y, x = np.mgrid[:48, :48]
    away = np.stack([x.ravel(), y.ravel()], axis=1) - 24 - np.array(geometry.shift)
    q = away @ np.linalg.inv(geometry.distortion)
    expected = exact(spectra, edge, q).reshape(48, 48) * edge**2 / np.linalg.det(geometry.distortion)
    assert np.abs(pattern - expected).sum() / expected.sum() < 5e-3


def test_patterns_do_not_depend_on_where_the_probe_stands_in_its_box(spectra: np.ndarray) -> None:
    edge, geometry = 40.0, Geometry(48, 0.02, (0.3, 0.2))
    k = (np.arange(64) - 32) / edge
    moved = spectra * np.exp(-2j * np.pi * (k[:, None] * 11.0 - k * 17.0))
    here = render_waves(spectra.astype(np.complex64), edge, (20.0, 20.0), geometry)
    there = render_waves(moved.astype(np.complex64), edge, (3.0, 31.0), geometry)
    assert np.abs(here - there).sum() / here.sum() < 1e-4


def test_electrons_of_a_probe_are_all_there(spectra: np.ndarray) -> None:
    for sampling in (0.025, 0.0125):
        pattern = render_waves(spectra.astype(np.complex64), 40.0, (20.0, 20.0), Geometry(160, sampling))
        assert pattern.sum() == pytest.approx(1, abs=0.01)
