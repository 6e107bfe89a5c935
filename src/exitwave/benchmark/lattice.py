"""Lattices of diffraction patterns: found from nothing, fitted to the places of disks, or fitted straight to a map.

A disk with indices h, k lies at ``q0 + h g1 + k g2``: six numbers. Strain maps need them far more finely than a disk is
measured, and with the same indices at each position of a scan. So a lattice is found once (:func:`find_lattice`) and
then followed (:func:`fit_lattice`, :func:`refine_lattice`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.affine import Held, deviation, in_two_directions, robust_fit, solve, trust
from exitwave.benchmark.cells import DEVIATION, cells, evened, likelihoods
from exitwave.benchmark.lattice_maps import centres_of_mass, mean_phase, points_on
from exitwave.errors import LatticeError

FloatArray = NDArray[np.float64]

_FARTHEST = 0.25
"""Change of a lattice from its start, in any direction, above which a fit has gone astray."""
_SMOOTH = 3.0
"""Half edge of a square, over the deviation of spots, that no spot fills: what fills it is smooth."""
_STRONGEST, _FITTED, _AGAIN = 32, 12, 3
"""Of a lattice from nothing: peaks whose differences are taken, and lattices that are fitted, once and again."""
_MARGIN = 3.0
"""By how much the logarithm of the probability must grow for half a cell, lest a stray peak halves it."""
_HALVES = np.array([[[0.5, 0], [0, 1]], [[1, 0], [0, 0.5]], [[1, 0.5], [0, 0.5]]])
"""From the vectors of a lattice to those of the three with half its cell."""
_TOLERANCE = 0.25
"""Largest distance of a disk from its lattice point, as a share of the shortest vector."""
_NEAR, _FARTHER = 2.4, 1.6
"""Distance from the origin at which a fit begins, in longer vectors, and how much farther each step goes."""
_HOLD = 0.1
"""Change of a vector in those steps that counts as much as a disk that is off by 1 px, as a share of its length."""
_LOOSE = 1e-4
"""Weight of the start in the last steps of a fit to a map, over that in the first."""
_LEVEL, _SHOWN = 0.5, 0.2
"""Heights over the third highest at a lattice point: where the weight in a fit to a map is a third of the most there
can be, and above which a spot is there."""
_SPEED = 1.9
"""Step over the mean shift, of which 2 meets a spot as wide as the Gaussian at once."""
_STEPS, _STILL = 15, 2e-3
"""Of a fit to a map: largest number of steps, and the change [px] that ends them."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """A lattice in a pattern.

    Attributes
    ----------
    origin : float64 [2]
        Place of a lattice point, x and y [px].
    vectors : float64 [2, 2]
        Its vectors g1 and g2 as columns [px].
    residual : float
        Deviation of the disks from it, the root of the weighted mean square [px].
    used : int
        Number of disks.
    """

    origin: FloatArray
    vectors: FloatArray
    residual: float
    used: int

    def in_pixels(self, corner: FloatArray, scale: float) -> Lattice:
        """The same in pixels that are ``scale`` times as large, the first of which is at ``corner`` x, y."""
        return Lattice((self.origin - corner) / scale, self.vectors / scale, self.residual / scale, self.used)


def find_lattice(peaks: FloatArray) -> Lattice:
    """Lattice of the places of disks, of which nothing is known before.

    Differences of the strongest peaks that come often are paired. Of the lattices so made that one is taken under which
    the peaks are the most probable: each is either a disk, within half a pixel of a lattice point, or stray, anywhere.
    By that a lattice with a smaller cell, which explains any peaks, is the worse one.

    Parameters
    ----------
    peaks : float64 [n, 3]
        Places x, y [px] and weights.

    Returns
    -------
    Lattice
        With the shortest vectors, see :func:`reduced`, and the origin at the strongest disk.

    Raises
    ------
    LatticeError
        If there are fewer than three peaks, or all lie in a line.
    """
    peaks = _checked(peaks)
    strong = peaks[np.argsort(-peaks[:, 2], kind="stable")][:_STRONGEST]
    weights = np.sqrt(evened(peaks[:, 2]))
    candidates = cells(strong)
    if not len(candidates):
        raise LatticeError(f"all {len(peaks)} disks lie in a line; allowed: disks in two directions")
    rough = likelihoods(candidates, peaks[:, :2], weights, 2 * DEVIATION)
    candidates = candidates[np.argsort(-rough, kind="stable")][:_FITTED]

    def fits(starts: Iterable[Lattice]) -> list[tuple[float, Lattice]]:
        """Lattices fitted, the most probable first."""
        found = []
        for start in starts:
            try:
                fitted = fit_lattice(peaks, start)
            except LatticeError:
                continue
            found.append((float(likelihoods(fitted.vectors[None], peaks[:, :2], weights, DEVIATION)[0]), fitted))
        return sorted(found, key=lambda one: -one[0])

    best, likelihood = None, -np.inf
    while len(candidates):
        once = fits(Lattice(strong[0, :2], vectors, 0.0, 0) for vectors in candidates)
        # A difference of two disks may be wrong by so much that far disks get their indices the second time only.
        found = fits(lattice for _, lattice in once[:_AGAIN])
        if not found or found[0][0] <= likelihood + (0.0 if best is None else _MARGIN):
            break
        likelihood, best = found[0]
        # What came often may be every other disk.
        candidates = best.vectors @ _HALVES
    if best is None:
        raise LatticeError(f"no lattice has three of the {len(peaks)} disks that do not lie in a line")
    vectors = reduced(best.vectors)[0]
    index = np.rint(np.linalg.solve(vectors, strong[0, :2] - best.origin))
    return Lattice(best.origin + vectors @ index, vectors, best.residual, best.used)


def fit_lattice(peaks: FloatArray, start: Lattice, tolerance: float = _TOLERANCE) -> Lattice:
    """Fit a lattice to the places of disks.

    The origin is looked for first, by the mean phase of the peaks in the cell, so that a pattern may be shifted. Then
    the fit goes outwards from it, so that far disks get the right indices though the start is strained.

    Parameters
    ----------
    peaks : float64 [n, 3]
        Places x, y [px] and weights.
    start : Lattice
        The result has its indices.
    tolerance : float
        Largest distance of a peak from its lattice point, as a share of the shortest lattice vector. What is farther is
        left out.

    Returns
    -------
    Lattice
        By least squares with the weights of the peaks, of which none counts more than the third highest, since the
        direct beam would rule. Those that deviate more than the others count less, see
        :func:`exitwave.benchmark.affine.robust_fit`.

    Raises
    ------
    LatticeError
        If fewer than three peaks are near lattice points, or all of them lie in a line.
    """
    peaks = _checked(peaks)
    basis, change = reduced(start.vectors)
    begun, held, residual = basis, _held(basis), 0.0
    within = tolerance * float(np.linalg.norm(basis[:, 0]))
    places, weights = peaks[:, :2], evened(peaks[:, 2])
    turns = np.exp(2j * np.pi * np.linalg.solve(basis, (places - start.origin).T))
    origin = start.origin + basis @ (np.angle(turns @ weights) / (2 * np.pi))
    distance = np.linalg.norm(places - origin, axis=1)
    radius, furthest = _NEAR * float(np.linalg.norm(basis[:, 1])), float(distance.max())
    while True:
        index = np.rint(np.linalg.solve(basis, (places - origin).T)).T
        off = np.linalg.norm(places - origin - index @ basis.T, axis=1)
        kept = _one_of_each(index, off, np.flatnonzero((distance <= radius) & (off <= within)))
        last = radius >= furthest
        if in_two_directions(index[kept]):
            affine, residual = robust_fit(index[kept], places[kept], weights[kept], None if last else held)
            origin, basis = affine[0], affine[1:].T
        elif last:
            raise LatticeError(
                f"{len(kept)} of {len(peaks)} disks are near lattice points; allowed: three or more, not in a line"
            )
        _check_change(basis, begun)
        if last:
            return Lattice(origin, basis @ np.linalg.inv(change), residual, len(kept))
        radius *= _FARTHER


def refine_lattice(image: NDArray[np.floating], start: Lattice, spread: float = 1.0) -> Lattice:
    """Fit a lattice straight to a map that is high where disks are: the output of a network, or a correlation.

    What is maximised is ``Σ log(1 + S(q0 + h g1 + k g2) / ε)`` over all lattice points on the map, with S, the map
    smoothed by a Gaussian, and a level ε. So no peak is looked for: a weak disk at the right place counts, a spot
    beside the lattice hardly does. Each step moves the lattice, by weighted least squares, towards the centres of mass
    about its points (the mean shift; Y. Cheng, IEEE Trans. PAMI 17, 790 (1995)), with outliers weighted down as in
    :func:`fit_lattice`. The first steps take what lies about the origin only, and more blurred.

    Parameters
    ----------
    image : float [H, W]
        What is below 0, or not finite, counts as 0.
    start : Lattice
        The result has its indices. It may be shifted, and strained by two per cent.
    spread : float
        Standard deviation of the Gaussian [px], best that of the spots.

    Returns
    -------
    Lattice
        ``used`` counts lattice points with a spot.

    Raises
    ------
    LatticeError
        If the map shows fewer than three spots at lattice points, or all in a line.
    """
    from scipy.ndimage import grey_opening

    image = np.where((image > 0) & np.isfinite(image), image, 0).astype(np.float32)
    # What is smooth, such as the slope about the direct beam in a correlation, would draw the lattice along.
    image = image - grey_opening(image, size=2 * math.ceil(_SMOOTH * spread) + 1)
    basis, change = reduced(start.vectors)
    origin = start.origin + basis @ mean_phase(image, start.origin, basis)
    begun, hold = _held(basis)
    near = _NEAR * float(np.linalg.norm(basis[:, 1]))
    # What no spot determines stays at the start, and is seen below.
    for radius, sigma, held in ((near, 2 * spread, hold), (np.inf, spread, _LOOSE * hold)):
        index = points_on(origin, basis, image.shape)
        index = index[np.linalg.norm(index @ basis.T, axis=1) <= radius]
        if not in_two_directions(index):
            raise LatticeError("the lattice has no three points on the map; allowed: shorter vectors")
        factor = np.ones(len(index))
        for _ in range(_STEPS):
            heights, towards = centres_of_mass(image, origin + index @ basis.T, sigma)
            third = float(np.partition(heights, -3)[-3])
            if not third > 0:
                raise LatticeError("the map shows fewer than three spots at lattice points")
            weights = heights / (heights + _LEVEL * third)
            affine, squares = solve(index, _SPEED * towards, weights * factor, (begun - basis.T, held))
            factor = trust(squares, weights)
            origin, basis = origin + affine[0], basis + affine[1:].T
            if np.abs(affine[0]).max() + np.abs(index).max() * np.abs(affine[1:]).max() < _STILL:
                break
        _check_change(basis, begun.T)
    shown = heights > _SHOWN * third
    if not in_two_directions(index[shown]):
        raise LatticeError("the spots at lattice points lie in a line; allowed: spots in two directions")
    return Lattice(origin, basis @ np.linalg.inv(change), deviation(squares, weights * factor), int(shown.sum()))


def on_lattice(peaks: FloatArray) -> FloatArray:
    """Peaks [n, 3] that lie on their common lattice, at the places that it gives them; all peaks if there is none."""
    try:
        lattice = find_lattice(peaks)
    except LatticeError:
        return peaks
    _, points, off = _points(peaks[:, :2], lattice)
    near = off <= _within(lattice)
    return np.asarray(np.column_stack([points, peaks[:, 2]])[near])


def at_points(places: FloatArray, lattice: Lattice) -> tuple[NDArray[np.intp], FloatArray]:
    """Places of disks that belong to points of a lattice, at most one to each.

    Parameters
    ----------
    places : float64 [n, 2]
        x, y [px].
    lattice : Lattice

    Returns
    -------
    rows : int64 [m]
        Of those places.
    points : float64 [m, 2]
        Their lattice points, x and y [px].
    """
    index, points, off = _points(places, lattice)
    rows = _one_of_each(index, off, np.flatnonzero(off <= _within(lattice)))
    return rows, points[rows]


def _points(places: FloatArray, lattice: Lattice) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Indices of the lattice points next to places, their places, and the distances."""
    index = np.rint(np.linalg.solve(lattice.vectors, (places - lattice.origin).T)).T
    points = lattice.origin + index @ lattice.vectors.T
    return index, points, np.linalg.norm(places - points, axis=1)


