"""Two-dimensional Fourier transforms between a grid and its band, panel by panel, with the zeros left out.

A *panel* holds ``LANES`` signals side by side: row i of a panel is element i of all of them, so that a transform along
the panel is arithmetic on whole vector registers. Three orders are in use, all one-dimensional in memory:

grid
    [panel of y, x, y in the panel], complex numbers;
band, spectrum
    [panel of kx, ky, kx in the panel], complex numbers, or rows (:mod:`exitwave.waves.kernels`) for the whole spectrum;
work space
    [panel of kx, y, row], between the transforms along y and those along x; y is filled up to whole panels, so that it
    consists of square tiles of ``LANES`` x ``LANES``, which are transposed on the way to panels of y.

Frequencies are in the order of ``fftfreq``. Points of the grid are in the order that the inverse transform leaves them
in, that of :attr:`Plan.places`: the forward transform begins with the same order, so that nothing is ever reordered.
The first radix of the inverse, the last of the forward transform, is a multiple of 3, which makes the frequencies
beyond the band, M / 2 ... M - 1 of N = 3 M / 2, whole inputs or outputs of its butterflies: those are left out.
"""

from __future__ import annotations

import hashlib
import inspect
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exitwave.waves import kernels, simd
from exitwave.waves.kernels import ROW
from exitwave.waves.simd import LANES

_ODD_RADICES = (13, 11, 7, 5, 3)
_Number = TypeVar("_Number", np.float32, np.complex64)


class Plan(NamedTuple):
    """How a transform of N points is done.

    Parameters
    ----------
    size : int
        Points N.
    band : int
        Frequencies M = 2 N / 3 of the band.
    steps : int64 array [step, 3]
        Radix, points of a block, and position of the twiddles, of each step of the inverse transform.
    twiddles : float32 array
        Twiddles, real and imaginary parts in turn.
    places : int64 array [N]
        Where the inverse transform leaves each point.
    """

    size: int
    band: int
    steps: NDArray[np.int64]
    twiddles: NDArray[np.float32]
    places: NDArray[np.int64]


