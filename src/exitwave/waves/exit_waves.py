"""Exit waves of a plane wave: frozen phonons, the wave of the particles alone, focus, and what was lost on the way."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from exitwave.config.distributions import draw
from exitwave.config.exit_waves import PlaneWave
from exitwave.errors import ConfigError, StructureError
from exitwave.waves.devices import backend_on
from exitwave.waves.grid import cut_to_band, fresnel, output_grid, simulation_grid
from exitwave.waves.multislice import Configuration, Multislice, Spectra
from exitwave.waves.specimen import (
    checked_cell,
    frozen_phonons,
    multislice_as_row,
    named,
    number_of_slices,
    planes_of,
    slices_of,
)

if TYPE_CHECKING:
    from exitwave.structures.structure import Structure

log = logging.getLogger(__name__)
LOSS_LIMIT = 0.1
"""Share of the incoming intensity that may be lost to the band limit before an item is marked."""


@dataclass(frozen=True)
class ExitWaves:
    """Exit waves of one structure.

    Parameters
    ----------
    whole : complex64 array [phonon, y, x]
        Wave of the whole structure, in focus at mid-height of its atoms. The incoming wave has amplitude 1.
        Note that abTEM's arrays are [x, y].
    particles : complex64 array [phonon, y, x]
        Wave of the particles alone, in focus at the mean height of their atoms; 1 everywhere without particles. Where
        the beam is tilted, it is seen from the same direction as ``whole`` and laterally in the same place: what is at
        mid-height of the atoms of the structure stays where it is, and the rest moves by its height above that times
        the tangent of the tilt.
    series : complex64 array [plane, phonon, y, x]
        The wave of the whole structure as it is at each depth of the thickness series; no planes if none was asked for.
    metadata : dict
        energy [eV], wave_sampling [Å], oversampling, slice_thickness [Å], frozen_phonons, temperature [K],
        rms_displacements: those of the atoms along one axis [Å], by compound and element, and empty for atoms at rest,
        engine, scheme, projection, parametrization, specimen_tilt_x and specimen_tilt_y [mrad] as drawn,
        simulation_grid [px], n_slices, series_step [Å] between planes of the thickness series (NaN: none),
        storage_error, intensity_lost: the largest fraction of the incoming intensity that any of the waves has lost by
        scattering out of the simulation's band, loss_alarm: whether that is above ``LOSS_LIMIT``.
    """

    whole: NDArray[np.complex64]
    particles: NDArray[np.complex64]
    series: NDArray[np.complex64]
    metadata: dict[str, Any]


class Engine(Protocol):
    """What simulates: ours or abTEM's."""

    def spectra(
        self,
        configurations: Sequence[Configuration],
        n_slices: int,
        tilt: tuple[float, float] = (0.0, 0.0),
        planes: Sequence[int] = (),
    ) -> Spectra:
        """Pass the plane wave through a batch of configurations; see :class:`exitwave.waves.multislice.Multislice`."""
        ...


def simulate_exit_waves(structure: Structure, block: PlaneWave, rng: np.random.Generator) -> ExitWaves:
    """Simulate the exit waves of a structure and of its particles alone.

    Parameters
    ----------
    structure : Structure
        Atoms in a laterally square, periodic cell; beam along +z.
    block : PlaneWave
        Energy, sampling, slices, frozen phonons, engine.
    rng : numpy.random.Generator
        Draws the tilt and the thermal displacements; both waves of a phonon see the same ones. Unused for a constant
        tilt and atoms at rest.

    Returns
    -------
    ExitWaves

    Raises
    ------
    StructureError
        If the cell is not square, or a position or the wave is not a finite number.
    ConfigError
        If the field is not a whole number of pixels, the thermal motion of an element is not known, or the block asks
        for a device that is not there.
    """
    return next(simulate_each([(structure, rng)], block))