def _within(lattice: Lattice) -> float:
    return _TOLERANCE * float(np.linalg.norm(lattice.vectors, axis=0).min())


def reduced(vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Shortest vectors of a lattice (the reduction of Lagrange and Gauss).

    Parameters
    ----------
    vectors : float64 [2, 2]
        Vectors as columns.

    Returns
    -------
    vectors : float64 [2, 2]
        The shorter one first and towards positive x, and the second such that the determinant is positive.
    change : float64 [2, 2]
        Whole numbers of the old vectors in the new ones: ``new = old @ change``.

    Raises
    ------
    LatticeError
        If the vectors are parallel.
    """
    lengths = np.linalg.norm(vectors, axis=0)
    if not abs(np.linalg.det(vectors)) > 1e-6 * lengths[0] * lengths[1]:
        raise LatticeError("the vectors of a lattice are parallel; allowed: two directions")
    change = np.eye(2)
    while True:
        basis = vectors @ change
        if np.linalg.norm(basis[:, 0]) > np.linalg.norm(basis[:, 1]):
            change, basis = change[:, ::-1], basis[:, ::-1]
        times = np.rint(basis[:, 0] @ basis[:, 1] / (basis[:, 0] @ basis[:, 0]))
        if times == 0:
            break
        change = change @ np.array([[1.0, -times], [0.0, 1.0]])
    if basis[0, 0] < 0 or (basis[0, 0] == 0 and basis[1, 0] < 0):
        change = change * np.array([-1.0, 1.0])
    if np.linalg.det(vectors @ change) < 0:
        change = change * np.array([1.0, -1.0])
    return vectors @ change, change


def _checked(peaks: FloatArray) -> FloatArray:
    """Peaks with a place and a weight."""
    peaks = peaks[np.isfinite(peaks).all(axis=1)]
    if len(peaks) < 3:
        raise LatticeError(f"found {len(peaks)} disks; allowed: three or more")
    return peaks


def _held(basis: FloatArray) -> Held:
    """Vectors of the start, with weights by which a few disks change them little."""
    return basis.T, 1 / (_HOLD**2 * (basis**2).sum(axis=0))


def _check_change(basis: FloatArray, begun: FloatArray) -> None:
    """Refuse a lattice that has become another one."""
    stretch = np.linalg.svd(basis @ np.linalg.inv(begun), compute_uv=False)
    if not (np.abs(stretch - 1) <= _FARTHEST).all():
        raise LatticeError(
            f"the fit has stretched the lattice by {stretch[1]:.2g} to {stretch[0]:.2g}; allowed: {1 - _FARTHEST:g} to "
            f"{1 + _FARTHEST:g} of the start"
        )


def _one_of_each(index: FloatArray, off: FloatArray, kept: NDArray[np.intp]) -> NDArray[np.intp]:
    """Of peaks at the same lattice point the nearest."""
    ordered = kept[np.argsort(off[kept], kind="stable")]
    # One number for both indices, which are far below 2¹⁶.
    return ordered[np.unique(index[ordered] @ [2.0**16, 1.0], return_index=True)[1]]
