"""A stack of strained layers on a substrate, scanned by a probe: at each place the atoms of a box around the probe.

A kind of the structures stage (see :class:`exitwave.items.StructureSimulation`), for the geometry of fig. 3 of Munshi
et al., npj Comput. Mater. 8 (2022) 254.

What the specimen is stands in :mod:`exitwave.structures.specimen`. Where the crystal is tilted, a box holds the
specimen turned as a rigid body about the place of the probe at half the thickness; its faces stay across the beam. So
every probe meets a perfect, tilted crystal, its interfaces tilted with it, and the bending from one place to the next
is left out. Boxes of a tilted specimen do not fit together.

The strain of a place is that of the lattice. What disks show of it is the projected one: a tilt of the crystal by an
angle t shortens reciprocal vectors across the beam along its direction by cos t, which at 77 mrad is 0.3 %.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from exitwave.config.crystals import Alloy, Multilayer
from exitwave.config.graph import Node
from exitwave.errors import StructureError
from exitwave.items import BYTES_OF_A_ROW, Asked, Cost, Groups, Item
from exitwave.structures.crystal import Crystal, describe_crystal
from exitwave.structures.groups import groups_by_content
from exitwave.structures.materials import load_material
from exitwave.structures.specimen import EDGE, Place, Specimen, box_of, corners_in_specimen, place_of, specimen_of
from exitwave.structures.structure import Structure, item_arrays
from exitwave.structures.unit_cell import UnitCell

FloatArray = NDArray[np.float64]
_BYTES_OF_AN_ATOM, _BYTES_OF_AN_ITEM = 9.0, 6000.0
"""Stored, compressed."""
_MEMORY, _MEMORY_OF_AN_ATOM = 400.0, 4e-4
"""Of a job, and of an atom of a box [MB]."""
_SECONDS, _SECONDS_OF_AN_ATOM = 0.01, 1e-6


def check(node: Node) -> None:
    """Refuse a stack that cannot be made or scanned.

    Raises
    ------
    StructureError
        If the material is unknown, an alloy is of elements that it or nature does not have, the field of view is
        smaller than the cell, or a box reaches beyond the last layer.
    """
    block = node.of(Multilayer)
    crystal = _material(block)
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
    highest = max(float(corners_in_specimen(block, place)[:, 0].max()) for place in places)
    top = float(specimen.interfaces[-1])
    if highest > top + EDGE:
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
    atoms = float(density * block.field_of_view**2 * block.thickness)
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
    content = json.dumps(block.stack() | {"specimen": block.specimen}, sort_keys=True)
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


def _material(block: Multilayer) -> Crystal:
    try:
        return load_material(block.material)
    except StructureError as error:
        raise StructureError(str(error) if str(error).startswith("material ") else f"material: {error}") from error


def _alloys(block: Multilayer) -> Iterator[tuple[str, Alloy]]:
    """The alloys by their keys."""
    yield "substrate", block.substrate
    for place, layer in enumerate(block.layers):
        yield f"layers[{place}].alloy", layer.alloy


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
    unit = _mean_cell(specimen, layer, place.turn)
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


def _mean_cell(specimen: Specimen, layer: int, orientation: FloatArray) -> UnitCell:
    """The lattice of a layer, with all elements of an alloy in each of its places."""
    host = specimen.numbers
    shares = {int(number): {int(number): 1.0} for number in np.unique(host)}
    for symbol, guests in specimen.alloys[layer].items():
        shares[atomic_numbers[symbol]] = {atomic_numbers[symbol]: 1 - sum(guests.values())} | {
            atomic_numbers[guest]: share for guest, share in guests.items()
        }
    sites = [(site, *found) for site, number in enumerate(host) for found in shares[int(number)].items()]
    places, numbers, occupancy = (np.array(column) for column in zip(*sites, strict=True))
    stretch = np.diag([1 + specimen.strains[layer], 1.0, 1.0])
    return UnitCell(
        specimen.vectors @ stretch, specimen.fractional[places], numbers.astype(np.uint8), orientation, occupancy
    )
