"""Sum of the intensities of many waves on one CPU core, from their spectra, and the spectrum of that sum.

The transforms are those of :mod:`exitwave.waves.panels`, whose orders of points and frequencies hold here too. A wave
with M frequencies along an axis comes onto N >= 1.5 M points: the zeros beyond its band are neither stored nor
transformed, defocus is multiplied in while the spectrum is read, the squares are added up while the last butterflies
of a panel are in registers, and nothing is reordered before the one forward transform of the sum.
"""

from __future__ import annotations

import hashlib
import inspect
from functools import lru_cache
from threading import get_ident
from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from exitwave.waves import kernels, panels, simd
from exitwave.waves.kernels import ROW
from exitwave.waves.simd import LANES, Complex, butterfly


def _write_refocus(code: Any, count: Any, stride: Any, source: Any, target: Any, numbers: Any) -> None:
    across, along = code.load_row(numbers), code.shift(numbers, ROW)
    with cgutils.for_range(code.builder, count) as row:
        factor = code.shift(along, code.times(row.index, 2))
        turned = across * Complex(code.broadcast(factor), code.broadcast(code.shift(factor, 1)))
        value = code.load_numbers(code.shift(source, code.builder.mul(row.index, stride)))
        code.store_row(value * turned, code.shift(target, code.times(row.index, ROW)))


@intrinsic
def _refocus(  # type: ignore[no-untyped-def]
    typingctx, count, stride, source, a, target, b, numbers, c
):
    """Rows from complex numbers, ``stride`` floats apart, times a row and a number for each of them."""
    arguments = (count, stride, source, a, target, b, numbers, c)
    return types.void(*arguments), kernels.codegen(_write_refocus)


def _write_squares(
    code: Any, radix: int, block: Any, index: Any, count: Any, source: Any, target: Any, numbers: Any
) -> None:
    source = code.shift(source, code.times(block, radix * ROW))
    target = code.shift(target, code.times(block, radix * LANES))
    wave = butterfly([code.load_row(code.shift(source, k * ROW)) for k in range(radix)], 1)
    for k, x in enumerate(wave):
        total = code.shift(target, k * LANES)
        code.store(code.load(total) + x.re * x.re + x.im * x.im, total)


def _write_real(code: Any, source: Any, target: Any, numbers: Any) -> None:
    value = code.load(numbers)
    code.store_row(Complex(value, value - value), target)


_squares = kernels.butterflies(dict.fromkeys((3, 4, 5, 7, 8, 11, 13), _write_squares))
"""Last step of the inverse transform; the squared moduli are added to the target, ``LANES`` floats a row."""
_real = kernels.rowwise(_write_real, LANES)
"""Real numbers to rows."""


_COST_OF_POINT, _COST_OF_RADIX = 0.6, {3: 0.2, 4: 0.17, 5: 0.2, 6: 0.1, 7: 0.27, 8: 0.25, 11: 0.4, 13: 0.6}
"""Time per point of a grid, to be multiplied with, as measured [ns]; only their ratios matter."""


