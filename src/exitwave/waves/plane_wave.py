"""Exit waves of a plane wave: multislice through the whole structure and through its particles alone.

The waves solve the fast-electron Schroedinger equation by the split step: transmission ``exp(i σ V)``, propagation
``exp(-i π λ Δz k²)``, both limited to 2/3 of the band, with abTEM's scattering factors, constants, aperture and slices.
Both waves go through the slices together, so that a slice of particle atoms is built once, and only where there are
atoms: a plane wave stays one in vacuum, and the steps after the last atom are products in Fourier space.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from exitwave.config.blocks import PlaneWave
from exitwave.errors import StructureError
from exitwave.waves.grid import OVERSAMPLING, output_grid, simulation_grid
from exitwave.waves.potentials import LateralGrid, SlicedPotential
from exitwave.waves.thermal import displacements

if TYPE_CHECKING:
    from exitwave.structures.structure import Structure

BAND_LIMIT = 1 / OVERSAMPLING
"""Band kept by the multislice, as a fraction of the Nyquist frequency of its grid."""
TAPER = 0.01
"""Width of the soft edge of the band, over the sampling of the grid; abTEM's default."""


@dataclass(frozen=True)
class ExitWaves:
    """Exit waves of one structure.

    Parameters
    ----------
    waves : complex64 array [2, phonon, y, x]
        Variant 0: the whole structure, in focus at mid-height of its atoms. Variant 1: the particles alone, in focus
        at the mean height of their atoms; 1 everywhere without particles. The incoming wave has amplitude 1.
        Note that abTEM's arrays are [x, y].
    metadata : dict
        energy [eV], wave_sampling [Å], slice_thickness [Å] as simulated, frozen_phonons, temperature [K],
        parametrization, simulation_grid [px], n_slices, intensity_lost: the largest fraction of the incoming
        intensity that any of the waves has lost by scattering out of the band.
    """

    waves: NDArray[np.complex64]
    metadata: dict[str, Any]


def simulate_exit_waves(structure: Structure, block: PlaneWave, rng: np.random.Generator) -> ExitWaves:
    """Simulate the exit waves of a structure and of its particles alone.

    Parameters
    ----------
    structure : Structure
        Atoms in a laterally square, periodic cell; beam along +z.
    block : PlaneWave
        Energy, sampling, slices, frozen phonons.
    rng : numpy.random.Generator
        Draws the thermal displacements; both waves of a phonon see the same ones. Unused for atoms at rest.

    Returns
    -------
    ExitWaves

    Raises
    ------
    StructureError
        If the cell is not square or a position is not a finite number.
    ConfigError
        If the field is not a whole number of pixels, or the thermal motion of an element is not known.
    """
    edge, height = _checked_cell(structure)
    size = output_grid(edge, block.sampling)
    grid = LateralGrid(simulation_grid(edge, block.sampling), block.sampling / OVERSAMPLING)
    n_slices = max(1, round(height / block.slice_thickness))
    thickness = height / n_slices
    in_particle = structure.object_id > 0
    # The multislice puts the atoms of a slice on its entrance plane, on average half a slice before where they are.
    to_exit = height + thickness / 2
    z = structure.positions[:, 2]
    distances = (
        to_exit - (z.min() + z.max()) / 2 if len(z) else 0.0,
        to_exit - z[in_particle].mean() if in_particle.any() else 0.0,
    )
    waves = np.empty((2, max(1, block.frozen_phonons), size, size), np.complex64)
    for phonon in range(waves.shape[1]):
        positions = structure.positions
        if block.frozen_phonons:
            positions = positions + displacements(structure.numbers, block.temperature, rng, block.rms_displacements)
        particles, substrate = (
            SlicedPotential(positions[chosen], structure.numbers[chosen], height, n_slices, grid, block.parametrization)
            for chosen in (in_particle, ~in_particle)
        )
        spectra = _multislice(particles, substrate, n_slices, thickness, block.energy)
        for variant, spectrum in enumerate(spectra):
            waves[variant, phonon] = (
                1 if spectrum is None else _refocused(spectrum, size, edge, distances[variant], block.energy)
            )
    intensity = np.mean(waves.real**2 + waves.imag**2, axis=(2, 3), dtype=np.float64)
    if not np.isfinite(intensity).all():
        raise StructureError("an exit wave is not finite, though all atoms are at finite positions; allowed: finite")
    metadata = {
        "energy": block.energy,
        "wave_sampling": block.sampling,
        "slice_thickness": thickness,
        "frozen_phonons": block.frozen_phonons,
        "temperature": block.temperature,
        "parametrization": block.parametrization,
        "simulation_grid": grid.size,
        "n_slices": n_slices,
        "intensity_lost": float(1 - intensity.min()),
    }
    return ExitWaves(waves, metadata)


def propagate(wave: NDArray[np.complex64], distance: float, energy: float, sampling: float) -> NDArray[np.complex64]:
    """Propagate waves through free space.

    Parameters
    ----------
    wave : complex64 array [..., n, n]
        Waves on a square, periodic grid.
    distance : float
        Distance along the beam [Å]; negative goes back. Going back by d is a defocus of +d (underfocus, C10 = -d).
    energy : float
        Beam energy [eV].
    sampling : float
        Pixel [Å].

    Returns
    -------
    complex64 array [..., n, n]
        ``F⁻¹ exp(-i π λ d k²) F ψ``.
    """
    kernel = _fresnel(wave.shape[-1], sampling, distance, energy)
    propagated: NDArray[np.complex64] = scipy.fft.ifft2(scipy.fft.fft2(wave, workers=1) * kernel, workers=1)
    return propagated


