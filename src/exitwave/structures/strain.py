"""Strain: homogeneous, of any user-given field, of a relaxed surface and of bending; and thermal displacements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exitwave.errors import StructureError
from exitwave.structures.body import Body, PlanarDefect
from exitwave.structures.transforms import rotation_matrix, unit_vector
from exitwave.structures.volumes import (
    BoolArray,
    Complement,
    Ellipsoid,
    Everywhere,
    Intersection,
    Polyhedron,
    Union,
    Volume,
)

if TYPE_CHECKING:
    from exitwave.structures.crystal import Crystal

FloatArray = NDArray[np.float64]
Field = Callable[[FloatArray], FloatArray]

RELAXATION_LENGTH = 3.0
"""Depth [Å] over which the strain of a relaxed surface falls to 1/e: about one atomic layer.

In gold particles of 3 to 5 nm the atoms of the surface are drawn in by about 0.05 Å in the middle of {111} facets and
0.13 Å on {100} (Huang et al., Nature Materials 7 (2008) 308, abstract; the length itself is not from there). With it,
strains of -0.03 and -0.09 at the surface bring the two outermost layers closer by as much.
"""


@dataclass(frozen=True)
class Deformed(Volume):
    """A volume after a deformation, and then perhaps a rigid motion.

    Attributes
    ----------
    volume : Volume
        The volume before.
    inverse : callable
        Takes points [..., 3] of the deformed volume back to where they came from.
    centre, radius : ndarray [3], float
        Sphere around the deformed volume [Å].
    rotation, translation : ndarray [3, 3], ndarray [3]
        The rigid motion since the deformation.
    """

    volume: Volume
    inverse: Field
    centre: FloatArray
    radius: float
    rotation: FloatArray = field(default_factory=lambda: np.eye(3))
    translation: FloatArray = field(default_factory=lambda: np.zeros(3))

    def contains(self, points: FloatArray) -> BoolArray:
        return self.volume.contains(self.inverse((points - self.translation) @ self.rotation))

    def bounding_sphere(self) -> tuple[FloatArray, float]:
        return self.rotation @ self.centre + self.translation, self.radius

    def moved(self, rotation: FloatArray, translation: FloatArray) -> Volume:
        return replace(self, rotation=rotation @ self.rotation, translation=rotation @ self.translation + translation)


def strain_tensor(
    xx: float = 0.0, yy: float = 0.0, zz: float = 0.0, yz: float = 0.0, xz: float = 0.0, xy: float = 0.0
) -> FloatArray:
    """Strain tensor [3, 3] of Voigt's six components; the shear strains yz, xz, xy are twice those of the tensor."""
    return np.array([[xx, xy / 2, xz / 2], [xy / 2, yy, yz / 2], [xz / 2, yz / 2, zz]])


def strained(body: Body, tensor: FloatArray, frame: Literal["crystal", "lab"] = "crystal") -> Body:
    """The body strained homogeneously about the origin of its frame: every position r becomes (1 + tensor) r.

    The solid is strained exactly, whatever its shape; the orientation stays, for a strain has no rotation.

    Parameters
    ----------
    body : Body
        What is strained.
    tensor : ndarray [3, 3]
        Strain, such as `strain_tensor` gives.
    frame : {"crystal", "lab"}
        Whether the axes of the tensor are those of the crystal (of the first grain) or those of the body's frame.

    Raises
    ------
    StructureError
        If the tensor is not symmetric, for a rotation is not a strain, or turns space inside out.
    """
    gradient = _deformation(tensor)
    if frame == "crystal":
        turn = rotation_matrix(body.quaternion)
        gradient = turn @ gradient @ turn.T
    moved = displaced(body, lambda points: points @ (gradient - np.eye(3)).T)
    return replace(moved, solid=deformed_solid(body.solid, gradient))


def strained_crystal(crystal: Crystal, tensor: FloatArray) -> Crystal:
    """The crystal with its cell strained; its stacking planes, no longer equal layers, are not carried over.

    Parameters
    ----------
    crystal : Crystal
        What is strained.
    tensor : ndarray [3, 3]
        Symmetric strain tensor in the Cartesian frame of the crystal, such as `strain_tensor` gives.

    Raises
    ------
    StructureError
        If the tensor is not symmetric or turns space inside out.
    """
    return replace(crystal, cell=crystal.cell @ _deformation(tensor).T, stacking=None)


