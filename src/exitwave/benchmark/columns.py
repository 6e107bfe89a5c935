"""Atomic columns of an image, without learning or from the map of a network, with places finer than a pixel.

Columns are looked for with the Laplacian of a Gaussian as wide as they are: the scale at which it answers most, noise
left out (T. Lindeberg, Int. J. Comput. Vis. 30 (1998) 79). Then each is fitted by a Gaussian on an even background in a
window around it, what its neighbours bring there taken away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import gaussian_laplace
from scipy.spatial import cKDTree

from exitwave.data.peaks import find_peaks
from exitwave.errors import MicrographError

FloatArray = NDArray[np.float64]

SCALES = (0.25, 0.3, 0.37, 0.45, 0.55, 0.68, 0.83, 1.0, 1.25)
"""Standard deviations of columns that are looked for [Å]."""
FINEST = 0.8
"""Least standard deviation that is looked for [px]."""
ABOVE_NOISE, LEAST = 4.5, 0.05
"""Of a peak of the Laplacian: over its standard deviation by noise, and over that of nine tenths of the peaks."""
FINER = 0.6
"""Share of the highest answer that a finer scale must have, to be that at which columns are found."""
SPACING = 0.6
"""Of two columns closer than this [Å] the brighter one counts."""
_ROUNDS, _STEPS = 3, 8
"""Fits of all columns, after each of which the neighbours are known better, and steps of each."""
_FARTHEST = 0.45
"""Å that a fit may move a column."""


@dataclass(frozen=True)
class FoundColumns:
    """Columns of an image, the brightest first.

    Attributes
    ----------
    places : float64 [n, 2]
        x, y [px], from the middle of the first pixel.
    heights, backgrounds : float64 [n]
        In units of the image.
    sigmas : float64 [n]
        Standard deviations [px].
    errors : float64 [n]
        Standard deviation of a place along an axis by the noise that is left [px]; NaN where the fit has failed, and
        the place is that of the peak.
    scale : float
        Standard deviation that was looked for [Å].
    """

    places: FloatArray
    heights: FloatArray
    backgrounds: FloatArray
    sigmas: FloatArray
    errors: FloatArray
    scale: float


def find_columns(image: NDArray[np.floating], pixel_size: float) -> FoundColumns:
    """Columns of an image, found by the Laplacian of a Gaussian and fitted.

    Raises
    ------
    MicrographError
        If there is none.
    """
    values = image.astype(np.float64)
    noise = _noise(values)
    answers = {}
    for scale in SCALES:
        if scale / pixel_size >= FINEST:
            peaks, floor = _peaks(values, scale / pixel_size, noise, pixel_size)
            if len(peaks):
                answers[scale] = float(np.mean(peaks[: max(1, len(peaks) // 4), 2]) - ABOVE_NOISE * floor), peaks
    if not answers:
        raise MicrographError("no column stands out of the noise; allowed: an image of columns with its pixel size")
    heights = {scale: answer for scale, (answer, _) in answers.items()}
    scale = _first_best(heights)
    # Finer than they are, columns beside each other are told apart, as far as noise allows.
    finest = next((one for one in heights if heights[one] >= FINER * heights[scale]), scale)
    places, faint = answers[min(finest, scale)][1][:, :2], answers[scale][1][:, :2]
    # What only the coarser one sees is a faint column, if it is no pair that the finer one has told apart.
    alone = cKDTree(places).query(faint)[0] > 2 * scale / pixel_size
    return fitted(values, np.concatenate([places, faint[alone]]), scale, pixel_size)


def _first_best(answers: dict[float, float]) -> float:
    """The finest scale at which the answer is higher than at those beside."""
    scales, heights = list(answers), list(answers.values())
    for place, height in enumerate(heights):
        if height >= max(heights[max(0, place - 1) : place + 2]) and height > 0.5 * max(heights):
            return scales[place]
    return scales[int(np.argmax(heights))]


def _noise(image: FloatArray) -> float:
    """Standard deviation of white noise, from second differences along both axes, which see little of columns."""
    across = image[1:-1, 1:-1] - (image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:]) / 2
    corners = (image[:-2, :-2] + image[:-2, 2:] + image[2:, :-2] + image[2:, 2:]) / 4
    return float(np.median(np.abs(across + corners)) / 0.6745 / 1.5)


def _peaks(image: FloatArray, sigma: float, noise: float, pixel_size: float) -> tuple[FloatArray, float]:
    """Peaks [n, 3] of the scaled Laplacian that stand out, the highest first, and its deviation by noise."""
    impulse = np.zeros((int(10 * sigma) * 2 + 3,) * 2)
    impulse[len(impulse) // 2, len(impulse) // 2] = 1
    floor = noise * sigma**2 * float(np.sqrt((gaussian_laplace(impulse, sigma) ** 2).sum()))
    # Of a constant a kernel of finite size leaves something.
    shown = -(sigma**2) * gaussian_laplace(image - image.mean(), sigma)
    peaks = find_peaks(shown.astype(np.float32), ABOVE_NOISE * floor + 1e-12, spacing=SPACING / pixel_size)
    # What is between pixels is extrapolated, and of noise too much.
    x, y = np.rint(peaks[:, :2]).astype(int).T
    # The image is continued by its mirror image, which doubles the variance at the edge.
    edge = np.minimum.reduce([x, y, shown.shape[1] - 1 - x, shown.shape[0] - 1 - y]) < 2 * sigma
    peaks = peaks[shown[y, x] >= ABOVE_NOISE * floor * np.where(edge, 1.5, 1.0)]
    if len(peaks):
        peaks = peaks[peaks[:, 2] >= LEAST * peaks[len(peaks) // 10, 2]]
    return peaks, floor


def fitted(image: NDArray[np.floating], places: FloatArray, scale: float, pixel_size: float) -> FoundColumns:
    """Columns at about these places [n, 2] [px], each fitted by a Gaussian.

    Parameters
    ----------
    image : float [H, W]
    places : float64 [n, 2]
        x, y [px].
    scale : float
        Standard deviation of columns, about [Å].
    pixel_size : float
        [Å].
    """
    values, sigma = image.astype(np.float64), scale / pixel_size
    last = np.array(values.shape[::-1]) - 1
    places = places[((places >= 0) & (places <= last)).all(axis=1)]
    nearest = cKDTree(places).query(places, k=2)[0][:, 1] if len(places) > 1 else np.array([np.inf])
    usual = float(np.median(nearest[np.isfinite(nearest)])) if np.isfinite(nearest).any() else np.inf
    # A window holds no neighbour; a column that is alone has none.
    half = max(2, min(math.ceil(2 * sigma), int(min(0.6 * usual, 1e6))))
    fit = _Fit(values, np.asarray(places, np.float64), sigma, half, _FARTHEST / pixel_size)
    for _ in range(_ROUNDS):
        fit = fit.again()
    return fit.found(scale)


@dataclass(frozen=True)
class _Fit:
    """Gaussians fitted to windows: parameters [n, 5] are height, background, x, y and standard deviation."""

    image: FloatArray
    starts: FloatArray
    sigma: float
    half: int
    farthest: float
    parameters: FloatArray | None = None
    errors: FloatArray | None = None

    def again(self) -> _Fit:
        """All columns fitted once more, with what neighbours bring taken away."""
        height, width = self.image.shape
        middles = np.rint(self.starts).astype(int)
        reach = np.arange(-self.half, self.half + 1)
        rows = np.clip(middles[:, 1, None] + reach, 0, height - 1)
        columns = np.clip(middles[:, 0, None] + reach, 0, width - 1)
        seen = self.image[rows[:, :, None], columns[:, None, :]]
        inside = (middles[:, 1, None] + reach == rows)[:, :, None] & (middles[:, 0, None] + reach == columns)[
            :, None, :
        ]
        if self.parameters is None:
            low = np.min(np.where(inside, seen, np.inf), axis=(1, 2))
            top = self.image[middles[:, 1], middles[:, 0]]
            deviation = np.full(len(low), self.sigma)
            now = np.column_stack([np.maximum(top - low, 1e-9), low, self.starts, deviation])
        else:
            now = self.parameters
            whole = np.zeros_like(self.image)
            _add_spots(whole, now, 4 * self.sigma)
            own = now[:, None, None, 0] * self._shape(now, rows, columns)
            seen = seen - (whole[rows[:, :, None], columns[:, None, :]] - own)
        after, errors = self._steps(now.copy(), seen, inside, rows, columns)
        return replace(self, parameters=after, errors=errors)

    @staticmethod
    def _shape(parameters: FloatArray, rows: NDArray[np.int_], columns: NDArray[np.int_]) -> FloatArray:
        x, y, sigma = (parameters[:, place, None] for place in (2, 3, 4))
        along = np.exp(-((columns - x) ** 2) / (2 * sigma**2))
        down = np.exp(-((rows - y) ** 2) / (2 * sigma**2))
        return np.asarray(down[:, :, None] * along[:, None, :])

    def _steps(
        self,
        now: FloatArray,
        seen: FloatArray,
        inside: NDArray[np.bool_],
        rows: NDArray[np.int_],
        columns: NDArray[np.int_],
    ) -> tuple[FloatArray, FloatArray]:
        """Damped Gauss-Newton steps, and the standard deviation of the places."""
        count = len(now)
        weights = inside.reshape(count, -1).astype(np.float64)
        covariance = np.full((count, 5, 5), np.nan)
        for _ in range(_STEPS):
            shape = self._shape(now, rows, columns)
            x, y, sigma = (now[:, place, None, None] for place in (2, 3, 4))
            off_x, off_y = columns[:, None, :] - x, rows[:, :, None] - y
            slope = now[:, 0, None, None] * shape
            terms = np.stack(
                [
                    shape,
                    np.ones_like(shape),
                    slope * off_x / sigma**2,
                    slope * off_y / sigma**2,
                    slope * (off_x**2 + off_y**2) / sigma**3,
                ],
                axis=-1,
            ).reshape(count, -1, 5)
            left = (seen - slope - now[:, 1, None, None]).reshape(count, -1) * weights
            normal = np.einsum("npi,npj,np->nij", terms, terms, weights)
            damped = normal + 1e-3 * np.einsum("nii->ni", normal)[:, :, None] * np.eye(5) + 1e-12 * np.eye(5)
            step = np.linalg.solve(damped, np.einsum("npi,np->ni", terms, left)[..., None])[..., 0]
            now = now + step
            now[:, 2:4] = np.clip(now[:, 2:4], self.starts - self.farthest, self.starts + self.farthest)
            now[:, 4] = np.clip(now[:, 4], 0.5 * self.sigma, 2 * self.sigma)
            variance = (left**2).sum(axis=1) / np.maximum(weights.sum(axis=1) - 5, 1)
            covariance = np.linalg.inv(damped) * variance[:, None, None]
        errors = np.sqrt(np.maximum((covariance[:, 2, 2] + covariance[:, 3, 3]) / 2, 0))
        return now, errors

    def found(self, scale: float) -> FoundColumns:
        """The columns; those whose fit ran away keep the place of their peak, and have nothing else."""
        assert self.parameters is not None
        assert self.errors is not None
        now = self.parameters
        moved = np.abs(now[:, 2:4] - self.starts).max(axis=1)
        good = (now[:, 0] > 0) & (moved < 0.999 * self.farthest) & np.isfinite(now).all(axis=1)
        places = np.where(good[:, None], now[:, 2:4], self.starts)
        errors = np.where(good, self.errors, np.nan)
        now = np.where(good[:, None], now, np.nan)
        order = np.argsort(-np.where(good, now[:, 0], -np.inf), kind="stable")
        places, now, errors = places[order], now[order], errors[order]
        return FoundColumns(places, now[:, 0], now[:, 1], now[:, 4], errors, scale)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_spots(image: FloatArray, parameters: FloatArray, reach: float) -> None:
    height, width = image.shape
    for n in range(len(parameters)):
        top, _, x, y, sigma = parameters[n]
        for i in range(max(0, int(y - reach)), min(height, int(y + reach) + 2)):
            for j in range(max(0, int(x - reach)), min(width, int(x + reach) + 2)):
                image[i, j] += top * np.exp(-((i - y) ** 2 + (j - x) ** 2) / (2 * sigma**2))
