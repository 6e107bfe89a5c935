"""Plane lattices: which of the five Bravais classes a lattice has, and the lattice of the columns that a beam sees.

A class is told by strain: a lattice is of a class if a strain below a tolerance makes it of that class exactly. So the
answer does not depend on the cell that describes the lattice, and a lattice near the border of two classes says so.

Symmetries of a lattice are integer matrices S of its basis: those of order six have the trace 1, those of order four
the trace 0, and mirrors the determinant -1. The metric G of the basis, averaged over the powers of S, is that of the
nearest lattice with this symmetry,

    G' = 1/n sum_k S^k G (S^k)^T,     strain = max |ln eig(G'^-1 G)| / 2,

which is the largest principal strain between the two. In a basis of shortest vectors entries of -1, 0 and 1 are enough.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

Bravais = Literal["hexagonal", "square", "rectangular", "rhombus", "oblique"]
CLASSES: tuple[Bravais, ...] = get_args(Bravais)
"""The classes, in the order of AtomVision (K. Choudhary et al., 2023). A rhombus is a centred rectangle."""
TOLERANCE = 0.005
"""Largest principal strain that a lattice may be off a class and still have it."""
COLUMN_EXPONENT = 1.7
"""Of the atomic number: how bright an atom is for an annular detector."""
MERGED = 0.1
"""Atoms whose projections are closer than this [Å] are one column."""
SAME_PLACE, SAME_WEIGHT = 0.1, 0.02
"""How far [Å], and by which part of their weight, columns may differ that a translation takes onto each other."""


@dataclass(frozen=True)
class PlaneClass:
    """Bravais class of a plane lattice.

    Attributes
    ----------
    name : str
        One of ``CLASSES``.
    strains : mapping of float
        Largest principal strain that would make the lattice of each class with symmetry.
    margin : float
        The smallest of those strains that the tolerance does not forgive: how much strain makes it another class;
        infinite if it forgives all.
    """

    name: Bravais
    strains: Mapping[Bravais, float]
    margin: float


def bravais_class(vectors: FloatArray, tolerance: float = TOLERANCE) -> PlaneClass:
    """Class of the lattice of two vectors, rows [2, 2] [Å], whatever the choice of the vectors.

    Raises
    ------
    ValueError
        If the vectors are parallel, or not finite.
    """
    basis = reduced(vectors)
    metric = basis @ basis.T
    strains: dict[Bravais, float] = {}
    for name, powers in _SYMMETRIES.items():
        means = np.einsum("skij,jl,skml->skim", powers, metric, powers).mean(axis=1)
        ratios = np.linalg.eigvals(np.linalg.solve(means, np.broadcast_to(metric, means.shape))).real
        strains[name] = float(np.abs(np.log(ratios)).max(axis=1).min() / 2)
    own: Bravais = next((name for name in CLASSES[:-1] if strains[name] < tolerance), "oblique")
    return PlaneClass(
        own, strains, min((strain for strain in strains.values() if strain >= tolerance), default=math.inf)
    )


def published_class(cell: FloatArray) -> Bravais:
    """Class by the rule that published labels of images of two-dimensional materials follow.

    It rounds the lengths a and b [Å] and the angle gamma [°] of the cell to two digits, and compares them: a = b with
    60 or 120° is hexagonal, a = b with 90° square, another a and b with 90° rectangular, a = b with any other angle a
    rhombus, and the rest oblique (K. Choudhary et al., J. Chem. Inf. Model. 63, 1708, 2023). So it is the class of the
    cell, and another cell of the same lattice may have another.

    Parameters
    ----------
    cell : float64 [2, 2]
        Rows: vectors of the cell [Å], as its source gives them.
    """
    lengths = np.linalg.norm(cell, axis=1)
    cosine = np.clip(cell[0] @ cell[1] / np.prod(lengths), -1, 1)
    a, b, gamma = (round(float(value), 2) for value in (*lengths, np.degrees(np.arccos(cosine))))
    if gamma == 90:
        return "square" if a == b else "rectangular"
    if a != b:
        return "oblique"
    return "hexagonal" if gamma in (60, 120) else "rhombus"


def reduced(vectors: FloatArray) -> FloatArray:
    """The two shortest vectors of a lattice, rows [2, 2] [Å]: angle from 60 to 90°, right-handed.

    Raises
    ------
    ValueError
        If the vectors are parallel, or not finite.
    """
    first, second = np.asarray(vectors, np.float64)
    area = abs(_cross(first, second))
    if not area > 1e-9 * max(first @ first, second @ second):
        raise ValueError(
            f"two vectors span no lattice: {np.asarray(vectors).tolist()}; allowed: two that are not parallel"
        )
    if first @ first > second @ second:
        first, second = second, first
    while True:  # Gauss
        second = second - round(first @ second / (first @ first)) * first
        if second @ second >= first @ first * (1 - 1e-12):
            break
        first, second = second, first
    if first @ second < 0:
        second = -second
    if _cross(first, second) < 0:
        first, second = second, first
    return np.stack([first, second])


@dataclass(frozen=True)
class Deviation:
    """How a lattice differs from another, turned as fits best.

    Attributes
    ----------
    strain : float
        Largest principal strain between the two once they have the same area.
    scale : float
        By how much lengths are longer: 0.01 is 1 %.
    """

    strain: float
    scale: float


def measured(vectors: FloatArray) -> dict[str, float]:
    """Lengths ``a`` and ``b`` [Å], the shorter one first, and the angle ``gamma`` [°] of two vectors, rows [2, 2]."""
    first, second = vectors
    lengths = np.hypot(*first), np.hypot(*second)
    angle = np.degrees(np.arccos(np.clip(first @ second / (lengths[0] * lengths[1]), -1, 1)))
    short, long = sorted(map(float, lengths))
    return {"a": short, "b": long, "gamma": float(angle)}


def deviation(found: FloatArray, known: FloatArray) -> Deviation:
    """How one lattice, rows [2, 2] [Å], differs from another, whatever vectors describe them.

    Raises
    ------
    ValueError
        If vectors are parallel, or not finite.
    """
    first, second = reduced(found), reduced(known)
    # Two reduced bases of lattices that are alike may differ by such a change where vectors are about as long.
    metrics = _CHANGES @ (first @ first.T) @ _CHANGES.swapaxes(1, 2)
    stretches = np.log(np.linalg.eigvals(np.linalg.solve(second @ second.T, metrics)).real) / 2
    strains = np.abs(stretches[:, 0] - stretches[:, 1]) / 2
    best = int(strains.argmin())
    return Deviation(float(strains[best]), float(np.expm1(stretches[best].mean())))


@dataclass(frozen=True)
class Columns:
    """Columns of atoms that a beam along the normal of a layer sees in a cell.

    Attributes
    ----------
    cell : float64 [2, 2]
        Rows: vectors of the cell in the plane [Å].
    places : float64 [n, 2]
        Of the columns, weighted by the atoms [Å].
    weights : float64 [n]
        Sums of Z to the power of ``COLUMN_EXPONENT``.
    of_atom : int64 [atoms]
        Column of each atom.
    """

    cell: FloatArray
    places: FloatArray
    weights: FloatArray
    of_atom: IntArray


def project(cell: FloatArray, positions: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """A layer seen along its normal.

    Parameters
    ----------
    cell : float64 [2, 3]
        Rows: the two vectors in which the layer repeats [Å].
    positions : float64 [n, 3]
        Of atoms [Å].

    Returns
    -------
    cell : float64 [2, 2]
        The two vectors in the plane; the first along x.
    places : float64 [n, 2]
        Of the atoms in the plane [Å].
    heights : float64 [n]
        Of the atoms along the normal [Å].
    """
    first, second = np.asarray(cell, np.float64)
    along = first / np.linalg.norm(first)
    normal = np.cross(first, second)
    normal /= np.linalg.norm(normal)
    axes = np.stack([along, np.cross(normal, along), normal])
    return (np.stack([first, second]) @ axes.T)[:, :2], (positions @ axes.T)[:, :2], positions @ normal


def columns_of(
    cell: FloatArray, places: FloatArray, numbers: NDArray[np.integer], resolution: float = MERGED
) -> Columns:
    """Columns of the atoms of a cell.

    Parameters
    ----------
    cell : float64 [2, 2]
        Rows: vectors of the cell in the plane [Å].
    places : float64 [n, 2]
        Of the atoms in the plane [Å].
    numbers : int [n]
        Atomic numbers.
    resolution : float
        Atoms whose projections are closer than this [Å] are one column, and so on from each to the next.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    weights = np.asarray(numbers, np.float64) ** COLUMN_EXPONENT
    one, other, distances = _within(cell, places, places, resolution)
    near = coo_array((np.ones(len(distances)), (one, other)), shape=(len(places), len(places)))
    number, of_atom = connected_components(near, directed=False)
    first = np.unique(of_atom, return_index=True)[1]
    offsets = _nearest_image(cell, places - places[first[of_atom]])
    moments = np.column_stack([np.bincount(of_atom, weights * along, number) for along in offsets.T])
    sums = np.bincount(of_atom, weights, number).astype(np.float64)
    means = places[first] + moments / sums[:, None]
    return Columns(np.asarray(cell, np.float64), means, sums, of_atom.astype(np.int64))


