"""Strain maps of a scan: reference, axes, errors, and a map of where to trust them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.scan_lattices import FIELDS
from exitwave.benchmark.strain import strain_of
from exitwave.errors import ScanError

FloatArray = NDArray[np.float64]

GOOD, NOT_READ, EMPTY, FEW, NO_FIT, OTHER, SATURATED, STRAY, LOOSE = range(9)
TRUST = {
    GOOD: "trusted",
    NOT_READ: "cannot be read",
    EMPTY: "empty, or not finite",
    FEW: "fewer than three disks, or all in a line",
    NO_FIT: "no lattice fits",
    OTHER: "another lattice",
    SATURATED: "saturated",
    STRAY: "many disks off the lattice",
    LOOSE: "uncertain by more than allowed",
}
"""Codes of the trust map. Those up to `NO_FIT` have no strain; the others have, but it is doubtful."""
LARGEST_STRAIN = 0.15
"""Strain beyond which a lattice is another one."""
LARGEST_TURN = math.radians(20)
"""Rotation beyond which a lattice is another one [rad]."""
LARGEST_ERROR = 0.01
"""Standard error of the strain beyond which it is not trusted."""
LEAST_EXPLAINED = 0.5
"""Share of the weight of the disks that the lattice must explain."""
LEAST_FOR_REFERENCE = 5
"""Positions from which a reference may be taken."""


@dataclass(frozen=True)
class Reference:
    """The lattice that strain is relative to.

    Attributes
    ----------
    vectors : float64 array [2, 2]
        g1 and g2 as columns [px].
    mask : bool array [rows, columns]
        Positions it was taken from; all False of a lattice that was given.
    told : str
        In words.
    """

    vectors: FloatArray
    mask: NDArray[np.bool_]
    told: str


@dataclass(frozen=True)
class StrainMaps:
    """Strain of a scan, each map [rows, columns].

    Attributes
    ----------
    xx, yy, xy : float64 array
        Components along the axes that were asked for; NaN where there is none.
    rotation : float64 array
        From x towards y of the patterns, which is clockwise on the screen [rad].
    errors : mapping of float64 array
        Standard error of each of the four by its name, from the scatter of the disks about the lattice.
    trust : uint8 array
        As `TRUST`.
    reference : Reference
    axis : float
        Angle of the first axis, from x of the patterns towards y [rad].
    """

    xx: FloatArray
    yy: FloatArray
    xy: FloatArray
    rotation: FloatArray
    errors: Mapping[str, FloatArray]
    trust: NDArray[np.uint8]
    reference: Reference
    axis: float

    @property
    def good(self) -> NDArray[np.bool_]:
        """Where it is trusted."""
        return np.asarray(self.trust == GOOD)


def vectors_of(values: FloatArray) -> FloatArray:
    """Vectors g1 and g2 as columns [..., 2, 2] of values as `exitwave.benchmark.scan_lattices.FIELDS` [..., 13]."""
    first = FIELDS.index("g1_x")
    return np.asarray(np.swapaxes(values[..., first : first + 4].reshape(*values.shape[:-1], 2, 2), -1, -2))


def reference_of(
    values: FloatArray, read: NDArray[np.uint8], region: tuple[slice, slice] | None, told: str
) -> Reference:
    """The median lattice of a part of a scan.

    Parameters
    ----------
    values : float64 array [rows, columns, 13]
        As `exitwave.benchmark.scan_lattices.FIELDS`.
    read : uint8 array [rows, columns]
        What is known before there is strain, as `TRUST`.
    region : (slice, slice), optional
        Rows and columns; the whole scan if None.
    told : str
        What part it is, in words.

    Raises
    ------
    ScanError
        If too few of its positions have a lattice that can be trusted.
    """
    mask = np.zeros(read.shape, bool)
    mask[region or (slice(None), slice(None))] = True
    usable = mask & (read == GOOD) & np.isfinite(values[..., 2:6]).all(axis=-1)
    usable &= values[..., FIELDS.index("explained")] >= LEAST_EXPLAINED
    number = int(np.count_nonzero(usable))
    if number < min(LEAST_FOR_REFERENCE, int(mask.sum())):
        raise ScanError(
            f"reference: found a lattice at {number} of {np.count_nonzero(mask)} positions of {told}; allowed: a "
            f"part of the scan with {LEAST_FOR_REFERENCE} or more"
        )
    vectors = vectors_of(values[usable])
    median = np.median(vectors, axis=0)
    # Positions of another lattice do not move a median much; without them it is that of the reference alone.
    near = np.linalg.norm(vectors - median, axis=(1, 2)) < 0.1 * np.linalg.norm(median)
    usable[usable] = near
    if near.any():
        median = np.median(vectors[near], axis=0)
    return Reference(median, usable, told)


def given_reference(values: FloatArray, lengths: tuple[float, float], angle: float, told: str) -> Reference:
    """A lattice with known lengths and angle, turned as the scan is in the median.

    Parameters
    ----------
    values : float64 array [rows, columns, 13]
    lengths : (float, float)
        Of g1 and g2 [px].
    angle : float
        Between them [rad].
    told : str
        What lattice it is, in words.

    Raises
    ------
    ScanError
        If the scan has no such lattice.
    """
    found = vectors_of(values)
    found = found[np.isfinite(found).all(axis=(-1, -2))]
    median = np.median(found, axis=0) if len(found) else np.eye(2)
    turn = np.sign(np.linalg.det(median))
    shape = np.array([[lengths[0], lengths[1] * math.cos(angle)], [0.0, turn * lengths[1] * math.sin(angle)]])
    # The rotation by which it is nearest to what was found.
    left, _, right = np.linalg.svd(median @ shape.T)
    rotation = left @ np.diag([1.0, np.sign(np.linalg.det(left @ right))]) @ right
    vectors = rotation @ shape
    strain = strain_of(median, vectors)
    off = max(abs(float(strain.xx)), abs(float(strain.yy)), abs(float(strain.xy)))
    if not off <= LARGEST_STRAIN:
        lengths_found = np.linalg.norm(median, axis=0)
        between = math.degrees(math.acos(np.clip(median[:, 0] @ median[:, 1] / lengths_found.prod(), -1, 1)))
        raise ScanError(
            f"reference: {told} is strained by {100 * off:.0f} % against the scan, where g1 has {lengths_found[0]:.2f} "
            f"px, g2 {lengths_found[1]:.2f} px and {between:.1f}° are between them; allowed: the lattice of these two "
            f"vectors, to {100 * LARGEST_STRAIN:.0f} %"
        )
    return Reference(vectors, np.zeros(values.shape[:2], bool), told)


def strain_maps(values: FloatArray, read: NDArray[np.uint8], reference: Reference, axis: float) -> StrainMaps:
    """Strain of a scan relative to a reference.

    Parameters
    ----------
    values : float64 array [rows, columns, 13]
        As `exitwave.benchmark.scan_lattices.FIELDS`.
    read : uint8 array [rows, columns]
        What is known before there is strain, as `TRUST`.
    reference : Reference
    axis : float
        Angle of the first axis, from x of the patterns towards y [rad].
    """
    vectors = vectors_of(values)
    strain = strain_of(vectors, reference.vectors)
    c, s = math.cos(axis), math.sin(axis)
    xx = c * c * strain.xx + s * s * strain.yy + 2 * c * s * strain.xy
    yy = s * s * strain.xx + c * c * strain.yy - 2 * c * s * strain.xy
    xy = c * s * (strain.yy - strain.xx) + (c * c - s * s) * strain.xy
    errors = _errors(values, reference.vectors, np.array([[c, -s], [s, c]]))
    trust = read.copy()
    ok = trust == GOOD
    disks = values[..., FIELDS.index("disks")]
    lacking = ok & ~np.isfinite(xx)
    trust[lacking] = np.where(disks[lacking] >= 4, NO_FIT, FEW)
    ok = (read == GOOD) & ~lacking
    with np.errstate(invalid="ignore"):
        largest = np.max(np.abs([strain.xx, strain.yy, strain.xy]), axis=0)
        other = (largest > LARGEST_STRAIN) | (np.abs(strain.rotation) > LARGEST_TURN)
        stray = values[..., FIELDS.index("explained")] < LEAST_EXPLAINED
        error = np.max([errors[name] for name in ("xx", "yy", "xy")], axis=0)
        # Of three disks nothing says how well they fit.
        loose = ~(error <= LARGEST_ERROR)
    for doubtful, code in ((loose, LOOSE), (stray, STRAY), (other, OTHER)):
        trust[ok & doubtful] = code
    return StrainMaps(xx, yy, xy, np.asarray(strain.rotation), errors, trust, reference, axis)


def _errors(values: FloatArray, reference: FloatArray, turned: FloatArray) -> dict[str, FloatArray]:
    """Standard errors of strain and rotation, to first order in both.

    F - 1 is ``-(δG G0⁻¹)ᵀ``, so that its component i, j has the variance ``h_iᵀ C h_i`` with h_i the column i of G0⁻¹
    in the turned axes, and C the covariance of g1 and g2.
    """
    c11, c12, c22 = (values[..., FIELDS.index(f"covariance_{name}")] for name in ("11", "12", "22"))
    inverse = np.linalg.inv(reference) @ turned
    along_x, along_y = (h[0] ** 2 * c11 + 2 * h[0] * h[1] * c12 + h[1] ** 2 * c22 for h in inverse.T)
    with np.errstate(invalid="ignore"):
        both: Any = np.sqrt(along_x + along_y) / 2
        return {"xx": np.sqrt(along_x), "yy": np.sqrt(along_y), "xy": both, "rotation": both}
