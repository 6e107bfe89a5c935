"""Outer shapes of particles, all of the volume of a sphere of given radius and about the origin.

The forms that need nothing but a name are bounded by low-index planes of a cubic crystal: the Platonic and
Archimedean bodies with equal edges. Every other shape is defined for any crystal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations, product
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exitwave.errors import StructureError
from exitwave.structures.crystal import Crystal
from exitwave.structures.transforms import unit_vector
from exitwave.structures.volumes import Cylinder, Ellipsoid, Polyhedron, Union, Volume, sphere
from exitwave.structures.wulff import unit_polyhedron, winterbottom_solid, wulff_solid

FloatArray = NDArray[np.float64]
Indices = tuple[int, int, int]
Ends = Literal["round", "flat"]
Outline = Literal["circle", "hexagon", "triangle", "square"]

_FACES: dict[str, dict[Indices, float]] = {
    # Distances of the faces of each form, with the half edge of the cube that encloses them as the unit.
    "cube": {(1, 0, 0): 1.0},
    "truncated_cube": {(1, 0, 0): 1.0, (1, 1, 1): (1 + np.sqrt(2)) / np.sqrt(3)},
    "cuboctahedron": {(1, 0, 0): 1.0, (1, 1, 1): 2 / np.sqrt(3)},
    "truncated_octahedron": {(1, 0, 0): 1.0, (1, 1, 1): np.sqrt(3) / 2},
    "octahedron": {(1, 1, 1): 1.0},
    "tetrahedron": {(1, 1, 1): 1.0},
    "rhombic_dodecahedron": {(1, 1, 0): 1.0},
}
_CUBIC = 1e-3
"""How far edges and angles of a cell may be off those of a cube, as strain, for it to have the forms of one."""
_SAME_NORMAL = 1e-9
"""How far the cosine of the angle between two normals may be below 1 for them to be the same."""
_SIDES = {"triangle": 3, "square": 4, "hexagon": 6}


@dataclass(frozen=True)
class EllipsoidForm:
    """An ellipsoid: relative lengths of its axes along x, y, z of the crystal."""

    axes: tuple[float, float, float]


@dataclass(frozen=True)
class RodForm:
    """A rod: length over diameter, direction [uvw] and kind of ends."""

    aspect: float
    axis: Indices = (0, 0, 1)
    ends: Ends = "round"


@dataclass(frozen=True)
class PlateletForm:
    """A prism: diameter of the circle of the same area over thickness, plane (hkl) of that face and its outline."""

    aspect: float
    normal: Indices = (1, 1, 1)
    outline: Outline = "hexagon"


@dataclass(frozen=True)
class WulffForm:
    """The shape of least surface energy: pairs of plane and energy, as in `wulff_solid`."""

    energies: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class WinterbottomForm:
    """The shape of least energy on a substrate: as `WulffForm`, with the plane (hkl) and energy of the interface."""

    energies: tuple[tuple[str, float], ...]
    interface: Indices
    interface_energy: float


Form = str | EllipsoidForm | RodForm | PlateletForm | WulffForm | WinterbottomForm


def make_solid(form: Form, crystal: Crystal, radius: float) -> Volume:
    """The outer shape of a particle.

    Parameters
    ----------
    form : str or form
        ``sphere``, a form of a cubic crystal by name (`polyhedral_form`), or one of the forms with numbers.
    crystal : Crystal
        What the particle is cut from; its cell gives directions and planes, its symmetry equivalent planes.
    radius : float
        Radius of a sphere of the same volume [Å].

    Returns
    -------
    Volume
        In the Cartesian frame of the crystal, its centre of mass at the origin.

    Raises
    ------
    StructureError
        If the radius is not positive, the form is unknown, or its numbers or the crystal do not allow it.
    """
    if not 0 < radius < np.inf:
        raise StructureError(f"particles.radius is {radius:g} Å; allowed: a finite number above 0")
    match form:
        case "sphere":
            return sphere(radius)
        case str():
            return polyhedral_form(form, crystal, radius)
        case EllipsoidForm():
            return ellipsoid(form.axes, radius)
        case RodForm():
            return rod(np.array(form.axis) @ crystal.cell, radius, form.aspect, form.ends)
        case PlateletForm():
            normal = np.linalg.inv(crystal.cell) @ np.array(form.normal)
            return platelet(normal, shortest_in_plane(crystal, form.normal), radius, form.aspect, form.outline)
        case WulffForm():
            return wulff_solid(crystal, dict(form.energies), radius)
        case WinterbottomForm():
            return winterbottom_solid(crystal, dict(form.energies), form.interface, form.interface_energy, radius)


def inset(solid: Volume, thickness: float, kept: ArrayLike | None = None) -> Volume:
    """The solid whose surface lies a thickness inside that of a solid of `make_solid`, such as the core of a shell.

    Parameters
    ----------
    solid : Volume
        A polyhedron, an ellipsoid, a cylinder or a rod with round ends.
    thickness : float
        Distance of the two surfaces [Å]. It is the same everywhere but for an ellipsoid, whose semi-axes are shorter by
        it: between the axes its surface lies less deep, by up to a sixth where one is 3 times as long as another.
    kept : array_like [3], optional
        Unit normal of a face of a polyhedron that stays where it is: the interface of a particle on a substrate.

    Returns
    -------
    Volume
        In the frame of the solid; about its origin, which need not be the centre of mass of what is left.

    Raises
    ------
    StructureError
        If the thickness is negative or not finite, it leaves nothing, or the solid is of another kind.
    """
    if not 0 <= thickness < np.inf:
        raise StructureError(f"shell.thickness is {thickness:g} Å; allowed: a finite number from 0")
    match solid:
        case Polyhedron():
            moves = np.ones(len(solid.normals)) if kept is None else solid.normals @ np.asarray(kept) < 1 - _SAME_NORMAL
            inner = Polyhedron(solid.normals, solid.distances - thickness * moves)
            if inner.bounding_sphere()[1] > 0:
                return inner
        case Ellipsoid():
            lengths = np.linalg.norm(solid.axes, axis=1)
            if thickness < lengths.min():
                return Ellipsoid(solid.centre, solid.axes * (1 - thickness / lengths)[:, None])
        case Cylinder():
            if thickness < min(solid.radius, solid.length / 2):
                return replace(solid, radius=solid.radius - thickness, length=solid.length - 2 * thickness)
        case Union((Cylinder() as straight, Ellipsoid() as one, Ellipsoid() as other)):
            if thickness < straight.radius:
                narrower = replace(straight, radius=straight.radius - thickness)
                return Union((narrower, inset(one, thickness), inset(other, thickness)))
        case _:
            raise StructureError(
                f"the solid is of type {type(solid).__name__}; allowed: a polyhedron, an ellipsoid, a cylinder or a rod"
            )
    raise StructureError(
        f"shell.thickness is {thickness:g} Å, which leaves nothing of a solid within a sphere of radius "
        f"{solid.bounding_sphere()[1]:.3g} Å; allowed: less than the depth of its innermost point"
    )


def polyhedral_form(name: str, crystal: Crystal, radius: float) -> Polyhedron:
    """A form of a cubic crystal with equal edges.

    Parameters
    ----------
    name : str
        ``cube``, ``octahedron``, ``tetrahedron``, ``rhombic_dodecahedron``, ``cuboctahedron``, ``truncated_cube`` or
        ``truncated_octahedron``.
    crystal : Crystal
        A crystal with a cubic cell, along whose axes the form lies.
    radius : float
        Radius of a sphere of the same volume [Å].

    Raises
    ------
    StructureError
        If there is no form of that name, or the cell is not cubic.
    """
    if name not in _FACES:
        raise StructureError(f"particles.shape is '{name}', which is no form; allowed: sphere, {', '.join(_FACES)}")
    edge = np.cbrt(abs(np.linalg.det(crystal.cell)))
    axes = crystal.cell / edge
    if np.abs(axes @ axes.T - np.eye(3)).max() > 2 * _CUBIC:
        raise StructureError(
            f"particles.shape is '{name}' for '{crystal.name}', whose cell is not cubic; allowed: sphere, ellipsoid, "
            "rod, platelet, wulff or winterbottom"
        )
    # The nearest cube, so that the form is regular though the cell be a little uneven.
    left, _, right = np.linalg.svd(axes)
    form = _unit_form(name)
    return Polyhedron(form.normals @ left @ right, form.distances * radius)


def ellipsoid(axes: ArrayLike, radius: float) -> Ellipsoid:
    """An ellipsoid of relative lengths [3] of its axes along x, y, z and the volume of a sphere of a radius [Å].

    Raises
    ------
    StructureError
        If a length is not positive.
    """
    lengths = np.asarray(axes, dtype=np.float64)
    if not np.all(lengths > 0):
        raise StructureError(f"shape.axes is {lengths.tolist()}; allowed: three lengths above 0")
    return Ellipsoid(np.zeros(3), np.diag(radius * lengths / np.cbrt(lengths.prod())))


def rod(axis: ArrayLike, radius: float, aspect: float, ends: Ends = "round") -> Volume:
    """A rod.

    Parameters
    ----------
    axis : array_like [3]
        Cartesian direction of the rod, of any length.
    radius : float
        Radius of a sphere of the same volume [Å].
    aspect : float
        Length, with the ends, over diameter.
    ends : {'round', 'flat'}
        Hemispheres, or faces across the axis.

    Raises
    ------
    StructureError
        If there is no such rod.
    """
    direction = unit_vector(axis, "shape.axis")
    if not aspect >= 1:
        raise StructureError(f"shape.aspect of a rod is {aspect:g}; allowed: 1 or more")
    if ends == "flat":
        half = radius * np.cbrt(2 / 3 / aspect)
        return Cylinder(np.zeros(3), direction, half, 2 * half * aspect)
    # The volume is 2 pi half^3 (aspect - 1) of the cylinder and 4/3 pi half^3 of the ends.
    half = radius * np.cbrt(2 / (3 * aspect - 1))
    length = 2 * half * (aspect - 1)
    caps = (sphere(half, direction * length / 2), sphere(half, -direction * length / 2))
    return Union((Cylinder(np.zeros(3), direction, half, length), *caps))


def platelet(normal: ArrayLike, edge: ArrayLike, radius: float, aspect: float, outline: Outline = "hexagon") -> Volume:
    """A flat prism.

    Parameters
    ----------
    normal : array_like [3]
        Cartesian normal of its large faces, of any length.
    edge : array_like [3]
        Cartesian direction of an edge of the outline, across the normal, of any length.
    radius : float
        Radius of a sphere of the same volume [Å].
    aspect : float
        Diameter of a circle of the same area as the large face, over thickness.
    outline : {'circle', 'hexagon', 'triangle', 'square'}
        Outline of the large faces, a regular polygon.

    Raises
    ------
    StructureError
        If there is no such prism.
    """
    up = unit_vector(normal, "shape.normal")
    if not aspect > 0:
        raise StructureError(f"shape.aspect of a platelet is {aspect:g}; allowed: a number above 0")
    half = radius * np.cbrt(2 / 3 * aspect)
    thickness = 2 * half / aspect
    if outline == "circle":
        return Cylinder(np.zeros(3), up, half, thickness)
    sides = _SIDES[outline]
    across = np.cross(up, unit_vector(edge, "edge"))
    angles = 2 * np.pi / sides * np.arange(sides)
    normals = np.cos(angles)[:, None] * across + np.sin(angles)[:, None] * np.cross(up, across)
    # A regular polygon of n sides has the area n tan(pi / n) times the square of the radius of its inscribed circle.
    inscribed = half * np.sqrt(np.pi / sides / np.tan(np.pi / sides))
    return Polyhedron(
        np.concatenate([normals, [up, -up]]), np.concatenate([np.full(sides, inscribed), np.full(2, thickness / 2)])
    )


def shortest_in_plane(crystal: Crystal, indices: Indices) -> FloatArray:
    """The shortest vector [3] [Å] that joins corners of cells in the plane (hkl): <1-10> in {111} of a cubic crystal.

    Of several, the one whose indices are the largest in order is taken, so that it is the same every time.

    Raises
    ------
    StructureError
        If the indices are all 0.
    """
    if not any(indices):
        raise StructureError("shape.normal is (0, 0, 0); allowed: three indices, not all 0")
    reach = np.arange(-max(map(abs, indices)), max(map(abs, indices)) + 1)
    vectors = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), -1).reshape(-1, 3)[::-1]
    vectors = vectors[(vectors @ np.array(indices) == 0) & vectors.any(axis=1)]
    lengths = np.linalg.norm(vectors @ crystal.cell, axis=1)
    return np.asarray(vectors[np.argmax(lengths < lengths.min() * (1 + 1e-6))] @ crystal.cell, dtype=np.float64)


@cache
def _unit_form(name: str) -> Polyhedron:
    """A form along the axes of a cubic cell, of the volume of a sphere of radius 1."""
    faces: dict[tuple[int, ...], float] = {}
    for plane, distance in _FACES[name].items():
        for order, signs in product(permutations(plane), product((1, -1), repeat=3)):
            faces[tuple(index * sign for index, sign in zip(order, signs, strict=True))] = distance
    normals, distances = np.array(list(faces), dtype=np.float64), np.array(list(faces.values()))
    if name == "tetrahedron":
        # Every other face of the octahedron.
        every_other = normals.prod(axis=1) > 0
        normals, distances = normals[every_other], distances[every_other]
    return unit_polyhedron(normals / np.linalg.norm(normals, axis=1)[:, None], distances)