def lattice_of_columns(columns: Columns) -> FloatArray:
    """Shortest vectors [2, 2] [Å] of the lattice of translations that take columns onto columns of equal weight."""
    relative = SAME_WEIGHT * columns.weights.mean()
    return _lattice(columns.cell, columns.places, columns.weights[:, None], np.array([relative]))


def lattice_of_atoms(
    cell: FloatArray, places: FloatArray, heights: FloatArray, numbers: NDArray[np.integer]
) -> FloatArray:
    """Shortest vectors [2, 2] [Å] of the lattice of translations in the plane that take atoms onto equal atoms.

    A glide plane in the layer, or a screw axis, shifts columns that look alike from above: the lattice of the columns
    may be finer than this one.
    """
    signatures = np.column_stack([np.asarray(numbers, np.float64), heights])
    return _lattice(np.asarray(cell, np.float64), places, signatures, np.array([0.5, SAME_PLACE]))


def nearest_distance(cell: FloatArray, places: FloatArray) -> float:
    """Smallest distance [Å] of two columns, or of a column and its own image."""
    basis = reduced(cell)
    one, other, distances = _within(cell, places, places, float(np.linalg.norm(basis, axis=1).min()))
    different = distances[one != other]
    return float(min(different.min(initial=np.inf), np.linalg.norm(basis, axis=1).min()))


