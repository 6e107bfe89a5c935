"""Graphs of the atoms found in an image: nodes with what is seen of each atom, bonds between atoms that are alike.

All lengths are in units of the usual distance to the nearest atom, and all brightnesses in units of the usual atom, so
that neither the scale of the image nor that of its values matters, nor where the image lies on its lattice.

Atoms are found by the Laplacian of a Gaussian as wide as they are. The autocorrelation of the image says how alike the
two atoms of a bond are: 1 where the bond is a vector of the lattice, less where it brings only part of the atoms onto
atoms. Its peak is where the bond ends, since two places have more error. A bond is drawn to every atom that no nearer
one, as alike, stands before. In a perfect lattice these are the neighbours whose Voronoi cells touch, however many
other atoms are between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq
from scipy.spatial import cKDTree

from exitwave.config.graphs import ATOMS, CENTRES, FEATURES
from exitwave.data.autocorrelation import correlated
from exitwave.data.peaks import find_peaks

FloatArray = NDArray[np.float64]

FEWEST = 12
"""Atoms of an image that has a graph."""
SCALES = tuple(1.4**step for step in range(6))
"""Standard deviations of atoms that are looked for [px]."""
SPREAD = np.sqrt(2 * np.pi)
"""By what the scaled Laplacian of a Gaussian makes white noise smaller, for each pixel of its standard deviation."""
ABOVE_NOISE, LEAST = 3.0, 0.05
"""Of an atom in the filtered image: over its standard deviation by noise, and over the height of the brighter ones."""
REGULAR = 18.0
"""Power of the strongest wave over that of noise, in an image that has atoms; of noise alone it is 11 or so."""
COARSEST = 6.0
"""Waves with fewer periods than this in the image are of what lies beneath the atoms."""
SURE = 0.5
"""Contrast of the filtered image over that of noise, from which on it says at which scale there is most."""
CLEAR, FINER = 2.0, 0.6
"""The same where a finer scale than the best is taken, and its contrast over that at the best."""
EVEN = 8.0
"""Standard deviation of the Gaussian that is taken for the background, over that of atoms."""
REACH = 0.5
"""Of the edge of the image: longest bond."""
NEAR = 0.25
"""Of a bond from a peak of the autocorrelation, at the most, over the usual distance to the nearest atom."""
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
    """Atoms of an image [H, W], whatever its pixel; none where nothing stands out of the noise."""
    values = image.astype(np.float64)
    spectrum = rfft2(values - values.mean())
    along, down = (2 * np.pi * frequencies for frequencies in (rfftfreq(values.shape[1]), fftfreq(values.shape[0])))
    k2 = down[:, None] ** 2 + along**2
    noise = _noise(spectrum, k2, values.size)
    sigma = _scale(spectrum, k2, noise, values.size)
    if sigma is None:
        return None
    smooth = np.exp(-(sigma**2) * k2 / 2)
    shown = irfft2(spectrum * (sigma**2 * k2) * smooth, s=values.shape)
    margin = int(np.ceil(2 * sigma))
    peaks = find_peaks(shown.astype(np.float32), ABOVE_NOISE * noise / (sigma * SPREAD), 1.5 * sigma, margin)
    if not len(peaks):
        return None
    places = peaks[peaks[:, 2] >= LEAST * peaks[len(peaks) // 10, 2], :2]
    middle = (np.array(values.shape[::-1]) - 1) / 2
    order = np.argsort(((places - middle) ** 2).sum(axis=1), kind="stable")
    even = np.exp(-((EVEN * sigma) ** 2) * k2 / 2)
    return FoundAtoms(places[order], irfft2(spectrum * smooth * (1 - even), s=values.shape), margin, sigma)


def _scale(spectrum: NDArray[np.complex128], k2: FloatArray, noise: float, pixels: int) -> float | None:
    """Scale at which atoms are looked for [px]: where the filtered image has most contrast beyond that of noise.

    Finer than they are, atoms beside each other are told apart, as far as noise allows.
    """
    # Of the two halves of a spectrum only one is kept.
    power = 2 * np.where(k2 > (2 * np.pi * COARSEST / np.sqrt(pixels)) ** 2, np.abs(spectrum) ** 2, 0)
    white = 2 * noise**2 * pixels
    if power.max() <= REGULAR * white + 1e-9:
        return None
    squares = [
        ((power - white) * (sigma**2 * k2) ** 2 * np.exp(-(sigma**2) * k2)).sum() / pixels**2 for sigma in SCALES
    ]
    contrast = np.sqrt(np.maximum(squares, 0))
    ratio = contrast / np.maximum(noise / (np.array(SCALES) * SPREAD), 1e-12)
    # Where noise hides nearly all, so does it the scale with most contrast.
    best = int((contrast if ratio.max() >= SURE else ratio).argmax())
    fine = np.flatnonzero((contrast >= FINER * contrast[best]) & (ratio >= CLEAR))
    return SCALES[min(best, fine[0] if len(fine) else best)]


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
    ends, vectors = _alike(found, places, usual, bonds) if alike else _nearest(places, usual, bonds)
    drawn = np.where((ends >= 0)[..., None], np.concatenate([ends[..., None], vectors], axis=-1), [-1, 0, 0, 0])
    table[ATOMS : ATOMS + drawn.shape[0] * bonds] = drawn.reshape(-1, FEATURES)
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


def _nearest(places: FloatArray, usual: float, bonds: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Nearest atoms [centres, bonds] of each centre and x, y from it, and 0 for how alike both are [..., 3]."""
    most = min(bonds, len(places) - 1)
    ends = np.full((min(CENTRES, len(places)), bonds), -1)
    ends[:, :most] = cKDTree(places).query(places[: len(ends)], k=most + 1)[1][:, 1:]
    vectors = (places[ends] - places[: len(ends), None]) / usual
    return ends, np.concatenate([vectors, np.zeros((*ends.shape, 1))], axis=-1)


