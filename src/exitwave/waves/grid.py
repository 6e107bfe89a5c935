"""Grids of the exit wave, and what acts on their spectra.

The stored wave has M points along an edge. The simulation grid has N = 1.5 M: of its spectrum the multislice keeps
2/3, the band, which is then all that the stored wave can hold.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exitwave.electron import wavelength
from exitwave.errors import ConfigError

ANTIALIASING = 1.5
"""Simulation grid over output grid: the multislice keeps 2/3 of its band, which is then all of the output's."""
TAPER = 0.01
"""Width of the soft edge of the band, over the sampling of the simulation grid; abTEM's default."""
MINIMUM_GRID = 32
_TOLERANCE = 1e-6


def output_grid(field_of_view: float, sampling: float) -> int:
    """Pixels along an edge of the stored wave.

    Parameters
    ----------
    field_of_view : float
        Edge of the square, periodic field [Å].
    sampling : float
        Pixel of the stored wave [Å].

    Returns
    -------
    int
        Edge [px]; even, so that the simulation grid, 1.5 times as many, is whole too.

    Raises
    ------
    ConfigError
        If the field is not a whole, even number of pixels, or fewer than 32.
    """
    pixels = field_of_view / sampling
    grid = round(pixels)
    found = f"sampling is {sampling:g} Å and field_of_view {field_of_view:g} Å, that is {pixels:.8g} pixels"
    if grid < MINIMUM_GRID:
        raise ConfigError(f"{found}; allowed: {MINIMUM_GRID} pixels or more")
    if abs(pixels - grid) > _TOLERANCE * max(1.0, pixels):
        raise ConfigError(
            f"{found}; allowed: a whole number, such as sampling {field_of_view / (2 * (grid // 2)):.8g} Å"
        )
    if grid % 2:
        raise ConfigError(
            f"{found}; allowed: an even number, because the simulation grid is {ANTIALIASING} times finer, "
            f"such as sampling {field_of_view / (grid + 1):.8g} Å"
        )
    return grid


def simulation_grid(field_of_view: float, sampling: float) -> int:
    """Pixels along an edge of the multislice grid, 1.5 times :func:`output_grid`."""
    return output_grid(field_of_view, sampling) * 3 // 2


def aperture(size: int) -> NDArray[np.float32]:
    """Aperture of the band, by default abTEM's.

    Parameters
    ----------
    size : int
        Pixels along an edge of the stored wave, M.

    Returns
    -------
    float32 array [M, M]
        1 inside, 0 outside a circle, falling as a cosine over the taper, in the order of ``fftfreq``.
    """
    # In cycles per pixel of the simulation grid.
    k = np.fft.fftfreq(size, ANTIALIASING)
    into_taper = (np.hypot(k[:, None], k) - 0.5 / ANTIALIASING + TAPER) / TAPER
    # 1 up to where the taper begins, 0 beyond its end.
    values: NDArray[np.float32] = (0.5 * (1 + np.cos(np.pi * np.clip(into_taper, 0, 1)))).astype(np.float32)
    return values


def cut_to_band(spectrum: NDArray, size: int) -> NDArray:  # type: ignore[type-arg]
    """The ``size`` lowest frequencies along the last two axes of a spectrum in the order of ``fftfreq``."""
    kept = np.r_[: size // 2, -(size // 2) : 0]
    return spectrum[..., kept[:, None], kept]


def fresnel(
    size: int,
    edge: float,
    distance: float,
    energy: float,
    tilt: tuple[float, float] = (0.0, 0.0),
    tilted: float | None = None,
) -> NDArray[np.complex64]:
    """Propagator of free space, ``exp(-i π λ d k² - 2 π i s (kx tan tx + ky tan ty))``.

    Kirkland, *Advanced Computing in Electron Microscopy*, eq. 6.65, with abTEM's sign of the tilt.

    Parameters
    ----------
    size : int
        Pixels along an edge.
    edge : float
        Edge of the field [Å].
    distance : float
        Distance along the beam [Å].
    energy : float
        Beam energy [eV].
    tilt : tuple of float
        Tilt of the beam towards x and y [mrad].
    tilted : float, optional
        The distance s over which the wave moves sideways as the tilted beam does [Å]; left out, it is the distance d.

    Returns
    -------
    complex64 array [size, size]
        Rows ky, columns kx, in the order of ``fftfreq``.
    """
    k = np.fft.fftfreq(size, edge / size)
    aside = distance if tilted is None else tilted
    across_x, across_y = (
        np.exp(-1j * np.pi * k * (distance * wavelength(energy) * k + 2 * aside * np.tan(angle * 1e-3)))
        for angle in tilt
    )
    return np.outer(across_y, across_x).astype(np.complex64)
