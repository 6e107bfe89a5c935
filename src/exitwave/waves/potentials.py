"""Projected potentials of independent atoms, slice by slice, as abTEM's infinite projection builds them.

The projected potential of a slice is the sum over its atoms of the projected scattering factor of the element, put
at the atom by a bilinear delta function on the grid: Van den Broek et al., Ultramicroscopy 158 (2015) 89.

The bilinear delta functions smear an atom that is off the pixel centres, on average by ``sampling / √6`` rms along each
axis, 0.11 Å on a grid of 0.27 Å: lattice fringes come out some per cent too weak, 4 % for Au 111. This is kept, so that
the waves equal those of abTEM at the same sampling; a finer ``sampling`` is the remedy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray


@dataclass(frozen=True)
class LateralGrid:
    """The square, periodic grid of the multislice.

    Parameters
    ----------
    size : int
        Edge [px].
    sampling : float
        Pixel [Å].
    """

    size: int
    sampling: float

    @property
    def half_spectrum(self) -> tuple[int, int]:
        """Shape of the Fourier transform of a real array on the grid."""
        return self.size, self.size // 2 + 1


@lru_cache(maxsize=32)
def _scattering_factor(number: int, grid: LateralGrid, parametrization: str) -> NDArray[np.float32]:
    """Projected scattering factor of an element over the half spectrum [V Å per unit delta function].

    Divided by abTEM's correction for the extent of the pixel that stands for the delta function.
    """
    from abtem.integrals import ScatteringFactorProjectionIntegrals, sinc
    from ase.data import chemical_symbols

    shape, sampling = (grid.size, grid.size), (grid.sampling, grid.sampling)
    integrals = ScatteringFactorProjectionIntegrals(parametrization)
    factor = integrals.get_scattering_factor(chemical_symbols[number], shape, sampling, "cpu")
    corrected = (factor / sinc(shape, sampling))[:, : grid.half_spectrum[1]]
    return np.ascontiguousarray(corrected, dtype=np.float32)


def _superpose_deltas(positions: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """Bilinear delta functions at ``positions`` [n, 2] (x, y) [px] on a periodic grid [y, x]."""
    corner = np.floor(positions)
    x, y = (positions - corner).T
    column, row = corner.astype(np.intp).T
    left, right = column % size, (column + 1) % size
    lower, upper = row % size * size, (row + 1) % size * size
    pixels = np.concatenate([lower + left, lower + right, upper + left, upper + right])
    weights = np.concatenate([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x])
    deltas = np.bincount(pixels, weights, minlength=size * size)
    return deltas.reshape(size, size).astype(np.float32)


class SlicedPotential:
    """Projected potentials of a set of atoms in slices of equal thickness.

    Parameters
    ----------
    positions : float64 array [n, 3]
        Atomic positions [Å]; wrapped laterally. Atoms beyond the first or last slice belong to it.
    numbers : uint8 array [n]
        Atomic numbers.
    height : float
        Height of the cell [Å].
    n_slices : int
        Number of slices.
    grid : LateralGrid
    parametrization : {'lobato', 'kirkland'}
        Scattering factors.
    """

    def __init__(
        self,
        positions: NDArray[np.float64],
        numbers: NDArray[np.uint8],
        height: float,
        n_slices: int,
        grid: LateralGrid,
        parametrization: str,
    ) -> None:
        self.grid = grid
        self.parametrization = parametrization
        # The tolerance keeps an atom that lies on a boundary in the upper slice whatever the rounding, as abTEM does.
        boundaries = height / n_slices * np.arange(1, n_slices) - 1e-12
        slices = np.searchsorted(boundaries, positions[:, 2], side="right")
        order = np.lexsort((numbers, slices))
        self._pixels = positions[order, :2] / grid.sampling
        self._numbers = numbers[order]
        self._bounds = np.searchsorted(slices[order], np.arange(n_slices + 1))

    def is_empty(self, index: int) -> bool:
        """Whether slice ``index`` holds no atom."""
        return bool(self._bounds[index] == self._bounds[index + 1])

    def spectrum(self, index: int) -> NDArray[np.complex64]:
        """Fourier transform of the projected potential of slice ``index`` over the half spectrum [V Å]."""
        start, stop = self._bounds[index], self._bounds[index + 1]
        spectrum = np.zeros(self.grid.half_spectrum, np.complex64)
        numbers = self._numbers[start:stop]
        for number in np.unique(numbers):
            deltas = _superpose_deltas(self._pixels[start:stop][numbers == number], self.grid.size)
            factor = _scattering_factor(int(number), self.grid, self.parametrization)
            spectrum += scipy.fft.rfft2(deltas, workers=1) * factor
        return spectrum
