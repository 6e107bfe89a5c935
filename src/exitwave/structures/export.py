"""Structures as files of other programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from exitwave.errors import StructureError

if TYPE_CHECKING:
    from ase import Atoms

    from exitwave.structures.structure import Structure
    from exitwave.structures.unit_cell import UnitCell

Format = Literal["extxyz", "cif", "pdb", "prismatic"]

FORMATS: dict[str, Format] = {".xyz": "extxyz", ".extxyz": "extxyz", ".cif": "cif", ".pdb": "pdb"}
"""Format by suffix."""

_MOST_IN_PDB = 99_999


def write_structure(
    structure: Structure,
    path: str | Path,
    format: Format | None = None,
    rms_displacements: Mapping[str, float] | None = None,
) -> None:
    """Write a structure to a file.

    Parameters
    ----------
    structure : Structure
        Atoms in their cell [Å].
    path : path
        File to write; an existing one is replaced.
    format : {'extxyz', 'cif', 'pdb', 'prismatic'}, optional
        By the suffix if left out: ``.xyz`` and ``.extxyz`` are extended XYZ with the columns ``object_id``, ``role``
        and ``grain`` (OVITO, ASE); ``.cif`` and ``.pdb`` tell the objects apart as nothing and as residues.
        ``prismatic`` is the XYZ of Prismatic and computem: a comment, the edges of the cell, for each atom ``Z x y z
        occupancy rms-displacement``, and -1. Prismatic slices from the largest z down, so z is counted there from
        the top of the cell, against the beam: its waves come out as ours, but the atoms read as if they were seen in
        a mirror.
    rms_displacements : mapping of str to float, optional
        Thermal displacement along one axis of every element [Å], for ``prismatic``; atoms at rest if left out. Those of
        the exit waves are from `exitwave.waves.thermal.rms_displacement`.

    Raises
    ------
    StructureError
        If the suffix or format is unknown, the format cannot hold the structure, or the file cannot be written.
    """
    path = Path(path)
    chosen = format or FORMATS.get(path.suffix.lower())
    if chosen not in (*FORMATS.values(), "prismatic"):
        found = f"format is {format!r}" if format else f"the suffix of '{path}' is '{path.suffix}'"
        raise StructureError(f"{found}; allowed: {', '.join(FORMATS)}, or format prismatic")
    if chosen == "pdb" and len(structure.numbers) > _MOST_IN_PDB:
        raise StructureError(
            f"'{path}' is to hold {len(structure.numbers)} atoms; allowed: up to {_MOST_IN_PDB} in a PDB file, or .xyz"
        )
    try:
        if chosen == "prismatic":
            _write_prismatic(structure, path, rms_displacements)
        else:
            _write_by_ase(structure.to_ase(), path, chosen)
    except OSError as error:
        raise StructureError(
            f"'{path}' cannot be written: {error.strerror or error}; allowed: a writable file"
        ) from error


def write_unit_cell(cell: UnitCell, path: str | Path) -> None:
    """Write the cell of a crystal to a file, extended XYZ or CIF by the suffix; a CIF does not know how it is turned.

    Raises
    ------
    StructureError
        If the suffix is another, or the file cannot be written.
    """
    path = Path(path)
    chosen = FORMATS.get(path.suffix.lower())
    if chosen not in ("extxyz", "cif"):
        raise StructureError(f"the suffix of '{path}' is '{path.suffix}'; allowed, of a crystal: .xyz, .extxyz, .cif")
    from ase.io import write

    try:
        write(path, cell.to_ase(), format=chosen)
    except OSError as error:
        raise StructureError(
            f"'{path}' cannot be written: {error.strerror or error}; allowed: a writable file"
        ) from error


def _write_by_ase(atoms: Atoms, path: Path, format: str) -> None:
    from ase.io import write

    for name in ("object_id", "role", "grain"):
        # ASE writes no unsigned integers.
        atoms.arrays[name] = atoms.arrays[name].astype(np.int64)
    if format == "pdb":
        atoms.set_array("residuenumbers", atoms.arrays["object_id"])
    write(path, atoms, format={"pdb": "proteindatabank"}.get(format, format))


def _write_prismatic(structure: Structure, path: Path, rms_displacements: Mapping[str, float] | None) -> None:
    from ase.data import chemical_symbols

    x, y, z = structure.positions.T
    elements = {int(number): chemical_symbols[number] for number in np.unique(structure.numbers)}
    if rms_displacements is not None and (unknown := sorted(set(elements.values()) - set(rms_displacements))):
        raise StructureError(
            f"rms_displacements has none for {', '.join(unknown)}; allowed: one for every element, or none at all"
        )
    rms = {number: (rms_displacements or {}).get(symbol, 0.0) for number, symbol in elements.items()}
    columns: list[Any] = [structure.numbers, x, y, structure.cell[2] - z, np.ones(len(z))]
    a, b, c = structure.cell
    np.savetxt(
        path,
        np.column_stack([*columns, [rms[int(n)] for n in structure.numbers]]),
        fmt="%d %.6f %.6f %.6f %g %.5f",
        header=f"exitwave: {len(z)} atoms, z against the beam\n{a:.6f} {b:.6f} {c:.6f}",
        footer="-1",
        comments="",
    )
