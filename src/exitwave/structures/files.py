"""Structures of one's own, from files: crystals that fill the field, or whole structures as they are.

A kind of the structures stage (see :class:`exitwave.items.StructureSimulation`). Files are read once in a process, or
again once they have changed; of many files what is known of them is kept (see :mod:`exitwave.structures.known_files`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, lru_cache, partial
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from exitwave.config.distributions import bounds, draw
from exitwave.config.graph import Node
from exitwave.config.structures import StructureFiles
from exitwave.errors import StructureError
from exitwave.items import BYTES_OF_A_ROW, Asked, Cost, Groups, Item
from exitwave.structures.body import make_body
from exitwave.structures.crystal import Crystal, crystal_from_ase, describe_crystal, fill
from exitwave.structures.groups import groups_by_content
from exitwave.structures.known_files import Known, known_of
from exitwave.structures.reading import (
    Stamp,
    crystal_of,
    crystal_system,
    formula_of,
    mixed_files,
    named,
    read_atoms,
    space_group_of,
    stamp_of,
)
from exitwave.structures.redraw import first_possible
from exitwave.structures.scene import Scene
from exitwave.structures.structure import STORED_DECIMALS, Structure, item_arrays
from exitwave.structures.transforms import (
    nearest_zone_axis,
    orient,
    random_quaternion,
    rotation_matrix,
    wrap_laterally,
)
from exitwave.structures.volumes import box

FloatArray = NDArray[np.float64]
EDGE_TOLERANCE = 0.01
"""By how much [Å] the edges of a whole structure may differ from the field of view, and its cell from a cuboid."""
_ROOM = 10.0
"""Put above a whole structure [Å] when distances are looked at, since it does not repeat along the beam."""
_BYTES_OF_AN_ATOM = 10.0
"""Stored, compressed; measured with crystals of 4,000 atoms."""
_MEMORY, _MEMORY_OF_AN_ATOM = 400.0, 5e-4
"""Of a job, and of an atom of the largest structure [MB]."""
_SECONDS, _SECONDS_OF_AN_ATOM = 0.005, 1e-6


@dataclass(frozen=True, eq=False)
class _Whole:
    """A whole structure: positions [n, 3] [Å], atomic numbers [n] and edges of its cell [3] [Å]."""

    positions: FloatArray
    numbers: NDArray[np.uint8]
    edges: FloatArray


@dataclass(frozen=True)
class _Contents:
    """What is known of a file without holding its atoms: of its cell the volume [Å³] and the edges [Å]."""

    elements: tuple[str, ...]
    formula: str
    n_atoms: int
    volume: float
    edges: tuple[float, float, float]
    group: str


def check(node: Node) -> None:
    """Read every file, and refuse what no structure can be made of.

    Raises
    ------
    StructureError
        If there is no file, one cannot be read, has no cell, partially occupied sites or atoms that coincide, is not a
        crystal though it is to fill the field, or is not an orthogonal cell of the field of view though it is not.
    """
    block = node.of(StructureFiles)
    _files(block)  # says itself that there is none
    try:
        for path, contents in _known(block).items():
            if not block.fill:
                _check_edges(path, contents.edges, block.field_of_view)
    except StructureError as error:
        raise StructureError(f"path: {error}") from error
    held = elements(block)
    for symbol in block.substrate_elements:
        if symbol not in held:
            raise StructureError(
                f"substrate_elements: found '{symbol}'; allowed: elements of the files, {', '.join(sorted(held))}"
            )


def make(block: StructureFiles, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Make structures, item i of file i mod n in a mixed order.

    With ``fill`` the generator of an item draws, in this order: the thickness; the direction along the beam, the angle
    about it, the tilt and the azimuth of the tilt, or else the quaternion of a random orientation; the place of the
    lattice. Without it nothing is drawn.

    Raises
    ------
    StructureError
        As `check`, or if a crystal has no atom in any of the thicknesses that were drawn.
    """
    files = _files(block)
    for one in asked:
        path = files[one.item % len(files)]
        (rng,) = one.rngs
        if block.fill:
            structure, redraws = first_possible(partial(_filled, block, path), rng, one.item)
        else:
            structure, redraws = _as_it_is(block, path), 0
        yield _item(block, path, structure, redraws)


