"""What the multislice needs of a device: few operations on a grid and on the band that it keeps.

A *grid* is the wave, the transmission function or the potential of a slice at the N x N points of the simulation
grid; the *band* is the part of its spectrum that the multislice keeps, ``M = 2 N / 3`` frequencies along each axis,
-M/2 ... M/2 - 1. How either lies in memory is the backend's own affair; both can be added and multiplied. All of them
have a leading batch axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from exitwave.waves.spreading import Support

Grid = Any
Band = Any
Table = Any


@dataclass(frozen=True)
class Deposit:
    """Atoms of one batch member that share a scattering factor.

    Parameters
    ----------
    pixels : float64 array [n, 2]
        Positions (x, y) [px]; the grid is periodic.
    weights : complex64 array [n]
        Strengths; the real parts go to one slice, the imaginary parts to the next one.
    """

    pixels: NDArray[np.float64]
    weights: NDArray[np.complex64]


class Backend(Protocol):
    """Operations on the batches of one simulation grid, on one device."""

    def factor(self, values: NDArray[np.float32]) -> Table:
        """A real, even function over the spectrum, [N, N] in the order of ``fftfreq``, ready for :meth:`potentials`."""
        ...

    def propagator(self, values: NDArray[np.complex64]) -> Band:
        """A function on the band, [M, M] in the order of ``fftfreq``, ready for :meth:`transmit`."""
        ...

    def band(self, values: NDArray[np.complex64]) -> Band:
        """A band from its values [batch, M, M] in the order of ``fftfreq``, the inverse of :meth:`to_host`."""
        ...

    def potentials(self, terms: Sequence[tuple[Table, Sequence[Deposit]]]) -> Grid:
        """Potentials of two slices as the real and imaginary part of one grid.

        The sum over terms of the atoms of each batch member, spread over the grid and folded with the term's factor.
        """
        ...

    def transmission(self, potentials: Grid, second: bool, limited: bool) -> Grid:
        """``exp(i V)`` of the first or second of two slices, on request limited to the aperture of the band."""
        ...

    def transmit(self, band: Band | None, transmission: Grid, propagator: Band) -> Band:
        """Pass a wave (None: the plane wave 1) through a slice, and on through space; ``band`` may be overwritten.

        A transmission function that is alone in its batch serves all waves.
        """
        ...

    def propagate(self, band: Band, propagator: Band) -> Band:
        """Pass a wave on through space."""
        ...

    def to_host(self, band: Band) -> NDArray[np.complex64]:
        """The band [batch, M, M] in the order of ``fftfreq``, rows y, columns x; 1 at 0 for the plane wave of 1."""
        ...


MakeBackend = Callable[[int, Support, NDArray[np.float32]], Backend]
"""Makes a backend from the simulation grid [px], the support of the spreading and the aperture of the band."""
