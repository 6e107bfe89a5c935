"""Particles as seen along the beam, each on its window of the periodic grid of a wave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from exitwave.errors import StructureError
from exitwave.labels.crystals import CrystalDomain, atomic_volumes, crystal_domains
from exitwave.structures.structure import Structure

FloatArray = NDArray[np.float64]
Map = NDArray[np.float32]

CLOSING = 2.0
"""Gaps between the discs of a particle's atoms that are narrower than twice this [Å] belong to the particle.

The widest channels of the crystals of the library, between columns of wurtzite along [0001], are closed by 1.3 Å.
"""
SMOOTHING = 1.75
"""Standard deviation of the Gaussian that spreads atoms into a thickness [Å].

Columns of wurtzite along [0001], with channels 4.3 Å apart, leave ripples of 1.5 %.
"""
MARGIN = 6.0
"""Room about the atoms in a window [Å]: for the discs and their closing."""
_BINS = 256
"""Bins along a period in which the widest gap between atoms is looked for."""


@dataclass(frozen=True)
class Window:
    """A rectangle of a periodic grid; it may run over an edge. Along an axis that it fills, it is periodic itself.

    Attributes
    ----------
    grid : tuple of int
        Shape (ny, nx) of the periodic grid.
    start : tuple of int
        Row and column of the grid where the window begins.
    shape : tuple of int
        Rows and columns of the window.
    """

    grid: tuple[int, int]
    start: tuple[int, int]
    shape: tuple[int, int]

    def places(self, mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the grid where a mask of the window is true."""
        rows, columns = np.nonzero(mask)
        return (rows + self.start[0]) % self.grid[0], (columns + self.start[1]) % self.grid[1]

    def deposit(self, pixels: FloatArray, weights: FloatArray | None = None) -> Map:
        """Atoms at ``pixels`` [n, 2], in (column, row) of the grid, shared out to the four pixels around each."""
        ny, nx = self.shape
        first = np.floor(pixels).astype(np.int64)
        part = pixels - first
        columns = [(first[:, 0] + step - self.start[1]) % nx for step in (0, 1)]
        rows = [(first[:, 1] + step - self.start[0]) % ny * nx for step in (0, 1)]
        across, down = (1 - part[:, 0], part[:, 0]), (1 - part[:, 1], part[:, 1])
        places = np.concatenate([row + column for row in rows for column in columns])
        shares = np.concatenate([low * left * (1.0 if weights is None else weights) for low in down for left in across])
        return np.bincount(places, weights=shares, minlength=ny * nx).reshape(ny, nx).astype(np.float32)

    def smooth(self, sharp: Map, width: float) -> Map:
        """A map of the window, spread by a Gaussian of standard deviation ``width`` [px]; nothing is outside."""
        spread = np.zeros_like(sharp)
        reach = int(np.ceil(4 * width)) + 1
        box = []
        for axis, full in enumerate(self.filled):
            found = np.flatnonzero(sharp.any(axis=1 - axis))
            box.append(
                slice(None) if full or not len(found) else slice(max(0, found[0] - reach), found[-1] + reach + 1)
            )
        modes = ["wrap" if full else "constant" for full in self.filled]
        gaussian_filter(sharp[tuple(box)], width, mode=modes, output=spread[tuple(box)])
        return spread

    def distance(self, outside: NDArray[np.bool_], reach: int) -> FloatArray:
        """Distance of every pixel that is ``outside`` from the nearest one that is not [px], right up to ``reach``."""
        margins = [min(side, reach) if full else 0 for side, full in zip(self.shape, self.filled, strict=True)]
        padded = np.pad(outside, [(margin, margin) for margin in margins], mode="wrap")
        inner = tuple(slice(margin, margin + side) for margin, side in zip(margins, self.shape, strict=True))
        return np.asarray(distance_transform_edt(padded)[inner])

    @property
    def filled(self) -> tuple[bool, bool]:
        """Whether it fills the grid along y and along x."""
        return self.shape[0] == self.grid[0], self.shape[1] == self.grid[1]