def radices(size: int) -> list[int] | None:
    """Radices of the inverse transform of ``size`` points; None if it has other prime factors than 2 to 13."""
    if size % 3 or size < 18:
        return None
    found = []
    for first in (6, 3):
        rest, steps = size // first, []
        for radix in _ODD_RADICES:
            while rest % radix == 0:
                rest //= radix
                steps.append(radix)
        twos = rest.bit_length() - 1
        # 8 and 4 alone: a single factor of 2 goes into the first radix, or into two of 4 in place of 8 and 2.
        if size % first == 0 and rest == 1 << twos and twos != 1:
            fours = {0: 0, 1: 2, 2: 1}[twos % 3]
            found.append([first, *steps, *[4] * fours, *[8] * ((twos - 2 * fours) // 3)])
    return min(found, key=len, default=None)


def plan(size: int) -> Plan:
    """Plan of the transforms of ``size`` points, which :func:`radices` must have radices for."""
    steps, twiddles, places = [], [np.empty(0, np.float32)], np.zeros(size, np.int64)
    digits, block, position = np.arange(size), size, 0
    for radix in radices(size) or []:
        steps.append((radix, block, position))
        count = block // radix
        turns = np.outer(np.arange(count), np.arange(1, radix)) / block
        twiddles.append(np.exp(2j * np.pi * turns).astype(np.complex64).view(np.float32).ravel())
        digits, digit = np.divmod(digits, radix)
        places += digit * count
        block, position = count, position + len(twiddles[-1])
    return Plan(size, size * 2 // 3, np.array(steps), np.concatenate(twiddles), places)


def panelled(array: NDArray[_Number]) -> NDArray[_Number]:
    """Columns [..., rows, n] in panels, [..., panel, rows, lane], the last one filled up with zeros."""
    *leading, rows, columns = array.shape
    n_panels = -(-columns // LANES)
    padded = np.zeros((*leading, rows, n_panels * LANES), array.dtype)
    padded[..., :columns] = array
    return np.ascontiguousarray(np.moveaxis(padded.reshape(*leading, rows, n_panels, LANES), -2, -3))


def unpanelled(panels: NDArray[_Number], columns: int) -> NDArray[_Number]:
    """Columns [..., rows, columns] from panels, the inverse of :func:`panelled`."""
    *leading, n_panels, rows, lanes = panels.shape
    array = np.moveaxis(panels, -3, -2).reshape(*leading, rows, n_panels * lanes)
    return np.ascontiguousarray(array[..., :columns])


@njit
def transform(plan, padded, inverse, source, a, rows, b, forward, target, c, numbers, d):  # type: ignore[no-untyped-def]
    """Inverse transform from the source to the rows, or forward transform from the rows to the target.

    Both: one after the other, with a product of the rows with complex numbers in between. The blocks that the first
    step leaves fit into the fastest cache, so all further steps are done block by block.
    """
    steps, twiddles = plan.steps, plan.twiddles
    radix, count = steps[0, 0], plan.size // steps[0, 0]
    variant = radix if padded else -radix
    stop = len(steps) - 1 if inverse and forward else len(steps)
    if inverse:
        kernels.inverse_first(variant, 1, count, source, a, rows, b, twiddles, 0)
    for block in range(radix):
        at = b + block * count * ROW
        if inverse:
            for i in range(1, stop):
                r, n, w = steps[i]
                kernels.inverse_step(r, count // n, n // r, rows, at, rows, at, twiddles, w)
            if forward:
                last = steps[stop, 0]
                kernels.through(last, count // last, 1, rows, at, rows, at, numbers, d + block * count * ROW)
        if forward:
            for i in range(stop - 1, 0, -1):
                r, n, w = steps[i]
                kernels.forward_step(r, count // n, n // r, rows, at, rows, at, twiddles, w)
    if forward:
        kernels.forward_last(variant, 1, count, rows, b, target, c, twiddles, 0)


def _cached(written: str) -> tuple[Any, Any, Any, Any]:
    """What is called from Python, compiled once and kept on disk.

    numba compiles anew when this module has changed, but does not look at the modules that write the code of the
    kernels. It does look at what a function takes from around it, here a digest of their text.
    """

    @njit(cache=True)
    def along_x(plan, padded, work, inverse, grid, forward, line, rows):  # type: ignore[no-untyped-def]
        """Transforms along x, of all panels of y.

        Parameters
        ----------
        plan : Plan
        padded : bool
            Whether the work space holds the band alone; else the whole spectrum.
        work : float32 array [panel of kx * y * row]
            Work space.
        inverse, forward : bool
            Inverse transform, from the work space to the grid; forward transform, from the grid to the work space;
            both: from the work space, times the grid, to the work space.
        grid : float32 array [panel of y * x * lane * 2]
            Complex grid.
        line, rows : float32 array [y * row]
            Work space of a panel.
        """
        written  # noqa: B018
        size, tile = plan.size, LANES * ROW
        kept = plan.band if padded else size
        n_panels, n_kept = -(-size // LANES), -(-kept // LANES)
        for v in range(n_panels):
            at = v * size * ROW
            if inverse:
                for u in range(n_kept):
                    kernels.transpose(1, work, (u * n_panels + v) * tile, line, u * tile, line, 0)
            else:
                kernels.unpack(size, rows, 0, rows, 0, grid, at)
            transform(plan, padded, inverse, line, 0, rows, 0, forward, line, 0, grid, at)
            if forward:
                line[kept * ROW : n_kept * tile] = 0
                for u in range(n_kept):
                    kernels.transpose(1, line, u * tile, work, (u * n_panels + v) * tile, work, 0)
            else:
                kernels.pack(size, rows, 0, rows, 0, grid, at)

    @njit(cache=True)
    def along_y(plan, padded, work, forward, factor, inverse, spectrum, line):  # type: ignore[no-untyped-def]
        """Transforms along y, of all panels of kx.

        Parameters
        ----------
        plan : Plan
        padded : bool
            Whether work space and spectrum hold the band alone; else the whole spectrum.
        work : float32 array [panel of kx * y * row]
            Work space.
        forward, inverse : bool
            Forward transform, from the work space, times the factor, to the spectrum; inverse transform, from the
            spectrum to the work space. Both: one after the other; ``padded``, the spectrum is left alone then.
        factor : float32 array [panel of kx * ky * lane * 2] or [panel of kx * ky * lane]
            Complex if padded, else real.
        spectrum : float32 array [panel of kx * ky * lane * 2]
            Complex band if padded; else rows, which what comes from the forward transform is added to.
        line : float32 array [y * row]
            Work space of a panel.
        """
        written  # noqa: B018
        size, n_panels = plan.size, -(-plan.size // LANES)
        kept = plan.band if padded else size
        for u in range(-(-kept // LANES)):
            at, end = u * n_panels * LANES * ROW, (u + 1) * n_panels * LANES * ROW
            here = u * kept * ROW
            if forward:
                transform(plan, padded, False, line, 0, work, at, True, line, 0, line, 0)
                if padded:
                    kernels.multiply(kept, line, 0, line, 0, factor, here)
                else:
                    kernels.accumulate(kept, line, 0, spectrum, here, factor, u * kept * LANES)
            elif padded:
                kernels.unpack(kept, line, 0, line, 0, spectrum, here)
            if inverse:
                source, start = (line, 0) if padded else (spectrum, here)
                transform(plan, padded, True, source, start, work, at, False, line, 0, line, 0)
                work[at + size * ROW : end] = 0
            elif padded:
                kernels.pack(kept, line, 0, line, 0, spectrum, here)

    @njit(cache=True)
    def exponential(potentials, second, transmission):  # type: ignore[no-untyped-def]
        """``exp(i V)`` of real or imaginary parts of a complex grid, float32 array [panel of y * x * lane * 2]."""
        written  # noqa: B018
        if second:
            kernels.second_phase(len(potentials) // ROW, potentials, 0, transmission, 0, potentials, 0)
        else:
            kernels.first_phase(len(potentials) // ROW, potentials, 0, transmission, 0, potentials, 0)

    @njit(cache=True)
    def deposit(plan, pixels, weights, support, beta, grid):  # type: ignore[no-untyped-def]
        """Add atoms to a complex grid, float32 array [panel of y * x * lane * 2]; see :mod:`exitwave.waves.spreading`.

        The shares are evaluated here, atom by atom, which is faster than arrays of them.
        """
        written  # noqa: B018
        points, shares = np.empty((2, 4), np.int64), np.empty((2, 4), np.float32)
        for atom in range(len(pixels)):
            for axis in range(2):
                position = pixels[atom, axis]
                first = np.floor(position) if support == 2 else np.ceil(position - 2)
                # A position that is not a number must neither leave the grid nor go unnoticed: the shares show it.
                point = np.int64(first) % plan.size if np.isfinite(first) else 0
                for i in range(support):
                    distance = first + i - position
                    if support == 2:
                        shares[axis, i] = 1 - abs(distance)
                    else:
                        # np.maximum, unlike max, keeps what is not a number.
                        shares[axis, i] = np.exp(beta * (np.sqrt(np.maximum(0.0, 1 - distance**2 / 4)) - 1))
                    points[axis, i] = plan.places[point]
                    point = point + 1 if point + 1 < plan.size else 0
            re, im = weights[atom].real, weights[atom].imag
            for j in range(support):
                panel, lane = points[1, j] // LANES, points[1, j] % LANES
                for i in range(support):
                    at = (panel * plan.size + points[0, i]) * ROW + 2 * lane
                    share = shares[0, i] * shares[1, j]
                    grid[at] += re * share
                    grid[at + 1] += im * share

    return along_x, along_y, exponential, deposit


def _text_of_kernels() -> str:
    """Digest of the modules that write the code of the kernels."""
    texts = [inspect.getsource(module) for module in (kernels, simd)]
    return hashlib.sha256("".join(texts).encode()).hexdigest()


along_x, along_y, exponential, deposit = _cached(_text_of_kernels())
