"""A stack of strained layers on a substrate, scanned by a probe: at each place the atoms of a box around the probe.

A kind of the structures stage (see :class:`exitwave.items.StructureSimulation`), for the geometry of fig. 3 of Munshi
et al., npj Comput. Mater. 8 (2022) 254.

The specimen has x along the direction of growth, 0 at the surface of the substrate, and z along the zone axis. It is
the lattice of the substrate, stretched along x within each layer and nowhere else: the map of x is continuous and
piecewise linear, so that planes within a layer have exactly the spacing that its strain gives. Which element is in a
place of an alloy follows from the indices of the place and the number of the specimen: boxes cut one and the same
specimen, of which no more is made than they hold.

Where the crystal is tilted, a box holds the specimen turned as a rigid body about the place of the probe at half the
thickness; its faces stay across the beam. So every probe meets a perfect, tilted crystal, its interfaces tilted with
it, and the bending from one place to the next is left out. Boxes of a tilted specimen do not fit together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from exitwave.config.crystals import Alloy, Multilayer
from exitwave.config.graph import Node
from exitwave.errors import StructureError
from exitwave.items import BYTES_OF_A_ROW, Asked, Cost, Groups, Item
from exitwave.structures.crystal import describe_crystal
from exitwave.structures.groups import groups_by_content
from exitwave.structures.materials import load_material
from exitwave.structures.reading import SYMMETRY
from exitwave.structures.structure import Structure, item_arrays
from exitwave.structures.transforms import axis_rotation, orient
from exitwave.structures.unit_cell import UnitCell

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_EDGE = 1e-6
"""What is this close to a face or an interface [Å] is on it, so that rounding decides nothing."""
_BYTES_OF_AN_ATOM, _BYTES_OF_AN_ITEM = 8.0, 6000.0
"""Stored, compressed."""
_MEMORY, _MEMORY_OF_AN_ATOM = 400.0, 2e-3
"""Of a job [MB]: some ten times as many places are looked at as atoms are found."""
_SECONDS, _SECONDS_OF_AN_ATOM = 0.005, 3e-6


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
        return np.searchsorted(self.interfaces[:-1], np.asarray(x) + _EDGE, side="right")

    def unstretched(self, x: FloatArray) -> FloatArray:
        """Where places x [Å] would be in the lattice of the substrate."""
        layer = self.layer_of(x)
        start, first = self._starts()
        return np.asarray(first[layer] + (x - start[layer]) / (1 + self.strains[layer]))

    def stretched(self, s: FloatArray) -> tuple[FloatArray, IntArray]:
        """Where places s [Å] in the lattice of the substrate really are, and in which layer."""
        start, first = self._starts()
        layer = np.searchsorted(first[1:], s + _EDGE, side="right")
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


def check(node: Node) -> None:
    """Refuse a stack that cannot be made or scanned.

    Raises
    ------
    StructureError
        If the material is unknown, an alloy is of elements that it or nature does not have, the field of view is
        smaller than the cell, or a box reaches beyond the last layer.
    """
    block = node.of(Multilayer)
    crystal = load_material(block.material)
    held = {chemical_symbols[number] for number in crystal.numbers}
    for key, alloy in _alloys(block):
        for host, guests in alloy.items():
            if host not in held:
                raise StructureError(
                    f"{key}: found '{host}' replaced; allowed: elements of {block.material}, {', '.join(sorted(held))}"
                )
            for guest in guests:
                if atomic_numbers.get(guest, 0) < 1:
                    raise StructureError(f"{key}: found '{guest}'; allowed: chemical symbols such as 'Ge'")
    specimen = specimen_of(block)
    largest = float(np.linalg.norm(specimen.vectors, axis=1).max())
    if block.field_of_view < largest:
        raise StructureError(
            f"field_of_view: found {block.field_of_view:g} Å; allowed: the cell of {block.material}, {largest:.3g} Å, "
            "or more"
        )
    places = (place_of(block, column) for column in range(block.scan.columns))
    highest = max(float(_in_specimen(block, place, _corners(block, place)).max(axis=0)[0]) for place in places)
    top = float(specimen.interfaces[-1])
    if highest > top + _EDGE:
        raise StructureError(
            f"scan: found boxes that reach {highest:.4g} Å above the substrate; allowed: up to {top:.4g} Å, the top of "
            "the stack"
        )


def make(block: Multilayer, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Make the boxes of places; nothing is drawn."""
    specimen = specimen_of(block)
    for one in asked:
        yield _item(block, specimen, place_of(block, one.item))


def cost(node: Node) -> Cost:
    """Estimate from the atoms in a box."""
    block = node.of(Multilayer)
    specimen = specimen_of(block)
    density = len(specimen.numbers) / abs(np.linalg.det(specimen.vectors))
    atoms = density * block.field_of_view**2 * block.thickness
    return Cost(
        stored=_BYTES_OF_AN_ATOM * atoms + _BYTES_OF_AN_ITEM + BYTES_OF_A_ROW,
        memory=_MEMORY + _MEMORY_OF_AN_ATOM * atoms,
        seconds=_SECONDS + _SECONDS_OF_AN_ATOM * atoms,
    )


def needs(block: Multilayer) -> tuple[str, ...]:
    """None: structures are where everything begins."""
    return ()


