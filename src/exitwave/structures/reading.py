"""Crystals and whole structures of files: what a file holds, as ASE or the reader of CIF files gives it.

Files are read once in a process, or again once they have changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exitwave.config.structures import STRUCTURE_SUFFIXES
from exitwave.errors import StructureError
from exitwave.structures.crystal import Crystal, crystal_from_ase
from exitwave.structures.crystal_files import read_cif

if TYPE_CHECKING:
    from ase import Atoms

Stamp = tuple[int, int]
"""When a file was changed [ns] and its size [bytes]: another stamp, another content."""

_UNSAFE = ("traj", "bundletrajectory", "gpw", "db", "mysql", "postgresql")
"""Formats of ASE that are no plain files of atoms, or are unpickled in one of their versions."""
SYMMETRY = 0.01
"""How far [Å] an atom may be from its symmetric place."""
_CRYSTAL_SYSTEMS = (
    (2, "triclinic"),
    (15, "monoclinic"),
    (74, "orthorhombic"),
    (142, "tetragonal"),
    (167, "trigonal"),
    (194, "hexagonal"),
    (230, "cubic"),
)
"""Last space group of each crystal system."""


def mixed_files(root: PurePath, files: Iterable[str]) -> list[str]:
    """Files of a folder in an order that follows from their names, so that the first are of all its folders.

    Raises
    ------
    StructureError
        If there is none.
    """
    found = list(_mixed(str(root), tuple(files)))
    if not found:
        raise StructureError(
            f"path: found no structure in the folder '{root}'; allowed: files that end in "
            f"{', '.join(STRUCTURE_SUFFIXES)} or have POSCAR or CONTCAR in their names, or the path of one file"
        )
    return found


@lru_cache(maxsize=8)
def _mixed(root: str, files: tuple[str, ...]) -> list[str]:
    return sorted(files, key=lambda path: hashlib.blake2b(named(root, path)["file"].encode()).digest())


def named(root: str | PurePath, path: str) -> dict[str, str]:
    """Path of a file below the folder, and its own folder there."""
    root = PurePath(root)
    relative = PurePath(path).relative_to(root) if str(root) != path else PurePath(root.name)
    folder = relative.parent.as_posix()
    return {"file": relative.as_posix(), "folder": "" if folder == "." else folder}


def stamp_of(path: str) -> Stamp:
    """When a file was changed, and its size; a StructureError if it is missing."""
    try:
        found = Path(path).stat()
    except OSError as error:
        raise StructureError(f"'{path}' cannot be read ({error.strerror}); allowed: a file or a folder") from error
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=64)
def read_atoms(path: str, stamp: Stamp) -> Atoms:
    """First frame of a file; not to be changed."""
    from ase import Atoms
    from ase.io import read

    chosen = _format(path)
    if chosen in _UNSAFE:
        raise StructureError(
            f"'{path}' is of the format {chosen}, which is not read, since such a file may run code; allowed: CIF, "
            "POSCAR, extended XYZ or another text format of ASE"
        )
    if chosen == "cif":  # ASE takes such a file at its word, and ours is held against itself
        try:
            crystal = read_cif(path)
        except StructureError as error:
            raise StructureError(str(error) if path in str(error) else f"'{path}': {error}") from error
        return Atoms(crystal.numbers, scaled_positions=crystal.fractional, cell=crystal.cell, pbc=True)
    try:
        atoms = read(path, index=0, format=chosen, do_not_split_by_at_sign=True)
    except Exception as error:  # ASE's readers raise whatever the parsing runs into
        raise _unreadable(path, error) from error
    if not len(atoms):
        raise StructureError(f"'{path}' has no atoms; allowed: one or more")
    if chosen == "prismatic":
        if not (atoms.arrays["occupancies"] == 1).all():
            raise StructureError(f"'{path}' has partially occupied sites; allowed: an occupancy of 1 for all atoms")
        # Prismatic counts z against the beam (see structures/export.py), and says nothing of what is periodic.
        atoms.positions[:, 2] = atoms.cell[2, 2] - atoms.positions[:, 2]
        atoms.pbc = True
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all():
        raise StructureError(f"'{path}' has positions or a cell that are not finite; allowed: finite numbers")
    return atoms


def _format(path: str) -> str:
    """Format by the name, or by what the file begins and ends with."""
    from ase.io.formats import filetype

    name = Path(path).name.lower()
    if name.endswith(".vasp") or "poscar" in name or "contcar" in name:
        return "vasp"
    try:
        found = str(filetype(path))
        # The XYZ of Prismatic ends with a line that no other has.
        if found in ("xyz", "extxyz") and Path(path).read_bytes().rstrip().endswith(b"\n-1"):
            return "prismatic"
    except Exception as error:
        raise _unreadable(path, error) from error
    return found


def _unreadable(path: str, error: Exception) -> StructureError:
    said = " ".join(str(error).split())
    return StructureError(
        f"'{path}' cannot be read as a structure ({type(error).__name__}{f': {said}' if said else ''}); allowed: CIF, "
        "POSCAR, extended XYZ, Prismatic XYZ or another format of ASE"
    )


@lru_cache(maxsize=64)
def crystal_of(path: str, stamp: Stamp) -> Crystal:
    """The crystal that a file holds."""
    atoms = read_atoms(path, stamp)
    if not atoms.pbc.all():
        raise StructureError(
            f"'{path}' has no cell that repeats along all three axes; allowed: a crystal, or else kind: files and "
            "fill: false"
        )
    return crystal_from_ase(atoms, path)


@cache
def space_group_of(path: str, stamp: Stamp) -> int:
    """Number of the space group of a crystal."""
    import spglib

    crystal = crystal_of(path, stamp)
    found = spglib.get_symmetry_dataset((crystal.cell, crystal.fractional, crystal.numbers), symprec=SYMMETRY)
    if found is None:
        raise StructureError(f"'{path}' has no space group that can be told; allowed: a crystal")
    return int(found.number)


def crystal_system(space_group: int) -> str:
    """Name of the crystal system of a space group, given by its number."""
    return next(name for last, name in _CRYSTAL_SYSTEMS if space_group <= last)


def formula_of(numbers: NDArray[np.uint8]) -> str:
    """Reduced formula of atomic numbers [n], the metals first, such as ``NaCl``."""
    from ase.data import chemical_symbols
    from ase.formula import Formula

    found, counts = np.unique(numbers, return_counts=True)
    symbols = [chemical_symbols[number] for number in found]
    reduced, _ = Formula.from_dict(dict(zip(symbols, counts.tolist(), strict=True))).reduce()
    return str(reduced.format("metal"))
