"""Local densities of states on planes above a layer: of states, and of densities that others have integrated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from exitwave.errors import StructureError
from exitwave.waves.vacuum_states import HBAR2_2M

FloatArray = NDArray[np.float64]

G_MAX = 7.0
"""Reciprocal vectors beyond which a wave has nothing left at 2 Å above the atoms [1/Å, with 2 pi]."""
POTENTIAL, RANGE = 3.05, 1.15
"""Mean potential 2 Å above the topmost atom [eV below the vacuum level], and how far it reaches [Å]: about that of
graphene and of MoS2 in the maps that exitwave comes with."""
FITTED = 1.5
"""Ångströms below the join over which decays are fitted."""
_NEAR = 1.0
"""The same of what varies in the plane."""
_DECAYS, _LEAST_DECAY, _SMALL = 60, 0.75, 0.02
"""Decays that are fitted, the slowest of them against that of the mean, and the share below which one is noise."""
_SLOWEST = 0.2
"""Decay of a mean density [1/Å] below which there is no vacuum."""
_NOTHING = 1e-3
"""Of the mean: Fourier coefficients below this are noise, and not continued."""
_LEAST = 1e-6
"""Of the mean of a plane: no density falls below it, which noise and rounding can make negative."""


def continued(
    density: FloatArray,
    cell: FloatArray,
    top: float,
    heights: FloatArray,
    join: float,
    name: str,
    depth: float = POTENTIAL,
) -> FloatArray:
    """A density on a grid, and above the join its continuation.

    States of different energies and wave vectors fall with decays of their own: the mean of a density is a sum of
    exponentials with positive weights, which are fitted to it below the join, over `FITTED`. What varies in the plane
    is continued as of one state, whose density is the square of its amplitude: Fourier coefficients of the root fall
    against their mean as they do below the join, and never rise. As the potential of the layer ends, decays become
    faster: kappa^2 grows by 2 m dV / hbar^2. How far off that can be is told in ``docs/stm.md``.

    Parameters
    ----------
    density : float64 [n, m, l]
        Over the first, second and third vector of the cell, the third along z [1/Å³].
    cell : float64 [3, 3]
        Rows: vectors [Å].
    top : float
        z of the topmost atom [Å]; above it the vacuum begins.
    heights : float64 [h]
        Above the topmost atom, rising [Å].
    join : float
        Height above it [Å].
    name : str
        Of the file, for errors.
    depth : float
        Of the mean potential 2 Å above the topmost atom, from the vacuum level [eV]; it falls by 1/e in `RANGE`.

    Returns
    -------
    float64 [h, k, k]
        Rows along the second vector, columns along the first; k is odd.

    Raises
    ------
    StructureError
        If the density is nothing, or does not fall below the join.
    """
    planes = density.shape[2]
    step = cell[2, 2] / planes
    first = int(np.ceil((min(float(heights[0]), join - FITTED) + top) / step)) - 1
    levels = np.arange(first, int(np.ceil((join + top) / step)) + 2)
    z = levels * step - top
    held = density[:, :, levels % planes]
    means = held.mean(axis=(0, 1))
    if not np.isfinite(held).all() or not (means > 0).all():
        raise StructureError(
            f"'{name}' has a mean density of {means.min():.3g} 1/Å³ at a height of {z[means.argmin()]:.2f} Å; allowed: "
            "states that reach above the layer, such as those of a bias beyond the edge of a band"
        )
    window = (z > join - FITTED - step / 2) & (z < join + step / 2)
    decay = -np.polyfit(z[window], np.log(means[window]), 1)[0] / 2
    if decay < _SLOWEST:
        raise StructureError(
            f"'{name}' has a density that does not fall up to {join:g} Å above its topmost atom; allowed: a vacuum "
            "above the layer, or a lower join"
        )
    sizes = _means(z, means, window, decay, np.asarray(heights, np.float64), join, depth)
    spectra = _spectra(np.sqrt(np.maximum(held, _LEAST * means)), cell)
    spectra = spectra / np.abs(spectra[:, :1, :1])
    near = window & (z > join - _NEAR - step / 2)
    logarithms = np.log(np.maximum(np.abs(spectra[near]), 1e-300)).reshape(near.sum(), -1)
    falls = np.maximum(-np.polyfit(z[near], logarithms, 1)[0], 0).reshape(spectra.shape[1:])
    at_join = _between(z, spectra, join)
    at_join[np.abs(at_join) < _NOTHING] = 0
    found = np.stack(
        [
            _between(z, spectra, height) if height <= join else at_join * np.exp(-falls * (height - join))
            for height in map(float, heights)
        ]
    )
    values = _squared(found)
    return np.asarray(values * (sizes / values.mean(axis=(1, 2)))[:, None, None])


def _means(
    z: FloatArray,
    means: FloatArray,
    window: NDArray[np.bool_],
    decay: float,
    heights: FloatArray,
    join: float,
    depth: float,
) -> FloatArray:
    """Mean density at heights: what it is below the join, and above it a sum of exponentials fitted to it."""
    decays = np.linspace(_LEAST_DECAY * decay, 2 * decay, _DECAYS)
    below, above = (_exponentials(at, decays, join, depth) for at in (z[window], heights))
    weights, _ = nnls(below / means[window, None], np.ones(window.sum()))
    weights[weights < _SMALL * weights.sum()] = 0
    # What was small is not lost, and at the join nothing jumps.
    weights *= np.exp(np.interp(join, z, np.log(means))) / weights.sum()
    return np.where(heights <= join, np.exp(np.interp(heights, z, np.log(means))), above @ weights)


def _exponentials(z: FloatArray, decays: FloatArray, join: float, depth: float) -> FloatArray:
    """Squares of waves at heights [heights, decays], 1 at the join, where they have these decays."""
    fine = np.linspace(min(join, float(z.min())), max(join, float(z.max())) + 1e-9, 400)
    middle = (fine[1:] + fine[:-1]) / 2
    potential = -depth * (np.exp(-(middle - 2) / RANGE) - np.exp(-(join - 2) / RANGE))
    squared = decays**2 + potential[:, None] / HBAR2_2M
    steps = np.sqrt(np.maximum(squared, 0)) * (fine[1] - fine[0])
    fallen = np.concatenate([np.zeros((1, len(decays))), np.cumsum(steps, axis=0)])
    return np.asarray(
        np.exp(-2 * np.stack([np.interp(z, fine, one) - np.interp(join, fine, one) for one in fallen.T], axis=1))
    )


def _squared(spectra: NDArray[np.complex128]) -> FloatArray:
    """Squares of real waves, over a grid that holds twice their frequencies."""
    number = spectra.shape[-1]
    most, wide_number = (number - 1) // 2, 2 * number - 1
    index = np.fft.ifftshift(np.arange(-most, most + 1))
    wide = np.zeros((len(spectra), wide_number, wide_number), np.complex128)
    wide[:, index[:, None] % wide_number, index % wide_number] = spectra
    return np.asarray(np.fft.ifft2(wide, norm="forward").real ** 2)


def _between(z: FloatArray, values: NDArray[np.complex128], height: float) -> NDArray[np.complex128]:
    """Values at a height between planes."""
    low = int(np.clip(np.searchsorted(z, height) - 1, 0, len(z) - 2))
    part = (height - z[low]) / (z[low + 1] - z[low])
    return np.asarray((1 - part) * values[low] + part * values[low + 1])


def _spectra(density: FloatArray, cell: FloatArray) -> NDArray[np.complex128]:
    """Fourier coefficients [planes, k, k] of planes [n, m, planes], over the second and the first vector."""
    rows, columns = density.shape[1], density.shape[0]
    full = np.fft.fft2(density.transpose(2, 1, 0), norm="forward")
    reciprocal = 2 * np.pi * np.linalg.inv(cell[:2, :2]).T
    most = int(np.ceil(G_MAX * np.linalg.norm(cell[:2, :2], axis=1).max() / (2 * np.pi)))
    most = max(1, min(most, (min(rows, columns) - 1) // 2))
    index = np.fft.ifftshift(np.arange(-most, most + 1))
    kept: NDArray[np.complex128] = full[:, index[:, None] % rows, index % columns]
    grid = np.stack(np.broadcast_arrays(index[None, :], index[:, None]), -1) @ reciprocal
    kept[:, np.linalg.norm(grid, axis=-1) > G_MAX] = 0
    return kept