def _compiled(written: str) -> tuple[Any, Any]:
    """What is called from Python; see :func:`exitwave.waves.panels._cached` about the argument."""

    @njit(cache=True, nogil=True)
    def add_intensities(plan_y, plan_x, filled, band, factors, work, line, rows, squares):  # type: ignore[no-untyped-def]
        """Add the intensities of a wave at every defocus to ``squares``.

        Parameters
        ----------
        plan_y, plan_x : Plan
        filled : int64 array
            Panels of kx that are not zero.
        band : float32 array [ky * panel of kx * lane * 2]
            Complex band.
        factors : float32 array [defocus, panel of kx, ROW + ky * 2]
            For each panel a row of factors over kx, then complex factors over ky.
        work : float32 array [panel of kx * y * row]
            Work space, with zeros where y is beyond the points.
        line : float32 array
            Work space of a panel, with zeros in the panels of kx that are not filled.
        rows : float32 array
            Work space of a panel.
        squares : float32 array [panel of y * x * lane]
            The sum.
        """
        written  # noqa: B018
        tile = LANES * ROW
        n_kept, n_panels = -(-plan_x.band // LANES), -(-plan_y.size // LANES)
        steps, twiddles = plan_x.steps, plan_x.twiddles
        radix, count = steps[0, 0], plan_x.size // steps[0, 0]
        last = steps[-1, 0]
        for node in range(len(factors)):
            for u in filled:
                at = u * n_panels * tile
                _refocus(plan_y.band, n_kept * ROW, band, u * ROW, rows, 0, factors[node, u], 0)
                panels.transform(plan_y, True, True, rows, 0, work, at, False, rows, 0, rows, 0)
            for v in range(n_panels):
                for u in filled:
                    kernels.transpose(1, work, (u * n_panels + v) * tile, line, u * tile, line, 0)
                kernels.inverse_first(radix, 1, count, line, 0, rows, 0, twiddles, 0)
                for block in range(radix):
                    first = block * count
                    at = first * ROW
                    for i in range(1, len(steps) - 1):
                        r, n, w = steps[i]
                        kernels.inverse_step(r, count // n, n // r, rows, at, rows, at, twiddles, w)
                    _squares(last, count // last, 1, rows, at, squares, (v * plan_x.size + first) * LANES, line, 0)

    @njit(cache=True, nogil=True)
    def spectrum(plan_y, plan_x, padded, n_kept, squares, work, line, rows, frequencies):  # type: ignore[no-untyped-def]
        """Spectrum of ``squares`` at the first ``n_kept`` panels of kx.

        Parameters
        ----------
        padded : bool
            Whether the frequencies beyond the bands of the plans are left out.
        frequencies : float32 array [ky * panel of kx * lane * 2]
            Where the complex spectrum is put.
        """
        written  # noqa: B018
        tile = LANES * ROW
        n_panels = -(-plan_y.size // LANES)
        height = plan_y.band if padded else plan_y.size
        for v in range(n_panels):
            _real(plan_x.size, rows, 0, rows, 0, squares, v * plan_x.size * LANES)
            panels.transform(plan_x, padded, False, line, 0, rows, 0, True, line, 0, line, 0)
            for u in range(n_kept):
                kernels.transpose(1, line, u * tile, work, (u * n_panels + v) * tile, work, 0)
        for u in range(n_kept):
            at = u * n_panels * tile
            panels.transform(plan_y, padded, False, line, 0, work, at, True, line, 0, line, 0)
            for row in range(height):
                kernels.pack(1, line, row * ROW, line, 0, frequencies, (row * n_kept + u) * ROW)

    return add_intensities, spectrum


_TEXTS = "".join(inspect.getsource(module) for module in (kernels, simd, panels))
_add_intensities, _spectrum = _compiled(hashlib.sha256(_TEXTS.encode()).hexdigest())
_plan = lru_cache(maxsize=16)(panels.plan)


@lru_cache(maxsize=64)
def grid_size(at_least: int) -> int:
    """Points along an axis, at least ``at_least``, whose transforms take the least time."""
    costs = {}
    for size in range(max(18, -(-at_least // 3) * 3), 18 + 2 * at_least, 3):
        steps = panels.radices(size)
        if steps is not None:
            costs[size] = size**2 * (_COST_OF_POINT + sum(_COST_OF_RADIX[radix] for radix in steps))
    return min(costs, key=lambda size: costs[size])


def summed_spectrum(
    spectra: NDArray[np.complex64],
    transfer: NDArray[np.complex64],
    rows: NDArray[np.complex64],
    columns: NDArray[np.complex64],
    size: tuple[int, int],
    highest: tuple[int, int],
) -> NDArray[np.complex64]:
    """Spectrum of the sum of the intensities of waves, each at every defocus.

    Parameters
    ----------
    spectra : complex64 [wave, Y, X]
        Spectra of the waves in the order of ``fftfreq``; Y and X are even.
    transfer : complex64 [y, x]
        What they are multiplied with at their lowest y and x frequencies, even numbers; beyond, with 0.
    rows, columns : complex64 [defocus, y], [defocus, x]
        Further factors along the axes, which make a defocus.
    size : tuple of int
        Points along y and x that the intensity is evaluated on, which `grid_size` gives, at least 1.5 times y and x.
    highest : tuple of int
        Highest frequencies along y and x that are wanted of the sum, below half of the points.

    Returns
    -------
    complex64 [2 highest_y + 1, highest_x + 1]
        Fourier coefficients ``mean_r |sum_k psi_k exp(2 pi i k r)|² exp(-2 pi i q r)``; q_y in the order of
        ``fftfreq``, q_x from 0 on.
    """
    plans = plan_y, plan_x = _plan(size[0]), _plan(size[1])
    n_kept, n_wanted = -(-plan_x.band // LANES), highest[1] // LANES + 1
    y_halves = halves(transfer.shape[0], spectra.shape[1], plan_y.band)
    x_halves = halves(transfer.shape[1], spectra.shape[2], plan_x.band)
    along = np.zeros((len(rows), plan_y.band), np.complex64)
    across = np.zeros((len(rows), n_kept * LANES), np.complex64)
    for one, _, here in y_halves:
        # Numbers of points are divided out of the sum of squares here, where there is least to multiply.
        along[:, here] = rows[:, one] / np.sqrt(plan_y.size * plan_x.size)
    for one, _, here in x_halves:
        across[:, here] = columns[:, one]
    factors = np.empty((len(rows), n_kept, ROW + 2 * plan_y.band), np.float32)
    lanes = across.reshape(len(rows), n_kept, LANES)
    factors[..., :LANES], factors[..., LANES:ROW] = lanes.real, lanes.imag
    factors[..., ROW:] = along.view(np.float32)[:, None]
    filled = np.unique(np.concatenate([np.arange(here.start or 0, here.stop) // LANES for *_, here in x_halves]))

    space = _work_space(size, transfer.shape, n_wanted, get_ident())
    space.squares[...], space.line[...] = 0, 0
    space.work.reshape(-1, -(-plan_y.size // LANES) * LANES, ROW)[:, plan_y.size :] = 0
    band = space.band.view(np.complex64).reshape(plan_y.band, -1)
    for spectrum in spectra:
        for one_y, all_y, here_y in y_halves:
            for one_x, all_x, here_x in x_halves:
                np.multiply(spectrum[all_y, all_x], transfer[one_y, one_x], out=band[here_y, here_x])
        _add_intensities(plan_y, plan_x, filled, space.band, factors, space.work, space.line, space.rows, space.squares)
    padded = all(2 * wanted < plan.band for wanted, plan in zip(highest, plans, strict=True))
    found = np.empty((plan_y.band if padded else plan_y.size, n_wanted * LANES), np.complex64)
    frequencies = found.reshape(-1).view(np.float32)
    _spectrum(plan_y, plan_x, padded, n_wanted, space.squares, space.work, space.line, space.rows, frequencies)
    kept = np.r_[: highest[0] + 1, len(found) - highest[0] : len(found)]
    return found[kept, : highest[1] + 1]


def halves(count: int, *bands: int) -> list[tuple[slice, ...]]:
    """Where the frequencies 0 ... count / 2 - 1, and -count / 2 ... -1, lie among ``count``, and in wider bands."""
    half = count // 2
    return [(slice(half),) * (1 + len(bands)), tuple(slice(band - half, band) for band in (count, *bands))]


class _WorkSpace(NamedTuple):
    band: NDArray[np.float32]
    work: NDArray[np.float32]
    line: NDArray[np.float32]
    rows: NDArray[np.float32]
    squares: NDArray[np.float32]


@lru_cache(maxsize=4)
def _work_space(size: tuple[int, int], band: tuple[int, ...], n_wanted: int, thread: int) -> _WorkSpace:
    """Memory that is there already when the next image of a thread needs it: fresh memory costs its page faults.

    What of a band lies between the frequencies ``band`` stays zero, so that it is not shared with other bands.
    """
    plan_y, plan_x = _plan(size[0]), _plan(size[1])
    n_kept, n_panels = -(-plan_x.band // LANES), -(-plan_y.size // LANES)
    longest = (max(size) + LANES) * ROW
    return _WorkSpace(
        band=_aligned(plan_y.band * n_kept * ROW),
        work=_aligned(max(n_kept, n_wanted) * n_panels * LANES * ROW),
        line=_aligned(longest),
        rows=_aligned(longest),
        squares=_aligned(n_panels * plan_x.size * LANES),
    )


def _aligned(count: int) -> NDArray[np.float32]:
    """Zeros, float32 array [count], at a multiple of 64 bytes: vectors that straddle cache lines cost double."""
    array = np.zeros(count + 15, np.float32)
    first = -(array.ctypes.data // 4) % 16
    return array[first : first + count]
