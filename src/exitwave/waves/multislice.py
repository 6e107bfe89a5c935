"""The multislice of this package: of a plane wave, behind the whole structure and its particles alone, or of probes.

The waves solve the fast-electron Schroedinger equation by the split step: transmission ``exp(i σ V)``, propagation
``exp(-i π λ Δz k²)``, limited to 2/3 of the band. Both waves of a plane wave go through the slices together, so that a
slice of particle atoms is built once, and only where there are atoms: a plane wave stays one in vacuum, and empty space
is crossed in one step. Potentials of two slices are built at once, as the real and imaginary parts of one grid. Probes
go through one configuration together too, whatever their semiangles and positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from exitwave.config.exit_waves import MultisliceWaves
from exitwave.electron import interaction_parameter
from exitwave.waves.backend import Band, Deposit, Grid, MakeBackend, Table
from exitwave.waves.grid import aperture, fresnel, output_grid
from exitwave.waves.scattering import Projection, projection
from exitwave.waves.spreading import Support, spectrum_of_spreading


@dataclass(frozen=True)
class Configuration:
    """Atoms of one structure, at rest or in one frozen-phonon configuration.

    Parameters
    ----------
    positions : float64 array [n, 3]
        Positions [Å]; wrapped laterally. Atoms beyond the first or last slice belong to it.
    numbers : uint8 array [n]
        Atomic numbers.
    in_particle : bool array [n]
        Whether an atom is part of a particle.
    """

    positions: NDArray[np.float64]
    numbers: NDArray[np.uint8]
    in_particle: NDArray[np.bool_]


@dataclass(frozen=True)
class Spectra:
    """Spectra of the waves of a batch of configurations on the exit plane.

    Parameters
    ----------
    whole, particles : complex64 array [batch, M, M], or None
        Spectrum over the band in the order of ``fftfreq``, the plane wave of amplitude 1 being 1 at frequency 0; None
        where there are no atoms at all.
    series : list of complex64 array [batch, M, M] or None
        The same of the whole structure at each plane asked for.
    """

    whole: NDArray[np.complex64] | None
    particles: NDArray[np.complex64] | None
    series: list[NDArray[np.complex64] | None] = field(default_factory=list)


class SlicedAtoms:
    """The atoms of one element, sorted by slice.

    Parameters
    ----------
    positions : float64 array [n, 3]
        Positions [Å].
    n_slices : int
        Number of slices.
    thickness : float
        Thickness of a slice [Å].
    """

    def __init__(self, positions: NDArray[np.float64], n_slices: int, thickness: float) -> None:
        # The tolerance keeps an atom that lies on a boundary in the upper slice whatever the rounding, as abTEM does.
        boundaries = thickness * np.arange(1, n_slices) - 1e-12
        slices = np.searchsorted(boundaries, positions[:, 2], side="right")
        order = np.argsort(slices, kind="stable")
        self.positions = positions[order]
        self.slices = slices[order]
        self._bounds = np.searchsorted(self.slices, np.arange(n_slices + 1))

    def within(self, first: int, last: int) -> slice:
        """The atoms of the slices ``first`` ... ``last``, cut to those that there are."""
        top = len(self._bounds) - 1
        return slice(int(self._bounds[min(max(first, 0), top)]), int(self._bounds[min(max(last + 1, 0), top)]))


class Multislice:
    """Engine ``exitwave``.

    Parameters
    ----------
    block : MultisliceWaves
        Energy, sampling, slices, scheme.
    edge : float
        Edge of the square, periodic field [Å].
    backend : callable
        Makes the backend; see :func:`exitwave.waves.devices.backend_on`.
    """

    def __init__(
        self,
        block: MultisliceWaves,
        edge: float,
        backend: MakeBackend,
    ) -> None:
        self._block = block
        self._band = output_grid(edge, block.simulated_sampling)
        self._size = self._band * 3 // 2
        self._sampling = edge / self._size
        self._edge = edge
        self._support: Support = 4 if block.scheme == "accurate" else 2
        self._aperture = aperture(self._band)
        self._backend = backend(self._size, self._support, self._aperture)
        self._projections: dict[int, Projection] = {}
        self._factors: dict[tuple[int, int], Table] = {}
        self._propagators: dict[int, Band] = {}
        self._tilt = (0.0, 0.0)

    def spectra(
        self,
        configurations: Sequence[Configuration],
        n_slices: int,
        tilt: tuple[float, float] = (0.0, 0.0),
        planes: Sequence[int] = (),
    ) -> Spectra:
        """Pass the plane wave through a batch of configurations.

        Parameters
        ----------
        configurations : sequence of Configuration
        n_slices : int
            Slices; the exit plane lies behind the last one.
        tilt : tuple of float
            Tilt of the beam towards x and y [mrad].
        planes : sequence of int
            Numbers of slices after which the wave of the whole structure is asked for too, ascending.
        """
        self._set_tilt(tilt)
        particles = [self._by_element(each, each.in_particle, n_slices) for each in configurations]
        substrate = [self._by_element(each, ~each.in_particle, n_slices) for each in configurations]
        particle_slices, substrate_slices = (self._occupied(atoms, n_slices) for atoms in (particles, substrate))
        any_slices = particle_slices | substrate_slices
        stops = any_slices.copy()
        stops[[plane for plane in planes if plane < n_slices]] = True
        whole: Band | None = None
        alone: Band | None = None
        series: list[NDArray[np.complex64] | None] = []
        for index in range(n_slices):
            if index % 2 == 0:
                of_particles = self._potentials(particles, particle_slices, index)
                of_substrate = self._potentials(substrate, substrate_slices, index)
                of_all = of_particles if of_substrate is None else of_substrate
                if of_particles is not None and of_substrate is not None:
                    of_all = of_particles + of_substrate
            if index in planes:
                series.append(None if whole is None else self._backend.to_host(whole))
            if any_slices[index]:
                transmission: Grid = None
                if particle_slices[index]:
                    transmission = self._transmission(of_particles, index)
                    onward = self._propagator(_next(particle_slices, index))
                    alone = self._backend.transmit(alone, transmission, onward)
                if substrate_slices[index]:
                    transmission = self._transmission(of_all, index)
                whole = self._backend.transmit(whole, transmission, self._propagator(_next(stops, index)))
            elif stops[index] and whole is not None:
                whole = self._backend.propagate(whole, self._propagator(_next(stops, index)))
        final, of_particles_alone = (None if band is None else self._backend.to_host(band) for band in (whole, alone))
        series += [final for plane in planes if plane >= n_slices]
        return Spectra(final, of_particles_alone, series)

    def probes(
        self, configuration: Configuration, incoming: NDArray[np.complex64], n_slices: int, planes: Sequence[int]
    ) -> Iterator[NDArray[np.complex64]]:
        """Pass waves of any form through one configuration; each transmission function is made once, for all of them.

        Parameters
        ----------
        configuration : Configuration
        incoming : complex64 array [wave, M, M]
            Spectra at the entrance face, over the band in the order of ``fftfreq``.
        n_slices : int
            Slices that the atoms are in.
        planes : sequence of int
            Numbers of slices after which the waves are asked for, ascending, one at least; it ends with the last.

        Yields
        ------
        complex64 array [wave, M, M]
            Spectra at each plane, in the order and to the scale of the incoming ones.
        """
        self._set_tilt((0.0, 0.0))
        atoms = [self._by_element(configuration, np.ones(len(configuration.numbers), bool), n_slices)]
        occupied = self._occupied(atoms, n_slices)
        stops = occupied.copy()
        stops[[0, *(plane for plane in planes if plane < n_slices)]] = True
        waves = self._backend.band(incoming)
        for index in range(planes[-1]):
            if index % 2 == 0:
                potentials = self._potentials(atoms, occupied, index)
            if index in planes:
                yield self._backend.to_host(waves)
            if occupied[index]:
                transmission = self._transmission(potentials, index)
                waves = self._backend.transmit(waves, transmission, self._propagator(_next(stops, index)))
            elif stops[index]:
                waves = self._backend.propagate(waves, self._propagator(_next(stops, index)))
        yield self._backend.to_host(waves)

    def _set_tilt(self, tilt: tuple[float, float]) -> None:
        if tilt != self._tilt:
            self._propagators.clear()
            self._tilt = tilt

    def _by_element(
        self, configuration: Configuration, chosen: NDArray[np.bool_], n_slices: int
    ) -> dict[int, SlicedAtoms]:
        positions, numbers = configuration.positions[chosen], configuration.numbers[chosen]
        return {
            int(number): SlicedAtoms(positions[numbers == number], n_slices, self._block.slice_thickness)
            for number in np.unique(numbers)
        }

    def _reach(self, number: int) -> int:
        """Slices beyond its own that an atom reaches into."""
        return int(np.ceil(self._projection(number).reach / self._block.slice_thickness))

    def _projection(self, number: int) -> Projection:
        if number not in self._projections:
            block = self._block
            self._projections[number] = projection(
                number, block.parametrization, self._size, self._sampling, block.projection, block.slice_thickness
            )
        return self._projections[number]

    def _factor(self, number: int, term: int) -> Table:
        """Phase [rad] that an atom adds, over the frequencies, ready to be folded with what is put on the grid."""
        if (number, term) not in self._factors:
            divisor = spectrum_of_spreading(self._size, self._sampling, self._support)
            factor = self._projection(number).factors[term] * interaction_parameter(self._block.energy) / divisor
            self._factors[number, term] = self._backend.factor(factor.astype(np.float32))
        return self._factors[number, term]

    def _occupied(self, batch: list[dict[int, SlicedAtoms]], n_slices: int) -> NDArray[np.bool_]:
        """Slices with a potential of any batch member."""
        occupied = np.zeros(n_slices, bool)
        for elements in batch:
            for number, atoms in elements.items():
                reach = self._reach(number)
                for index in np.unique(atoms.slices):
                    occupied[max(0, index - reach) : index + reach + 1] = True
        return occupied

    def _potentials(self, batch: list[dict[int, SlicedAtoms]], occupied: NDArray[np.bool_], index: int) -> Grid | None:
        """Potentials of the slices ``index`` and ``index + 1``; None where both are empty."""
        if not occupied[index : index + 2].any():
            return None
        terms: list[tuple[Table, Sequence[Deposit]]] = []
        for number in sorted({number for elements in batch for number in elements}):
            deposits = [self._deposits(elements.get(number), number, index) for elements in batch]
            if any(len(of_terms[0].pixels) for of_terms in deposits):
                for term, of_batch in enumerate(zip(*deposits, strict=True)):
                    terms.append((self._factor(number, term), of_batch))
        return self._backend.potentials(terms)

    def _deposits(self, atoms: SlicedAtoms | None, number: int, index: int) -> list[Deposit]:
        """What an element deposits for each term of its projection; ``atoms`` is None where a structure lacks it."""
        thickness, kind = self._block.slice_thickness, self._projection(number)
        n_terms = len(kind.factors)
        if atoms is None:
            return [Deposit(np.empty((0, 2)), np.empty(0, np.complex64))] * n_terms
        reach = self._reach(number)
        near = atoms.within(index - reach, index + 1 + reach)
        pixels = atoms.positions[near, :2] / self._sampling
        if reach == 0:
            weights = np.where(atoms.slices[near] == index, 1, 1j).astype(np.complex64)[None]
        else:
            depth = atoms.positions[near, 2] - thickness * index
            weights = kind.weights(depth) + np.complex64(1j) * kind.weights(depth - thickness)
        return [Deposit(pixels, of_term) for of_term in weights]

    def _transmission(self, potentials: Grid, index: int) -> Grid:
        return self._backend.transmission(potentials, bool(index % 2), self._block.scheme == "conventional")

    def _propagator(self, slices: int) -> Band:
        """Propagator through a number of slices, limited as often as abTEM would have done."""
        if slices not in self._propagators:
            distance = slices * self._block.slice_thickness
            propagation = fresnel(self._band, self._edge, distance, self._block.energy, self._tilt)
            self._propagators[slices] = self._backend.propagator(propagation * self._aperture**slices)
        return self._propagators[slices]


def _next(stops: NDArray[np.bool_], index: int) -> int:
    """Slices from ``index`` to the next one that is a stop, or to the end."""
    beyond = np.flatnonzero(stops[index + 1 :])
    return int(beyond[0]) + 1 if len(beyond) else len(stops) - index