def cost(node: Node) -> Cost:
    """Estimate from the atoms in the files; of a distribution of thicknesses the middle, and the largest for memory."""
    block = node.of(StructureFiles)
    contents = list(_known(block).values())
    counts, largest = np.array([one.n_atoms for one in contents], dtype=np.float64), 1.0
    if block.fill:
        low, high = bounds(block.thickness)
        counts *= block.field_of_view**2 * (low + high) / 2 / np.array([one.volume for one in contents])
        largest = 2 * high / (low + high)
    return Cost(
        stored=float(_BYTES_OF_AN_ATOM * counts.mean() + BYTES_OF_A_ROW),
        memory=float(_MEMORY + _MEMORY_OF_AN_ATOM * largest * counts.max()),
        seconds=float(_SECONDS + _SECONDS_OF_AN_ATOM * counts.mean()),
    )


def needs(block: StructureFiles) -> tuple[str, ...]:
    """None: structures are where everything begins."""
    return ()


def sketch(block: StructureFiles) -> StructureFiles:
    """The block itself: it takes a fraction of a second."""
    return block


def groups(block: StructureFiles, identity: str, start: int, stop: int) -> Groups:
    """Groups of the items ``start`` ... ``stop - 1``: crystals by formula and space group, whole structures by content.

    So a crystal is on one side of a split whatever its orientation and thickness, and in whichever file, block and
    study it is.
    """
    files, known = _files(block), _known(block, start, stop)
    return groups_by_content([known[files[item % len(files)]].group for item in range(start, stop)])


def elements(block: StructureFiles) -> set[str]:
    """Chemical symbols of all that the files hold."""
    return set().union(*(contents.elements for contents in _known(block).values()))


def crystals(block: StructureFiles) -> Iterator[str]:
    """The crystals of the files, each read when it is told of; none where files are whole structures."""
    for path in _files(block) if block.fill else ():
        yield f"{named(block.path, path)['file']}: {describe_crystal(crystal_of(path, stamp_of(path)))}"


def height(block: StructureFiles) -> float:
    """Height of the cell [Å]: of filled ones from the middle of what can be drawn, else the mean of the files."""
    if block.fill:
        low, high = bounds(block.thickness)
        return float(low + high) / 2 + 2 * block.vacuum
    return float(np.mean([contents.edges[2] for contents in _known(block).values()]))


def _known(block: StructureFiles, start: int = 0, stop: int | None = None) -> dict[str, _Contents]:
    """What the files hold that items are made of, of all items or of ``start`` ... ``stop - 1``, in their order."""
    files = _files(block)
    if stop is not None and stop - start < len(files):
        files = [files[item % len(files)] for item in range(start, stop)]
    stamps = tuple(stamp_of(path) for path in files)
    return dict(zip(files, _contents_of(tuple(files), stamps, block.path, block.fill), strict=True))


@lru_cache(maxsize=8)
def _contents_of(files: tuple[str, ...], stamps: tuple[Stamp, ...], folder: PurePath, filled: bool) -> list[_Contents]:
    stamp_of = dict(zip(files, stamps, strict=True))

    def learn(path: str) -> Known:
        return asdict(_contents(path, stamp_of[path], filled))

    known = known_of(files, folder, "crystals" if filled else "whole structures", learn)
    return [_Contents(**{**one, "elements": tuple(one["elements"]), "edges": tuple(one["edges"])}) for one in known]


def _files(block: StructureFiles) -> list[str]:
    """Files in the order in which items are made of them: mixed, so that the first items are of all folders."""
    return mixed_files(block.path, block.may_be_files())


# --- files ------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _whole(path: str, stamp: Stamp) -> _Whole:
    """The whole structure that a file holds."""
    atoms = read_atoms(path, stamp)
    edges = atoms.cell.array.diagonal().copy()
    if np.abs(atoms.cell.array - np.diag(edges)).max() > EDGE_TOLERANCE or not (edges > 0).all():
        raise StructureError(
            f"'{path}' has the cell {atoms.cell.array.round(3).tolist()} Å; allowed: an orthogonal one along x, y and "
            "z, or fill: true"
        )
    height = atoms.positions[:, 2]
    if not (height.min() >= 0 and height.max() <= edges[2]):
        raise StructureError(
            f"'{path}' has atoms between {height.min():.4g} and {height.max():.4g} Å along the beam; allowed: 0 to the "
            f"height of the cell, {edges[2]:g} Å"
        )
    roomy = atoms.copy()
    roomy.set_cell(edges + np.array([0, 0, _ROOM]))
    numbers = crystal_from_ase(roomy, path).numbers
    return _Whole(atoms.positions, numbers, edges)


def _whole_in(path: str, field_of_view: float) -> _Whole:
    """The whole structure that a file holds, once it fits the field of view."""
    whole = _whole(path, stamp_of(path))
    _check_edges(path, whole.edges.tolist(), field_of_view)
    return whole


