"""What patterns are rendered from: the scattering matrix of a crystal, or the waves of probes behind a structure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from exitwave.config.patterns import Diffraction
from exitwave.electron import wavelength
from exitwave.imaging.patterns import Disks, Geometry, Optics, disk_intensities, disks_of, render, vacuum_probe
from exitwave.imaging.probe_patterns import render_waves
from exitwave.items import Asked
from exitwave.labels.reflections import FIELDS, reflections_of
from exitwave.structures.unit_cell import UnitCell, unit_cell_from
from exitwave.waves.probes import aperture_disk
from exitwave.waves.thermal import displacements_told

_TAILS = 1e-4
"""Share of the brightest pixel below which the disk of a probe has ended."""


@dataclass(frozen=True)
class Exposure:
    """What one pattern is rendered with.

    Attributes
    ----------
    plane : int
        Number of the thickness.
    semiangle : float
        [mrad].
    geometry : Geometry
    optics : Optics
    place : int
        Of waves of probes: number of the position.
    """

    plane: int
    semiangle: float
    geometry: Geometry
    optics: Optics
    place: int = 0


class Specimen(Protocol):
    """What patterns of one item are rendered from.

    Attributes
    ----------
    thicknesses : float64 [plane]
        [Å].
    wavelength : float
        [Å].
    reflections : float64 [n, 9]
        As from :func:`exitwave.labels.reflections.reflections_of`; none of a structure without a lattice.
    """

    thicknesses: NDArray[np.float64]
    wavelength: float

    @property
    def reflections(self) -> NDArray[np.float64]: ...

    def position(self, block: Diffraction, rng: np.random.Generator) -> tuple[int, tuple[float, float] | None]:
        """Number and place (x, y) [Å] of a probe that is drawn; no place where it is everywhere."""
        ...

    def pattern(self, exposure: Exposure) -> NDArray[np.float32]:
        """Share of the electrons in each pixel [y, x]."""
        ...

    def vacuum(self, exposure: Exposure) -> NDArray[np.float32]:
        """The same without the specimen, in the middle of the pattern."""
        ...

    def in_disks(self, exposure: Exposure, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the electrons in the disk of each reflection, whose places (x, y) [px] are given [n]."""
        ...


def specimen_of(one: Asked, reach: float) -> Specimen:
    """The specimen of an item; its reflections go up to ``reach`` [1/Å]."""
    return CrystalMatrix(one, reach) if "beams" in one.sources["exit_waves"] else ProbeWaves(one, reach)


class CrystalMatrix:
    """A perfect crystal by its scattering matrix; see :class:`Specimen`."""

    def __init__(self, one: Asked, reach: float) -> None:
        waves = one.sources["exit_waves"]
        self.thicknesses, self._tilts = waves["planes"].values, waves["tilts"].values
        self._amplitudes, self._beams = waves["amplitudes"].values, waves["beams"].values
        self.wavelength, self._step = wavelength(float(one.row["energy"])), float(one.row["tilt_step"])
        self._cell = unit_cell_from(one.sources["structures"])
        self._row, self._reach = one.row, min(reach, float(one.row["g_max"]))
        self._disks: tuple[int, Disks] | None = None

    @cached_property
    def reflections(self) -> NDArray[np.float64]:
        return _reflections(self._cell, self._row, self.wavelength, self._reach)

    def position(self, block: Diffraction, rng: np.random.Generator) -> tuple[int, tuple[float, float] | None]:
        # Every pattern draws a place, so that nothing else changes with how the probe stands.
        place = rng.random(3) @ self._cell.vectors
        if block.position == "incoherent":
            return 0, None
        return 0, (float(place[0]), float(place[1])) if block.position == "random" else (0.0, 0.0)

    def pattern(self, exposure: Exposure) -> NDArray[np.float32]:
        return render(self._at(exposure.plane), exposure.geometry, exposure.optics)

    def vacuum(self, exposure: Exposure) -> NDArray[np.float32]:
        return vacuum_probe(exposure.geometry, exposure.optics)

    def in_disks(self, exposure: Exposure, places: NDArray[np.float64]) -> NDArray[np.float64]:
        values = disk_intensities(self._at(exposure.plane), exposure.optics.table, exposure.geometry.sampling)
        of_beam = dict(zip(map(tuple, self._beams[:, :3].tolist()), values.tolist(), strict=True))
        return np.array([of_beam.get(tuple(hkl), 0.0) for hkl in self.reflections[:, 2:5].tolist()])

    def _at(self, plane: int) -> Disks:
        if self._disks is None or self._disks[0] != plane:
            thickness = float(self.thicknesses[plane])
            disks = disks_of(
                self._amplitudes[plane], self._tilts, self._beams[:, 3:], self._step, thickness, self.wavelength
            )
            self._disks = plane, disks
        return self._disks[1]


