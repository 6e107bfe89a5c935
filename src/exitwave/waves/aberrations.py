"""Lens aberrations in Krivanek's polar notation, with the signs and angles of abTEM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exitwave.electron import wavelength

HARMONICS = tuple((n, m) for m in range(7) for n in range(max(1, m - 1), 6) if (n + 1 - m) % 2 == 0)
"""Radial order n and azimuthal symmetry m of every term up to order 5, ordered by symmetry."""


class ReciprocalGrid(NamedTuple):
    """Spatial frequencies of a periodic square-pixel grid, in the order of the FFT."""

    wavelength: float
    """Electron wavelength [Å]."""
    ky: NDArray[np.float64]
    """Frequencies along y, shape [y] [1/Å]."""
    kx: NDArray[np.float64]
    """Frequencies along x, shape [x] [1/Å]."""
    angle: NDArray[np.complex128]
    """Scattering angle as the complex number alpha exp(i phi), shape [y, x] [rad]."""
    alpha_squared: NDArray[np.float64]
    """Squared scattering angle, shape [y, x] [rad²]."""


@lru_cache(maxsize=4)
def reciprocal_grid(shape: tuple[int, int], sampling: float, energy: float) -> ReciprocalGrid:
    """Spatial frequencies of a grid, kept for the next image on the same grid.

    Parameters
    ----------
    shape : tuple of int
        Pixels along y and x.
    sampling : float
        Pixel [Å].
    energy : float
        Beam energy [eV].
    """
    length = wavelength(energy)
    ky, kx = (np.fft.fftfreq(n, sampling).astype(np.float64) for n in shape)
    angle: NDArray[np.complex128] = length * (kx[None, :] + np.complex128(1j) * ky[:, None])
    grid = ReciprocalGrid(length, ky, kx, angle, angle.real**2 + angle.imag**2)
    for array in grid[1:]:
        array.setflags(write=False)  # shared between all callers
    return grid


def chi(
    k: NDArray[np.float64], phi: NDArray[np.float64], coefficients: Mapping[str, float], energy: float
) -> NDArray[np.float64]:
    """Aberration function.

    ``chi = 2 pi / lambda sum_nm C_nm alpha^(n+1) / (n+1) cos(m (phi - phi_nm))`` with ``alpha = lambda k``
    (Krivanek, Dellby & Lupini, Ultramicroscopy 78 (1999) 1; the convention of abTEM).

    Parameters
    ----------
    k : array [...]
        Spatial frequency [1/Å].
    phi : array [...]
        Azimuth of the frequency, from x towards y [rad]; broadcast against ``k``.
    coefficients : mapping
        ``C10`` (minus the defocus), ``C12``, ..., ``C56`` [Å] and their angles ``phi12``, ... [rad]; what is left out
        is 0.
    energy : float
        Beam energy [eV].

    Returns
    -------
    array [...]
        Phase error [rad]; the wave is multiplied by ``exp(-i chi)``.
    """
    length = wavelength(energy)
    angle = length * k * np.exp(1j * phi)
    return _chi(angle, angle.real**2 + angle.imag**2, coefficients, length)


def transfer_function(
    grid: ReciprocalGrid,
    coefficients: Mapping[str, float],
    aperture: float | None = None,
    tilt: tuple[float, float] = (0.0, 0.0),
) -> NDArray[np.complex64]:
    """Coherent transfer function ``A(alpha + t) exp(-i chi_t(alpha))`` on a grid.

    With the illumination tilted by ``t`` against the optic axis, a beam scattered by ``alpha`` goes through the lens at
    ``alpha + t``. What counts is its phase against the direct beam,

    ``chi_t(alpha) = chi(alpha + t) - chi(t) - alpha . grad chi(t)``.

    The linear term, a shift of the whole image by ``grad chi(t) lambda / 2 pi``, is left out: the object, and with it
    the labels, stays where it is, as it does for a microscopist who brings it back to the middle of the image. A lens
    with spherical aberration C30 then has, at a tilt t, the coma C21 = 3 C30 t, the astigmatism C12 = C30 t² and the
    change of focus C10 = 2 C30 t², all along the tilt (Zemlin et al., Ultramicroscopy 3 (1978) 49). The tilt acts in
    the lens only; the exit wave has the tilt that it was simulated with.

    Parameters
    ----------
    grid : ReciprocalGrid
        The grid; its frequencies are those of the exit wave, counted from the direct beam.
    coefficients : mapping
        As in `chi`.
    aperture : float, optional
        Semi-angle of the objective aperture [mrad], sharp and centred on the optic axis, so that it is displaced
        against a tilted beam; none: open.
    tilt : tuple of float
        Tilt of the illumination towards x and y [mrad].

    Returns
    -------
    complex64 [y, x]
        In the order of the FFT.
    """
    angle, squared, axis = _tilted(grid, tilt)
    # In double precision up to here: chi reaches thousands of radians at high angles.
    phase = _chi(angle, squared, coefficients, grid.wavelength)
    if axis:
        at_axis, squared_at_axis = np.array([axis]), np.array([abs(axis) ** 2])
        slope = _gradient(at_axis, squared_at_axis, coefficients, grid.wavelength)[0]
        phase -= _chi(at_axis, squared_at_axis, coefficients, grid.wavelength)[0]
        phase -= slope.real * grid.angle.real + slope.imag * grid.angle.imag
    transfer: NDArray[np.complex64] = np.exp(-1j * phase).astype(np.complex64)
    if aperture is not None:
        transfer[squared > (aperture * 1e-3) ** 2] = 0
    return transfer


def chi_gradient(
    grid: ReciprocalGrid, coefficients: Mapping[str, float], tilt: tuple[float, float] = (0.0, 0.0)
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gradient of the aberration function with the scattering angle, ``grad chi(alpha + t) - grad chi(t)``.

    This is the gradient of the phase of `transfer_function`, and also the change of the phase between a scattered and
    the direct beam with the angle of illumination, which spatial coherence is about.

    Parameters
    ----------
    grid, coefficients, tilt
        As in `transfer_function`.

    Returns
    -------
    along_x, along_y : array [y, x]
        [rad/rad], in the order of the FFT.

    Notes
    -----
    With ``w = alpha exp(i phi)``, a term of chi is ``Re[c w^p w'^q]`` with ``p + q = n + 1`` and ``p - q = m``, and
    ``d/dx + i d/dy = 2 d/dw'`` of it is ``q c w^p w'^(q-1) + p c' w^q w'^(p-1)``, where ``'`` is the conjugate.
    """
    angle, squared, axis = _tilted(grid, tilt)
    slope = _gradient(angle, squared, coefficients, grid.wavelength)
    if axis:
        slope -= _gradient(np.array([axis]), np.array([abs(axis) ** 2]), coefficients, grid.wavelength)
    return slope.real.copy(), slope.imag.copy()