@dataclass(frozen=True)
class ProjectedParticle:
    """The atoms of one particle, without molecules on it, seen along the beam.

    Attributes
    ----------
    object_id : int
        Its number in the structure.
    positions : ndarray [n, 3]
        Positions [Å], laterally brought together across the edges of the cell.
    numbers, role, grain : ndarray, uint8 [n]
        As of the structure.
    sampling : float
        Pixel of the grid [Å]; the centre of pixel (i, j) is at (x, y) = (j, i) times it.
    window : Window
        The part of the grid that the particle covers.
    structure : Structure
        The structure that it is a part of.
    """

    object_id: int
    positions: FloatArray
    numbers: NDArray[np.uint8]
    role: NDArray[np.uint8]
    grain: NDArray[np.uint8]
    sampling: float
    window: Window
    structure: Structure

    def density(
        self, atoms: NDArray[Any] | None = None, weights: FloatArray | None = None, width: float = SMOOTHING
    ) -> Map:
        """Atoms [1/Å²], or what they weigh, on the window, each spread by a Gaussian of deviation ``width`` [Å].

        Only some of the ``atoms`` if these are given, as indices or as a mask; ``weights`` are of those.
        """
        positions = self.positions if atoms is None else self.positions[atoms]
        sharp = self.window.deposit(positions[:, :2] / self.sampling, weights)
        return self.window.smooth(sharp, width / self.sampling) / np.float32(self.sampling**2)

    @cached_property
    def domains(self) -> list[CrystalDomain]:
        """The crystals that it consists of."""
        return crystal_domains(self.structure, self.object_id, self.positions, self.grain)

    @cached_property
    def silhouette(self) -> NDArray[np.bool_]:
        """Pixels of the window that the particle covers.

        The union of discs of the covalent radii of the atoms, closed by a disc of radius `CLOSING`.
        """
        radii = covalent_radii[self.numbers]
        distance = np.full(self.window.shape, np.inf)
        (ny, nx), (top, left), reach = self.window.shape, self.window.start, int(np.ceil(MARGIN / self.sampling))
        columns = (np.rint(self.positions[:, 0] / self.sampling).astype(np.int64) - left) % nx
        rows = (np.rint(self.positions[:, 1] / self.sampling).astype(np.int64) - top) % ny
        for radius in np.unique(radii):
            free = np.ones(self.window.shape, dtype=bool)
            free[rows[radii == radius], columns[radii == radius]] = False
            distance = np.minimum(distance, self.window.distance(free, reach) * self.sampling - radius)
        # The edge runs half a pixel before the centre of the first pixel outside.
        depth = (self.window.distance(distance <= CLOSING, reach) - 0.5) * self.sampling
        return np.asarray((distance <= 0) | (depth > CLOSING))

    @cached_property
    def thickness(self) -> Map:
        """Projected thickness on the window [Å]; 0 outside of the silhouette.

        Atoms per area times the volume of an atom in its crystal, each atom spread by a Gaussian, over the share of
        the Gaussian that lies in the silhouette: so a cube is as thick at its faces as in its middle.
        """
        spread = self.density(weights=atomic_volumes(self.domains, len(self.positions)))
        inside = self.window.smooth(self.silhouette.astype(np.float32), SMOOTHING / self.sampling)
        thickness: Map = np.divide(spread, inside, out=np.zeros_like(spread), where=self.silhouette)
        return thickness


def seen_along(structure: Structure, tilt: tuple[float, float]) -> Structure:
    """A structure sheared so that its projection along z is what a tilted beam sees.

    Parameters
    ----------
    structure : Structure
        The structure.
    tilt : tuple of float
        Tilt of the beam towards x and y [mrad].

    Returns
    -------
    Structure
        Every atom moved sideways, against the tilt, by its height above mid-height of all atoms times the tangent of
        the tilt, as in the exit waves (`exitwave.waves.exit_waves.ExitWaves`). Lengths along the beam differ by less
        than 0.5 % up to 100 mrad, which is left out.
    """
    if tilt == (0.0, 0.0) or not len(structure.positions):
        return structure
    positions = structure.positions.copy()
    height = positions[:, 2] - (positions[:, 2].min() + positions[:, 2].max()) / 2
    positions[:, :2] = np.mod(positions[:, :2] - np.outer(height, np.tan(np.array(tilt) * 1e-3)), structure.cell[:2])
    return replace(structure, positions=positions)


def project_particles(structure: Structure, grid: tuple[int, int], sampling: float) -> list[ProjectedParticle]:
    """The particles of a structure, seen along the beam.

    Parameters
    ----------
    structure : Structure
        The structure.
    grid : tuple of int
        Shape (ny, nx) of the periodic grid.
    sampling : float
        Its pixel [Å].

    Returns
    -------
    list of ProjectedParticle
        By ascending object id; particles without an atom of their own are left out.

    Raises
    ------
    StructureError
        If the grid is not that of the cell.
    """
    ny, nx = grid
    edges = structure.cell[:2]
    if not np.allclose([nx * sampling, ny * sampling], edges, rtol=1e-6):
        raise StructureError(
            f"a wave of {ny} x {nx} pixels of {sampling:g} Å covers {nx * sampling:g} x {ny * sampling:g} Å, but the "
            f"cell of the structure is {edges[0]:g} x {edges[1]:g} Å; allowed: the wave of that structure"
        )
    atoms = structure.only_particles()
    particles = []
    for object_id in np.unique(atoms.object_id):
        chosen = atoms.object_id == object_id
        positions = atoms.positions[chosen].copy()
        low, shape = [0, 0], [0, 0]
        for axis, pixels in enumerate((nx, ny)):
            positions[:, axis] = brought_together(positions[:, axis], float(edges[axis]))
            low[axis] = int(np.floor((positions[:, axis].min() - MARGIN) / sampling))
            shape[axis] = int(np.ceil((positions[:, axis].max() + MARGIN) / sampling)) + 1 - low[axis]
            if shape[axis] >= pixels:
                low[axis], shape[axis] = 0, pixels
        window = Window((ny, nx), (low[1], low[0]), (shape[1], shape[0]))
        particles.append(
            ProjectedParticle(
                int(object_id),
                positions,
                atoms.numbers[chosen],
                atoms.role[chosen],
                atoms.grain[chosen],
                sampling,
                window,
                structure,
            )
        )
    return particles


def brought_together(values: FloatArray, edge: float) -> FloatArray:
    """Coordinates [n] of the atoms of one object in a periodic cell, on one side of the widest gap between them [Å]."""
    taken = np.flatnonzero(np.bincount((values * (_BINS / edge)).astype(np.int64) % _BINS, minlength=_BINS))
    gaps = np.diff(np.append(taken, taken[0] + _BINS))
    begin = taken[(int(gaps.argmax()) + 1) % len(taken)] * (edge / _BINS)
    return np.asarray((values - begin) % edge + begin)
