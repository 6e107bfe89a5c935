"""Rounding of exit waves before they are stored: most bits of a wave are far below the noise of any image of it.

Real and imaginary parts become multiples of one power of two, so that the low bits of every number are zeros, which
the shard's compression takes out. What is stored stays an ordinary complex64 array. The rounding is to the nearest
multiple, on an absolute scale: the error is bounded, has no preferred sign and does not depend on the wave.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import ConfigError

SMALLEST_ERROR = 2.0**-60
"""Below this nothing is rounded: there is no such detail in single precision about an amplitude of 1."""


def quantum(error: float) -> float:
    """Largest power of two of which the nearest multiple is never further than ``error`` away."""
    return 2.0 ** math.floor(math.log2(2 * error))


def round_waves(waves: NDArray[np.complex64], error: float) -> NDArray[np.complex64]:
    """Round the real and imaginary parts of waves to multiples of a power of two.

    Parameters
    ----------
    waves : complex64 [...]
        Exit waves, of amplitude 1 in the incoming beam.
    error : float
        Largest difference of a real or imaginary part; 0: none.

    Returns
    -------
    complex64 [...]
        Multiples of the largest power of two q with q/2 <= ``error``; the waves as they are for an error of 0. What is
        not a finite number stays so. Rounding once more changes nothing.

    Raises
    ------
    ConfigError
        If the error is negative or not a finite number.
    """
    if not 0 <= error < math.inf:
        raise ConfigError(f"storage_error is {error:g}; allowed: 0 or more, and finite")
    if error < SMALLEST_ERROR:
        return waves
    step = np.float32(quantum(error))
    parts = np.ascontiguousarray(waves).view(np.float32) / step
    np.rint(parts, out=parts)
    parts *= step
    parts += np.float32(0)  # makes -0 to 0, which compresses better
    rounded: NDArray[np.complex64] = parts.view(np.complex64).reshape(waves.shape)
    return rounded
