"""Patterns of disks at known places, without chance, so that they are the same everywhere."""

from __future__ import annotations

import numpy as np

SIZE = 96
CASES = {
    "flat": (3.4, 0.0, 0.0),
    "uneven": (3.4, 0.5, 0.02),
    "large": (6.2, 0.3, 0.01),
}
"""Radius of the disks [px], slope of the intensity over a radius, background over the strongest disk."""


def disk(x: float, y: float, radius: float, slope: float = 0.0) -> np.ndarray:
    """Disk with an edge of a pixel, brighter towards x and y."""
    down, along = np.mgrid[:SIZE, :SIZE].astype(np.float64)
    down, along = down - y, along - x
    inside = np.clip(radius + 0.5 - np.hypot(along, down), 0, 1)
    return inside * (1 + slope * (along + 0.5 * down) / radius)


def pattern(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pattern, probe and places (x, y) of the disks of a case; the direct beam first."""
    radius, slope, background = CASES[name]
    vectors = np.array([[17.3, -3.9], [2.6, 19.1]])
    index = np.array([[h, k] for h in (-1, 0, 1) for k in (-1, 0, 1)])
    index = index[np.argsort(np.abs(index).sum(axis=1), kind="stable")]
    places = np.array([48.37, 47.61]) + index @ vectors.T
    heights = 1000.0 * np.array([10, 1, 0.8, 0.6, 0.9, 0.5, 0.3, 0.4, 0.7])
    image = sum(h * disk(x, y, radius, slope) for h, (x, y) in zip(heights, places, strict=True))
    down, along = np.mgrid[:SIZE, :SIZE] - 48.0
    image = image + background * 1000 / (1 + (down**2 + along**2) / 400)
    # Counts have no noise here, but are not smooth either.
    image = np.floor(image * (1 + 0.05 * np.sin(12.9898 * along + 78.233 * down)))
    return image, disk(SIZE // 2, SIZE // 2, radius), places
