"""Waves of convergent probes behind a structure and at depths within it, as spectra.

The spectra are those at the planes themselves, not brought to a focus as exit waves of a plane wave are: what a
detector in the diffraction plane sees, their intensity, does not depend on free propagation behind the atoms. The
multislice puts the atoms of a slice on its entrance plane, on average half a slice before where they are. Behind the
atoms that changes phases only; before them it puts the focus of a probe half a slice deeper than is asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exitwave.config.distributions import draw
from exitwave.config.exit_waves import MultisliceWaves, Probe
from exitwave.errors import ConfigError, StructureError
from exitwave.waves.devices import backend_on
from exitwave.waves.exit_waves import LOSS_LIMIT, intensity_lost
from exitwave.waves.grid import cut_to_band, output_grid, simulation_grid
from exitwave.waves.multislice import Configuration, Multislice
from exitwave.waves.probes import Probes, frequency
from exitwave.waves.specimen import checked_cell, frozen_phonons, multislice_as_row, named, number_of_slices, planes_of

if TYPE_CHECKING:
    from exitwave.structures.structure import Structure

log = logging.getLogger(__name__)
Pass = Callable[[Configuration, Probes, int, Sequence[int]], Iterator[NDArray[np.complex64]]]
"""Passes probes through the slices of a configuration; gives spectra [probe, M, M] at each plane."""


@dataclass(frozen=True)
class ProbeWaves:
    """Waves of probes behind one structure.

    Parameters
    ----------
    amplitudes : complex64 array [semiangle, position, plane, phonon, ky, kx]
        Spectra, frequency 0 at index n // 2; the sum of intensities of a probe in vacuum is 1.
    planes : float64 array [plane]
        Depths of the planes below the entrance face [Å], ends of slices.
    semiangles : float64 array [semiangle]
        Semiangles of convergence [mrad].
    positions : float64 array [position, 2]
        Places of the probes, x and y [Å].
    metadata : dict
        energy [eV], wave_sampling [Å], spectrum_sampling [1/Å]: spacing of the frequencies, slice_thickness [Å],
        frozen_phonons, temperature [K], rms_displacements [Å], as of a plane wave, engine, scheme, projection,
        parametrization, probe_defocus [Å] as drawn, simulation_grid [px], n_slices of the whole structure,
        storage_error, intensity_lost: the largest fraction that a probe has lost by scattering out of the simulation's
        band, loss_alarm: whether that is above ``LOSS_LIMIT``.
    """

    amplitudes: NDArray[np.complex64]
    planes: NDArray[np.float64]
    semiangles: NDArray[np.float64]
    positions: NDArray[np.float64]
    metadata: dict[str, Any]


def simulate_probes(items: Iterable[tuple[Structure, np.random.Generator]], block: Probe) -> Iterator[ProbeWaves]:
    """Pass probes through several structures, one after the other.

    Parameters
    ----------
    items : iterable of (Structure, numpy.random.Generator)
        Atoms in laterally square cells of one size, beam along +z. The generator draws defocus, positions and thermal
        displacements, in this order; it is unused where these are constants.
    block : Probe

    Yields
    ------
    ProbeWaves
        In order.

    Raises
    ------
    StructureError
        If a cell is not square or not as wide as the first, or a position or a wave is not a finite number.
    ConfigError
        If the field is not a whole number of pixels, the thermal motion of an element is not known, or the block asks
        for a device that is not there.
    """
    simulator: _Simulator | None = None
    for structure, rng in items:
        edge, height = checked_cell(structure)
        if simulator is None:
            simulator = _Simulator(block, edge)
        yield simulator.simulated(structure, edge, height, rng)


def stored_size(edge: float, block: Probe) -> int:
    """Frequencies along an edge of a stored spectrum: an even number, of the simulation's M the central ones."""
    size = output_grid(edge, block.sampling)
    if block.largest_angle is None:
        return size
    return min(size, 2 * (int(frequency(block.largest_angle, block.energy) * edge + 1e-9) + 1))


def depths(block: Probe, n_slices: int) -> tuple[int, ...]:
    """Slices after which spectra are stored: every so many, or all."""
    return planes_of(block.thickness_step, n_slices, block.slice_thickness) or (n_slices,)


