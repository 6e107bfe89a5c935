"""Lens aberrations in Krivanek's polar notation, with the signs and angles of abTEM."""

from __future__ import annotations

from collections.abc import Mapping
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
    grid: ReciprocalGrid, coefficients: Mapping[str, float], aperture: float | None = None
) -> NDArray[np.complex64]:
    """Coherent transfer function ``A(k) exp(-i chi(k))`` on a grid.

    Parameters
    ----------
    grid : ReciprocalGrid
        The grid.
    coefficients : mapping
        As in `chi`.
    aperture : float, optional
        Semi-angle of the objective aperture, sharp and centred on the beam [mrad]; none: open.

    Returns
    -------
    complex64 [y, x]
        In the order of the FFT.
    """
    # In double precision up to here: chi reaches thousands of radians at high angles.
    phase = _chi(grid.angle, grid.alpha_squared, coefficients, grid.wavelength)
    transfer: NDArray[np.complex64] = np.exp(-1j * phase).astype(np.complex64)
    if aperture is not None:
        transfer[grid.alpha_squared > (aperture * 1e-3) ** 2] = 0
    return transfer


def _chi(
    angle: NDArray[np.complex128],
    alpha_squared: NDArray[np.float64],
    coefficients: Mapping[str, float],
    length: float,
) -> NDArray[np.float64]:
    # alpha^(n+1) cos(m (phi - phi_nm)) = alpha^(n+1-m) Re[(alpha e^(i phi))^m e^(-i m phi_nm)], where n+1-m is even:
    # products of two arrays, and no trigonometric function of an array.
    total = np.zeros(alpha_squared.shape)
    power, power_of = np.ones_like(angle), 0
    for n, m in HARMONICS:
        coefficient = coefficients.get(f"C{n}{m}", 0.0)
        if coefficient == 0:
            continue
        while power_of < m:
            power, power_of = power * angle, power_of + 1
        turned = np.exp(-1j * m * coefficients.get(f"phi{n}{m}", 0.0)) * (2 * np.pi / length * coefficient / (n + 1))
        term = turned.real * power.real - turned.imag * power.imag
        for _ in range((n + 1 - m) // 2):
            term *= alpha_squared
        total += term
    return total