def _symmetries() -> dict[Bravais, FloatArray]:
    """Of each class with symmetry the powers [matrices, order, 2, 2] of all matrices that it has."""
    found: dict[Bravais, list[FloatArray]] = {name: [] for name in CLASSES[:-1]}
    name: Bravais
    for entries in itertools.product((-1, 0, 1), repeat=4):
        matrix = np.array(entries, np.float64).reshape(2, 2)
        trace, determinant = round(np.trace(matrix)), round(np.linalg.det(matrix))
        if determinant == 1 and trace in (0, 1):
            name, order = ("hexagonal", 6) if trace == 1 else ("square", 4)
        elif determinant == -1 and trace == 0:
            # Modulo 2 the mirror of a primitive rectangle is 1; that of a rhombus exchanges two vectors.
            name, order = ("rectangular" if (np.abs(matrix) % 2 == np.eye(2)).all() else "rhombus"), 2
        else:
            continue
        found[name].append(np.stack([np.linalg.matrix_power(matrix, k) for k in range(order)]))
    return {name: np.stack(matrices) for name, matrices in found.items()}


_SYMMETRIES = _symmetries()
_CHANGES = np.array(
    [
        [entries[:2], entries[2:]]
        for entries in itertools.product((-1, 0, 1), repeat=4)
        if abs(entries[0] * entries[3] - entries[1] * entries[2]) == 1
    ],
    np.float64,
)
"""Changes [n, 2, 2] from one basis of short vectors to another."""