def simulate_each(items: Iterable[tuple[Structure, np.random.Generator]], block: PlaneWave) -> Iterator[ExitWaves]:
    """Simulate several structures with one block, in batches where the device has room for more than one wave.

    Parameters
    ----------
    items : iterable of (Structure, numpy.random.Generator)
        All with cells of the same lateral size.
    block : PlaneWave

    Yields
    ------
    ExitWaves
        In order; the same as :func:`simulate_exit_waves` gives for each, on a GPU to rounding.
    """
    simulator: _Simulator | None = None
    waiting: list[_Passage] = []
    for structure, rng in items:
        passage = _Passage(structure, block, rng)
        if simulator is None:
            simulator = _Simulator(block, passage.edge)
        waiting.append(passage)
        if sum(len(passage.configurations) for passage in waiting) >= simulator.at_once:
            yield from simulator.simulated(waiting)
            waiting = []
    if simulator is not None and waiting:
        yield from simulator.simulated(waiting)


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
    size = wave.shape[-1]
    kernel = fresnel(size, size * sampling, distance, energy)
    propagated: NDArray[np.complex64] = scipy.fft.ifft2(scipy.fft.fft2(wave, workers=1) * kernel, workers=1)
    return propagated


class _Passage:
    """One structure on its way through the slices: what is drawn for it, and where its waves are in focus."""

    def __init__(self, structure: Structure, block: PlaneWave, rng: np.random.Generator) -> None:
        # Named by itself, since a batch holds several.
        self.name = named(structure)
        self.edge, height = checked_cell(structure)
        self.tilt = (float(draw(block.specimen_tilt_x, rng)), float(draw(block.specimen_tilt_y, rng)))
        in_particle = structure.object_id > 0
        self.has_particles = bool(in_particle.any())
        self.configurations, self.motion = frozen_phonons(structure, block, rng)
        thickness = block.slice_thickness
        self.n_slices = number_of_slices(height, thickness)
        self.way = (self.n_slices, self.tilt)
        self.planes = planes_of(block.thickness_series, self.n_slices, thickness)
        self.series_step = float("nan")
        if block.thickness_series is not None:
            self.series_step = slices_of(block.thickness_series, thickness) * thickness
        # The multislice puts the atoms of a slice on its entrance plane, on average half a slice before where they are.
        to_exit = (self.n_slices + 0.5) * thickness
        z = structure.positions[:, 2]
        self.distances = (
            to_exit - (z.min() + z.max()) / 2 if len(z) else 0.0,
            to_exit - z[in_particle].mean() if self.has_particles else 0.0,
        )


