"""Monolayers of files: single structures that ASE reads, JSON of JARVIS, and databases of ASE."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exitwave.config.monolayers import COLLECTIONS
from exitwave.errors import StructureError
from exitwave.structures.crystal import crystal_from_ase
from exitwave.structures.known_files import Known, known_of
from exitwave.structures.lattice2d import bravais_class, columns_of, lattice_of_columns, project
from exitwave.structures.layer_groups import layer_group
from exitwave.structures.monolayer_library import Monolayer
from exitwave.structures.reading import Stamp, formula_of, mixed_files, named, read_atoms, stamp_of

if TYPE_CHECKING:
    from ase import Atoms

log = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

LEAST_GAP = 5.0
"""Empty slab [Å] without which a cell holds a crystal and no layer; that between layers of a crystal has 3 Å."""
SYMMETRY = 0.1
"""How far [Å] an atom may be from its symmetric place when the layer group is told."""


def monolayers_of(path: PurePath, files: Sequence[str]) -> tuple[Monolayer, ...]:
    """Monolayers of a file or of all files of a folder, in a mixed order that stays.

    Raises
    ------
    StructureError
        If there is none, or a file cannot be read or is no layer. Of a file of many, those that are none are left out
        with a warning.
    """
    ordered = mixed_files(path, files)
    return _of_files(tuple(ordered), tuple(stamp_of(file) for file in ordered), path)


@lru_cache(maxsize=8)
def _of_files(files: tuple[str, ...], stamps: tuple[Stamp, ...], path: PurePath) -> tuple[Monolayer, ...]:
    stamp = dict(zip(files, stamps, strict=True))

    def learn(file: str) -> Known:
        return {"layers": [_plain(layer) for layer in _read(file, stamp[file])]}

    found: list[Monolayer] = []
    for file, known in zip(files, known_of(files, path, "monolayers", learn), strict=True):
        name = named(path, file)["file"]
        found.extend(_from_plain(one, f"{name}{one['entry']}") for one in known["layers"])
    if not found:
        raise StructureError(f"path: found no monolayer in '{path}'; allowed: cells with a layer and an empty slab")
    return tuple(found)


@dataclass(frozen=True)
class _Read:
    """A layer of a file, and what names it among others there."""

    entry: str
    layer: Monolayer


def _plain(read: _Read) -> Known:
    layer = read.layer
    return {
        "entry": read.entry,
        "formula": layer.formula,
        "prototype": layer.prototype,
        "bravais": layer.bravais,
        "cell": layer.cell.tolist(),
        "places": layer.places.tolist(),
        "heights": layer.heights.tolist(),
        "numbers": layer.numbers.tolist(),
    }


def _from_plain(known: Known, source: str) -> Monolayer:
    arrays = {name: np.array(known[name], np.float64) for name in ("cell", "places", "heights")}
    numbers = np.array(known["numbers"], np.uint8)
    return Monolayer(known["formula"], known["prototype"], known["bravais"], source, numbers=numbers, **arrays)


def _read(file: str, stamp: Stamp) -> list[_Read]:
    if not file.lower().endswith(COLLECTIONS):
        return [_Read("", monolayer_of(read_atoms(file, stamp), file))]
    entries = _of_jarvis(file) if file.lower().endswith(".json") else _of_database(file)
    found: list[_Read] = []
    try:
        for entry, atoms in entries:
            try:
                found.append(_Read(f"#{entry}", monolayer_of(atoms, f"{file}#{entry}")))
            except StructureError as error:
                log.warning("%s; it is left out", error)
    except StructureError:
        raise
    except Exception as error:  # readers of formats raise whatever they run into
        raise StructureError(
            f"'{file}' cannot be read as a collection of structures ({type(error).__name__}: {error}); allowed: JSON "
            "as JARVIS has it, a list of entries with jid and atoms, or a database of ASE"
        ) from error
    return found


def _of_jarvis(file: str) -> Iterator[tuple[str, Atoms]]:
    """Structures of a JSON list whose entries have ``atoms``, and a name as ``jid`` or what others call it."""
    from ase import Atoms

    entries = json.loads(Path(file).read_text(encoding="utf-8"))
    if not isinstance(entries, list):
        raise ValueError("the file holds no list")
    for number, entry in enumerate(entries):
        held: dict[str, Any] = entry["atoms"]
        symbols, places = [str(symbol).strip() for symbol in held["elements"]], np.array(held["coords"], np.float64)
        where = {"positions" if held.get("cartesian") else "scaled_positions": places}
        name = next((entry[key] for key in ("jid", "id", "material_id") if key in entry), number)
        yield str(name), Atoms(symbols, cell=held["lattice_mat"], pbc=True, **where)


def _of_database(file: str) -> Iterator[tuple[str, Atoms]]:
    """Structures of a database of ASE, which holds plain numbers."""
    from ase.db import connect

    for row in connect(file, type="db").select():
        yield str(row.id), row.toatoms()


def monolayer_of(atoms: Atoms, source: str) -> Monolayer:
    """The layer that a cell holds, seen along its normal.

    The empty slab of a cell is the widest gap between atoms along the normal of two cell vectors.

    Raises
    ------
    StructureError
        If there is no such slab, sites are partially occupied, or atoms coincide.
    """
    cell = atoms.cell.array
    if atoms.cell.rank < 3 and atoms.pbc.sum() == 2:
        atoms = atoms.copy()
        atoms.center(vacuum=LEAST_GAP, axis=int(np.flatnonzero(~atoms.pbc)[0]))
        cell = atoms.cell.array
    crystal = crystal_from_ase(atoms, source)
    gaps = [_gap(cell, crystal.fractional, axis) for axis in range(3)]
    axis = int(np.argmax([gap for gap, _ in gaps]))
    gap, begin = gaps[axis]
    if gap < LEAST_GAP:
        raise StructureError(
            f"'{source}' has no empty slab wider than {gap:.3g} Å, so that it is no layer; allowed: cells with "
            f"{LEAST_GAP:g} Å of vacuum or more"
        )
    fractional = crystal.fractional.copy()
    fractional[:, axis] = (fractional[:, axis] - begin) % 1.0
    plane = cell[[(axis + 1) % 3, (axis + 2) % 3]]
    flat, places, heights = project(plane, fractional @ cell)
    heights = heights - heights.mean()
    lattice = bravais_class(lattice_of_columns(columns_of(flat, places, crystal.numbers)))
    name = prototype_name(flat, places, heights, crystal.numbers)
    formula = formula_of(crystal.numbers)
    return Monolayer(formula, name, lattice.name, source, flat, places, heights, crystal.numbers)


def _gap(cell: FloatArray, fractional: FloatArray, axis: int) -> tuple[float, float]:
    """Widest gap along the normal of the two other vectors [Å], and the fraction of this one at its middle."""
    one, other = cell[(axis + 1) % 3], cell[(axis + 2) % 3]
    normal = np.cross(one, other)
    height = abs(cell[axis] @ normal) / np.linalg.norm(normal)
    along = np.sort(fractional[:, axis] % 1.0)
    steps = np.diff(np.append(along, along[0] + 1))
    widest = int(steps.argmax())
    return float(steps[widest] * height), float(along[widest] + steps[widest] / 2)


def prototype_name(cell: FloatArray, places: FloatArray, heights: FloatArray, numbers: NDArray[np.uint8]) -> str:
    """What stands for the prototype of a layer: its formula without names of elements, and its layer group."""
    from pymatgen.core import Composition

    found = layer_group(cell, places, heights, numbers, SYMMETRY)
    group = "unknown" if found is None else str(found.number)
    return f"{Composition(formula_of(numbers)).anonymized_formula}, layer group {group}"
