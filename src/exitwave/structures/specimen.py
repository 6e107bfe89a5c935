"""A specimen of layers on a substrate, and the atoms of boxes that are cut from it.

The specimen has x along the direction of growth, 0 at the surface of the substrate, and z along the zone axis. It is
the lattice of the substrate, stretched along x within each layer and nowhere else: the map of x is continuous and
piecewise linear, so that planes within a layer have exactly the spacing that its strain gives. Which element is in a
place of an alloy follows from the indices of the place and the number of the specimen: boxes cut one and the same
specimen, of which no more is made than they hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from exitwave.config.crystals import Alloy, Multilayer
from exitwave.structures.materials import load_material
from exitwave.structures.reading import SYMMETRY
from exitwave.structures.transforms import axis_rotation, orient

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
EDGE = 1e-6
"""What is this close to a face or an interface [Å] is on it, so that rounding decides nothing."""


@dataclass(frozen=True, eq=False)
class Specimen:
    """A stack, as far as it is the same at every place.

    Attributes
    ----------
    vectors : ndarray [3, 3]
        Rows: vectors of the primitive cell of the substrate in the frame of the specimen [Å].
    fractional : ndarray [n, 3]
        Its sites.
    numbers : ndarray, uint8 [n]
        Elements of the material on them.
    interfaces : ndarray [layers + 1]
        x of the surfaces of the substrate and of each layer [Å].
    strains : ndarray [layers + 1]
        Strain along x of the substrate, which is 0, and of each layer.
    alloys : tuple of Alloy
        What is on the sites of the substrate and of each layer.
    number : int
        Number of the specimen.
    """

    vectors: FloatArray
    fractional: FloatArray
    numbers: NDArray[np.uint8]
    interfaces: FloatArray
    strains: FloatArray
    alloys: tuple[Alloy, ...]
    number: int

    def layer_of(self, x: FloatArray) -> IntArray:
        """Layer at places x [Å], 0 for the substrate; above the stack the last one."""
        return np.searchsorted(self.interfaces[:-1], np.asarray(x) + EDGE, side="right")

    def unstretched(self, x: FloatArray) -> FloatArray:
        """Where places x [Å] would be in the lattice of the substrate."""
        layer = self.layer_of(x)
        start, first = self._starts()
        return np.asarray(first[layer] + (x - start[layer]) / (1 + self.strains[layer]))

    def stretched(self, s: FloatArray) -> tuple[FloatArray, IntArray]:
        """Where places s [Å] in the lattice of the substrate really are, and in which layer."""
        start, first = self._starts()
        layer = np.searchsorted(first[1:], s + EDGE, side="right")
        return start[layer] + (s - first[layer]) * (1 + self.strains[layer]), layer

    def _starts(self) -> tuple[FloatArray, FloatArray]:
        """Where each layer starts, in the specimen and in the lattice of the substrate [Å]; the substrate from 0 on."""
        widths = np.diff(self.interfaces) / (1 + self.strains[1:])
        first = np.concatenate([[0.0], np.cumsum(widths)])[:-1]
        return np.concatenate([[0.0], self.interfaces[:-1]]), np.concatenate([[0.0], first])


@dataclass(frozen=True)
class Place:
    """A place of the probe: column, row, x and y [Å] in the specimen, and the tilt there [mrad, °]."""

    column: int
    row: int
    x: float
    y: float
    mistilt: float
    azimuth: float

    @property
    def turn(self) -> FloatArray:
        """Rotation [3, 3] that tilts the zone axis off the beam, as `exitwave.structures.transforms.orient` does."""
        azimuth = np.radians(self.azimuth)
        return axis_rotation([-np.sin(azimuth), np.cos(azimuth), 0], float(np.degrees(self.mistilt / 1e3)))


def specimen_of(block: Multilayer) -> Specimen:
    """The stack that a block describes."""
    vectors, fractional, numbers = _lattice(
        block.material, block.lattice_constant, tuple(block.zone_axis), tuple(block.growth)
    )
    layers = block.layers * block.repeats
    return Specimen(
        vectors=vectors,
        fractional=fractional,
        numbers=numbers,
        interfaces=np.concatenate([[0.0], np.cumsum([layer.width for layer in layers])]),
        strains=np.array([0.0, *(layer.strain for layer in layers)]),
        alloys=(block.substrate, *(layer.alloy for layer in layers)),
        number=block.specimen,
    )


@lru_cache(maxsize=8)
def _lattice(
    material: str, lattice_constant: float | None, zone_axis: tuple[int, ...], growth: tuple[int, ...]
) -> tuple[FloatArray, FloatArray, NDArray[np.uint8]]:
    """Primitive cell of the substrate in the frame of the specimen: vectors [Å], sites and elements."""
    import spglib

    crystal = load_material(material)
    scale = 1.0 if lattice_constant is None else lattice_constant / float(np.linalg.norm(crystal.cell[0]))
    upright = orient(crystal.cell, zone_axis=zone_axis)
    normal = upright @ np.linalg.inv(crystal.cell) @ np.asarray(growth, dtype=np.float64)
    turn = axis_rotation([0, 0, 1], -float(np.degrees(np.arctan2(normal[1], normal[0])))) @ upright
    found = spglib.standardize_cell(
        (crystal.cell, crystal.fractional, crystal.numbers), to_primitive=True, no_idealize=True, symprec=SYMMETRY
    )
    vectors, sites, numbers = found
    turned = np.asarray(scale * np.asarray(vectors, dtype=np.float64) @ turn.T)
    return turned, np.asarray(sites), np.asarray(numbers, dtype=np.uint8)


def place_of(block: Multilayer, item: int) -> Place:
    """The place of the probe of an item."""
    row, column = divmod(item, block.scan.columns)
    way, mistilt, azimuth = column / max(1, block.scan.columns - 1), 0.0, 0.0
    if block.mistilt is not None:
        mistilt, azimuth = (
            first + way * (last - first) for first, last in (block.mistilt.magnitude, block.mistilt.azimuth)
        )
    x, y = block.scan.start + column * block.scan.step, row * (block.scan.row_step or block.scan.step)
    return Place(column, row, x, y, mistilt, azimuth)


def box_of(block: Multilayer, specimen: Specimen, place: Place) -> tuple[FloatArray, NDArray[np.uint8], IntArray]:
    """Atoms of the box at a place.

    Returns
    -------
    positions : ndarray [n, 3]
        In the frame of the box [Å]: the probe is at the middle of x and y, and the beam enters at z = 0.
    numbers : ndarray, uint8 [n]
    layers : ndarray, int [n]
        0 for the substrate.
    """
    corners = corners_in_specimen(block, place)
    corners[:, 0] = specimen.unstretched(corners[:, 0])
    # The box in the lattice of the substrate lies within the one that is spanned by its corners.
    spanned = np.array(list(product(*np.stack([corners.min(axis=0), corners.max(axis=0)], axis=1))))
    # One cell more on each side, since layers are stretched and sites stand off the corner of their cell.
    indices = spanned @ np.linalg.inv(specimen.vectors)
    low, high = np.floor(indices.min(axis=0)).astype(int) - 1, np.ceil(indices.max(axis=0)).astype(int) + 1
    edge, found = np.array([block.field_of_view, block.field_of_view, block.thickness]), []
    for first in range(low[0], high[0] + 1):
        cells = np.stack(np.meshgrid(first, *(np.arange(low[i], high[i] + 1) for i in (1, 2)), indexing="ij"), -1)
        cells = np.repeat(cells.reshape(-1, 3), len(specimen.numbers), axis=0)
        sites = np.tile(np.arange(len(specimen.numbers)), len(cells) // len(specimen.numbers))
        positions = (cells + specimen.fractional[sites]) @ specimen.vectors
        positions[:, 0], layers = specimen.stretched(positions[:, 0])
        positions = (positions - _pivot(block, place)) @ place.turn.T + edge / 2
        inside = np.all((positions >= -EDGE) & (positions < edge - EDGE), axis=1)
        found.append((positions[inside], cells[inside], sites[inside], layers[inside]))
    positions, cells, sites, layers = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return np.maximum(positions, 0), elements_at(specimen, cells, sites, layers), layers


def elements_at(specimen: Specimen, cells: IntArray, sites: IntArray, layers: IntArray) -> NDArray[np.uint8]:
    """Atomic numbers, uint8 [n], on sites [n] of the cells [n, 3] of the lattice, in layers [n]."""
    chances, numbers = _chances(specimen.number, cells, sites), specimen.numbers[sites]
    result = numbers.copy()
    for layer in np.unique(layers):
        for host, guests in specimen.alloys[layer].items():
            places = (layers == layer) & (numbers == atomic_numbers[host])
            below = 0.0
            for guest, part in guests.items():
                result[places & (chances >= below) & (chances < below + part)] = atomic_numbers[guest]
                below += part
    return result


def _chances(number: int, cells: IntArray, sites: IntArray) -> FloatArray:
    """A number in [0, 1) for each site, which follows from its indices: as good as drawn, and nothing to remember.

    Each index is stirred into a state by the finaliser of SplitMix64 (G. L. Steele, D. Lea and C. H. Flood, OOPSLA
    2014).
    """
    state = np.full(len(sites), number, dtype=np.uint64)
    for index in (*cells.T, sites):
        state = state + index.astype(np.int64).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
        state ^= state >> np.uint64(31)
    return np.asarray((state >> np.uint64(11)) / 2**53, dtype=np.float64)


def _pivot(block: Multilayer, place: Place) -> FloatArray:
    """Point of the specimen [3] that the crystal is turned about, in the middle of the box [Å]."""
    return np.array([place.x, place.y, block.thickness / 2])


def corners_in_specimen(block: Multilayer, place: Place) -> FloatArray:
    """Corners [8, 3] of the box at a place, where they are in the specimen before it is turned [Å]."""
    signs = np.array(list(product((-1.0, 1.0), repeat=3)))
    half = np.array([block.field_of_view, block.field_of_view, block.thickness]) / 2
    return np.asarray((signs * half) @ place.turn + _pivot(block, place), dtype=np.float64)