def _check_edges(path: str, edges: Sequence[float], field_of_view: float) -> None:
    if max(abs(edge - field_of_view) for edge in edges[:2]) > EDGE_TOLERANCE:
        raise StructureError(
            f"'{path}' is {edges[0]:g} by {edges[1]:g} Å; allowed: the field_of_view, {field_of_view:g} Å, "
            f"within {EDGE_TOLERANCE:g} Å, or fill: true"
        )


@cache
def _contents(path: str, stamp: Stamp, filled: bool) -> _Contents:
    from ase.data import chemical_symbols

    atoms = read_atoms(path, stamp)
    symbols = [chemical_symbols[number] for number in np.unique(atoms.numbers)]
    formula, edges = formula_of(atoms.numbers), atoms.cell.array.diagonal().tolist()
    group = f"{formula}, space group {space_group_of(path, stamp)}" if filled else _digest(_whole(path, stamp))
    return _Contents(tuple(symbols), formula, len(atoms), float(atoms.cell.volume), tuple(edges), group)


def _digest(whole: _Whole) -> str:
    """Name of the group of a whole structure: what it consists of."""
    digest = hashlib.blake2b(digest_size=16)
    positions = whole.positions.round(STORED_DECIMALS) + 0.0
    order = np.lexsort((*positions.T, whole.numbers))  # that of the atoms in the file says nothing
    for array in (whole.numbers[order], positions[order], whole.edges.round(STORED_DECIMALS)):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


# --- structures -------------------------------------------------------------------------------


def _item(block: StructureFiles, path: str, structure: Structure, redraws: int) -> Item:
    row = {
        **named(block.path, path),
        "formula": _contents(path, stamp_of(path), block.fill).formula,
        **structure.metadata,
        "cell_height": float(structure.cell[2]),
        "n_atoms": len(structure.numbers),
        "periodic": int(structure.periodic),
        "content_hash": structure.content_hash(),
        "redraws": redraws,
    }
    return Item(item_arrays(structure), row)


def _filled(block: StructureFiles, path: str, rng: np.random.Generator) -> Structure:
    """A crystal that fills the square to a thickness."""
    crystal, number = crystal_of(path, stamp_of(path)), space_group_of(path, stamp_of(path))
    edge, thickness = block.field_of_view, float(draw(block.thickness, rng))
    rotation = _rotation(block, crystal, rng)
    solid = box([edge, edge, thickness])
    # In the frame of the crystal, where it is repeated without strain.
    turned = solid.moved(rotation.T, np.zeros(3))
    positions, numbers = fill(crystal, turned, rng.random(3) @ crystal.cell)
    if not len(positions):
        raise StructureError(f"thickness: {thickness:g} Å of '{path}' hold no atom; allowed: a larger thickness")
    body = make_body(positions, numbers, turned, crystal.name).moved(rotation)
    body = body.moved(translation=np.array([edge / 2, edge / 2, block.vacuum - body.positions[:, 2].min()]))
    scene = Scene(np.array([edge, edge, body.positions[:, 2].max() + block.vacuum]), periodic=False)
    scene.add(body, object_id=1)
    zone_axis, tilt = nearest_zone_axis(crystal.cell, rotation)
    return scene.structure(
        space_group=number,
        crystal_system=crystal_system(number),
        thickness=thickness,
        zone_axis=" ".join(str(index) for index in zone_axis),
        zone_axis_tilt=tilt,
    )


def _rotation(block: StructureFiles, crystal: Crystal, rng: np.random.Generator) -> FloatArray:
    """Matrix [3, 3] from the frame of the crystal to that of the scene."""
    if not block.zone_axes:
        return rotation_matrix(random_quaternion(rng))
    return orient(
        crystal.cell,
        zone_axis=block.zone_axes[int(rng.integers(len(block.zone_axes)))],
        in_plane=rng.uniform(0, 360) if block.in_plane is None else float(draw(block.in_plane, rng)),
        tilt=float(draw(block.tilt, rng)),
        tilt_towards=rng.uniform(0, 360),
    )


def _as_it_is(block: StructureFiles, path: str) -> Structure:
    """A whole structure, its substrate told by the elements."""
    from ase.data import atomic_numbers

    whole = _whole_in(path, block.field_of_view)
    substrate = np.isin(whole.numbers, [atomic_numbers[symbol] for symbol in block.substrate_elements])
    return Structure(
        positions=wrap_laterally(whole.positions, block.field_of_view),
        numbers=whole.numbers,
        object_id=(~substrate).astype(np.uint8),
        cell=np.array([block.field_of_view, block.field_of_view, whole.edges[2]]),
        metadata={
            "space_group": 0,
            "crystal_system": "",
            "thickness": float(np.ptp(whole.positions[:, 2])),
            "zone_axis": "",
            "zone_axis_tilt": math.nan,
        },
    )