def _checked_cell(structure: Structure) -> tuple[float, float]:
    """Lateral edge and height of the cell [Å], once the structure is known to be sound."""
    cell = np.asarray(structure.cell, np.float64)
    if not (np.isfinite(cell).all() and (cell > 0).all() and np.isclose(cell[0], cell[1], rtol=1e-9)):
        raise StructureError(f"cell is {cell.tolist()} Å; allowed: positive, finite and square across the beam")
    bad = np.flatnonzero(~np.isfinite(structure.positions).all(axis=1))
    if len(bad):
        raise StructureError(
            f"positions: atom {bad[0]} is at {structure.positions[bad[0]].tolist()} Å; allowed: finite numbers"
        )
    return float(cell[0]), float(cell[2])


def _fresnel(size: int, sampling: float, distance: float, energy: float) -> NDArray[np.complex64]:
    """Free-space propagator ``exp(-i π λ d k²)`` [n, n] (Kirkland, Advanced Computing in Electron Microscopy, 6.65)."""
    from abtem.core.energy import energy2wavelength

    k2 = np.square(scipy.fft.fftfreq(size, sampling))
    line = np.exp(-1j * np.pi * energy2wavelength(energy) * distance * k2)
    return np.outer(line, line).astype(np.complex64)


@lru_cache(maxsize=4)
def _aperture(grid: LateralGrid) -> NDArray[np.float32]:
    """abTEM's antialias aperture [n, n], whatever the user's abTEM configuration says."""
    import abtem
    from abtem.antialias import antialias_aperture

    with abtem.config.set({"antialias.cutoff": BAND_LIMIT, "antialias.taper": TAPER}):
        aperture = antialias_aperture((grid.size, grid.size), (grid.sampling, grid.sampling), np)
    return np.asarray(aperture, np.float32)


@lru_cache(maxsize=4)
def _propagator(grid: LateralGrid, thickness: float, energy: float) -> NDArray[np.complex64]:
    """Band-limited propagator through one slice [n, n]."""
    return _fresnel(grid.size, grid.sampling, thickness, energy) * _aperture(grid)


def _transmission(spectrum: NDArray[np.complex64], grid: LateralGrid, energy: float) -> NDArray[np.complex64]:
    """Band-limited transmission function ``exp(i σ V)`` [n, n] of a slice, from the spectrum of its potential."""
    from abtem.core.energy import energy2sigma

    potential = scipy.fft.irfft2(spectrum, s=(grid.size, grid.size), workers=1)
    phase = potential * np.float32(energy2sigma(energy))
    transmission = np.empty(phase.shape, np.complex64)
    np.cos(phase, out=transmission.real)
    np.sin(phase, out=transmission.imag)
    transmission = scipy.fft.fft2(transmission, overwrite_x=True, workers=1)
    transmission *= _aperture(grid)
    limited: NDArray[np.complex64] = scipy.fft.ifft2(transmission, overwrite_x=True, workers=1)
    return limited


def _multislice(
    particles: SlicedPotential, substrate: SlicedPotential, n_slices: int, thickness: float, energy: float
) -> tuple[NDArray[np.complex64] | None, NDArray[np.complex64] | None]:
    """Spectra [n, n] of the exit waves of the whole structure and of the particles alone; None: the plane wave."""
    grid = particles.grid
    propagator = _propagator(grid, thickness, energy)
    whole: NDArray[np.complex64] | None = None
    alone: NDArray[np.complex64] | None = None
    for index in range(n_slices):
        transmission: NDArray[np.complex64] | None = None
        total: NDArray[np.complex64] | None = None
        if not particles.is_empty(index):
            total = particles.spectrum(index)
            transmission = _transmission(total, grid, energy)
            alone = _transmitted(alone, transmission)
        if not substrate.is_empty(index):
            total = substrate.spectrum(index) if total is None else total + substrate.spectrum(index)
            transmission = _transmission(total, grid, energy)
        if transmission is not None:
            whole = _transmitted(whole, transmission)
        for spectrum in (whole, alone):
            if spectrum is not None:
                spectrum *= propagator
    return whole, alone


def _transmitted(spectrum: NDArray[np.complex64] | None, transmission: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Spectrum of a wave after a slice, from its spectrum before (None: the plane wave)."""
    if spectrum is None:
        wave = transmission
    else:
        wave = scipy.fft.ifft2(spectrum, overwrite_x=True, workers=1)
        wave *= transmission
    after: NDArray[np.complex64] = scipy.fft.fft2(wave, workers=1)
    return after


def _refocused(
    spectrum: NDArray[np.complex64], size: int, edge: float, distance: float, energy: float
) -> NDArray[np.complex64]:
    """Wave on the output grid [size, size], a ``distance`` [Å] back from the exit plane.

    Cutting the spectrum loses nothing, since the aperture has left nothing beyond; the factor keeps the amplitude.
    """
    kept = np.r_[: size // 2, -(size // 2) : 0]
    cut = spectrum[np.ix_(kept, kept)] * _fresnel(size, edge / size, -distance, energy)
    cut *= np.float32((size / spectrum.shape[0]) ** 2)
    wave: NDArray[np.complex64] = scipy.fft.ifft2(cut, overwrite_x=True, workers=1)
    return wave
