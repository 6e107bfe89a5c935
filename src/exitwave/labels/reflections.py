"""Reflections of a pattern: the list that is stored with it, and the images that are drawn from the list.

The list is what is known; an image of structure factors is one of many that a network may aim at, and is drawn when it
is needed. Two weights of a reflection are in use:

- ``ewald``: ``|V_g| exp(-s_g² / 2σ²)``, with the excitation error s_g, the distance to the Ewald sphere;
- ``flat``: ``|V_g| exp(-g_z² / 2σ²)``, with the distance to the plane across the beam, as in the images that Munshi et
  al., npj Comput. Mater. 8 (2022) 254, made by Fourier transform of the potential.

Both have σ = 0.05 1/Å. They differ where the sphere has left the plane, beyond some 1.7 1/Å at 300 kV.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exitwave.structures.unit_cell import UnitCell
from exitwave.waves.beams import excitation_errors, structure_factors

FIELDS = ("x", "y", "h", "k", "l", "structure_factor", "excitation_error", "g_z", "intensity")
"""Of the list: place [px], indices, ``|V_g|`` [V], s_g and g_z [1/Å], and the share of the beam in the disk."""
WIDTH = 0.05
"""Standard deviation of the weight about the Ewald sphere [1/Å]."""
LEAST_WEIGHT = 1e-3
"""Reflections below this share of the largest weight but that of 000, by either of the two weights, are left out."""
STRONG = 0.15
"""Share of that largest weight from which a reflection must be found; below it may be."""
_REACH = math.sqrt(-2 * math.log(LEAST_WEIGHT)) * WIDTH
"""Distance from the sphere, or from the plane, at which even the strongest reflection has the least weight [1/Å]."""
Weight = Literal["ewald", "flat"]


def reflections_of(
    cell: UnitCell, rms: NDArray[np.float64], parametrization: str, wavelength: float, g_max: float
) -> NDArray[np.float64]:
    """Reflections of a crystal that a pattern may have, whatever its lenses.

    Parameters
    ----------
    cell : UnitCell
    rms : float64 [atom]
        Root-mean-square displacement of every atom along one axis [Å].
    parametrization : {'lobato', 'kirkland', 'peng'}
    wavelength : float
        [Å].
    g_max : float
        Largest distance from the centre [1/Å].

    Returns
    -------
    float64 [n, 9]
        As `FIELDS`, with g_x and g_y [1/Å] in place of x and y, and no intensity; 000 first.
    """
    most = np.floor(np.hypot(g_max, _REACH + wavelength * g_max**2) * np.linalg.norm(cell.vectors, axis=1)).astype(int)
    grids = np.meshgrid(*(np.arange(-edge, edge + 1) for edge in most), indexing="ij")
    hkl = np.stack([grid.ravel() for grid in grids], axis=1)
    g = hkl @ cell.reciprocal
    s = excitation_errors(g, wavelength)
    near = (np.minimum(np.abs(s), np.abs(g[:, 2])) < _REACH) & (np.hypot(g[:, 0], g[:, 1]) <= g_max)
    hkl, g, s = hkl[near], g[near], s[near]
    factors = np.abs(structure_factors(cell, hkl, rms, parametrization))
    found = np.concatenate([g[:, :2], hkl, factors[:, None], s[:, None], g[:, 2:], np.zeros((len(g), 1))], axis=1)
    centre = (hkl == 0).all(axis=1)
    largest = np.maximum(weights(found, "ewald"), weights(found, "flat"))
    kept = centre | (largest >= LEAST_WEIGHT * largest[~centre].max(initial=0.0))
    found, beside = found[kept], ~centre[kept]
    # Reflections of other zones may lie on the direct beam.
    return np.asarray(found[np.lexsort((*found[:, 2:5].T[::-1], beside, np.hypot(found[:, 0], found[:, 1]).round(9)))])


def weights(reflections: NDArray[np.floating], weight: Weight) -> NDArray[np.float64]:
    """Weight of each reflection of a list [n, 9] [V]."""
    distance = reflections[:, FIELDS.index("excitation_error" if weight == "ewald" else "g_z")]
    return np.asarray(reflections[:, FIELDS.index("structure_factor")] * np.exp(-(distance**2) / (2 * WIDTH**2)))


def structure_factor_image(
    reflections: NDArray[np.floating],
    size: int,
    weight: Weight = "ewald",
    gamma: float = 0.5,
    sigma: float = 1.0,
    thickness: float | None = None,
) -> NDArray[np.float32]:
    """Image of structure factors: a Gaussian at the place of each reflection.

    Parameters
    ----------
    reflections : float [n, 9]
        List of a pattern, see `FIELDS`.
    size : int
        Edge of the square image [px].
    weight : {'ewald', 'flat'}
    gamma : float
        Exponent of the weight over the largest but that of 000, which is cut off at 1.
    sigma : float
        Standard deviation of the Gaussians [px].
    thickness : float, optional
        Factor by which the image is multiplied, such as the thickness of the specimen over the largest there is.

    Returns
    -------
    float32 [y, x]
        Where Gaussians overlap, the largest.
    """
    image: NDArray[np.float32] = places_image(reflections, size, weight, gamma, sigma)[0]
    if thickness is not None:
        image *= np.float32(thickness)
    return image


def places_image(
    reflections: NDArray[np.floating], size: int, weight: Weight = "ewald", gamma: float = 0.5, sigma: float = 1.0
) -> NDArray[np.float32]:
    """Image of structure factors, and for each of its pixels the way to the reflection that it shows.

    Parameters are those of :func:`structure_factor_image`.

    Returns
    -------
    float32 [3, y, x]
        The image, and the way along x and y [px]; 0 where there is no reflection.
    """
    heights = weights(reflections, weight)
    centre = (reflections[:, 2:5] == 0).all(axis=1)
    largest = heights[~centre].max(initial=0.0)
    heights = np.minimum(heights / largest if largest > 0 else centre.astype(np.float64), 1.0) ** gamma
    places = np.ascontiguousarray(reflections[:, :2], np.float64)
    found: NDArray[np.float32] = _highest_of_gaussians(places, heights, size, sigma)
    return found


@njit(cache=True)  # type: ignore[untyped-decorator]
def _highest_of_gaussians(
    places: NDArray[np.float64], heights: NDArray[np.float64], size: int, sigma: float
) -> NDArray[np.float32]:
    """Gaussians of these heights at places (x, y) [px], the highest in each pixel, and the way to its place."""
    image = np.zeros((3, size, size), np.float32)
    reach = math.ceil(4 * sigma)
    for number in range(len(places)):
        x, y = places[number]
        column, row = round(x), round(y)
        for i in range(max(0, row - reach), min(size, row + reach + 1)):
            along_y = heights[number] * math.exp(-((i - y) ** 2) / (2 * sigma**2))
            for j in range(max(0, column - reach), min(size, column + reach + 1)):
                value = np.float32(along_y * math.exp(-((j - x) ** 2) / (2 * sigma**2)))
                if value > image[0, i, j]:
                    image[0, i, j], image[1, i, j], image[2, i, j] = value, x - j, y - i
    return image
