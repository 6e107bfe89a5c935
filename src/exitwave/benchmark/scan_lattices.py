"""Lattices of the patterns of a scan, with the same indices at every position, and how far each is to be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.disk_finders import Found
from exitwave.benchmark.lattice import Lattice, find_lattice, fit_lattice, refine_lattice
from exitwave.errors import LatticeError, ScanError

FloatArray = NDArray[np.float64]
Fit = Literal["disks", "map"]
CANDIDATES = 12
"""Patterns, those with most disks, among whose lattices that of the scan is chosen."""
ALIKE = 0.05
"""Difference of two lattices, as a share of a vector, below which they are candidates for the same."""
SEVERAL = 3
"""Patterns that the lattice of a scan must explain."""
NEAR = 0.25
"""Of the shortest lattice vector, within which a disk belongs to a lattice point."""
EXPLAINED = 0.6
"""Share of the weight of all disks below which another lattice is looked for."""
FURTHER = 0.1
"""By which share another lattice must explain more, to be taken."""
FEWEST = 4
"""Disks that must lie on a lattice, for it to be that of a pattern: three make one of anything."""
SPREAD = 1.0
"""Standard deviation of the spots of a map [px]."""

FIELDS = (
    "origin_x",
    "origin_y",
    "g1_x",
    "g1_y",
    "g2_x",
    "g2_y",
    "residual",
    "disks",
    "on_lattice",
    "explained",
    "covariance_11",
    "covariance_12",
    "covariance_22",
)
"""What is kept of the lattice of a position.

