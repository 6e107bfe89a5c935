"""The multislice's operations on one CPU core, in single precision, by transforms that leave out the zeros.

Against library transforms of the whole grid, 5/9 of the transforms along y are left out, there is no zero to add
or to multiply with, the passes along x of the inverse and of the forward transform and the product with the
transmission function between them are done while a panel is in the cache, and nothing is reordered. Which points and
frequencies lie where is told in :mod:`exitwave.waves.panels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import ConfigError
from exitwave.waves import panels
from exitwave.waves.backend import Deposit
from exitwave.waves.kernels import ROW
from exitwave.waves.simd import LANES
from exitwave.waves.spreading import BETA, Support


class NumbaBackend:
    """Operations in numba; see :class:`exitwave.waves.backend.Backend`.

    Grids are complex64 arrays [batch, panel of y, x, y in the panel], bands complex64 arrays [batch, panel of kx, ky,
    kx in the panel]. An instance has work space of its own, so that only one thread may use it at a time.

    Parameters
    ----------
    size : int
        Edge of the simulation grid [px], which :meth:`supports` must be true of.
    support : {2, 4}
        Points along an axis that an atom is spread over.
    aperture : float32 array [M, M]
        Aperture of the band, in the order of ``fftfreq``.

    Raises
    ------
    ConfigError
        If the size has a prime factor beyond 13.
    """

    def __init__(self, size: int, support: Support, aperture: NDArray[np.float32]) -> None:
        if not self.supports(size):
            raise ConfigError(
                f"simulation grid is {size} px; allowed: multiples of 3 from 18 without prime factors beyond 13"
            )
        self._plan = panels.plan(size)
        self._support = support
        self._n_panels = -(-size // LANES)
        panel = self._n_panels * LANES * ROW
        self._work = _aligned(self._n_panels * panel)
        self._line, self._rows = _aligned(panel), _aligned(panel)
        self._spectrum = _aligned(self._n_panels * size * ROW)
        self._aperture = self.propagator(aperture.astype(np.complex64))

    @staticmethod
    def supports(size: int) -> bool:
        """Whether there are transforms of ``size`` points: a multiple of 3 without prime factors beyond 13."""
        return panels.radices(size) is not None

    def factor(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        # Neither transform is normalised: here, and in the propagators, that costs nothing.
        return panels.panelled((values / self._plan.size**2).astype(np.float32))

    def propagator(self, values: NDArray[np.complex64]) -> NDArray[np.complex64]:
        return panels.panelled((values / self._plan.size**2).astype(np.complex64))[None]

    def band(self, values: NDArray[np.complex64]) -> NDArray[np.complex64]:
        return panels.panelled(values.astype(np.complex64))

    def potentials(self, terms: Sequence[tuple[NDArray[np.float32], Sequence[Deposit]]]) -> NDArray[np.complex64]:
        plan, size = self._plan, self._plan.size
        grids = np.empty((len(terms[0][1]), self._n_panels, size, LANES), np.complex64)
        for member, grid in enumerate(grids):
            self._spectrum[...] = 0
            given = [(factor, deposits[member]) for factor, deposits in terms if len(deposits[member].pixels)]
            for i, (factor, atoms) in enumerate(given):
                grid[...] = 0
                panels.deposit(
                    plan, atoms.pixels, np.ascontiguousarray(atoms.weights), self._support, BETA, _floats(grid)
                )
                panels.along_x(plan, False, self._work, False, _floats(grid), True, self._line, self._rows)
                last = i == len(given) - 1
                panels.along_y(plan, False, self._work, True, factor.reshape(-1), last, self._spectrum, self._line)
            if given:
                panels.along_x(plan, False, self._work, True, _floats(grid), False, self._line, self._rows)
            else:
                grid[...] = 0
        return grids

    def transmission(self, potentials: NDArray[np.complex64], second: bool, limited: bool) -> NDArray[np.complex64]:
        transmission = np.empty_like(potentials)
        for phase, grid in zip(potentials, transmission, strict=True):
            panels.exponential(_floats(phase), second, _floats(grid))
            if limited:
                self._to_work(grid)
                panels.along_y(
                    self._plan, True, self._work, True, _floats(self._aperture), True, self._rows, self._line
                )
                panels.along_x(self._plan, True, self._work, True, _floats(grid), False, self._line, self._rows)
        return transmission

    def transmit(
        self,
        band: NDArray[np.complex64] | None,
        transmission: NDArray[np.complex64],
        propagator: NDArray[np.complex64],
    ) -> NDArray[np.complex64]:
        plan, work = self._plan, self._work
        onward = np.empty((len(transmission), *propagator.shape[1:]), np.complex64) if band is None else band
        shared = repeat(transmission[0], len(onward)) if len(transmission) == 1 else transmission
        for member, grid in zip(onward, shared, strict=True):
            if band is None:
                self._to_work(grid)
            else:
                panels.along_y(plan, True, work, False, self._line, True, _floats(member), self._line)
                panels.along_x(plan, True, work, True, _floats(grid), True, self._line, self._rows)
            panels.along_y(plan, True, work, True, _floats(propagator), False, _floats(member), self._line)
        return onward

    def propagate(self, band: NDArray[np.complex64], propagator: NDArray[np.complex64]) -> NDArray[np.complex64]:
        band *= propagator
        band *= np.float32(self._plan.size**2)
        return band

    def to_host(self, band: NDArray[np.complex64]) -> NDArray[np.complex64]:
        return panels.unpanelled(band, self._plan.band)

    def _to_work(self, grid: NDArray[np.complex64]) -> None:
        """The band of a grid, transformed along x."""
        panels.along_x(self._plan, True, self._work, False, _floats(grid), True, self._line, self._rows)


def _aligned(count: int) -> NDArray[np.float32]:
    """Zeros, float32 array [count], at a multiple of 64 bytes: vectors that straddle cache lines cost double."""
    array = np.zeros(count + 15, np.float32)
    first = -(array.ctypes.data // 4) % 16
    return array[first : first + count]


def _floats(array: NDArray[np.complex64]) -> NDArray[np.float32]:
    return array.reshape(-1).view(np.float32)
