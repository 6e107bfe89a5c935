"""Graphs of the atoms found in an image: nodes with what is seen of each atom, bonds between atoms that are alike.

All lengths are in units of the usual distance to the nearest atom, and all brightnesses in units of the usual atom, so
that neither the scale of the image nor that of its values matters, nor where the image lies on its lattice.

Atoms are found by the Laplacian of a Gaussian as wide as they are. The autocorrelation of the image says how alike the
two atoms of a bond are: 1 where the bond is a vector of the lattice, less where it brings only part of the atoms onto
atoms. A bond is drawn to every atom that no nearer one, as alike, stands before. In a perfect lattice these are the
neighbours whose Voronoi cells touch, however many other atoms are between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from exitwave.config.graphs import ATOMS, CENTRES, FEATURES
from exitwave.data.autocorrelation import correlated
from exitwave.data.peaks import find_peaks

FloatArray = NDArray[np.float64]

FEWEST = 12
"""Atoms of an image that has a graph."""
SCALES = tuple(1.4**step for step in range(6))
"""Standard deviations of atoms that are looked for [px]."""
ABOVE_NOISE, LEAST = 4.5, 0.05
"""Of an atom in the filtered image: over its standard deviation by noise, and over the height of the brighter ones."""
CLEAR = 5.0
"""Heights of the faintest atom that noise allows, over which the higher ones must be where a finer scale is taken."""
FINER = 0.6
"""Share of the highest answer that a finer scale must have, to be that at which atoms are found."""
EVEN = 20.0
"""Standard deviation of the Gaussian that is taken for the background, over that of atoms."""
REACH = 0.5
"""Of the edge of the image: longest bond."""
NEAR = 0.15
"""Error of a bond in which the best is taken, over the usual distance to the nearest atom."""
SHORTEST = 0.6
"""Shortest bond, over the usual distance to the nearest atom."""
UNLIKE = 0.4
"""Atoms less alike have no bond."""
AS_ALIKE = 0.03
"""An atom that is less alike than another by no more stands before it."""
BEFORE = -0.26
"""Cosine of the angle, at an atom, between the two ends of a bond: below, the atom stands before the farther end."""
CANDIDATES = 96
"""Nearest alike atoms of an atom, of which bonds are chosen."""


@dataclass(frozen=True)
class FoundAtoms:
    """Atoms of an image, those nearest to its middle first.

    Attributes
    ----------
    places : float64 [n, 2]
        x, y [px].
    filtered : float64 [H, W]
        The image without noise and background, in which they are peaks.
    margin : int
        Pixels along its edges in which nothing is found.
    sigma : float
        Standard deviation of the atoms [px].
    """

    places: FloatArray
    filtered: FloatArray
    margin: int
    sigma: float


def find_atoms(image: NDArray[np.floating]) -> FoundAtoms | None:
    """Atoms of an image [H, W], whatever its pixel; none where no two stand out of the noise."""
    values = image.astype(np.float64)
    spectrum = rfft2(values)
    k2 = (2 * np.pi) ** 2 * (
        np.fft.fftfreq(values.shape[0])[:, None] ** 2 + np.fft.rfftfreq(values.shape[1])[None, :] ** 2
    )
    noise = _noise(spectrum, k2, values.size)
    found: list[tuple[float, float, float, FloatArray]] = []
    for sigma in SCALES:
        shown = irfft2(spectrum * (sigma**2 * k2) * np.exp(-(sigma**2) * k2 / 2), s=values.shape)
        # Of white noise, from the integral of the square of the filter.
        floor = ABOVE_NOISE * noise / (sigma * np.sqrt(2 * np.pi)) + 1e-9
        peaks = find_peaks(shown.astype(np.float32), floor, spacing=1.5 * sigma, edge=int(np.ceil(2 * sigma)))
        if len(peaks) > 1:
            top = float(peaks[: max(1, len(peaks) // 4), 2].mean())
            found.append((top - CLEAR * floor, top / floor, sigma, peaks))
    if not found:
        return None
    clear = max(answer for answer, *_ in found)
    # Finer than they are, atoms beside each other are told apart, as far as noise allows.
    fine = [one for one in found if one[0] >= FINER * clear > 0]
    _, _, sigma, peaks = fine[0] if fine else max(found, key=lambda one: one[1])
    places = peaks[peaks[:, 2] >= LEAST * peaks[len(peaks) // 10, 2], :2]
    middle = (np.array(values.shape[::-1]) - 1) / 2
    order = np.argsort(((places - middle) ** 2).sum(axis=1), kind="stable")
    smooth, even = np.exp(-(sigma**2) * k2 / 2), np.exp(-((EVEN * sigma) ** 2) * k2 / 2)
    return FoundAtoms(
        places[order], irfft2(spectrum * smooth * (1 - even), s=values.shape), int(np.ceil(2 * sigma)), sigma
    )


def _noise(spectrum: NDArray[np.complex128], k2: FloatArray, pixels: int) -> float:
    """Standard deviation of white noise, from the frequencies that no atom has."""
    powers = np.abs(spectrum[k2 > (2 * np.pi * 0.45) ** 2]) ** 2
    # Of the power of noise, which has an exponential distribution, the median is ln 2 of the mean.
    return float(np.sqrt(np.median(powers) / np.log(2) / pixels))


def atom_graph(image: NDArray[np.floating], bonds: int, alike: bool = True) -> NDArray[np.float32]:
    """Graph of the atoms found in an image.

    Parameters
    ----------
    image : float [H, W]
    bonds : int
        Most bonds of an atom.
    alike : bool
        Whether bonds are between alike atoms; else to the nearest.

    Returns
    -------
    float32 [ATOMS + CENTRES * bonds, 4]
        First the atoms, those nearest to the middle first, 0 where there are fewer: see :func:`looks`. Then the bonds
        of each of the first ``CENTRES``: index of its end or -1, x and y from the centre, and how alike both are.
        Without an atom if fewer than ``FEWEST`` are found.
    """
    table = np.zeros((ATOMS + CENTRES * bonds, FEATURES), np.float32)
    table[ATOMS:, 0] = -1
    found = find_atoms(image)
    if found is None or len(found.places) < FEWEST:
        return table
    places = found.places[:ATOMS]
    usual = float(np.median(cKDTree(found.places).query(places, k=2)[0][:, 1]))
    table[: len(places)] = looks(image, places, usual)
    ends = _ends_alike(found, places, usual, bonds) if alike else _ends_nearest(places, bonds)
    number, lasting = len(ends[0]), ends[0] >= 0
    vectors = np.where(lasting[..., None], places[ends[0]] - places[:number, None], 0) / usual
    drawn = np.concatenate([ends[0][..., None], vectors, ends[1][..., None]], axis=-1)
    table[ATOMS : ATOMS + number * bonds] = drawn.reshape(-1, 4)
    return table


def looks(image: NDArray[np.floating], places: FloatArray, usual: float) -> FloatArray:
    """Largest, mean and least brightness around each atom, and the area that is bright, over their medians [n, 4]."""
    half = max(1, int(np.ceil(0.5 * usual)))
    reach = np.arange(-half, half + 1)
    near = np.rint(places).astype(int)
    rows = np.clip(near[:, 1, None, None] + reach[:, None], 0, image.shape[0] - 1)
    columns = np.clip(near[:, 0, None, None] + reach, 0, image.shape[1] - 1)
    disk = np.hypot(reach[:, None], reach) <= max(1.0, 0.5 * usual)
    seen = (image[rows, columns][:, disk] - np.percentile(image, 1)).astype(np.float64)
    top, least = seen.max(axis=1), seen.min(axis=1)
    area = (seen > (top + least)[:, None] / 2).mean(axis=1)
    told = np.stack([top, seen.mean(axis=1), least, area], axis=1)
    # The least brightness is about that of the background: in units of the largest.
    units = np.median(told, axis=0)[[0, 1, 0, 3]]
    return np.asarray(told / np.maximum(units, 1e-9))


def _ends_nearest(places: FloatArray, bonds: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Nearest atoms [centres, bonds] of each centre; of how alike they are nothing is told."""
    most = min(bonds, len(places) - 1)
    ends = np.full((min(CENTRES, len(places)), bonds), -1)
    ends[:, :most] = cKDTree(places).query(places[: len(ends)], k=most + 1)[1][:, 1:]
    return ends, np.zeros(ends.shape)