Lengths are in px. ``disks`` counts those that were found, ``on_lattice`` those of them near lattice points, and
``explained`` is the share of the weight that these have. The covariance is of the same component of g1 and g2 [px²].
"""


@dataclass(frozen=True)
class Fitted:
    """The lattice of a pattern.

    Attributes
    ----------
    lattice : Lattice, optional
        None where none fits.
    values : float64 array [13]
        As `FIELDS`; NaN where nothing fits.
    indices : int64 array [n, 2]
        h and k of each disk.
    near : bool array [n]
        Which disks are near their lattice point.
    """

    lattice: Lattice | None
    values: FloatArray
    indices: NDArray[np.int64]
    near: NDArray[np.bool_]


def start_lattice(found: Sequence[FloatArray]) -> Lattice:
    """The lattice that explains most of the disks of some patterns of a scan.

    Parameters
    ----------
    found : sequence of float64 array [n, 3]
        Disks of each pattern: x, y [px], weight.

    Raises
    ------
    ScanError
        If no pattern has a lattice.
    """
    candidates: list[Lattice] = []
    for peaks in sorted(found, key=len, reverse=True)[:CANDIDATES]:
        try:
            lattice = find_lattice(peaks)
        except LatticeError:
            continue
        if not any(_alike(lattice, other) for other in candidates):
            candidates.append(lattice)
    scores = [_score(candidate, found) for candidate in candidates]
    # One pattern of noise may have a lattice; that of a scan is in several.
    scores = [score for score in scores if score.patterns >= min(SEVERAL, len(found))]
    if not scores:
        most = max((len(peaks) for peaks in found), default=0)
        raise ScanError(
            f"no lattice was found in {len(found)} patterns that were looked at, of at most {most} disks; allowed: "
            f"{FEWEST} disks on a lattice, in several patterns; --threshold says what is a disk"
        )
    return max(scores, key=lambda score: score.value).lattice


def _alike(one: Lattice, other: Lattice) -> bool:
    """Whether two reduced lattices differ by a few percent at most."""
    off = np.linalg.norm(one.vectors - other.vectors, axis=0).max()
    return bool(off < ALIKE * np.linalg.norm(one.vectors, axis=0).min())


@dataclass(frozen=True)
class _Score:
    """How well a lattice explains some patterns, and how many of them it explains."""

    lattice: Lattice
    value: float
    patterns: int


def _score(candidate: Lattice, found: Sequence[FloatArray]) -> _Score:
    total, patterns = 0.0, 0
    for peaks in found:
        try:
            explained, _, near = _explained(peaks, fit_lattice(peaks, candidate))
        except LatticeError:
            continue
        total += explained
        patterns += bool(explained >= EXPLAINED and np.count_nonzero(near) >= FEWEST)
    # Too small a cell explains anything, and one that is too large by half explains half.
    return _Score(candidate, total * float(abs(np.linalg.det(candidate.vectors))) ** 0.25, patterns)


def fit_position(found: Found, start: Lattice, fit: Fit) -> Fitted:
    """Fit the lattice of a pattern.

    Parameters
    ----------
    found : Found
    start : Lattice
        Of the scan, which says the indices.
    fit : {'disks', 'map'}
        Whether to the places of the disks, or after that straight to the map.
    """
    peaks = found.weighted
    lattice = nearest_lattice(peaks, start)
    if lattice is not None and fit == "map":
        try:
            lattice = _refined(found, lattice)
        except LatticeError:
            lattice = None
    values = np.full(len(FIELDS), np.nan)
    values[FIELDS.index("disks")] = len(peaks)
    if lattice is None:
        return Fitted(None, values, np.zeros((len(peaks), 2), np.int64), np.zeros(len(peaks), bool))
    explained, indices, near = _explained(peaks, lattice)
    values[: len(FIELDS) - 3] = [
        *lattice.origin,
        *lattice.vectors.T.ravel(),
        lattice.residual,
        len(peaks),
        np.count_nonzero(near),
        explained,
    ]
    values[-3:] = _covariance(peaks[near], indices[near], lattice)
    return Fitted(lattice, values, indices, near)


def nearest_lattice(peaks: FloatArray, start: Lattice) -> Lattice | None:
    """Lattice of the disks [n, 3] of a pattern, with the indices of that of the scan.

    If that explains little, one from nothing; None where none fits.
    """
    try:
        followed = fit_lattice(peaks, start)
        explained = _explained(peaks, followed)[0]
    except LatticeError:
        followed, explained = None, 0.0
    if explained >= EXPLAINED:
        return followed
    try:
        other = _renamed(find_lattice(peaks), start)
        if other is not None and _explained(peaks, other)[0] > explained + FURTHER:
            return other
    except LatticeError:
        pass
    return followed


def _renamed(lattice: Lattice, start: Lattice) -> Lattice | None:
    """The same lattice with vectors as near to those of the scan as can be; None if its cell is another one."""
    change = np.rint(np.linalg.solve(lattice.vectors, start.vectors))
    if round(abs(float(np.linalg.det(change)))) != 1:
        return None
    return Lattice(lattice.origin, lattice.vectors @ change, lattice.residual, lattice.used)


def _refined(found: Found, lattice: Lattice) -> Lattice:
    """Fit a lattice to the map, whose pixels are not those of the pattern."""
    refined = refine_lattice(found.image, lattice.in_pixels(found.corner, found.scale), SPREAD)
    return refined.in_pixels(-found.corner / found.scale, 1 / found.scale)


def _explained(peaks: FloatArray, lattice: Lattice) -> tuple[float, NDArray[np.int64], NDArray[np.bool_]]:
    """Share of the weight of disks that are near lattice points, indices of all disks, and which of them are near."""
    places = np.linalg.solve(lattice.vectors, (peaks[:, :2] - lattice.origin).T).T
    indices = np.rint(places)
    off = np.linalg.norm((places - indices) @ lattice.vectors.T, axis=1)
    near = off <= NEAR * np.linalg.norm(lattice.vectors, axis=0).min()
    # No disk counts more than the third one, as in the fit.
    weights = np.minimum(peaks[:, 2], np.partition(peaks[:, 2], -3)[-3]) if len(peaks) > 2 else peaks[:, 2]
    total = weights.sum()
    return float(weights[near].sum() / total) if total > 0 else 0.0, indices.astype(np.int64), near


def _covariance(peaks: FloatArray, indices: NDArray[np.int64], lattice: Lattice) -> FloatArray:
    """Covariance of g1 and g2 along either axis [3]: of least squares, from how far the disks are off [px²]."""
    if len(peaks) < 4:
        return np.full(3, np.nan)
    weights = np.minimum(peaks[:, 2], np.partition(peaks[:, 2], -3)[-3])
    design = np.column_stack([np.ones(len(indices)), indices])
    normal = design.T * weights @ design
    if np.linalg.matrix_rank(normal) < 3:
        return np.full(3, np.nan)
    off = peaks[:, :2] - lattice.origin - indices @ lattice.vectors.T
    # Robust, since one stray disk is no scatter of the others: the median square of a normal deviate of two axes.
    square = float(np.median((off**2).sum(axis=1))) / (2 * math.log(2)) * len(peaks) / (len(peaks) - 3)
    inverse = np.linalg.inv(normal)
    spread: NDArray[Any] = square * inverse @ (design.T * weights**2 @ design) @ inverse
    return np.array([spread[1, 1], spread[1, 2], spread[2, 2]])