class ProbeEngine:
    """An engine on a device, and how many probes it takes at once.

    Parameters
    ----------
    block : MultisliceWaves
        Energy, sampling, slices, engine and device.
    edge : float
        Edge of the square, periodic field [Å].
    most : int, optional
        Probes that are passed at once at the most, so that memory does not grow with their number.
    """

    def __init__(self, block: MultisliceWaves, edge: float, most: int | None = None) -> None:
        self._size = output_grid(edge, block.sampling)
        self._pass, at_once, self._out_of_memory = _engine(block, edge)
        self._at_once = min((number for number in (at_once, most) if number is not None), default=None)

    def passed(
        self, configuration: Configuration, probes: Probes, n_slices: int, planes: Sequence[int]
    ) -> Iterator[tuple[slice, int, NDArray[np.complex64]]]:
        """Pass probes through a configuration, batch by batch.

        A batch that the device's memory does not hold is halved; planes that it has given come again.

        Yields
        ------
        slice, int, complex64 array [probe, M, M]
            Which probes, the place of the plane among ``planes``, and their spectra there.

        Raises
        ------
        ConfigError
            If the memory does not hold one.
        """
        start = 0
        while start < len(probes):
            stop = min(len(probes), start + (self._at_once or len(probes)))
            try:
                for place, spectra in enumerate(self._pass(configuration, probes.some(start, stop), n_slices, planes)):
                    yield slice(start, stop), place, spectra
            except self._out_of_memory as error:
                if stop - start == 1:
                    raise ConfigError(
                        f"device: its memory does not hold a wave of {self._size} pixels along an edge; allowed: a "
                        "larger sampling, or device cpu"
                    ) from error
                self._at_once = (stop - start) // 2
                log.warning("out of memory with %d probes at once; going on with %d", stop - start, self._at_once)
                continue
            start = stop


def intensities(spectra: NDArray[np.complex64]) -> list[float]:
    """Sum of the intensities of each spectrum [..., M, M]."""
    return [float(np.square(np.ascontiguousarray(each).view(np.float32)).sum(dtype=np.float64)) for each in spectra]


class _Simulator:
    """Probes through structures of one width."""

    def __init__(self, block: Probe, edge: float) -> None:
        self._block, self._edge = block, edge
        self._kept = stored_size(edge, block)
        self._engine = ProbeEngine(block, edge)

    def simulated(self, structure: Structure, edge: float, height: float, rng: np.random.Generator) -> ProbeWaves:
        block, name = self._block, named(structure)
        if edge != self._edge:
            raise StructureError(f"{name}cell is {edge:g} Å wide; allowed here: {self._edge:g} Å, as the first one")
        defocus = float(draw(block.defocus, rng))
        positions = np.full((1, 2), edge / 2)
        if block.positions != "centre":
            positions = rng.uniform(0, edge, (block.positions, 2))
        configurations, motion = frozen_phonons(structure, block, rng)
        n_slices = number_of_slices(height, block.slice_thickness)
        planes = depths(block, n_slices)
        probes = Probes.at_all(block.semiangles, positions, defocus)
        spectra = np.empty((len(probes), len(planes), len(configurations), self._kept, self._kept), np.complex64)
        left: list[float] = []
        for phonon, configuration in enumerate(configurations):
            for which, place, passed in self._engine.passed(configuration, probes, n_slices, planes):
                left += intensities(passed)
                spectra[which, place, phonon] = np.fft.fftshift(cut_to_band(passed, self._kept), axes=(-2, -1))
        lost = intensity_lost(left, name, block.sampling, "a smaller one")
        metadata = {
            "energy": block.energy,
            "wave_sampling": block.sampling,
            "spectrum_sampling": 1 / edge,
            **multislice_as_row(block, motion),
            "probe_defocus": defocus,
            "simulation_grid": simulation_grid(edge, block.sampling),
            "n_slices": n_slices,
            "storage_error": block.storage_error,
            "intensity_lost": lost,
            "loss_alarm": lost > LOSS_LIMIT,
        }
        return ProbeWaves(
            spectra.reshape(len(block.semiangles), len(positions), *spectra.shape[1:]),
            block.slice_thickness * np.array(planes, np.float64),
            np.array(block.semiangles, np.float64),
            positions,
            metadata,
        )


def _engine(block: MultisliceWaves, edge: float) -> tuple[Pass, int | None, type[Exception]]:
    """What passes probes through slices, how many it takes at once (None: any), and what it raises at too many."""
    if block.engine == "abtem":
        from exitwave.waves.abtem_engine import AbtemMultislice

        return AbtemMultislice(block, edge).probes, None, MemoryError
    backend, at_once, out_of_memory = backend_on(block.device, simulation_grid(edge, block.sampling))
    size, multislice = output_grid(edge, block.sampling), Multislice(block, edge, backend)

    def passed(
        configuration: Configuration, probes: Probes, n_slices: int, planes: Sequence[int]
    ) -> Iterator[NDArray[np.complex64]]:
        incoming = probes.spectra(size, edge, block.energy)
        return multislice.probes(configuration, incoming, n_slices, planes)

    return passed, at_once, out_of_memory
