"""Local densities of states on planes above a layer: of states, and of densities that others have integrated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import StructureError
from exitwave.waves.vacuum_states import HBAR2_2M

FloatArray = NDArray[np.float64]

G_MAX = 7.0
"""Reciprocal vectors beyond which a wave has nothing left at 2 Å above the atoms [1/Å, with 2 pi]."""
POTENTIAL, RANGE = 3.05, 1.15
"""Mean potential 2 Å above the topmost atom [eV below the vacuum level], and how far it reaches [Å]: about that of
graphene and of MoS2 in the maps that exitwave comes with."""
FITTED = 1.0
"""Ångströms below the join over which decays are fitted."""
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

    A density of one state is the square of its amplitude, whose Fourier coefficients fall exponentially in the vacuum,
    each with its own decay. So the root of the density is continued: every coefficient as fast as it falls in the last
    ångström below the join, and none slower than the mean. As the potential of the layer ends, decays become faster:
    kappa^2 grows by 2 m dV / hbar^2. States of different energies make the mean fall slower far away than this says.

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
    spectra = _spectra(np.sqrt(np.maximum(held, _LEAST * means)), cell)
    fitted = (z > join - FITTED - step / 2) & (z < join + step / 2)
    sizes = np.log(np.maximum(np.abs(spectra[fitted]), 1e-300)).reshape(fitted.sum(), -1)
    decays = -np.polyfit(z[fitted], sizes, 1)[0].reshape(spectra.shape[1:])
    if decays[0, 0] <= 0:
        raise StructureError(
            f"'{name}' has a density that does not fall up to {join:g} Å above its topmost atom; allowed: a vacuum "
            "above the layer, or a lower join"
        )
    decays = np.maximum(decays, decays[0, 0])
    size = np.abs(spectra[:, :1, :1])
    relative = spectra / size
    at_join = _between(z, relative, join)
    at_join[np.abs(at_join) < _NOTHING] = 0
    log_size = np.log(size[:, 0, 0])
    found = np.empty((len(heights), *spectra.shape[1:]), np.complex128)
    for place, height in enumerate(heights):
        if height <= join:
            found[place] = _between(z, relative, height) * np.exp(np.interp(height, z, log_size))
        else:
            fallen = _fallen(decays, depth, float(z[fitted].mean()), join, height)
            found[place] = at_join * np.exp(np.interp(join, z, log_size) - fallen)
    return np.asarray(_squared(found))


def _fallen(decays: FloatArray, depth: float, known: float, low: float, high: float) -> FloatArray:
    """Integral of decays from one height to another, of which those at a height are known."""
    z = np.linspace(low, high, max(2, int((high - low) / 0.1) + 1))
    z = (z[1:] + z[:-1]) / 2
    step = (high - low) / len(z)
    potential = -depth * (np.exp(-(z - 2) / RANGE) - np.exp(-(known - 2) / RANGE))
    return np.asarray(np.sqrt(decays**2 + potential[:, None, None] / HBAR2_2M).sum(axis=0) * step)


def _squared(spectra: NDArray[np.complex128]) -> FloatArray:
    """Squares of real waves, over a grid that holds twice their frequencies."""
    number = spectra.shape[-1]
    most = (number - 1) // 2
    index = np.fft.ifftshift(np.arange(-most, most + 1))
    wide = np.zeros((len(spectra), 2 * number - 1, 2 * number - 1), np.complex128)
    wide[:, index[:, None] % (2 * number - 1), index % (2 * number - 1)] = spectra
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
