"""What networks see of diffraction patterns and their probes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

HOT = 5.0
"""A pixel so many times brighter than the brightest of the eight around it stands alone ..."""
HOT_SHARE = 1e-3
"""... if it also holds so much of all electrons: single electrons stand alone as well."""
_AROUND = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)


def without_hot_pixels(patterns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Patterns [n, H, W] in which pixels that stand alone have the value of the brightest around them."""
    around = maximum_filter(patterns, footprint=_AROUND[None], mode="nearest")
    alone = (patterns > HOT * around) & (patterns > HOT_SHARE * patterns.sum(axis=(1, 2), keepdims=True))
    return np.where(alone, around, patterns)


def scaled(
    patterns: NDArray[np.floating | np.integer], probes: NDArray[np.floating | np.integer]
) -> NDArray[np.float16]:
    """Amplitudes of patterns and of their probes, in units of the brightest pixel of the probe.

    Both are shares of their electrons first, so that neither dose nor exposure counts. Amplitudes, since in intensities
    the direct beam outshines all else.

    Parameters
    ----------
    patterns, probes : array [n, H, W]
        Intensities; negative ones count as 0, as do those that are not finite. Probes may be one for all [1, H, W].

    Returns
    -------
    float16 [n, 2, H, W]
        Pattern and probe; 0 where a pattern or a probe is empty. In half precision, which is finer than the noise,
        since a training holds them in memory.
    """
    both = []
    for images in (patterns, probes):
        values = without_hot_pixels(np.maximum(np.nan_to_num(images.astype(np.float32), posinf=0.0), 0.0))
        total = values.sum(axis=(1, 2), keepdims=True, dtype=np.float64)
        both.append(values / np.where(total > 0, total, 1.0))
    shares, probe = both
    brightest = probe.max(axis=(1, 2), keepdims=True)
    unit = np.where(brightest > 0, brightest, 1.0)
    seen = [shares / unit, np.broadcast_to(probe / unit, shares.shape)]
    return np.sqrt(np.stack(seen, axis=1)).astype(np.float16)
