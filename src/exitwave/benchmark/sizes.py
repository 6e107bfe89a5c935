"""Size distributions of particles: their percentiles, and how sure these are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERCENTS = (10, 50, 90)
"""D10, D50, D90: so many percent of the particles, by number, are smaller."""
RESAMPLES, FEWEST = 1000, 200
"""Resamples, and how many there are at least where there are very many particles."""
DRAWS = 20_000_000
"""Particles drawn in all resamples together, above which there are fewer of them."""


@dataclass(frozen=True)
class Percentiles:
    """Percentiles of diameters, by number.

    Attributes
    ----------
    number : int
        Of particles.
    values, low, high : tuple of float
        D10, D50 and D90, and the ends of their intervals of 95 %, in the unit of the diameters; NaN where there are too
        few particles to tell: values of none, intervals of fewer than two.
    """

    number: int
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def percentiles(images: Sequence[NDArray[np.float64]], rng: np.random.Generator) -> Percentiles:
    """D10, D50 and D90 of the particles of some images, with percentile bootstrap intervals.

    Particles of one image resemble each other. So a resample draws images with replacement, and then particles of each
    image drawn; of one image it is the plain bootstrap of its particles. A. C. Davison, D. V. Hinkley, Bootstrap
    Methods and their Application (1997), section 3.8: with both drawn, intervals are too wide rather than too narrow.

    Parameters
    ----------
    images : sequence of float arrays
        Diameters of the particles of each image; those without one are passed over.
    rng : Generator
        Source of randomness.
    """
    images = [np.asarray(diameters, np.float64) for diameters in images if len(diameters)]
    nothing = (float("nan"),) * len(PERCENTS)
    if not images:
        return Percentiles(0, nothing, nothing, nothing)
    every = np.concatenate(images)
    values = tuple(map(float, np.percentile(every, PERCENTS)))
    if every.size < 2:
        return Percentiles(1, values, nothing, nothing)
    counts = np.array([diameters.size for diameters in images])
    starts = np.cumsum(counts) - counts
    resamples = int(np.clip(DRAWS // every.size, FEWEST, RESAMPLES))
    found = np.empty((resamples, len(PERCENTS)))
    for row in found:
        chosen = rng.integers(len(images), size=len(images))
        spans = np.repeat(counts[chosen], counts[chosen])
        places = np.repeat(starts[chosen], counts[chosen]) + (rng.random(spans.size) * spans).astype(np.intp)
        row[:] = np.percentile(every[places], PERCENTS)
    low, high = np.percentile(found, [2.5, 97.5], axis=0)
    return Percentiles(int(every.size), values, tuple(map(float, low)), tuple(map(float, high)))