def sketch(block: Multilayer) -> Multilayer:
    """The block itself: it takes a fraction of a second."""
    return block


def groups(block: Multilayer, identity: str, start: int, stop: int) -> Groups:
    """One group: all places are of one specimen, which is the same however it is tilted and scanned."""
    keys = {"material", "lattice_constant", "zone_axis", "growth", "substrate", "layers", "repeats", "specimen"}
    content = json.dumps(block.model_dump(mode="json", include=keys), sort_keys=True)
    name = f"multilayer {hashlib.blake2b(content.encode(), digest_size=8).hexdigest()}"
    return groups_by_content([name] * (stop - start))


def elements(block: Multilayer) -> set[str]:
    """Chemical symbols of the material and its alloys."""
    guests = {guest for _, alloy in _alloys(block) for found in alloy.values() for guest in found}
    return {chemical_symbols[number] for number in load_material(block.material).numbers} | guests


def crystals(block: Multilayer) -> Iterator[str]:
    """The material, in words."""
    yield f"{block.material}: {describe_crystal(load_material(block.material))}"


def height(block: Multilayer) -> float:
    """Height of the box [Å], which is the thickness."""
    return block.thickness


def _alloys(block: Multilayer) -> Iterator[tuple[str, Alloy]]:
    """The alloys by their keys."""
    yield "substrate", block.substrate
    for place, layer in enumerate(block.layers):
        yield f"layers[{place}].alloy", layer.alloy


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
    return Place(column, row, block.scan.start + column * block.scan.step, row * block.scan.step, mistilt, azimuth)


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
    corners = _in_specimen(block, place, _corners(block, place))
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
        inside = np.all((positions >= -_EDGE) & (positions < edge - _EDGE), axis=1)
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


def _corners(block: Multilayer, place: Place) -> FloatArray:
    """Corners [8, 3] of the box [Å], from its middle."""
    half = np.array([block.field_of_view, block.field_of_view, block.thickness]) / 2
    return half * np.array(list(product((-1, 1), repeat=3)))


def _in_specimen(block: Multilayer, place: Place, points: FloatArray) -> FloatArray:
    """Points [n, 3], from the middle of the box, where they are in the specimen before it is turned [Å]."""
    return np.asarray(points @ place.turn + _pivot(block, place))


def _item(block: Multilayer, specimen: Specimen, place: Place) -> Item:
    positions, numbers, layers = box_of(block, specimen, place)
    edges = np.array([block.field_of_view, block.field_of_view, block.thickness])
    structure = Structure(
        positions=positions,
        numbers=numbers,
        object_id=(layers > 0).astype(np.uint8),
        cell=edges,
        grain=layers.astype(np.uint8),
        periodic=False,
    )
    layer = int(specimen.layer_of(np.array([place.x]))[0])
    stretch = np.diag([1 + specimen.strains[layer], 1.0, 1.0])
    unit = UnitCell(specimen.vectors @ stretch, specimen.fractional, _most(specimen, layer), place.turn)
    # Disks stand where the components of reciprocal vectors across the beam are: those of the tilted crystal.
    seen = np.asarray(np.linalg.inv(place.turn[:2, :2]).T @ stretch[:2, :2], dtype=np.float64)
    azimuth = np.radians(place.azimuth)
    row = {
        "scan_column": place.column,
        "scan_row": place.row,
        "scan_x": place.x,
        "scan_y": place.y,
        "layer": layer,
        # The top of the stack is no interface.
        "interface_distance": float(np.abs(specimen.interfaces[:-1] - place.x).min()),
        **_tensor("strain", "rotation", stretch[:2, :2]),
        **_tensor("projected", "projected_rotation", seen),
        "mistilt": place.mistilt,
        "mistilt_x": float(place.mistilt * np.cos(azimuth)),
        "mistilt_y": float(place.mistilt * np.sin(azimuth)),
        "zone_axis": " ".join(str(index) for index in block.zone_axis),
        "thickness": block.thickness,
        "n_atoms": len(numbers),
        "periodic": 0,
        "content_hash": structure.content_hash(),
    }
    return Item({**item_arrays(structure), **unit.arrays()}, row)


def _tensor(name: str, rotation: str, gradient: FloatArray) -> dict[str, Any]:
    """Strain, the symmetric part of a deformation [2, 2] less 1, and rotation [rad], as columns."""
    strain = (gradient + gradient.T) / 2 - np.eye(2)
    return {
        f"{name}_xx": float(strain[0, 0]),
        f"{name}_yy": float(strain[1, 1]),
        f"{name}_xy": float(strain[0, 1]),
        rotation: float((gradient[1, 0] - gradient[0, 1]) / 2),
    }


def _most(specimen: Specimen, layer: int) -> NDArray[np.uint8]:
    """The element that has most of the places of each site, uint8 [n]; of as many the one of the material."""
    numbers = specimen.numbers.copy()
    for host, guests in specimen.alloys[layer].items():
        shares = {host: 1 - sum(guests.values()), **guests}
        most = max(shares, key=lambda element: (round(shares[element], 9), element == host))
        numbers[specimen.numbers == atomic_numbers[host]] = atomic_numbers[most]
    return numbers