class _Simulator:
    """An engine on a device, and how many configurations it takes at once."""

    def __init__(self, block: PlaneWave, edge: float) -> None:
        self._block, self._edge = block, edge
        self._size = output_grid(edge, block.sampling)
        self._engine, self.at_once, self._out_of_memory = _engine(block, edge)

    def simulated(self, passages: Sequence[_Passage]) -> Iterator[ExitWaves]:
        """Exit waves of some structures; those of equal height and tilt share batches."""
        for passage in passages:
            if passage.edge != self._edge:
                raise StructureError(
                    f"{passage.name}cell is {passage.edge:g} Å wide; allowed here: {self._edge:g} Å, as the first one"
                )
        spectra: list[list[_Parts]] = [[] for _ in passages]
        order = sorted(range(len(passages)), key=lambda place: passages[place].way)
        for (n_slices, tilt), places in groupby(order, lambda place: passages[place].way):
            members = [(place, each) for place in places for each in passages[place].configurations]
            results = self._in_batches([each for _, each in members], n_slices, tilt, passages[members[0][0]].planes)
            for (place, _), parts in zip(members, results, strict=True):
                spectra[place].append(parts)
        for passage, parts_of_phonons in zip(passages, spectra, strict=True):
            yield self._exit_waves(passage, parts_of_phonons)

    def _in_batches(
        self, configurations: list[Configuration], n_slices: int, tilt: tuple[float, float], planes: Sequence[int]
    ) -> Iterator[_Parts]:
        """Spectra of each configuration; a batch that the device's memory does not hold is halved."""
        start = 0
        while start < len(configurations):
            batch = configurations[start : start + self.at_once]
            try:
                result = self._engine.spectra(batch, n_slices, tilt, planes)
            except self._out_of_memory as error:
                if len(batch) == 1:
                    raise ConfigError(
                        f"device: its memory does not hold a wave of {self._size} pixels along an edge; allowed: a "
                        "larger sampling, or device cpu"
                    ) from error
                self.at_once = len(batch) // 2
                log.warning("out of memory with %d waves at once; going on with %d", len(batch), self.at_once)
                continue
            for member in range(len(batch)):
                whole, alone = (None if part is None else part[member] for part in (result.whole, result.particles))
                yield _Parts(whole, alone, [None if part is None else part[member] for part in result.series])
            start += len(batch)

    def _exit_waves(self, passage: _Passage, phonons: Sequence[_Parts]) -> ExitWaves:
        block = self._block
        waves = np.ones((2, len(phonons), self._size, self._size), np.complex64)
        series = np.ones((len(passage.planes), *waves.shape[1:]), np.complex64)
        intensities = [1.0]
        for phonon, parts in enumerate(phonons):
            alone = parts.particles if passage.has_particles else None
            for variant, (spectrum, distance) in enumerate(zip((parts.whole, alone), passage.distances, strict=True)):
                if spectrum is not None:
                    intensities.append(float(np.sum(np.abs(spectrum) ** 2, dtype=np.float64)))
                    # Both waves go back sideways alike, to one lateral frame, wherever each is in focus.
                    focus = fresnel(
                        self._size, self._edge, -distance, block.energy, passage.tilt, tilted=-passage.distances[0]
                    )
                    waves[variant, phonon] = _wave(cut_to_band(spectrum, self._size) * focus)
            for plane, spectrum in enumerate(parts.series):
                if spectrum is not None:
                    series[plane, phonon] = _wave(cut_to_band(spectrum, self._size))
        lost = intensity_lost(intensities, passage.name, block.simulated_sampling, "a smaller one, or oversampling,")
        metadata = {
            "energy": block.energy,
            "wave_sampling": block.sampling,
            "oversampling": block.oversampling,
            **multislice_as_row(block, passage.motion),
            "specimen_tilt_x": passage.tilt[0],
            "specimen_tilt_y": passage.tilt[1],
            "simulation_grid": simulation_grid(self._edge, block.simulated_sampling),
            "n_slices": passage.n_slices,
            "series_step": passage.series_step,
            "storage_error": block.storage_error,
            "intensity_lost": lost,
            "loss_alarm": lost > LOSS_LIMIT,
        }
        return ExitWaves(waves[0], waves[1], series, metadata)


def intensity_lost(intensities: Sequence[float], name: str, sampling: float, remedy: str) -> float:
    """Largest loss of the waves of a structure to the band limit, told if it is above ``LOSS_LIMIT``.

    Parameters
    ----------
    intensities : sequence of float
        Of each wave, over that of the incoming one.
    name : str
        How a message about the structure begins.
    sampling : float
        Pixel that would hold the band [Å].
    remedy : str
        What a warning says is needed.

    Raises
    ------
    StructureError
        If an intensity is not a finite number.
    """
    if not np.isfinite(intensities).all():
        raise StructureError(
            f"{name}an exit wave is not finite, though all atoms are at finite positions; allowed: finite"
        )
    lost = 1 - min(intensities)
    if lost > LOSS_LIMIT:
        log.warning(
            "%s%.1f %% of the intensity is lost to the band limit, more than %.0f %%: atoms scatter beyond what a "
            "sampling of %g Å holds, and %s is needed",
            name, 100 * lost, 100 * LOSS_LIMIT, sampling, remedy,
        )  # fmt: skip
    return lost


@dataclass(frozen=True)
class _Parts:
    """Spectra [M, M] of one configuration on the exit plane and on the planes of its series; None: the plane wave."""

    whole: NDArray[np.complex64] | None
    particles: NDArray[np.complex64] | None
    series: list[NDArray[np.complex64] | None]


def _engine(block: PlaneWave, edge: float) -> tuple[Engine, int, type[Exception]]:
    """The engine of a block, the configurations that it takes at once, and what it raises if those are too many."""
    if block.engine == "abtem":
        from exitwave.waves.abtem_engine import AbtemMultislice

        return AbtemMultislice(block, edge), 1, MemoryError
    backend, at_once, out_of_memory = backend_on(block.device, simulation_grid(edge, block.simulated_sampling))
    return Multislice(block, edge, backend), at_once or 1, out_of_memory


def _wave(spectrum: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Wave from its normalised spectrum."""
    wave: NDArray[np.complex64] = scipy.fft.ifft2(spectrum, norm="forward", overwrite_x=True, workers=1)
    return wave
