"""Perfect crystals in several orientations, of a library, of files, or of the Materials Project.

A kind of the structures stage (see :class:`exitwave.items.StructureSimulation`). Crystals are in the primitive cells
that are standard, whatever cell they come in. Item i is of crystal i mod n and sees it for the time k = i div n: in
slot (k + crystal) mod (zone_axes + random), so that the first items are of all slots.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.config.crystals import Crystals, Orientations
from exitwave.config.distributions import draw
from exitwave.config.graph import Node
from exitwave.errors import StructureError
from exitwave.items import BYTES_OF_A_ROW, Asked, Cost, Groups, Item
from exitwave.structures import library, materials_project
from exitwave.structures.crystal import describe_crystal
from exitwave.structures.groups import groups_by_content
from exitwave.structures.known_files import Known, known_of
from exitwave.structures.reading import Stamp, crystal_of, mixed_files, named, stamp_of
from exitwave.structures.standard import StandardCrystal, from_plain, standardised
from exitwave.structures.transforms import nearest_zone_axis, orient, random_quaternion, rotation_matrix
from exitwave.structures.unit_cell import UnitCell
from exitwave.structures.zone_axes import ZoneAxis, in_stored, zone_axes

FloatArray = NDArray[np.float64]

_BYTES_OF_AN_ITEM, _BYTES_OF_AN_ATOM = 2300.0, 14.0
"""Stored, compressed, beside the row of the table."""
_MEMORY = 400.0
"""Of a job [MB]: most of it is pymatgen."""
_SECONDS = 0.02
"""Of an item [s], a crystal of the library included."""


def check(node: Node) -> None:
    """Refuse what there are no crystals for.

    Raises
    ------
    StructureError
        If a prototype is unknown, nothing is left of a library, there are fewer crystals than wanted, or a file cannot
        be read, has partially occupied sites or a cell that is too large.
    ConfigError
        If the Materials Project does not give a material.
    """
    block = node.of(Crystals)
    found = _crystals(block, block.count if block.crystals is None else block.crystals)
    if not found:
        raise StructureError(
            f"largest_volume: found {block.largest_volume:g} Å³, which leaves no crystal; allowed: a larger one"
        )
    if block.crystals is not None and len(found) < block.crystals:
        raise StructureError(f"crystals: found {block.crystals}; allowed: up to {len(found)}, which is all there are")


def make(block: Crystals, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Make items.

    The generator of one draws, of a zone axis: the angle about the beam, unless it is fixed, the mistilt and its
    azimuth; else the quaternion of a random orientation.
    """
    crystals = _crystals(block, 1)
    for one in asked:
        if block.source == "prototypes":  # of which no more are made than are needed
            crystals = _crystals(block, one.item + 1)
        time, number = divmod(one.item, len(crystals))
        (rng,) = one.rngs
        yield _item(block.orientations, number, crystals[number], time + number, rng)


def cost(node: Node) -> Cost:
    """Estimate from the atoms of the crystals that are seen."""
    block = node.of(Crystals)
    atoms = float(np.mean([len(one.crystal.numbers) for one in _seen(block)]))
    stored = _BYTES_OF_AN_ITEM + _BYTES_OF_AN_ATOM * atoms + BYTES_OF_A_ROW
    return Cost(stored=stored, memory=_MEMORY, seconds=_SECONDS)


def needs(block: Crystals) -> tuple[str, ...]:
    """None: structures are where everything begins."""
    return ()


def sketch(block: Crystals) -> Crystals:
    """The block itself: it takes a fraction of a second."""
    return block


def groups(block: Crystals, identity: str, start: int, stop: int) -> Groups:
    """Groups of the items ``start`` ... ``stop - 1``: the prototypes, so that no split tears them apart.

    Of crystals that are not of the library the group is formula and space group.
    """
    crystals = _crystals(block, stop)
    return groups_by_content([crystals[item % len(crystals)].prototype for item in range(start, stop)])


def elements(block: Crystals) -> set[str]:
    """Chemical symbols of all crystals that are seen."""
    return set().union(*(one.elements for one in _seen(block)))


def crystals(block: Crystals) -> Iterator[str]:
    """The crystals that are seen, in words."""
    for one in _seen(block):
        yield f"{one.source}: {describe_crystal(one.crystal)}"


def height(block: Crystals) -> float:
    """None: a crystal has no end along the beam."""
    return 0.0


def volumes(block: Crystals) -> NDArray[np.float64]:
    """Volumes of the primitive cells of the crystals that are seen [Å³], which beams go by."""
    return np.array([one.crystal.volume for one in _seen(block)])


