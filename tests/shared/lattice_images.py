"""Images of lattices of all classes, with two columns in each cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exitwave.imaging.convolution import render

PIXEL, SIZE = 0.2, 192
CELLS = {
    "hexagonal": (3.2, 3.2, 120),
    "square": (3.9, 3.9, 90),
    "rectangular": (3.3, 4.9, 90),
    "rhombus": (4.1, 4.1, 107),
    "oblique": (3.6, 4.7, 103),
}


def image_of(
    name: str, angle: float = 0.3, second: float = 0.5, counts: float = 300.0, seed: int = 0, size: int = SIZE
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Columns of two weights in each cell, and the vectors of the cell."""
    a, b, gamma = CELLS[name]
    cell = np.array([[a, 0], [b * np.cos(np.radians(gamma)), b * np.sin(np.radians(gamma))]])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    cell = cell @ turn
    index = np.array([(i, j) for i in range(-60, 61) for j in range(-60, 61)])
    first = index @ cell + [20.0, 19.0]
    places = np.concatenate([first, first + [0.31, 0.64] @ cell])
    weights = np.repeat([1.0, second], len(first))
    density = render(places, weights, 0.5, PIXEL, size)
    rng = np.random.default_rng(seed)
    return rng.poisson(counts * PIXEL**2 * (density + 0.05)).astype(np.float32), cell