def _deformation(tensor: FloatArray) -> FloatArray:
    """1 + tensor, checked."""
    strain = np.asarray(tensor, dtype=np.float64)
    if strain.shape != (3, 3) or not np.isfinite(strain).all() or not np.allclose(strain, strain.T, atol=1e-12):
        raise StructureError(f"the strain tensor is {strain.tolist()}; allowed: a finite, symmetric 3 × 3 matrix")
    lowest = float(np.linalg.eigvalsh(strain)[0])
    if lowest <= -1:
        raise StructureError(f"the lowest principal strain is {lowest:g}; allowed: above -1")
    return np.asarray(np.eye(3) + strain)


def deformed_solid(solid: Volume, gradient: FloatArray) -> Volume:
    """A volume after every point r has become ``gradient @ r``, for a regular matrix [3, 3]."""
    if isinstance(solid, Polyhedron):
        # A face n·r = d becomes n·(F⁻¹ r) = d; its new normal is brought back to length 1.
        normals = solid.normals @ np.linalg.inv(gradient)
        lengths = np.linalg.norm(normals, axis=1)
        return Polyhedron(normals / lengths[:, None], solid.distances / lengths)
    if isinstance(solid, Ellipsoid):
        # The rows of U S V^T are points of the ellipsoid along a turned, orthogonal set; S V^T are its new axes.
        _, lengths, directions = np.linalg.svd(solid.axes @ gradient.T)
        return Ellipsoid(gradient @ solid.centre, lengths[:, None] * directions)
    if isinstance(solid, Complement):
        return Complement(deformed_solid(solid.volume, gradient))
    if isinstance(solid, Intersection | Union):
        return type(solid)(tuple(deformed_solid(volume, gradient) for volume in solid.volumes))
    if isinstance(solid, Everywhere):
        return solid
    centre, radius = solid.bounding_sphere()
    inverse = partial(np.einsum, "ij,...j->...i", np.linalg.inv(gradient))
    return Deformed(solid, inverse, gradient @ centre, radius * float(np.linalg.norm(gradient, ord=2)))


def displaced(body: Body, displacements: Field) -> Body:
    """The body with every atom displaced as a function of its position; planar defects and its origin follow.

    The solid stays as it was, so displacements should be no more than a fraction of a bond at its surface.

    Parameters
    ----------
    body : Body
        What is displaced.
    displacements : callable
        Gives displacements [n, 3] [Å] at positions [n, 3] [Å] in the frame of the body.

    Raises
    ------
    StructureError
        If the displacements are not finite or not as many as the positions.
    """
    shifts = np.asarray(displacements(body.positions), dtype=np.float64)
    if shifts.shape != body.positions.shape or not np.isfinite(shifts).all():
        raise StructureError(
            f"the displacements have shape {list(shifts.shape)} for positions {list(body.positions.shape)}, or are not "
            "finite; allowed: a finite displacement for every position"
        )
    defects = tuple(_displaced_defect(defect, displacements) for defect in body.defects)
    origin = body.origin + displacements(body.origin[None])[0]
    return replace(body, positions=body.positions + shifts, defects=defects, origin=origin)


def _displaced_defect(defect: PlanarDefect, displacements: Field) -> PlanarDefect:
    step = 1e-3
    probes = defect.point + step * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
    shifts = displacements(probes)
    gradient = np.eye(3) + (shifts[1:4] - shifts[4:]).T / (2 * step)
    normal = unit_vector(np.linalg.solve(gradient.T, defect.normal), "the normal of a displaced planar defect")
    return PlanarDefect(defect.kind, normal, defect.point + shifts[0])


def surface_relaxation(body: Body, amount: float) -> Body:
    """The body with its surface contracted or expanded towards or away from the mean position of its atoms.

    The radial strain is ``amount`` at the surface and falls off over `RELAXATION_LENGTH` into the depth, which is
    measured along the radius; the centre stays where it is. The surface is that of the solid, which stays as it was:
    it is off by ``amount`` times `RELAXATION_LENGTH`, 0.3 Å at most for strains up to 10 %.

    Parameters
    ----------
    body : Body
        What is relaxed; its solid should be seen whole from the centre, as every convex one is.
    amount : float
        Radial strain at the surface; negative is a contraction.

    Raises
    ------
    StructureError
        If the strain is -1 or less, or the solid is unbounded and has no centre.
    """
    if not -1 < amount < np.inf:
        raise StructureError(f"surface_relaxation is {amount:g}; allowed: above -1")
    middle, reach = body.solid.bounding_sphere()
    if not np.isfinite(reach):
        raise StructureError("surface_relaxation is asked of an unbounded solid; allowed: a bounded one")
    if amount == 0 or len(body) == 0:
        return body
    centre = body.positions.mean(axis=0)
    reach += float(np.linalg.norm(middle - centre))

    def relaxation(points: FloatArray) -> FloatArray:
        offsets = points - centre
        radii = np.linalg.norm(offsets, axis=1)
        directions = offsets / np.maximum(radii, 1e-9)[:, None]
        # Bisection for the surface beyond each point; one that is outside already is taken to lie on it.
        inside, outside = radii, np.maximum(reach, radii)
        while (outside - inside).max() > 1e-4:
            between = (inside + outside) / 2
            within = body.solid.contains(centre + between[:, None] * directions)
            inside, outside = np.where(within, between, inside), np.where(within, outside, between)
        # The integral of amount exp(-(surface - r) / length) over the radius.
        size = np.exp((radii - inside) / RELAXATION_LENGTH) - np.exp(-inside / RELAXATION_LENGTH)
        return np.asarray(amount * RELAXATION_LENGTH * size[:, None] * directions)

    return displaced(body, relaxation)


