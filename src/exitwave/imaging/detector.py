"""The camera: shot noise, then its point spread, which acts on the noise as well."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from exitwave.errors import ConfigError

LARGEST_COUNT = int(np.iinfo(np.uint32).max)


class Exposure(Protocol):
    """What the camera needs to know of the imaging conditions."""

    @property
    def dose(self) -> float: ...
    @property
    def detector_blur(self) -> float: ...


def record(
    intensity: NDArray[np.float32], conditions: Exposure, pixel_size: float, rng: np.random.Generator
) -> NDArray[np.uint32]:
    """Record an image: Poisson counts, blurred by the point spread of the camera, in whole electrons.

    Parameters
    ----------
    intensity : float32 [y, x]
        Expected intensity averaged over the area of each image pixel; 1 in the incoming beam.
    conditions : ImagingConditions
        Dose [e⁻/Å²] and standard deviation of the Gaussian point spread [px].
    pixel_size : float
        Image pixel [Å].
    rng : numpy.random.Generator
        Randomness.

    Returns
    -------
    uint32 [y, x]
        Electrons, never clipped. The point spread is normalised and reflected at the edges, so it keeps their sum.
        What it leaves behind the decimal point is rounded up with that probability: rounding to the nearest number
        would take most electrons from an image with less than half an electron in a pixel.

    Raises
    ------
    ConfigError
        If a pixel would get a number of electrons that 32 bits cannot hold.
    """
    expected = intensity.astype(np.float64) * (conditions.dose * pixel_size**2)
    # Also false for NaN. Six standard deviations of room for the shot noise.
    highest = float(expected.max())
    if not highest + 6 * np.sqrt(highest) < LARGEST_COUNT:
        raise ConfigError(
            f"dose {conditions.dose:g} e⁻/Å² on pixels of {pixel_size:g} Å gives up to {highest:g} electrons in one; "
            f"allowed: less than {LARGEST_COUNT}"
        )
    counts = rng.poisson(expected)
    if conditions.detector_blur > 0:
        blurred = gaussian_filter(counts.astype(np.float64), conditions.detector_blur, mode="reflect")
        counts = np.floor(blurred + rng.random(blurred.shape))
    return counts.astype(np.uint32)
