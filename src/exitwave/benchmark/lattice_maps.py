"""What a map shows at the points of a lattice; for fits of lattices to maps."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def mean_phase(image: NDArray[np.float32], origin: FloatArray, basis: FloatArray) -> FloatArray:
    """Where in the cell [2] the map is high, in the mean."""
    above = image - image.mean()
    angles = [
        2 * np.pi * np.outer(frequency, np.arange(edge) - start)
        for frequency, edge, start in zip(np.linalg.inv(basis).T, image.shape[::-1], origin, strict=True)
    ]
    # Products of real matrices are much the faster ones.
    (cos_x, sin_x), (cos_y, sin_y) = (
        (np.cos(one).astype(np.float32), np.sin(one).astype(np.float32)) for one in angles
    )
    cos, sin = cos_y @ above, sin_y @ above
    real, imaginary = (cos * cos_x - sin * sin_x).sum(axis=1), (cos * sin_x + sin * cos_x).sum(axis=1)
    return np.asarray(np.arctan2(imaginary, real) / (2 * np.pi), np.float64)


def points_on(origin: FloatArray, basis: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Indices [n, 2] of the lattice points on a map, but for its outermost two pixels."""
    height, width = shape
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) - origin
    at = np.linalg.solve(basis, corners.T)
    along = [
        np.arange(np.floor(low), np.ceil(high) + 1) for low, high in zip(at.min(axis=1), at.max(axis=1), strict=True)
    ]
    index = np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, 2)
    places = origin + index @ basis.T
    return np.asarray(index[((places >= 2) & (places <= np.array([width - 3, height - 3]))).all(axis=1)])


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def centres_of_mass(image: NDArray[np.float32], places: FloatArray, sigma: float) -> tuple[FloatArray, FloatArray]:
    """Sum of a map about each place [n], with the weights of a Gaussian, and the way to the centre of mass [n, 2]."""
    height, width = image.shape
    reach = int(np.ceil(3.5 * sigma))
    total, towards = np.zeros(len(places)), np.zeros((len(places), 2))
    along = np.empty(2 * reach + 1)
    for one in range(len(places)):
        x, y = places[one, 0], places[one, 1]
        left, top = int(np.rint(x)) - reach, int(np.rint(y)) - reach
        for step in range(2 * reach + 1):
            along[step] = np.exp(-((left + step - x) ** 2) / (2 * sigma**2))
        for row in range(max(top, 0), min(top + 2 * reach + 1, height)):
            weight = np.exp(-((row - y) ** 2) / (2 * sigma**2))
            for column in range(max(left, 0), min(left + 2 * reach + 1, width)):
                mass = weight * along[column - left] * image[row, column]
                total[one] += mass
                towards[one, 0] += mass * (column - x)
                towards[one, 1] += mass * (row - y)
        if total[one] > 0:
            towards[one] /= total[one]
    return total, towards
