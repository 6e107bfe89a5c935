"""How far a predicted probability can be taken at its word, in the whole image and at the rims of particles.

Of the pixels to which a network gives 0.7, seven in ten should be particle. Pixels are sorted into ten bins of
probability; the expected calibration error is the mean over all pixels of the distance between mean probability and
share of particle in their bin: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, Proc. Mach. Learn. Res. 70, 1321 (2017).
Most pixels lie where nobody doubts, and hide what is wrong where it matters. So the same is also counted at rims alone:
within 4 Å of the true outline (:mod:`exitwave.benchmark.surfaces`), on both sides of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.metrics import Score, ratio
from exitwave.benchmark.surfaces import near, outline

BINS = 10
"""Of equal width."""
RIM = 4.0
"""Distance from the true outline up to which a pixel is at the rim [Å]."""
AREAS = ("all", "rim")
SUMS = ("pixels", "probability", "particle")
"""Of each bin: number of pixels, sum of their probabilities, and number of those that are particle."""
CALIBRATION_COUNTS = tuple(f"{area}_{name}_{place}" for area in AREAS for name in SUMS for place in range(BINS))
NOTE = (
    "Calibration: the expected error of the probabilities in ten bins, of all pixels and of those within 4 Å of the "
    "true outline."
)
SUMMARY = (
    Score("calibration_error", "calibration_error", "error", group="calibration", of_rules=False),
    Score("calibration_error_rim", "calibration_error_rim", "error at rims", group="calibration", of_rules=False),
)


def count_calibration(
    probability: NDArray[np.floating], true: NDArray[np.bool_], pixel_size: float
) -> dict[str, float]:
    """Sums of one image, by the names of ``CALIBRATION_COUNTS``.

    Parameters
    ----------
    probability : float array [H, W]
        Of each pixel to be particle.
    true : bool array [H, W]
        The true mask.
    pixel_size : float
        [Å]
    """
    bins = np.clip((probability * BINS).astype(np.intp), 0, BINS - 1)
    sums: list[float] = []
    for pixels in (np.ones(true.shape, bool), near(outline(true), RIM, pixel_size)):
        there = bins[pixels]
        for weights in (None, probability[pixels], true[pixels]):
            sums += np.bincount(there, weights, BINS).astype(float).tolist()
    return dict(zip(CALIBRATION_COUNTS, sums, strict=True))


def curves(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """For each area the pixels, mean probability and share of particle [..., 3, bins]; NaN in empty bins."""
    sums = np.asarray(counts, np.float64).reshape(*np.shape(counts)[:-1], len(AREAS), len(SUMS), BINS)
    pixels, probability, particle = np.moveaxis(sums, -2, 0)
    told = np.stack([pixels, ratio(probability, pixels), ratio(particle, pixels)], axis=-2)
    return {area: told[..., place, :, :] for place, area in enumerate(AREAS)}


def scores_from_counts(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Expected calibration errors from counts [..., 60]; NaN where there is no pixel."""
    errors = []
    for found in curves(counts).values():
        pixels, probability, particle = np.moveaxis(found, -2, 0)
        wrong = np.where(pixels > 0, np.abs(probability - particle) * pixels, 0.0)
        errors.append(ratio(wrong.sum(axis=-1), pixels.sum(axis=-1)))
    return dict(zip(("calibration_error", "calibration_error_rim"), errors, strict=True))
