"""Grids of the exit wave: the output grid and the simulation grid 1.5 times finer."""

from __future__ import annotations

from exitwave.errors import ConfigError

OVERSAMPLING = 1.5
"""Simulation grid over output grid: the multislice keeps 2/3 of its band, which is then all of the output's."""
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
            f"{found}; allowed: an even number, because the simulation grid is {OVERSAMPLING} times finer, "
            f"such as sampling {field_of_view / (grid + 1):.8g} Å"
        )
    return grid


def simulation_grid(field_of_view: float, sampling: float) -> int:
    """Pixels along an edge of the multislice grid, 1.5 times :func:`output_grid`."""
    return output_grid(field_of_view, sampling) * 3 // 2