def _stamps(files: Sequence[str]) -> tuple[Stamp, ...]:
    try:
        return tuple(stamp_of(path) for path in files)
    except StructureError as error:
        raise StructureError(f"path: {error}") from error


def _seen(block: Crystals) -> Sequence[StandardCrystal]:
    """Crystals that the items of a block are of."""
    return _crystals(block, block.count)[: block.count]


def _crystals(block: Crystals, items: int) -> Sequence[StandardCrystal]:
    """Crystals that the first ``items`` items are of: all there are, or at least that many, so that i mod n is i."""
    number = items if block.crystals is None else min(items, block.crystals)
    if block.source == "prototypes":
        names = tuple(block.prototypes)
        return library.library(names, block.substitutions, block.largest_volume, number).crystals
    if block.source == "files":
        assert block.path is not None
        files = mixed_files(block.path, block.may_be_files())
        stamps = _stamps(files)
        crystals = _of_files(tuple(files), stamps, block.path, block.largest_volume)
    else:
        crystals = _of_materials(tuple(block.materials), block.largest_volume)
    return crystals if block.crystals is None else crystals[: block.crystals]


@lru_cache(maxsize=8)
def _of_files(
    files: tuple[str, ...], stamps: tuple[Stamp, ...], folder: Any, largest_volume: float
) -> tuple[StandardCrystal, ...]:
    stamp = dict(zip(files, stamps, strict=True))

    def learn(path: str) -> Known:
        return standardised(crystal_of(path, stamp[path]), named(folder, path)["file"]).plain()

    try:
        found = tuple(from_plain(one) for one in known_of(files, folder, "standard crystals", learn))
    except StructureError as error:
        raise StructureError(f"path: {error}") from error
    return _small_enough(found, "path", largest_volume)


@lru_cache(maxsize=8)
def _of_materials(identifiers: tuple[str, ...], largest_volume: float) -> tuple[StandardCrystal, ...]:
    return _small_enough(tuple(materials_project.materials(identifiers)), "materials", largest_volume)


def _small_enough(
    crystals: tuple[StandardCrystal, ...], key: str, largest_volume: float
) -> tuple[StandardCrystal, ...]:
    for one in crystals:
        if one.crystal.volume > largest_volume:
            raise StructureError(
                f"{key}: '{one.source}' has a primitive cell of {one.crystal.volume:.4g} Å³; allowed: up to "
                f"largest_volume, {largest_volume:g} Å³"
            )
    return crystals


@lru_cache(maxsize=64)
def _axes(crystal: StandardCrystal, number: int) -> list[ZoneAxis]:
    return zone_axes(crystal, number)


def slot(orientations: Orientations, number: int) -> int | None:
    """Which zone axis a slot has, from 0; none if its orientation is random.

    The two kinds take turns as evenly as their numbers allow, and a zone axis comes first.
    """
    axes, slots = orientations.zone_axes, orientations.number
    before, after = (-(-place * axes // slots) for place in (number % slots, number % slots + 1))
    return before if after > before else None


def _item(
    orientations: Orientations, number: int, standard: StandardCrystal, turn: int, rng: np.random.Generator
) -> Item:
    place, cell = slot(orientations, turn), standard.crystal.cell
    if place is None:
        rotation = rotation_matrix(random_quaternion(rng))
        conventional, angle = nearest_zone_axis(standard.conventional, rotation)
        stored = tuple(in_stored(standard, np.array(conventional)).tolist())
        mistilt = float(1e3 * np.radians(angle))
    else:
        axis = _axes(standard, orientations.zone_axes)[place]
        in_plane = rng.uniform(0, 360) if orientations.in_plane is None else float(draw(orientations.in_plane, rng))
        mistilt = float(draw(orientations.mistilt, rng))
        rotation = orient(
            cell,
            zone_axis=axis.indices,
            in_plane=in_plane,
            tilt=float(np.degrees(mistilt / 1e3)),
            tilt_towards=rng.uniform(0, 360),
        )
        conventional, stored = axis.conventional, axis.indices
    unit = UnitCell(cell, standard.crystal.fractional, standard.crystal.numbers, rotation)
    row = {
        "crystal": number,
        "source": standard.source,
        "formula": standard.formula,
        "prototype": standard.prototype,
        "space_group": standard.space_group,
        "crystal_system": standard.system,
        "volume": unit.volume,
        "n_atoms": len(unit.numbers),
        "orientation_kind": "random" if place is None else "zone_axis",
        "zone_axis": _told(conventional),
        "zone_axis_primitive": _told(stored),
        "mistilt": mistilt,
        "content_hash": unit.content_hash(),
    }
    return Item(unit.arrays(), row)


def _told(indices: Iterable[int]) -> str:
    return " ".join(str(index) for index in indices)
