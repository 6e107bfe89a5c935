"""Volumes: regions of space that crystals are cut by, combined by ``&``, ``|``, ``-`` and ``~``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exitwave.errors import StructureError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

SKIN = 1e-6
"""Points this far outside [Å] still count as inside, so that rounding never strips an atomic plane off a facet."""


class Volume(ABC):
    """A region of space."""

    @abstractmethod
    def contains(self, points: FloatArray) -> BoolArray:
        """Tell which of the points [..., 3] [Å] lie inside or on the surface: bool [...]."""

    @abstractmethod
    def bounding_sphere(self) -> tuple[FloatArray, float]:
        """Centre [3] and radius [Å] of a sphere around the volume; the radius is infinite if there is none."""

    @abstractmethod
    def moved(self, rotation: FloatArray, translation: FloatArray) -> Volume:
        """The volume after ``rotation @ point + translation``; the matrix [3, 3] may be a reflection too."""

    def __and__(self, other: Volume) -> Volume:
        return _intersection(self, other)

    def __or__(self, other: Volume) -> Volume:
        return Union((self, other))

    def __sub__(self, other: Volume) -> Volume:
        return _intersection(self, Complement(other))

    def __invert__(self) -> Volume:
        return Complement(self)


@dataclass(frozen=True)
class Ellipsoid(Volume):
    """An ellipsoid of centre [3] and semi-axes, the rows of ``axes`` [3, 3], mutually orthogonal [Å]."""

    centre: FloatArray
    axes: FloatArray

    def contains(self, points: FloatArray) -> BoolArray:
        lengths = np.linalg.norm(self.axes, axis=1)
        along = (points - self.centre) @ (self.axes / lengths[:, None]).T / (lengths + SKIN)
        return np.asarray(np.einsum("...i,...i->...", along, along) <= 1)

    def bounding_sphere(self) -> tuple[FloatArray, float]:
        return self.centre, float(np.linalg.norm(self.axes, axis=1).max()) + SKIN

    def moved(self, rotation: FloatArray, translation: FloatArray) -> Volume:
        return Ellipsoid(rotation @ self.centre + translation, self.axes @ rotation.T)


def sphere(radius: float, centre: ArrayLike = (0.0, 0.0, 0.0)) -> Ellipsoid:
    """A sphere of radius and centre [Å]."""
    return Ellipsoid(np.asarray(centre, dtype=np.float64), float(radius) * np.eye(3))


@dataclass(frozen=True)
class Cylinder(Volume):
    """A cylinder of centre [3], unit axis [3], radius and length [Å]."""

    centre: FloatArray
    axis: FloatArray
    radius: float
    length: float

    def contains(self, points: FloatArray) -> BoolArray:
        offset = points - self.centre
        along = offset @ self.axis
        across = np.einsum("...i,...i->...", offset, offset) - along**2
        return np.asarray((np.abs(along) <= self.length / 2 + SKIN) & (across <= (self.radius + SKIN) ** 2))

    def bounding_sphere(self) -> tuple[FloatArray, float]:
        return self.centre, float(np.hypot(self.radius, self.length / 2)) + 2 * SKIN

    def moved(self, rotation: FloatArray, translation: FloatArray) -> Volume:
        return Cylinder(rotation @ self.centre + translation, rotation @ self.axis, self.radius, self.length)


def cylinder(
    radius: float, length: float, axis: ArrayLike = (0.0, 0.0, 1.0), centre: ArrayLike = (0.0, 0.0, 0.0)
) -> Cylinder:
    """A cylinder of radius and length [Å] about an axis [3] of any length, and of a centre [3] [Å]."""
    direction = np.asarray(axis, dtype=np.float64)
    size = np.linalg.norm(direction)
    if not size > 0:
        raise StructureError(f"the axis of a cylinder is {direction.tolist()}; allowed: a vector that is not zero")
    return Cylinder(np.asarray(centre, dtype=np.float64), direction / size, float(radius), float(length))


@dataclass(frozen=True)
class Polyhedron(Volume):
    """A convex polyhedron, or an unbounded intersection of half-spaces: where ``normals @ point <= distances``.

    Attributes
    ----------
    normals : ndarray [m, 3]
        Outward unit normals of the faces.
    distances : ndarray [m]
        Distances of the faces from the origin along their normals [Å].
    """

    normals: FloatArray
    distances: FloatArray

    def contains(self, points: FloatArray) -> BoolArray:
        inside = np.ones(points.shape[:-1], dtype=bool)
        for normal, distance in zip(self.normals, self.distances, strict=True):
            inside &= points @ normal <= distance + SKIN
        return inside

    def vertices(self) -> FloatArray:
        """Corners [k, 3] [Å].

        Raises
        ------
        StructureError
            If the faces enclose nothing, or do not close.
        """
        from scipy.spatial import HalfspaceIntersection, QhullError

        inside = self._point_inside()
        if inside is None:
            raise StructureError("the faces of a polyhedron enclose no volume; allowed: faces that do")
        unclosed = StructureError("the faces of a polyhedron do not close around a volume; allowed: faces that do")
        try:
            with np.errstate(divide="ignore", invalid="ignore"):
                found = HalfspaceIntersection(np.column_stack([self.normals, -self.distances]), inside)
        except QhullError as error:
            raise unclosed from error
        # The faces close if their dual points lie all around the origin; on its hull, corners are at infinity.
        if not (found.dual_equations[:, 3] < -1e-9 * np.abs(found.dual_points).max()).all():
            raise unclosed
        return np.asarray(found.intersections, dtype=np.float64)

    def _point_inside(self) -> FloatArray | None:
        """A point [3] well inside the faces, or none if they enclose no volume."""
        from scipy.optimize import linprog

        if (self.distances > 0.05 * self.distances.max()).all() and self.distances.max() > 0:
            return np.zeros(3)
        # The centre of the largest ball inside; a limit to it gives unclosed faces one too.
        found = linprog(
            [0, 0, 0, -1],
            A_ub=np.column_stack([self.normals, np.linalg.norm(self.normals, axis=1)]),
            b_ub=self.distances,
            bounds=[(None, None)] * 3 + [(0, 2 * np.abs(self.distances).max() + 1)],
        )
        if not found.success or found.x[3] <= 1e-9:
            return None
        return np.asarray(found.x[:3], dtype=np.float64)

    def volume(self) -> float:
        """Volume [Å³]."""
        from scipy.spatial import ConvexHull

        return float(ConvexHull(self.vertices()).volume)

    def scaled(self, factor: float) -> Polyhedron:
        """The polyhedron grown by a factor about the origin."""
        return Polyhedron(self.normals, self.distances * factor)

    def bounding_sphere(self) -> tuple[FloatArray, float]:
        try:
            corners = self.vertices()
        except StructureError:
            return np.zeros(3), 0.0 if self._point_inside() is None else np.inf
        centre = (corners.min(axis=0) + corners.max(axis=0)) / 2
        return centre, float(np.linalg.norm(corners - centre, axis=1).max()) + 2 * SKIN

    def moved(self, rotation: FloatArray, translation: FloatArray) -> Volume:
        normals = self.normals @ rotation.T
        return Polyhedron(normals, self.distances + normals @ translation)


def half_space(normal: ArrayLike, distance: float = 0.0) -> Polyhedron:
    """All points up to a distance [Å] along a normal [3] of any length from the origin."""
    direction = np.asarray(normal, dtype=np.float64)
    length = np.linalg.norm(direction)
    if not length > 0:
        raise StructureError(f"the normal of a half-space is {direction.tolist()}; allowed: a vector that is not zero")
    return Polyhedron((direction / length)[None], np.array([float(distance)]))


def miller_half_space(cell: FloatArray, indices: ArrayLike, distance: float = 0.0) -> Polyhedron:
    """All points up to a distance [Å] from the origin along the normal of the planes (hkl) of a cell (rows [3, 3])."""
    return half_space(np.linalg.inv(cell) @ np.asarray(indices, dtype=np.float64), distance)


def box(edges: ArrayLike, centre: ArrayLike = (0.0, 0.0, 0.0)) -> Polyhedron:
    """A cuboid of edges [3] along the axes and a centre [3] [Å]."""
    half, middle = np.asarray(edges, dtype=np.float64) / 2, np.asarray(centre, dtype=np.float64)
    return Polyhedron(np.concatenate([np.eye(3), -np.eye(3)]), np.concatenate([half + middle, half - middle]))


def convex_hull(points: FloatArray) -> Polyhedron:
    """The convex hull of points [n, 3] [Å].

    Raises
    ------
    StructureError
        If the points are fewer than four or lie in one plane.
    """
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(np.asarray(points, dtype=np.float64))
    except (QhullError, ValueError) as error:
        raise StructureError(
            f"{len(points)} points have no convex hull with a volume; allowed: four or more, not all in one plane"
        ) from error
    # Coplanar triangles share an equation; one is enough.
    equations = np.unique(hull.equations.round(9), axis=0)
    return Polyhedron(equations[:, :3], -equations[:, 3])


@dataclass(frozen=True)
class Complement(Volume):
    """Everything outside a volume."""

    volume: Volume

    def contains(self, points: FloatArray) -> BoolArray:
        return ~self.volume.contains(points)

    def bounding_sphere(self) -> tuple[FloatArray, float]:
        return np.zeros(3), np.inf

    def moved(self, rotation: FloatArray, translation: FloatArray) -> Volume:
        return Complement(self.volume.moved(rotation, translation))


@dataclass(frozen=True)
class Intersection(Volume):
    """What all the volumes share."""

    volumes: tuple[Volume, ...]

    def contains(self, points: FloatArray) -> BoolArray:
        return np.asarray(np.logical_and.reduce([volume.contains(points) for volume in self.volumes]))

    def bounding_sphere(self) -> tuple[FloatArray, float]:
        # The smallest sphere of one of them holds what all share.
        return min((volume.bounding_sphere() for volume in self.volumes), key=lambda found: found[1])

    def moved(self, rotation: FloatArray, translation: FloatArray) -> Volume:
        return Intersection(tuple(volume.moved(rotation, translation) for volume in self.volumes))


@dataclass(frozen=True)
class Union(Volume):
    """What any of the volumes holds."""

    volumes: tuple[Volume, ...]

    def contains(self, points: FloatArray) -> BoolArray:
        return np.asarray(np.logical_or.reduce([volume.contains(points) for volume in self.volumes]))

    def bounding_sphere(self) -> tuple[FloatArray, float]:
        spheres = [volume.bounding_sphere() for volume in self.volumes]
        centre = np.mean([found[0] for found in spheres], axis=0)
        return centre, max(float(np.linalg.norm(found[0] - centre)) + found[1] for found in spheres)

    def moved(self, rotation: FloatArray, translation: FloatArray) -> Volume:
        return Union(tuple(volume.moved(rotation, translation) for volume in self.volumes))


def _intersection(*volumes: Volume) -> Volume:
    """What volumes share; all polyhedra among them become one, for half-spaces are bounded only together."""
    parts = [part for volume in volumes for part in (volume.volumes if isinstance(volume, Intersection) else (volume,))]
    faces = [part for part in parts if isinstance(part, Polyhedron)]
    others = [part for part in parts if not isinstance(part, Polyhedron)]
    if faces:
        normals, distances = [face.normals for face in faces], [face.distances for face in faces]
        others.insert(0, Polyhedron(np.concatenate(normals), np.concatenate(distances)))
    return others[0] if len(others) == 1 else Intersection(tuple(others))


class Everywhere(Volume):
    """All of space: to let one object take the place of every other."""

    def contains(self, points: FloatArray) -> BoolArray:
        return np.ones(points.shape[:-1], dtype=bool)

    def bounding_sphere(self) -> tuple[FloatArray, float]:
        return np.zeros(3), np.inf

    def moved(self, rotation: FloatArray, translation: FloatArray) -> Volume:
        return self
