"""The crystals that particles consist of, and how each is turned, from what the recipes have recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import StructureError
from exitwave.structures.crystal import Crystal
from exitwave.structures.materials import load_material
from exitwave.structures.strain import strain_tensor
from exitwave.structures.structure import Structure
from exitwave.structures.transforms import axis_rotation, nearest_zone_axis, rotation_matrix
from exitwave.structures.twinned import decahedron, icosahedron

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_ON_PLANE = 1e-3
"""Atoms this far beyond a twin plane [Å] are beyond it; positions are stored to 1e-4."""
_IDEAL_RADIUS = 30.0
"""Radius [Å] of the multiply twinned particles whose grains show how those of any size are turned."""


@dataclass(frozen=True, eq=False)
class CrystalDomain:
    """Atoms of a particle that are of one crystal in one orientation.

    Attributes
    ----------
    atoms : ndarray, int [m]
        Which atoms of the particle.
    crystal : Crystal
        Its crystal.
    rotation : ndarray [3, 3]
        From the Cartesian frame of the crystal to that of the cell.
    in_shell : bool
        Whether it is of the shell of a core-shell particle.
    atomic_volume : float
        Volume of an atom [Å³], homogeneous strain included.
    """

    atoms: IntArray
    crystal: Crystal
    rotation: FloatArray
    in_shell: bool
    atomic_volume: float

    def zone_axis(self) -> tuple[FloatArray, float]:
        """Unit vector [3] in the cell along the low-index direction nearest to the beam, and its angle to it [°].

        Indices are up to 3 in value, as for the column ``zone_axis_tilt`` of the metadata.
        """
        indices, tilt = nearest_zone_axis(self.crystal.cell, self.rotation)
        direction = self.rotation @ (np.asarray(indices) @ self.crystal.cell)
        return direction / np.linalg.norm(direction), tilt


def crystal_domains(
    structure: Structure, object_id: int, positions: FloatArray, grain: NDArray[np.uint8]
) -> list[CrystalDomain]:
    """The crystals that one particle consists of.

    Grains and shells are turned as their recipes have recorded; beyond each twin plane of a faulted crystal it is
    turned by 180° about the normal of the plane; the grains of decahedra and icosahedra are twins of each other.

    Parameters
    ----------
    structure : Structure
        The structure, with the metadata of the recipes.
    object_id : int
        The particle.
    positions : ndarray [n, 3]
        Positions of its atoms, without molecules, in one piece [Å].
    grain : ndarray, uint8 [n]
        Their grains.

    Returns
    -------
    list of CrystalDomain
        Their atoms are all atoms of the particle, each once.

    Raises
    ------
    StructureError
        If the metadata do not describe the particle.
    """
    particle = _described(structure, object_id)
    core, _, shell = str(particle["material"]).partition("@")
    turn = rotation_matrix(np.asarray(particle["quaternion"], dtype=np.float64))
    stretch = float(np.linalg.det(np.eye(3) + strain_tensor(*particle.get("strain", np.zeros(6)))))
    first_of_shell = int(particle.get("grains", 1)) if shell else 256
    turns = _grain_rotations(particle, load_material(core), first_of_shell)
    beyond, flip = _beyond_twins(particle, positions, structure.cell)
    domains = []
    for number in np.unique(grain):
        in_shell = bool(number >= first_of_shell)
        crystal = load_material(shell if in_shell else core)
        volume = stretch * abs(float(np.linalg.det(crystal.cell))) / len(crystal.numbers)
        rotation = turn @ turns.get(int(number), np.eye(3))
        # The faults of a core end at its shell.
        flipped = beyond & (not in_shell)
        for side, turned in ((False, rotation), (True, flip @ rotation)):
            atoms = np.flatnonzero((grain == number) & (flipped == side))
            if len(atoms):
                domains.append(CrystalDomain(atoms, crystal, turned, in_shell, volume))
    return domains


def atomic_volumes(domains: list[CrystalDomain], count: int) -> FloatArray:
    """Volume of each of the ``count`` atoms of a particle in its crystal [Å³]."""
    volumes = np.zeros(count)
    for domain in domains:
        volumes[domain.atoms] = domain.atomic_volume
    return volumes


def _described(structure: Structure, object_id: int) -> Mapping[str, Any]:
    """What the metadata hold of a particle."""
    particles = json.loads(structure.metadata.get("particles", "[]"))
    if not 0 < object_id <= len(particles):
        raise StructureError(
            f"the metadata key 'particles' describes {len(particles)} particles, but the structure has one of object "
            f"id {object_id}; allowed: a structure that names material and quaternion of every particle, as those "
            "of the structures stage do"
        )
    particle: Mapping[str, Any] = particles[object_id - 1]
    if missing := {"material", "quaternion", "center"} - set(particle):
        raise StructureError(
            f"the metadata of particle {object_id} lack {', '.join(sorted(missing))}; allowed: a structure of the "
            "structures stage"
        )
    return particle


def _grain_rotations(particle: Mapping[str, Any], core: Crystal, first_of_shell: int) -> dict[int, FloatArray]:
    """Rotations [3, 3] of grains against the crystal of the particle, of those that are turned."""
    shape = str(particle.get("shape"))
    if shape in ("decahedron", "icosahedron"):
        return _twin_rotations(core, shape)
    own = enumerate(particle.get("grain_rotations", []))
    shell = enumerate(particle.get("shell_grain_rotations", []), start=first_of_shell)
    return {number: rotation_matrix(np.asarray(quaternion)) for part in (own, shell) for number, quaternion in part}


@cache
def _twin_rotations(crystal: Crystal, shape: str) -> dict[int, FloatArray]:
    """Rotations [3, 3] of the grains of a multiply twinned particle of any size against its first one.

    The two grains at a twin plane are each other's mirror images, which in a cubic crystal, that has an inversion
    centre, is a turn by 180° about its normal.
    """
    body = (
        icosahedron(crystal, _IDEAL_RADIUS)
        if shape == "icosahedron"
        else decahedron(crystal, _IDEAL_RADIUS, {"111": 1.0, "100": 1.15})
    )
    grains = range(int(body.grain.max()) + 1)
    centres = np.stack([body.positions[body.grain == number].mean(axis=0) for number in grains])
    rotations = {0: np.eye(3)}
    pairs = [(np.linalg.norm(centres - d.point, axis=1).argsort()[:2].tolist(), d.normal) for d in body.defects]
    while len(rotations) < len(centres):
        for (one, other), normal in pairs:
            for known, new in ((one, other), (other, one)):
                if known in rotations and new not in rotations:
                    rotations[new] = axis_rotation(normal, 180.0) @ rotations[known]
    return rotations


def _beyond_twins(
    particle: Mapping[str, Any], positions: FloatArray, cell: FloatArray
) -> tuple[NDArray[np.bool_], FloatArray]:
    """Which atoms [n] lie beyond an odd number of parallel twin planes, and the turn [3, 3] that they have taken."""
    beyond = np.zeros(len(positions), dtype=bool)
    twins = [defect for defect in particle.get("defects", []) if defect["kind"] == "twin"]
    if not twins or particle.get("shape") in ("decahedron", "icosahedron"):
        return beyond, np.eye(3)
    # The atoms may have been brought together a period away from where the particle was made.
    shift = np.zeros(3)
    shift[:2] = cell[:2] * np.round((positions.mean(axis=0) - particle["center"])[:2] / cell[:2])
    for twin in twins:
        beyond ^= (positions - shift - twin["point"]) @ np.asarray(twin["normal"]) > _ON_PLANE
    return beyond, axis_rotation(twins[0]["normal"], 180.0)
