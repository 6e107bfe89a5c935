"""Shapes of least surface energy: free particles (Wulff) and particles on a flat substrate (Winterbottom).

The distance of every face from one common point is proportional to its surface energy (G. Wulff, Z. Kristallogr. 34
(1901) 449), and that of the interface to its energy less that of the bare substrate (W. L. Winterbottom, Acta Metall.
15 (1967) 303). The shapes, and the atoms in them, are those of WulffPack (J. M. Rahm and P. Erhart, J. Open Source
Softw. 5 (2020) 1944), to which the tests compare them.

Planes are named by the three Miller indices of the cell of the crystal, also where it is hexagonal; each stands for
all planes that are equivalent to it by the point group of the crystal. Where that has no centre of symmetry, as in
wurtzite or zinc blende, opposite planes may differ, and each needs an energy of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import StructureError
from exitwave.structures.crystal import Crystal
from exitwave.structures.volumes import Polyhedron, miller_half_space

FloatArray = NDArray[np.float64]
Energies = tuple[tuple[str, float], ...]

_SYMMETRY_TOLERANCE = 1e-2
"""Displacement of atoms [Å] that symmetry is found in spite of: CIF files round coordinates to four digits or so."""
_ON_FACE = 1e-7
"""Corners this near to the plane of a face, in radii of the particle, lie on it."""


def wulff_solid(crystal: Crystal, energies: Mapping[str, float], radius: float) -> Polyhedron:
    """The shape of least surface energy of a free particle.

    Parameters
    ----------
    crystal : Crystal
        What the particle consists of; its cell and point group matter.
    energies : mapping of str to float
        Relative surface energies by plane: ``{"111": 1, "100": 1.15}``, ``"-110"``, ``"1,0,12"``.
    radius : float
        Radius of a sphere of the same volume [Å].

    Returns
    -------
    Polyhedron
        In the Cartesian frame of the crystal, its centre of mass at the origin.

    Raises
    ------
    StructureError
        If a plane cannot be read, equivalent planes differ in energy, or the planes do not close around a volume.
    """
    return _unit_wulff(crystal, tuple(energies.items())).scaled(radius)


def winterbottom_solid(
    crystal: Crystal,
    energies: Mapping[str, float],
    interface: tuple[int, int, int],
    interface_energy: float,
    radius: float,
) -> Polyhedron:
    """The shape of least surface energy of a particle that rests on a flat substrate.

    Parameters
    ----------
    crystal, energies, radius
        As in `wulff_solid`.
    interface : tuple of int [3]
        Miller indices of the plane whose outward normal points into the substrate.
    interface_energy : float
        Energy of the interface less that of the bare substrate, on the scale of ``energies``.

    Returns
    -------
    Polyhedron
        In the Cartesian frame of the crystal, its centre of mass at the origin.

    Raises
    ------
    StructureError
        As `wulff_solid`, and if the energy is so low that the particle would wet the substrate, or so high that it
        would touch it in a point.
    """
    return _unit_winterbottom(crystal, tuple(energies.items()), tuple(interface), interface_energy).scaled(radius)


def miller_indices(plane: str) -> tuple[int, int, int]:
    """Indices of a plane written as ``111``, ``1-10`` or ``1,0,12``.

    Raises
    ------
    StructureError
        If there are not three indices, or all are 0.
    """
    found = re.fullmatch(r"\s*(-?\d)(-?\d)(-?\d)\s*|\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(-?\d+)\s*", plane)
    indices = [int(index) for index in found.groups() if index is not None] if found else []
    if not any(indices):
        raise StructureError(
            f"shape.energies names the plane '{plane}'; allowed: three indices, not all 0, such as 111, -110 or 1,0,12"
        )
    return indices[0], indices[1], indices[2]


def surface_faces(crystal: Crystal, energies: Mapping[str, float]) -> tuple[FloatArray, FloatArray]:
    """All faces that surface energies describe, by the point group of the crystal.

    Returns
    -------
    normals : ndarray [m, 3]
        Outward unit normals in the Cartesian frame of the crystal.
    energies : ndarray [m]
        Energies of the faces.

    Raises
    ------
    StructureError
        If a plane cannot be read, an energy is not positive or not finite, or equivalent planes differ in energy.
    """
    rotations = _point_group(crystal)
    faces: dict[tuple[int, ...], tuple[str, float]] = {}
    for plane, energy in energies.items():
        if not 0 < energy < np.inf:
            raise StructureError(
                f"shape.energies gives {energy:g} for the plane {plane}; allowed: a finite number above 0"
            )
        # A plane takes part in a rotation as a row vector, so that it stays integer whatever the metric of the cell.
        for indices in {tuple(int(i) for i in row) for row in np.array(miller_indices(plane)) @ rotations}:
            first = faces.setdefault(indices, (plane, energy))
            if first[1] != energy:
                raise StructureError(
                    f"shape.energies gives {first[1]:g} for {first[0]} and {energy:g} for {plane}, which are "
                    f"equivalent in '{crystal.name}'; allowed: one energy for planes equivalent by symmetry"
                )
    normals = np.array(sorted(faces)) @ np.linalg.inv(crystal.cell).T
    return normals / np.linalg.norm(normals, axis=1)[:, None], np.array([faces[key][1] for key in sorted(faces)])


def unit_polyhedron(normals: FloatArray, distances: FloatArray) -> Polyhedron:
    """The body enclosed by faces, about its centre of mass, with the volume of a sphere of radius 1.

    Faces that it does not reach are left out.

    Raises
    ------
    StructureError
        If the faces do not close around a volume.
    """
    corners = Polyhedron(normals, distances).vertices()
    volume, centre = volume_and_centre(corners)
    scale = np.cbrt(4 / 3 * np.pi / volume)
    corners, distances = (corners - centre) * scale, (distances - normals @ centre) * scale
    reached = reached_faces(normals, distances, corners)
    return Polyhedron(normals[reached], distances[reached])


def reached_faces(normals: FloatArray, distances: FloatArray, corners: FloatArray) -> NDArray[np.bool_]:
    """Which of the faces [m] bound a body of unit size with corners [k, 3]: bool [m].

    A plane that only touches the body does so at a corner or along an edge.
    """
    distinct = np.unique(corners.round(10), axis=0)
    return np.asarray((np.abs(distinct @ normals.T - distances) < _ON_FACE).sum(axis=0) >= 3)


def volume_and_centre(corners: FloatArray) -> tuple[float, FloatArray]:
    """Volume [Å³] and centre of mass [3] [Å] of the convex hull of points [n, 3]."""
    from scipy.spatial import ConvexHull

    inner = corners.mean(axis=0)
    triangles = corners[ConvexHull(corners).simplices] - inner
    volumes = np.abs(np.linalg.det(triangles)) / 6
    # The centre of a tetrahedron with one corner at the inner point.
    centre = (volumes[:, None] * triangles.sum(axis=1) / 4).sum(axis=0) / volumes.sum()
    return float(volumes.sum()), inner + centre


@lru_cache(maxsize=256)
def _unit_wulff(crystal: Crystal, energies: Energies) -> Polyhedron:
    return unit_polyhedron(*_closed_faces(crystal, energies)[:2])


@lru_cache(maxsize=256)
def _unit_winterbottom(crystal: Crystal, energies: Energies, interface: tuple[int, ...], energy: float) -> Polyhedron:
    normals, distances, corners = _closed_faces(crystal, energies)
    normal = miller_half_space(crystal.cell, interface).normals
    heights = corners @ normal[0]
    if not heights.min() < energy < heights.max():
        raise StructureError(
            f"shape.interface_energy is {energy:g} for the interface {interface} of '{crystal.name}'; allowed: above "
            f"{heights.min():.4g}, where it wets the substrate, and below {heights.max():.4g}, where it leaves it"
        )
    return unit_polyhedron(np.concatenate([normals, normal]), np.append(distances, energy))


@lru_cache(maxsize=256)
def _closed_faces(crystal: Crystal, energies: Energies) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Normals [m, 3], energies [m] and corners [k, 3] of the free shape about the common point of the faces."""
    normals, distances = surface_faces(crystal, dict(energies))
    try:
        return normals, distances, Polyhedron(normals, distances).vertices()
    except StructureError as error:
        planes = ", ".join(plane for plane, _ in energies)
        raise StructureError(
            f"shape.energies names the planes {planes}, which do not close around a particle of '{crystal.name}'; "
            "allowed: planes that do by its symmetry, which need not make opposite planes equivalent"
        ) from error


@lru_cache(maxsize=64)
def _point_group(crystal: Crystal) -> NDArray[np.int64]:
    """Rotations [n, 3, 3] of the point group, acting on fractional coordinates as columns."""
    import spglib

    dataset = spglib.get_symmetry_dataset(
        (crystal.cell.tolist(), crystal.fractional.tolist(), crystal.numbers.tolist()), symprec=_SYMMETRY_TOLERANCE
    )
    if dataset is None:
        raise StructureError(
            f"the symmetry of '{crystal.name}' cannot be found; allowed: a crystal whose atoms are apart"
        )
    return np.unique(np.asarray(dataset.rotations, dtype=np.int64), axis=0)
