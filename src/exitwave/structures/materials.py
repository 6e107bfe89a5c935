"""Crystals that particles are cut from: a library of named materials, and CIF files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from numpy.typing import NDArray

from exitwave.errors import StructureError

if TYPE_CHECKING:
    from ase import Atoms

_ATOMIC_NUMBERS = {"Au": 79, "Ag": 47, "Cu": 29, "Pd": 46, "Pt": 78, "Cd": 48, "Se": 34}
_CLOSEST_ATOMS = 0.6
"""Atoms closer than this [Å] are an error of the file: the shortest bond, that of H2, has 0.74 Å."""


@dataclass(frozen=True)
class ClosePackedStacking:
    """A crystal as a stack of equal hexagonal layers, each beside the one below by plus or minus one shift.

    Counted from the layer through ``origin``, the atoms of layer k are those of the net ``in_plane`` displaced by
    ``k * spacing * normal`` and by ``shift`` times the sum of the stacking signs below it. All vectors are in the
    Cartesian frame of the crystal.

    Attributes
    ----------
    normal : ndarray [3]
        Unit normal of the layers.
    in_plane : ndarray [2, 3]
        Rows: primitive vectors of the net [Å].
    shift : ndarray [3]
        The in-plane step from one layer to the next [Å], a/6 <112> in fcc.
    spacing : float
        Distance of two layers [Å].
    signs : tuple of int
        Repeating signs of the steps in the perfect crystal: (1,) is ABC, (1, -1) is AB.
    heights, numbers : ndarray [m]
        Height above the layer [Å] and atomic number of the atoms on each point of the net.
    origin : ndarray [3]
        An atom at height 0 of layer 0 [Å].
    """

    normal: NDArray[np.float64]
    in_plane: NDArray[np.float64]
    shift: NDArray[np.float64]
    spacing: float
    signs: tuple[int, ...]
    heights: NDArray[np.float64]
    numbers: NDArray[np.uint8]
    origin: NDArray[np.float64]


@dataclass(frozen=True)
class Crystal:
    """A perfect crystal.

    Attributes
    ----------
    name : str
        Name in the library, or stem of the CIF file.
    cell : ndarray [3, 3]
        Rows: lattice vectors [Å].
    fractional : ndarray [m, 3]
        Fractional coordinates; Cartesian ones are ``fractional @ cell``.
    numbers : ndarray, uint8 [m]
        Atomic numbers.
    stacking : ClosePackedStacking or None
        The planes that planar defects lie on, where they are known.
    """

    name: str
    cell: NDArray[np.float64]
    fractional: NDArray[np.float64]
    numbers: NDArray[np.uint8]
    stacking: ClosePackedStacking | None = None

    def nearest_neighbour_distance(self) -> float:
        """Smallest distance of two atoms [Å]."""
        # An atom and its image are never further apart than the shortest edge, so no pair beyond that matters.
        reach = np.linalg.norm(self.cell, axis=1).min()
        extent = np.ceil(reach * np.linalg.norm(np.linalg.inv(self.cell), axis=0)).astype(int) + 1
        images = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in extent], indexing="ij"), -1).reshape(-1, 3)
        smallest = np.inf
        for atom in self.fractional:
            offsets = (self.fractional - atom)[:, None] + images
            distances = np.linalg.norm(offsets @ self.cell, axis=-1)
            # The atom itself is the one zero distance; a second one is an atom that coincides with it.
            smallest = min(smallest, float(np.partition(distances.ravel(), 1)[1]))
        return smallest


@cache
def _library() -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = yaml.safe_load((files(__package__) / "materials.yaml").read_text("utf-8"))
    return entries


def material_names() -> list[str]:
    """Names in the library of materials."""
    return sorted(_library())


def check_material(material: str, planar_defects: bool = False) -> None:
    """Check, without reading a crystal, that a material can be loaded.

    Parameters
    ----------
    material : str
        Name in the library, or path of a CIF file.
    planar_defects : bool
        Whether planar defects are wanted in it.

    Raises
    ------
    StructureError
        If the name is unknown, the file is missing, or the planes of defects are not known.
    """
    if material in _library():
        return
    allowed = f"allowed: {', '.join(material_names())}, or the path of a CIF file"
    if not material.lower().endswith(".cif"):
        raise StructureError(f"particles.material is '{material}', which is not in the library of materials; {allowed}")
    if not Path(material).is_file():
        raise StructureError(f"particles.material is '{material}', but there is no such file; {allowed}")
    if planar_defects:
        raise StructureError(
            f"particles.planar_defects.number is above 0 for '{material}', but the planes of defects are known only "
            f"for materials of the library; allowed: 0, or one of {', '.join(material_names())}"
        )


def load_material(material: str) -> Crystal:
    """Crystal of a library name or of a CIF file.

    Parameters
    ----------
    material : str
        Name in the library, or path of a CIF file.

    Raises
    ------
    StructureError
        If the name is unknown, or the file is missing, unreadable or not a fully occupied crystal.
    """
    check_material(material)
    if material in _library():
        entry = _library()[material]
        if entry["structure"] == "fcc":
            return _fcc(material, entry["a"])
        return _wurtzite(material, entry["elements"], entry["a"], entry["c"], entry["u"])
    return _read_cif(Path(material))


def crystal_from_ase(atoms: Atoms, name: str) -> Crystal:
    """Crystal of `ase.Atoms` (a pymatgen structure becomes one by its ``to_ase_atoms()``).

    Raises
    ------
    StructureError
        If the cell has no volume, sites are partially occupied or unknown, or atoms coincide.
    """
    if len(atoms) == 0 or atoms.cell.volume < 1e-3:
        raise StructureError(f"the crystal '{name}' has no atoms or no three-dimensional cell; both are needed")
    occupancies = [sum(site.values()) for site in atoms.info.get("occupancy", {}).values()]
    mixed = [len(site) > 1 for site in atoms.info.get("occupancy", {}).values()]
    if any(mixed) or any(abs(total - 1) > 1e-3 for total in occupancies):
        raise StructureError(
            f"the crystal '{name}' has partially occupied sites (lowest occupancy {min(occupancies):g}); "
            "allowed: fully occupied sites, one element each"
        )
    if (atoms.numbers == 0).any():
        raise StructureError(f"the crystal '{name}' has sites of no known element; allowed: chemical elements")
    crystal = Crystal(
        name,
        np.asarray(atoms.cell.array, dtype=np.float64),
        np.asarray(atoms.get_scaled_positions(wrap=True), dtype=np.float64),
        atoms.numbers.astype(np.uint8),
    )
    distance = crystal.nearest_neighbour_distance()
    if not distance >= _CLOSEST_ATOMS:
        raise StructureError(
            f"the crystal '{name}' has atoms {distance:.3g} Å apart; allowed: {_CLOSEST_ATOMS:g} Å or more"
        )
    return crystal


def _read_cif(path: Path) -> Crystal:
    from ase.io import read

    try:
        atoms = read(path, format="cif")
    except Exception as error:  # ASE's readers raise whatever the parsing runs into
        raise StructureError(
            f"particles.material is '{path}', which cannot be read as a crystal "
            f"({type(error).__name__}: {error}); allowed: a CIF file with a cell and atom sites"
        ) from error
    if not atoms.pbc.all():
        raise StructureError(f"particles.material is '{path}', which has no unit cell; allowed: a CIF file with a cell")
    return crystal_from_ase(atoms, path.stem)


def _fcc(name: str, a: float) -> Crystal:
    number = np.array([_ATOMIC_NUMBERS[name]], dtype=np.uint8)
    stacking = ClosePackedStacking(
        normal=np.ones(3) / np.sqrt(3),
        in_plane=a / 2 * np.array([[1.0, -1, 0], [0, 1, -1]]),
        shift=a / 6 * np.array([1.0, 1, -2]),
        spacing=a / np.sqrt(3),
        signs=(1,),
        heights=np.zeros(1),
        numbers=number,
        origin=np.zeros(3),
    )
    sites = np.array([[0.0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    return Crystal(name, a * np.eye(3), sites, np.repeat(number, 4), stacking)


def _wurtzite(name: str, elements: list[str], a: float, c: float, u: float) -> Crystal:
    cell = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]])
    sites = np.array([[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 1 / 2], [1 / 3, 2 / 3, u], [2 / 3, 1 / 3, u + 1 / 2]])
    pair = np.array([_ATOMIC_NUMBERS[element] for element in elements], dtype=np.uint8)
    stacking = ClosePackedStacking(
        normal=np.array([0.0, 0, 1]),
        in_plane=cell[:2],
        shift=np.array([1 / 3, -1 / 3, 0]) @ cell,
        spacing=c / 2,
        signs=(1, -1),
        heights=np.array([0.0, u * c]),
        numbers=pair,
        origin=sites[0] @ cell,
    )
    return Crystal(name, cell, sites, np.repeat(pair, 2), stacking)