@dataclass(frozen=True)
class _Bending:
    """Pure bending about the axis ``frame[2]``, of what lies along ``frame[0]``, towards ``frame[1]``."""

    frame: FloatArray
    radius: float

    def bend(self, points: FloatArray) -> FloatArray:
        along, towards, axial = np.moveaxis(points @ self.frame.T, -1, 0)
        angle, distance = along / self.radius, self.radius - towards
        bent = np.stack([distance * np.sin(angle), self.radius - distance * np.cos(angle), axial], -1)
        return np.asarray(bent @ self.frame)

    def straighten(self, points: FloatArray) -> FloatArray:
        across, towards, axial = np.moveaxis(points @ self.frame.T, -1, 0)
        angle = np.arctan2(across, self.radius - towards)
        distance = np.hypot(across, self.radius - towards)
        return np.asarray(np.stack([self.radius * angle, self.radius - distance, axial], -1) @ self.frame)


def bent(body: Body, radius: float, along: ArrayLike, towards: ArrayLike) -> Body:
    """The body bent to a radius of curvature, its solid too.

    The plane through the origin across ``towards`` becomes a cylinder and keeps its lengths; planes across ``along``
    stay plane and turn about the centre of curvature. The orientation stays that at the origin.

    Parameters
    ----------
    body : Body
        What is bent, such as a rod centred about the origin.
    radius : float
        Radius of curvature [Å].
    along, towards : array_like [3]
        Direction that is bent, and direction of the centre of curvature; of the latter the part across the former.

    Raises
    ------
    StructureError
        If the directions are zero or parallel, or the radius is so small that the body reaches to the centre of
        curvature or closes to a ring.
    """
    first = unit_vector(along, "along")
    second = unit_vector(towards, "towards")
    across = second - (second @ first) * first
    if np.linalg.norm(across) < 1e-6:
        raise StructureError("along and towards are parallel; allowed: two different directions")
    second = unit_vector(across)
    least = max(
        np.max(body.positions @ second, initial=0.0), np.max(np.abs(body.positions @ first), initial=0.0) / np.pi
    )
    if not least < radius < np.inf:
        raise StructureError(f"the radius of curvature is {radius:g} Å; allowed: above {least:.3g} Å for this body")
    bending = _Bending(np.stack([first, second, np.cross(first, second)]), float(radius))
    centre, reach = body.solid.bounding_sphere()
    # No length grows by more than that of the fibre furthest from the centre of curvature.
    stretch = 1 + max(0.0, reach - float(centre @ second)) / radius
    solid = Deformed(body.solid, bending.straighten, bending.bend(centre), reach * stretch)
    moved = displaced(body, lambda points: bending.bend(points) - points)
    return replace(moved, solid=solid)


def thermal_snapshot(
    positions: FloatArray, numbers: NDArray[np.uint8], rms: Mapping[int, float], rng: np.random.Generator
) -> FloatArray:
    """Positions at one moment of uncorrelated thermal motion (Einstein's model).

    Parameters
    ----------
    positions : ndarray [n, 3]
        Mean positions [Å].
    numbers : ndarray [n]
        Atomic numbers.
    rms : mapping
        Root-mean-square displacement along one axis [Å], by atomic number.
    rng : Generator
        Source of the displacements, three normal deviates an atom.

    Returns
    -------
    ndarray [n, 3]
        Displaced positions [Å].

    Raises
    ------
    StructureError
        If an element has no displacement.
    """
    present = np.unique(numbers)
    missing = sorted(set(present.tolist()) - set(rms))
    if missing:
        raise StructureError(
            f"rms has no displacement for the atomic numbers {missing}; allowed: one for every element of the structure"
        )
    sigma = np.zeros(256)
    sigma[present] = [rms[int(number)] for number in present]
    return np.asarray(positions + sigma[numbers][:, None] * rng.standard_normal(positions.shape))
