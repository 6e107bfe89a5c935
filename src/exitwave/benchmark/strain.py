"""Strain from lattices of diffraction patterns.

With the vectors of a lattice as columns, ``G = [g1 g2]``, and those of a reference, G0, the deformation is
``F = (G G0⁻¹)⁻ᵀ``, since reciprocal vectors shrink as a crystal grows. It is parted into a rotation and a stretch,
``F = R U`` (polar decomposition), and the strain is ``U - 1``. For small rotations that is ``(F + Fᵀ) / 2 - 1``; at
five degrees that would show a strain of -0.4 %, where there is none.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.lattice import Lattice, reduced
from exitwave.errors import LatticeError

log = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

_FARTHEST = 0.1
"""Strain of a measured lattice above which it is that of another crystal."""


@dataclass(frozen=True, eq=False)
class Strain:
    """Strain and rotation of one lattice, or of many.

    Attributes
    ----------
    xx, yy, xy : float or float64 [...]
        Components, along the axes of the pattern; positive is longer than the reference.
    rotation : float or float64 [...]
        From x towards y [rad].
    """

    xx: Any
    yy: Any
    xy: Any
    rotation: Any


def strain_of(vectors: FloatArray, reference: FloatArray) -> Strain:
    """Exact strain of a lattice.

    Parameters
    ----------
    vectors : float64 [..., 2, 2]
        Vectors as columns [px].
    reference : float64 [..., 2, 2]
        The same of the unstrained lattice, with the same indices.

    Returns
    -------
    Strain
        NaN where one of the lattices has no area, or the two are mirror images.
    """
    change = _change(vectors, reference)
    determinant = change[..., 0, 0] * change[..., 1, 1] - change[..., 0, 1] * change[..., 1, 0]
    determinant = np.where(determinant > 0, determinant, np.nan)
    # The inverse transpose of a matrix of two by two.
    xx, yy = change[..., 1, 1] / determinant, change[..., 0, 0] / determinant
    xy, yx = -change[..., 1, 0] / determinant, -change[..., 0, 1] / determinant
    rotation = np.arctan2(yx - xy, xx + yy)
    c, s = np.cos(rotation), np.sin(rotation)
    return Strain(c * xx + s * yx - 1, c * yy - s * xy - 1, (c * xy + s * yy + c * yx - s * xx) / 2, rotation)


def linear_strain(vectors: FloatArray, reference: FloatArray) -> Strain:
    """The same to first order, ``1 - G G0⁻¹`` for F - 1, as in py4DSTEM: wrong by the square of strain and rotation."""
    change = _change(vectors, reference)
    return Strain(
        1 - change[..., 0, 0],
        1 - change[..., 1, 1],
        -(change[..., 0, 1] + change[..., 1, 0]) / 2,
        (change[..., 1, 0] - change[..., 0, 1]) / 2,
    )


def _change(vectors: FloatArray, reference: FloatArray) -> FloatArray:
    """``G G0⁻¹``, NaN where the reference has no area."""
    a, b, c, d = reference[..., 0, 0], reference[..., 0, 1], reference[..., 1, 0], reference[..., 1, 1]
    determinant = a * d - b * c
    determinant = np.where(determinant != 0, determinant, np.nan)
    inverse = np.stack([np.stack([d, -b], axis=-1), np.stack([-c, a], axis=-1)], axis=-2)
    return np.asarray(vectors @ (inverse / determinant[..., None, None]))


def mean_lattice(lattices: Sequence[Lattice]) -> Lattice:
    """Middle of many lattices of one crystal, such as those of unstrained positions: the median of each number.

    Parameters
    ----------
    lattices : sequence of Lattice
        Their vectors may be chosen differently: they are taken as those of the lattice with the median area. Those
        whose cell is another are left out, with a warning.

    Returns
    -------
    Lattice

    Raises
    ------
    LatticeError
        If there are none.
    """
    if not lattices:
        raise LatticeError("there is no lattice for a reference; allowed: at least one")
    areas = np.array([abs(np.linalg.det(lattice.vectors)) for lattice in lattices])
    model = lattices[int(np.argsort(areas)[len(areas) // 2])].vectors
    same = []
    for lattice in lattices:
        change = np.rint(np.linalg.solve(model, lattice.vectors))
        if round(abs(np.linalg.det(change))) == 1:
            same.append((lattice, lattice.vectors @ np.linalg.inv(change)))
    if len(same) < len(lattices):
        log.warning(
            "%d of %d lattices of the reference have another cell than the others: left out",
            len(lattices) - len(same),
            len(lattices),
        )
    return Lattice(
        np.median([lattice.origin for lattice, _ in same], axis=0),
        np.median([vectors for _, vectors in same], axis=0),
        float(np.median([lattice.residual for lattice, _ in same])),
        int(np.median([lattice.used for lattice, _ in same])),
    )


def ideal_lattice(lengths: tuple[float, float], angle: float, measured: Lattice) -> Lattice:
    """Lattice of a known crystal, with the indices of a measured one and without rotation against it.

    Parameters
    ----------
    lengths : tuple of float
        Of two reciprocal lattice vectors [px].
    angle : float
        Between them [rad].
    measured : Lattice
        Of the same crystal, whatever its vectors; at an unstrained position, or the mean of many.

    Returns
    -------
    Lattice

    Raises
    ------
    LatticeError
        If the measured lattice differs by more than a tenth, however its vectors are chosen.
    """
    ideal = reduced(np.array([[lengths[0], lengths[1] * np.cos(angle)], [0.0, lengths[1] * np.sin(angle)]]))[0]
    best, least = None, _FARTHEST
    # Whole numbers of shortest vectors make all vectors of about their lengths.
    base, change = reduced(measured.vectors)
    for numbers in product((-1, 0, 1), repeat=4):
        chosen = np.array(numbers, dtype=np.float64).reshape(2, 2)
        for mirrored in (ideal, np.diag([1.0, -1.0]) @ ideal):
            vectors = mirrored @ chosen
            strain = strain_of(base, vectors)
            # The other vectors of symmetry have the same strain, but a rotation.
            size = np.sqrt(strain.xx**2 + strain.yy**2 + 2 * strain.xy**2)
            if abs(np.linalg.det(chosen)) == 1 and size < least:
                best, least = (vectors, strain.rotation), size
    if best is None:
        a, b = np.linalg.norm(base, axis=0)
        raise LatticeError(
            f"the measured lattice has vectors of {a:.4g} and {b:.4g} px, which differs from the ideal one of "
            f"{lengths[0]:.4g} and {lengths[1]:.4g} px by more than {_FARTHEST:.0%}; allowed: one crystal and zone axis"
        )
    vectors, rotation = best
    c, s = np.cos(rotation), np.sin(rotation)
    turned = np.array([[c, -s], [s, c]]) @ vectors
    return Lattice(measured.origin, turned @ np.linalg.inv(change), measured.residual, measured.used)