def _alike(found: FoundAtoms, places: FloatArray, usual: float, bonds: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Alike atoms [centres, bonds] of each centre that no other stands before; x, y and how alike both are [..., 3]."""
    cut = slice(found.margin, -found.margin)
    flat = found.filtered[cut, cut]
    most = int(REACH * min(flat.shape))
    correlation = correlated(flat - flat.mean(), most)
    peaks = find_peaks(correlation.astype(np.float32), 0.02, spacing=SHORTEST * usual / 2)
    peaks[:, :2] -= most
    peaks = peaks[np.linalg.norm(peaks[:, :2], axis=1) >= SHORTEST * usual]
    number = min(CENTRES, len(places))
    if not len(peaks):
        return np.full((number, bonds), -1), np.zeros((number, bonds, 3))
    peaks[:, 2] /= peaks[: max(1, len(peaks) // 50), 2].mean()
    # Places have errors, those of peaks are less by far: all pairs of alike atoms have part in one.
    apart, which = cKDTree(peaks[:, :2]).query(places[None] - places[:number, None])
    taken = peaks[which]
    there = (apart <= NEAR * usual) & (taken[..., 2] >= UNLIKE)
    lengths = np.where(there, np.linalg.norm(taken[..., :2], axis=-1), np.inf)
    order = np.argsort(lengths, axis=1, kind="stable")[:, :CANDIDATES]
    taken[~there, 2] = 0
    ends = _unshaded(order, np.take_along_axis(taken, order[..., None], axis=1), bonds)
    drawn = np.take_along_axis(taken, np.maximum(ends, 0)[..., None], axis=1)
    return ends, drawn / [usual, usual, 1]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _unshaded(order: NDArray[np.int64], taken: FloatArray, bonds: int) -> NDArray[np.int64]:
    """Of candidates, the nearest first, those that no other stands before; the most alike, ``bonds`` at most."""
    vectors, alike = taken[:, :, :2], taken[:, :, 2]
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
    return ends
