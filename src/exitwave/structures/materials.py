"""The library of materials, and crystals of CIF files."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

from exitwave.errors import StructureError
from exitwave.structures.close_packed import cubic_stacking, hexagonal_stacking
from exitwave.structures.crystal import Crystal, crystal_from_cell, crystal_from_space_group
from exitwave.structures.crystal_files import read_cif, split_block

_FACE_CENTRED = np.array([[0.0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


@cache
def _library() -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = yaml.safe_load((files(__package__) / "materials.yaml").read_text("utf-8"))
    return entries


def material_names() -> list[str]:
    """Names in the library of materials."""
    return sorted(_library())


def stacked_material_names() -> list[str]:
    """Names of those materials of the library whose planes of defects are known."""
    return [name for name in material_names() if "prototype" in _library()[name]]


def layered_material_names() -> list[str]:
    """Names of those materials of the library that consist of weakly bonded layers."""
    return [name for name in material_names() if "layers" in _library()[name]]


def check_material(material: str, planar_defects: bool = False, layered: bool = False) -> None:
    """Check, without reading a crystal, that a material can be loaded.

    Parameters
    ----------
    material : str
        Name in the library, or path of a CIF file, with ``#BLOCK`` where it holds several structures.
    planar_defects : bool
        Whether planar defects are wanted in it.
    layered : bool
        Whether it must consist of layers.

    Raises
    ------
    StructureError
        If the name is unknown, the file is missing, the planes of defects are not known, or there are no layers.
    """
    if material not in _library():
        allowed = f"allowed: {', '.join(material_names())}, or the path of a CIF file"
        path, _ = split_block(material)
        if path.suffix.lower() != ".cif":
            raise StructureError(f"material is '{material}', which is not in the library of materials; {allowed}")
        if not os.path.isfile(path):
            raise StructureError(f"material is '{material}', but there is no such file; {allowed}")
    if planar_defects and material not in stacked_material_names():
        raise StructureError(
            f"planar_defects.number is above 0 for the material '{material}', but the planes of defects are known "
            f"only for close-packed materials of the library; allowed: 0, or {', '.join(stacked_material_names())}"
        )
    if layered and material not in layered_material_names():
        raise StructureError(
            f"material is '{material}', which is not a layered material of the library; allowed: "
            f"{', '.join(layered_material_names())}"
        )


def load_material(material: str) -> Crystal:
    """Crystal of a material; made once in a process, or again once its file has changed.

    Parameters
    ----------
    material : str
        Name in the library, or path of a CIF file, with ``#BLOCK`` where it holds several structures.

    Raises
    ------
    StructureError
        If the name is unknown, or the file is missing, unreadable or not a fully occupied crystal.
    """
    check_material(material)
    return _load(material, 0 if material in _library() else split_block(material)[0].stat().st_mtime_ns)


@cache
def _load(material: str, modified: int) -> Crystal:
    if material not in _library():
        return read_cif(material)
    entry = _library()[material]
    if "prototype" in entry:
        return _close_packed(material, entry)
    crystal = crystal_from_space_group(
        material, entry["space_group"], entry["cell"], entry["sites"], entry.get("setting", 1)
    )
    return replace(crystal, layers=entry.get("layers", 0))


def _close_packed(name: str, entry: dict[str, Any]) -> Crystal:
    """Crystal of a prototype, on the axes that its stacking is described on."""
    prototype, elements, a = entry["prototype"], entry["elements"], entry["a"]
    # Both sublattices of diamond hold its one element.
    first, second = elements[0], elements[-1]
    if prototype in ("hcp", "wurtzite"):
        c, u = entry["c"], entry.get("u", 0.0)
        cell = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]])
        net, step = np.array([[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 1 / 2]]), np.array([0, 0, u])
    else:
        cell, net, step = a * np.eye(3), _FACE_CENTRED, np.full(3, 0.25)
    if prototype in ("fcc", "hcp"):
        crystal = crystal_from_cell(name, cell, net, [first] * len(net))
        kinds = crystal.numbers[:1]
    else:
        crystal = crystal_from_cell(
            name, cell, np.concatenate([net, net + step]), [first] * len(net) + [second] * len(net)
        )
        kinds = crystal.numbers[:: len(net)]
    if prototype in ("hcp", "wurtzite"):
        return replace(crystal, stacking=hexagonal_stacking(a, entry["c"], kinds, entry.get("u", 0.0)))
    return replace(crystal, stacking=cubic_stacking(a, kinds))
