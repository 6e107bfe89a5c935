"""The phase that labels are made from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter


def phase_map(particle_waves: NDArray[np.complex64], sampling: float, smoothing: float) -> NDArray[np.float32]:
    """Smoothed phase of the exit wave of the particles in vacuum.

    The wave is taken in focus and as it left the particles: the function knows no optics, so that a label cannot
    depend on them. The phase is averaged over phonons after taking its absolute value; in single atomic columns it can
    pass pi and wrap, which the smoothing evens out.

    Parameters
    ----------
    particle_waves : complex64 [phonon, y, x]
        Exit waves of the particles alone, refocused to the particles; real and positive in vacuum.
    sampling : float
        Pixel of the wave [Å].
    smoothing : float
        Standard deviation of the Gaussian, periodic like the wave [Å].

    Returns
    -------
    float32 [y, x]
        Phase [rad].
    """
    phase = np.abs(np.angle(particle_waves)).mean(axis=0, dtype=np.float32)
    smoothed: NDArray[np.float32] = (
        gaussian_filter(phase, smoothing / sampling, mode="wrap") if smoothing > 0 else phase
    )
    return smoothed