def _cross(one: FloatArray, other: FloatArray) -> float:
    return float(one[0] * other[1] - one[1] * other[0])


def _nearest_image(cell: FloatArray, offsets: FloatArray, within: float = np.inf) -> FloatArray:
    """Offsets [n, 2] less the lattice vectors that make them shortest, or at least those that it makes so short."""
    basis = reduced(cell)
    inside = offsets - np.rint(offsets @ np.linalg.inv(basis)) @ basis
    # One shorter than half of what lies between two rows of lattice points is found by its fractions of the vectors.
    if 2.001 * within < abs(_cross(*basis)) / np.linalg.norm(basis, axis=1).max():
        return inside
    around = inside[:, None] + _AROUND @ basis
    return np.asarray(np.take_along_axis(around, (around**2).sum(2).argmin(1)[:, None, None], 1)[:, 0])


_AT_ONCE = 16
"""Most places that a translation is tried at in one go, which bounds memory."""
_AROUND = np.array([(i, j) for i in (0, -1, 1) for j in (0, -1, 1)], np.float64)


def _within(
    cell: FloatArray, one: FloatArray, other: FloatArray, distance: float
) -> tuple[IntArray, IntArray, FloatArray]:
    """Pairs of two sets of places, periodic, that are closer than a distance [Å], and how close."""
    offsets = other[None] - one[:, None]
    nearest = _nearest_image(cell, offsets.reshape(-1, 2), distance)
    lengths = np.linalg.norm(nearest, axis=1).reshape(len(one), len(other))
    first, second = np.nonzero(lengths < distance)
    return first, second, lengths[first, second]


def _lattice(cell: FloatArray, places: FloatArray, signatures: FloatArray, tolerances: FloatArray) -> FloatArray:
    """Shortest vectors of the translations that take every place onto one with the same signature.

    Parameters
    ----------
    cell : float64 [2, 2]
    places : float64 [n, 2]
    signatures : float64 [n, k]
        What must agree, within ``tolerances`` [k].
    """
    alike = np.asarray((np.abs(signatures[:, None] - signatures) <= tolerances).all(axis=2))
    order = np.argsort(alike.sum(axis=1), kind="stable")
    first, *others = np.flatnonzero(alike[order[0]])
    shifts = _nearest_image(cell, places[others] - places[first])
    # Most that are no translations fail at the first few places, those of the rarest kind.
    start, size = 0, 1
    while start < len(order) and len(shifts):
        of = order[start : start + size]
        start, size = start + size, min(2 * size, _AT_ONCE)
        one, other = np.nonzero(alike[of])
        offsets = places[other] - places[of[one]]
        moved = _nearest_image(cell, (offsets - shifts[:, None]).reshape(-1, 2), SAME_PLACE)
        close = np.linalg.norm(moved, axis=1).reshape(len(shifts), -1) <= SAME_PLACE
        shifts = shifts[np.logical_or.reduceat(close, np.searchsorted(one, np.arange(len(of))), axis=1).all(axis=1)]
    found = np.concatenate([np.zeros((1, 2)), shifts])
    basis = reduced(cell)
    area, number = abs(_cross(*basis)) / len(found), len(found)
    # So many times any of them is a vector of the cell: what atoms are off their places does not count.
    exact = np.rint(number * found @ np.linalg.inv(basis)) / number
    points = ((exact[:, None] + _AROUND) @ basis).reshape(-1, 2)
    points = points[np.argsort((points**2).sum(axis=1), kind="stable")][1:]
    first = points[0]
    crosses = np.abs(first[0] * points[:, 1] - first[1] * points[:, 0])
    # The first that closes a cell without another point in it.
    fits = np.flatnonzero(np.abs(crosses - area) < 0.25 * area)
    return reduced(np.stack([first, points[fits[0]]])) if len(fits) else basis