class ProbeWaves:
    """A structure by the waves of probes behind it; see :class:`Specimen`."""

    def __init__(self, one: Asked, reach: float) -> None:
        waves, structures = one.sources["exit_waves"], one.sources["structures"]
        self.thicknesses, self._positions = waves["planes"].values, waves["positions"].values
        self._semiangles, self._amplitudes = waves["semiangles"].values, waves["amplitudes"].values
        self._energy, self._edge = float(one.row["energy"]), 1 / float(one.row["spectrum_sampling"])
        self.wavelength = wavelength(self._energy)
        self._cell = unit_cell_from(structures) if "unit_cell" in structures else None
        self._row, self._reach = one.row, reach
        self._shown: tuple[Exposure, NDArray[np.float32]] | None = None

    @cached_property
    def reflections(self) -> NDArray[np.float64]:
        if self._cell is None:
            return np.zeros((0, len(FIELDS)))
        return _reflections(self._cell, self._row, self.wavelength, self._reach)

    def position(self, block: Diffraction, rng: np.random.Generator) -> tuple[int, tuple[float, float] | None]:
        place = int(rng.integers(len(self._positions)))
        return place, (float(self._positions[place, 0]), float(self._positions[place, 1]))

    def pattern(self, exposure: Exposure) -> NDArray[np.float32]:
        if self._shown is None or self._shown[0] is not exposure:
            number = int(np.abs(self._semiangles - exposure.semiangle).argmin())
            amplitudes = self._amplitudes[number, exposure.place, exposure.plane]
            x, y = self._positions[exposure.place].tolist()
            self._shown = exposure, render_waves(amplitudes, self._edge, (x, y), exposure.geometry)
        return self._shown[1]

    def vacuum(self, exposure: Exposure) -> NDArray[np.float32]:
        # With the soft edge that it was simulated with.
        size = self._amplitudes.shape[-1]
        disk = aperture_disk(size, self._edge, exposure.semiangle, self._energy)
        spectrum = np.fft.fftshift(disk / np.linalg.norm(disk)).astype(np.complex64)
        probe = render_waves(spectrum[np.newaxis], self._edge, (0.0, 0.0), exposure.geometry.centred())
        # Tails of the interpolation, a millionth of the electrons in all, would fill the pattern and its file.
        return np.where(probe < _TAILS * probe.max(), np.float32(0), probe)

    def in_disks(self, exposure: Exposure, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the pattern has within the radius of the probe around each place: of overlapping disks, both."""
        pattern, radius = self.pattern(exposure), exposure.optics.radius
        found = np.zeros(len(places))
        for number, (x, y) in enumerate(places):
            top, left = max(0, math.floor(y - radius)), max(0, math.floor(x - radius))
            part = pattern[top : max(0, math.ceil(y + radius) + 1), left : max(0, math.ceil(x + radius) + 1)]
            at_y, at_x = np.indices(part.shape)
            found[number] = part[np.hypot(at_y + top - y, at_x + left - x) <= radius + 0.5].sum(dtype=np.float64)
        return found


def _reflections(cell: UnitCell, row: Any, length: float, reach: float) -> NDArray[np.float64]:
    rms = displacements_told(cell.numbers, str(row["rms_displacements"]))
    return reflections_of(cell, rms, str(row["parametrization"]), length, reach)
