"""Places of disks from their rims, whatever is inside.

A disk is the aperture, filled with what dynamical scattering puts there: brighter on one side, with fringes. That
shifts its centre of mass, and what a correlation or a network takes for its place. Its rim does not move. So what is
around a disk is fitted by an even background and the aperture times a polynomial,

    I = b + A(x - c) Σ a_ij uⁱ vʲ,     i + j <= n,

with A, the share of a pixel that lies in the disk (:mod:`exitwave.benchmark.rim_apertures`). This is done twice.

First amplitudes, ``sqrt(I)`` and ``sqrt(A)``, with n = 2: b and the a follow from linear least squares for every trial
place c, and that which leaves least is near. But roots of few counts are too low on average, which shifts weak disks.
So the place is then refined in intensities, by weighted least squares. Weights are one over the expected intensity,
as counting has it, whatever the gain of the camera: Gauss and Newton's steps of the place, with b and the a eliminated,
and weights that follow from the step before. The order n is that of the least Bayesian information criterion, since
small and weak disks show no more than a slope and bright, large ones many fringes. The standard deviation of the place
follows from the same equations, and from what is left.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from exitwave.benchmark.correlation import disk_radius
from exitwave.benchmark.disk_maps import SURE
from exitwave.benchmark.lattice import Lattice, at_points
from exitwave.benchmark.rim_apertures import aperture_of
from exitwave.benchmark.rim_kernels import refined_places
from exitwave.imaging.aperture import FINE

REACH, STEP = 1.2, 0.2
"""Farthest trial place from the pixel that is nearest to a disk, and distance of two of them [px]."""
MARGIN = 1.5
"""Pixels beyond the rim that are fitted as well."""
ALONE = 0.5
"""Pixels that are left between two disks, at least, if their rims are to be seen."""
MOVED, ALWAYS = 3.0, 0.5
"""How far a place may be moved: standard deviations of what was known before, and pixels in any case."""
DOUBT = 1.4
"""The true standard deviation over that from what is left: fringes are no noise, and no polynomial."""
ALIKE = 0.1
"""Uncertainty of the places that networks say, beside that which they tell [px]: what they err by for all disks alike,
such as towards the direct beam."""
FEWEST = 6
"""Disks of a pattern with rims, below which correlation alone places all of them."""
ORDERS = (2, 3, 4)
"""Of the polynomials of intensities; amplitudes have the first."""
_TERMS = tuple((order + 1) * (order + 2) // 2 for order in ORDERS)
FloatArray = NDArray[np.float64]


class Rims:
    """Measures disks that are all images of one probe.

    Parameters
    ----------
    probe : float array [H, W]
        In vacuum, with its middle at ``(H // 2, W // 2)``.
    """

    def __init__(self, probe: NDArray[np.floating]) -> None:
        self.radius = disk_radius(probe)
        half = int(np.ceil(self.radius + MARGIN))
        rows, columns = np.mgrid[-half : half + 1, -half : half + 1]
        self._around = np.hypot(rows, columns) <= self.radius + MARGIN + 0.5
        self._half = half
        self._trials = np.arange(-REACH, REACH + STEP / 2, STEP)
        self._y, self._x = (edge[self._around].astype(np.float64) for edge in (rows, columns))
        self._aperture = aperture_of(probe)
        self._inside = _polynomial(self._y / self.radius, self._x / self.radius, ORDERS[-1])
        bases = []
        for down in self._trials:
            for right in self._trials:
                aperture = np.sqrt(self._aperture.share(self._y - down, self._x - right))
                inside = aperture * self._inside[: _TERMS[0]]
                bases.append(np.linalg.qr(np.vstack([np.ones_like(aperture), inside]).T)[0])
        self._bases = np.stack(bases, axis=1).astype(np.float32)  # [pixels, trials, terms]

    def measure(self, pattern: NDArray[np.floating], places: FloatArray) -> FloatArray:
        """Places from rims.

        Parameters
        ----------
        pattern : float array [H, W]
            Intensities, without hot pixels.
        places : float64 array [n, 2]
            x, y [px] of disks, right to about a pixel.

        Returns
        -------
        float64 array [n, 3]
            x, y and standard deviation along an axis [px]; NaN of disks that the edge cuts, that others touch, or whose
            rim is not seen.
        """
        found = np.full((len(places), 3), np.nan)
        nearest = np.rint(places).astype(int)
        last = np.array(pattern.shape[::-1]) - 1
        whole = ((nearest >= self._half) & (nearest <= last - self._half)).all(axis=1)
        if len(places) > 1:
            whole &= cKDTree(places).query(places, k=2)[0][:, 1] > 2 * self.radius + ALONE
        if not whole.any():
            return found
        reach = np.arange(-self._half, self._half + 1)
        corners = nearest[whole]
        intensities = np.maximum(pattern, 0)[
            corners[:, 1, None, None] + reach[:, None], corners[:, 0, None, None] + reach
        ][:, self._around].astype(np.float64)
        patches = np.sqrt(intensities).astype(np.float32)
        pixels, trials, terms = self._bases.shape
        explained = (patches @ self._bases.reshape(pixels, -1)).reshape(-1, trials, terms)
        explained = np.einsum("ntk,ntk->nt", explained, explained, dtype=np.float64)
        left = np.einsum("np,np->n", patches, patches, dtype=np.float64)[:, None] - explained
        edge = len(self._trials)
        measured = self._lowest(left.reshape(-1, edge, edge))
        begun = np.isfinite(measured).all(axis=1)
        refined = np.full((len(measured), 3), np.nan)
        refined[begun] = refined_places(
            intensities[begun],
            measured[begun],
            self._inside,
            _TERMS,
            self._aperture.table,
            FINE,
            self._y,
            self._x,
            REACH,
        )
        refined[:, :2] += corners
        found[whole] = refined
        return found

    def measure_on(self, pattern: NDArray[np.floating], places: FloatArray, lattice: Lattice | None) -> FloatArray:
        """Places from the rims of disks that lie on a lattice.

        What is found off the lattice is no disk, and would hide the rims of those beside it. A rim is looked for at the
        lattice point, where it lies even if what is inside has drawn the disk to one side.

        Parameters
        ----------
        pattern, places
            As of :meth:`measure`.
        lattice : Lattice, optional
            Of the pattern; if there is none, all disks count.

        Returns
        -------
        float64 array [n, 3]
            As of :meth:`measure`, with NaN also of what is off the lattice, or not the nearest to its point.
        """
        if lattice is None:
            return self.measure(pattern, places)
        measured = np.full((len(places), 3), np.nan)
        rows, points = at_points(places, lattice)
        measured[rows] = self.measure(pattern, points)
        return measured

    def _lowest(self, left: FloatArray) -> FloatArray:
        """Where least is left of squares [n, trials, trials]: x and y from the pixel [n, 2], NaN at the edge."""
        found = np.full((len(left), 2), np.nan)
        for number, squares in enumerate(left):
            y, x = np.unravel_index(squares.argmin(), squares.shape)
            if 0 < y < len(squares) - 1 and 0 < x < len(squares) - 1:
                found[number] = self._trials[[x, y]]
        return found


def _polynomial(y: FloatArray, x: FloatArray, order: int) -> FloatArray:
    """Products of powers of y and x [terms, n] up to an order in both together."""
    return np.stack([x**i * y ** (n - i) for n in range(order + 1) for i in range(n + 1)])


def rims_of(probe: NDArray[np.floating]) -> Rims:
    """Rims of a probe; of those asked for last they are there already."""
    values = np.ascontiguousarray(probe, np.float32)
    return _known(values.tobytes(), values.shape)


@lru_cache(maxsize=4)
def _known(values: bytes, shape: tuple[int, ...]) -> Rims:
    return Rims(np.frombuffer(values, np.float32).reshape(shape))


def sharpened(disks: FloatArray, measured: FloatArray) -> FloatArray:
    """Disks with the weighted mean of their places and of those from their rims.

    Parameters
    ----------
    disks : float64 [n, 4]
        As of :func:`exitwave.benchmark.disk_maps.placed_disks`; those without standard deviation stay as they are.
    measured : float64 [n, 3]
        As of :meth:`Rims.measure`.
    """
    moved = np.linalg.norm(measured[:, :2] - disks[:, :2], axis=1)
    # A comparison with what is not known is false.
    taken = moved <= np.maximum(MOVED * disks[:, 3], ALWAYS)
    sharp = disks.copy()
    sharp[:, 3] = np.sqrt(disks[:, 3] ** 2 + ALIKE**2 - SURE**2)
    before = 1 / (disks[taken, 3] ** 2 + ALIKE**2)
    rims = weights_of(measured[taken, 2])
    places = before[:, None] * disks[taken, :2] + rims[:, None] * measured[taken, :2]
    sharp[taken, :2] = places / (before + rims)[:, None]
    # So that the weight in a fit is the sum of both.
    sharp[taken, 3] = np.sqrt(np.maximum(1 / (before + rims) - SURE**2, 0))
    return sharp


def weights_of(deviations: FloatArray) -> FloatArray:
    """Weights for what is fitted to places from rims with these standard deviations [px]: 1/px²."""
    return np.asarray(1 / ((DOUBT * deviations) ** 2 + SURE**2))
