"""The layers of maps of local densities of states: those that exitwave comes with, or of a folder of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from io import StringIO
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exitwave.config.monolayers import MAPS, map_files, map_kind
from exitwave.errors import StructureError
from exitwave.structures.monolayer_files import monolayer_of
from exitwave.structures.monolayer_library import Monolayer
from exitwave.structures.reading import Stamp, mixed_files, named, stamp_of

if TYPE_CHECKING:
    from ase import Atoms

FloatArray = NDArray[np.float64]


def layers_of_maps(path: PurePath | None, names: Sequence[str]) -> tuple[Monolayer, ...]:
    """Layers of the maps of a folder, in a mixed order that stays; of those that are named, if any is.

    Raises
    ------
    StructureError
        If a named map is not there, or a file cannot be read or holds no layer along z.
    """
    root = PurePath(path or MAPS)
    files = map_files(path, names)
    if not files or len(files) < len(set(names)):
        there = sorted(Path(file).stem for file in map_files(path))
        lacking = [name for name in names if not map_files(path, [name])]
        found = f"'{lacking[0]}', which is not" if lacking else "none"
        raise StructureError(
            f"maps: found {found} in '{root}'; allowed: "
            f"{', '.join(there) or 'a folder with files of PARCHG, .cube, .gpw or .npz'}"
        )
    return tuple(layer_of_map(file, root) for file in mixed_files(root, files))


def layer_of_map(file: str, root: PurePath) -> Monolayer:
    """The layer of a map; its ``source`` is the path below the folder."""
    return _layer(file, stamp_of(file), named(root, file)["file"])


@lru_cache(maxsize=64)
def _layer(file: str, stamp: Stamp, source: str) -> Monolayer:
    atoms = atoms_of_map(file, stamp)
    cell = np.asarray(atoms.cell)
    flat, steep = np.abs(cell[:2, 2]).max(), np.abs(cell[2, :2]).max()
    if flat > 1e-3 or steep > 1e-3:
        raise StructureError(
            f"'{file}' has a third vector of {cell[2, 0]:.3f}, {cell[2, 1]:.3f}, {cell[2, 2]:.3f} Å, which is not "
            "normal to the first two, or these are not in the plane of x and y; allowed: a layer in that plane, with "
            "the vacuum along z"
        )
    if np.linalg.det(cell) < 0:
        raise StructureError(f"'{file}' has a left-handed cell; allowed: three vectors of which the third is above")
    return monolayer_of(atoms, source)


def atoms_of_map(file: str, stamp: Stamp) -> Atoms:
    """Atoms of a map, with a cell in three dimensions.

    Raises
    ------
    StructureError
        If it cannot be read.
    """
    from ase import Atoms

    match map_kind(file):
        case "vasp":
            return vasp_map(file, stamp)[0]
        case "cube":
            return cube_map(file, stamp)[0]
        case "gpaw":
            return _of_gpaw(file)
    with np.load(file, allow_pickle=False) as held:
        cell = np.zeros((3, 3))
        cell[:2, :2] = held["cell"]
        cell[2, 2] = np.ptp(held["positions"][:, 2]) + 20
        return Atoms(held["numbers"].astype(int), held["positions"], cell=cell, pbc=True)


@lru_cache(maxsize=4)
def vasp_map(file: str, stamp: Stamp) -> tuple[Atoms, FloatArray]:
    """Atoms, and the density of a PARCHG of VASP [1/Å³]; the file holds it times the volume of the cell.

    Raises
    ------
    StructureError
        If it cannot be read.
    """
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.io.vasp.outputs import VolumetricData

    try:
        poscar, data, _ = VolumetricData.parse_file(file)
        atoms = AseAtomsAdaptor.get_atoms(poscar.structure, msonable=False)
        density = np.asarray(data["total"], np.float64) / abs(float(np.linalg.det(atoms.cell)))
    except Exception as error:  # the parser raises whatever it runs into
        raise _unreadable(file, "a PARCHG of VASP", error) from error
    return atoms, density


@lru_cache(maxsize=4)
def cube_map(file: str, stamp: Stamp) -> tuple[Atoms, FloatArray]:
    """Atoms, and the density of a Gaussian cube file [1/Å³], which holds it in 1/Bohr³ whatever its lengths.

    The numbers of voxels say which unit the lengths have: positive ones Bohr, negative ones Å.

    Raises
    ------
    StructureError
        If it cannot be read, or says two units.
    """
    from ase.io.cube import read_cube
    from ase.units import Bohr

    try:
        lines = Path(file).read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        signs = [np.sign(int(line.split()[0])) for line in lines[3:6]]
        if len(set(signs)) == 1 and signs[0] != 0:
            for place in range(3, 6):  # ASE knows no Å: lengths are scaled below
                lines[place] = lines[place].replace("-", " ", 1) if signs[0] < 0 else lines[place]
            held = read_cube(StringIO("".join(lines)), read_data=True)
    except Exception as error:
        raise _unreadable(file, "a Gaussian cube file", error) from error
    if len(set(signs)) != 1 or signs[0] == 0:
        raise StructureError(
            f"'{file}' says no unit of its lengths: its three numbers of voxels have signs {signs}; allowed: three "
            "positive numbers, lengths in Bohr, or three negative ones, lengths in Å"
        )
    atoms, density = held["atoms"], np.asarray(held["data"], np.float64) / Bohr**3
    if signs[0] < 0:
        atoms.set_cell(atoms.cell / Bohr, scale_atoms=False)
        atoms.positions /= Bohr
    # A cube file may begin anywhere; a layer repeats, and so its grid may begin at 0.
    atoms.positions -= held["origin"] / (Bohr if signs[0] < 0 else 1.0)
    atoms.pbc = True
    return atoms, density


def _of_gpaw(file: str) -> Atoms:
    """Atoms of a file of GPAW, which holds JSON and plain arrays; older ones, which may run code, are refused."""
    from ase.io import ulm
    from ase.io.trajectory import read_atoms

    try:
        with ulm.open(file) as reader:
            return read_atoms(reader.atoms, _try_except=False)
    except Exception as error:
        raise _unreadable(file, "a .gpw file of GPAW", error) from error


def _unreadable(file: str, what: str, error: Exception) -> StructureError:
    said = " ".join(str(error).split())
    return StructureError(
        f"'{file}' cannot be read as {what} ({type(error).__name__}{f': {said}' if said else ''}); allowed: a whole "
        "file, with its atoms"
    )