def _ends_alike(
    found: FoundAtoms, places: FloatArray, usual: float, bonds: int
) -> tuple[NDArray[np.int64], FloatArray]:
    """Alike atoms [centres, bonds] of each centre that no other stands before, and how alike they are."""
    cut = slice(found.margin, -found.margin)
    flat = found.filtered[cut, cut]
    most = int(REACH * min(flat.shape))
    # Places have errors: what is near counts.
    correlation = maximum_filter(correlated(flat - flat.mean(), most), size=2 * int(np.ceil(NEAR * usual)) + 1)
    vectors = places[None] - places[: min(CENTRES, len(places)), None]
    shifts = np.rint(vectors).astype(int)
    lengths = np.linalg.norm(vectors, axis=-1)
    near = (np.abs(shifts).max(axis=-1) <= most) & (lengths >= SHORTEST * usual)
    shifts = np.clip(shifts, -most, most) + most
    heights = np.where(near, correlation[shifts[..., 1], shifts[..., 0]], -1.0)
    highest = max(float(np.quantile(heights[near], 0.98)) if near.any() else 0.0, 1e-9)
    order = np.argsort(np.where(heights >= UNLIKE * highest, lengths, np.inf), axis=1, kind="stable")[:, :CANDIDATES]
    kept = np.take_along_axis(heights, order, axis=1) / highest
    return _unshaded(order, np.take_along_axis(vectors, order[..., None], axis=1), kept, bonds)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _unshaded(
    order: NDArray[np.int64], vectors: FloatArray, alike: FloatArray, bonds: int
) -> tuple[NDArray[np.int64], FloatArray]:
    """Of candidates, the nearest first, those that no other stands before; the most alike, ``bonds`` at most."""
    number, candidates = alike.shape
    ends = np.full((number, bonds), -1)
    told = np.zeros((number, bonds))
    for i in range(number):
        kept = 0
        for j in range(candidates):
            if alike[i, j] < UNLIKE:
                continue
            x, y = vectors[i, j]
            free = True
            for other in range(j):
                if alike[i, other] < max(UNLIKE, alike[i, j] - AS_ALIKE):
                    continue
                u, v = vectors[i, other]
                dot = -(u * (x - u) + v * (y - v))
                if dot < BEFORE * np.sqrt((u * u + v * v) * ((x - u) ** 2 + (y - v) ** 2)):
                    free = False
                    break
            if not free:
                continue
            if kept < bonds:
                place = kept
                kept += 1
            else:
                place = int(np.argmin(told[i]))
                if told[i, place] >= alike[i, j]:
                    continue
            ends[i, place] = order[i, j]
            told[i, place] = alike[i, j]
    return ends, told
