"""Places of disks from their rims, whatever is inside.

A disk is the aperture, filled with what dynamical scattering puts there: brighter on one side, with fringes. That
shifts its centre of mass, and what a correlation or a network takes for its place. Its rim does not move. So the
amplitudes around a disk are fitted by an even background and the aperture times a polynomial of second order,

    sqrt(I) = b + A(x - c) (a0 + a1 u + a2 v + a3 u² + a4 u v + a5 v²),     (u, v) = (x - c) / R,

in which b and the a follow from linear least squares for every trial place c. The best place is that which leaves
least; its standard deviation follows from the curvature there, and from what is left. Amplitudes, since their counting
noise is the same everywhere.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from exitwave.benchmark.correlation import disk_radius
from exitwave.benchmark.disk_maps import SURE

REACH, STEP = 1.2, 0.1
"""Farthest trial place from the pixel that is nearest to a disk, and distance of two of them [px]."""
MARGIN = 1.5
"""Pixels beyond the rim that are fitted as well."""
ALONE = 0.5
"""Pixels that are left between two disks, at least, if their rims are to be seen."""
MOVED, ALWAYS = 3.0, 0.5
"""How far a place may be moved: standard deviations of what was known before, and pixels in any case."""
DOUBT = 2.0
"""The true standard deviation over that from the curvature: fringes are no noise, and no polynomial."""
FEWEST = 6
"""Disks of a pattern with rims, below which correlation alone places all of them."""
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
        y, x = rows[self._around], columns[self._around]
        amplitude = np.sqrt(np.maximum(probe, 0) / np.median(probe[probe > probe.max() / 2]))
        middle = np.array(probe.shape) // 2
        bases = []
        for down in self._trials:
            for right in self._trials:
                aperture = map_coordinates(amplitude, [middle[0] + y - down, middle[1] + x - right], order=1)
                u, v = (x - right) / self.radius, (y - down) / self.radius
                inside = aperture * np.stack([np.ones_like(u), u, v, u * u, u * v, v * v])
                bases.append(np.linalg.qr(np.vstack([np.ones_like(u), inside]).T)[0])
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
        amplitude = np.sqrt(np.maximum(pattern, 0)).astype(np.float32)
        reach = np.arange(-self._half, self._half + 1)
        corners = nearest[whole]
        patches = amplitude[corners[:, 1, None, None] + reach[:, None], corners[:, 0, None, None] + reach][
            :, self._around
        ]
        pixels, trials, terms = self._bases.shape
        explained = (patches @ self._bases.reshape(pixels, -1)).reshape(-1, trials, terms)
        explained = np.einsum("ntk,ntk->nt", explained, explained, dtype=np.float64)
        left = np.einsum("np,np->n", patches, patches, dtype=np.float64)[:, None] - explained
        edge = len(self._trials)
        found[whole] = self._lowest(left.reshape(-1, edge, edge), pixels - terms - 2)
        found[whole, :2] += corners
        return found

    def _lowest(self, left: FloatArray, freedom: int) -> FloatArray:
        """Where least is left of squares [n, trials, trials]: x and y from the pixel, standard deviation [px]."""
        found = np.full((len(left), 3), np.nan)
        for number, squares in enumerate(left):
            y, x = np.unravel_index(squares.argmin(), squares.shape)
            if not (0 < y < len(squares) - 1 and 0 < x < len(squares) - 1):
                continue
            lowest, beside = squares[y, x], squares[y - 1 : y + 2, x - 1 : x + 2]
            slope = np.array([beside[1, 2] - beside[1, 0], beside[2, 1] - beside[0, 1]]) / 2
            xx, yy = (beside[1, 0] + beside[1, 2] - 2 * lowest, beside[0, 1] + beside[2, 1] - 2 * lowest)
            xy = (beside[2, 2] + beside[0, 0] - beside[2, 0] - beside[0, 2]) / 4
            if not (xx > 0 and xx * yy > xy * xy):
                continue
            curvature = np.array([[xx, xy], [xy, yy]])
            away = -np.linalg.solve(curvature, slope)
            if np.abs(away).max() > 1:
                continue
            covariance = 2 * np.linalg.inv(curvature) * max(lowest, 0.0) / freedom
            deviation = STEP * np.sqrt(np.trace(covariance) / 2)
            found[number] = *(self._trials[[x, y]] + STEP * away), deviation
        return found


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
    before = 1 / (disks[taken, 3] ** 2 + SURE**2)
    rims = weights_of(measured[taken, 2])
    sharp = disks.copy()
    places = before[:, None] * disks[taken, :2] + rims[:, None] * measured[taken, :2]
    sharp[taken, :2] = places / (before + rims)[:, None]
    # So that the weight in a fit is the sum of both.
    sharp[taken, 3] = np.sqrt(np.maximum(1 / (before + rims) - SURE**2, 0))
    return sharp


def weights_of(deviations: FloatArray) -> FloatArray:
    """Weights for what is fitted to places from rims with these standard deviations [px]: 1/px²."""
    return np.asarray(1 / ((DOUBT * deviations) ** 2 + SURE**2))
