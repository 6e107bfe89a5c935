"""A scan of disks at places that are known exactly: half of it is strained and turned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

SIZE, RADIUS, SAMPLING = 64, 3.4, 0.03
"""Edge of a pattern [px], radius of its disks [px], and its pixel [1/Å]."""
VECTORS = np.array([[11.3, -1.2], [1.9, 12.1]])
"""g1 and g2 as columns [px]."""
STRAIN = np.array([[0.012, 0.004], [0.004, -0.008]])
TURN = math.radians(1.5)
"""Of the strained half, from x towards y."""


@dataclass(frozen=True)
class StrainedScan:
    """Patterns [rows, columns, H, W], the probe [H, W], and where the scan is strained [rows, columns]."""

    patterns: NDArray[np.float64]
    probe: NDArray[np.float64]
    strained: NDArray[np.bool_]


def deformed(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors of the strained half: G = F⁻ᵀ G0 with F = R (1 + e)."""
    c, s = math.cos(TURN), math.sin(TURN)
    return np.linalg.inv(np.array([[c, -s], [s, c]]) @ (np.eye(2) + STRAIN)).T @ vectors


@cache
def strained_scan(rows: int = 6, columns: int = 8, counts: float = 4000.0, seed: int = 0) -> StrainedScan:
    """A scan whose right half is strained, with Poisson noise, and the direct beam somewhat beside the middle."""
    rng = np.random.default_rng(seed)
    strained = np.zeros((rows, columns), bool)
    strained[:, columns // 2 :] = True
    patterns = np.zeros((rows, columns, SIZE, SIZE))
    middle = (SIZE // 2, SIZE // 2)
    for row in range(rows):
        for column in range(columns):
            vectors = deformed(VECTORS) if strained[row, column] else VECTORS
            origin = np.add(middle, (0.6, -0.4)) + rng.normal(0, 0.1, 2)
            expected = np.full((SIZE, SIZE), 0.002)
            for h in range(-3, 4):
                for k in range(-3, 4):
                    x, y = origin + vectors @ [h, k]
                    height = 1.0 if h == k == 0 else rng.uniform(0.05, 0.4) * math.exp(-(h * h + k * k) / 8)
                    expected += height * disk(x, y)
            patterns[row, column] = rng.poisson(counts * expected)
    # The same for all tests.
    patterns.setflags(write=False)
    return StrainedScan(patterns, counts * disk(*middle), strained)


def disk(x: float, y: float) -> NDArray[np.float64]:
    """An even disk with a smooth rim."""
    rows, columns = np.ogrid[:SIZE, :SIZE]
    return np.clip(RADIUS + 0.5 - np.hypot(columns - x, rows - y), 0, 1)