def _tilted(
    grid: ReciprocalGrid, tilt: tuple[float, float]
) -> tuple[NDArray[np.complex128], NDArray[np.float64], complex]:
    """Angles to the optic axis, their squares, and the angle of the direct beam [rad]."""
    axis = complex(*tilt) * 1e-3
    if not axis:
        return grid.angle, grid.alpha_squared, axis
    angle = grid.angle + axis
    return angle, angle.real**2 + angle.imag**2, axis


def _terms(coefficients: Mapping[str, float], length: float) -> Iterator[tuple[int, int, complex]]:
    """Powers p of ``w`` and q of its conjugate, and complex factor, of the terms that are not 0, by symmetry p - q."""
    for n, m in HARMONICS:
        coefficient = coefficients.get(f"C{n}{m}", 0.0)
        if coefficient != 0:
            turn = complex(np.exp(-1j * m * coefficients.get(f"phi{n}{m}", 0.0)))
            yield (n + 1 + m) // 2, (n + 1 - m) // 2, turn * (2 * np.pi / length * coefficient / (n + 1))


def _chi(
    angle: NDArray[np.complex128],
    alpha_squared: NDArray[np.float64],
    coefficients: Mapping[str, float],
    length: float,
) -> NDArray[np.float64]:
    # Re[c w^p w'^q] = |w|^(2q) Re[c w^(p-q)]: products of two arrays, and no trigonometric function of an array.
    total = np.zeros(alpha_squared.shape)
    power, power_of = np.ones_like(angle), 0
    for p, q, factor in _terms(coefficients, length):
        while power_of < p - q:
            power, power_of = power * angle, power_of + 1
        term = factor.real * power.real - factor.imag * power.imag
        for _ in range(q):
            term *= alpha_squared
        total += term
    return total


def _gradient(
    angle: NDArray[np.complex128],
    alpha_squared: NDArray[np.float64],
    coefficients: Mapping[str, float],
    length: float,
) -> NDArray[np.complex128]:
    """Gradient of chi, x as the real and y as the imaginary part."""
    total = np.zeros_like(angle)
    powers, squares = [np.ones_like(angle)], [np.ones_like(alpha_squared)]
    for p, q, factor in _terms(coefficients, length):
        while len(powers) < p - q + 2:
            powers.append(powers[-1] * angle)
        while len(squares) < p:
            squares.append(squares[-1] * alpha_squared)
        if p == q:
            total += (2 * p * factor.real) * squares[p - 1] * angle
            continue
        total += (p * factor.conjugate()) * squares[q] * powers[p - q - 1].conj()
        if q:
            total += (q * factor) * squares[q - 1] * powers[p - q + 1]
    return total
