"""Classical baselines: what a person gets without a network. None has been tuned on the benchmarks.

Each takes an image [H, W] and its pixel size [Å] and returns a mask [H, W], true on particles. Lengths are in pixels
where the published number is, and in ångström where a physical length is meant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

BLUR = 3.0
"""Standard deviation of the blur before thresholding the intensity [px]."""
NEIGHBOURHOOD = 6.0
"""Standard deviation of the Gaussian neighbourhood over which variance and lattice energy are averaged [Å]."""
LATTICE_SPACINGS = (1.9, 2.6)
"""Lattice spacings taken for fringes [Å]: 111 and 200 of the fcc noble metals (Au 2.35 and 2.04)."""

Baseline = Callable[[NDArray[np.float32], float], NDArray[np.bool_]]


def everything(image: NDArray[np.float32], pixel_size: float) -> NDArray[np.bool_]:
    """Every pixel is particle: the score of a prediction that looks at nothing."""
    return np.ones(image.shape, dtype=bool)


def otsu_intensity(image: NDArray[np.float32], pixel_size: float) -> NDArray[np.bool_]:
    """Otsu threshold after a Gaussian blur of 3 px; the dark side is particle (bright-field mass thickness)."""
    blurred = gaussian_filter(image.astype(np.float64), BLUR)
    return np.asarray(blurred < _otsu(blurred))


def otsu_local_deviation(image: NDArray[np.float32], pixel_size: float) -> NDArray[np.bool_]:
    """Otsu threshold of the local standard deviation: particles have more contrast than the substrate."""
    deviation = _local_deviation(image, pixel_size)
    return deviation > _otsu(deviation)


def otsu_lattice_energy(image: NDArray[np.float32], pixel_size: float) -> NDArray[np.bool_]:
    """Otsu threshold of the energy in the band of the lattice fringes.

    Where the pixel is too coarse for the band (Nyquist), nothing is found.
    """
    centred = image.astype(np.float64) - image.mean()
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n, pixel_size) for n in image.shape), indexing="ij"))
    band = (frequency >= 1 / LATTICE_SPACINGS[1]) & (frequency <= 1 / LATTICE_SPACINGS[0])
    fringes = np.fft.ifft2(np.fft.fft2(centred) * band).real
    energy = gaussian_filter(fringes**2, NEIGHBOURHOOD / pixel_size)
    return np.asarray(energy > _otsu(energy))


def k_means(image: NDArray[np.float32], pixel_size: float) -> NDArray[np.bool_]:
    """Two clusters of blurred intensity and local standard deviation; the darker one is particle."""
    from sklearn.cluster import KMeans

    blurred = gaussian_filter(image.astype(np.float64), BLUR)
    features = np.stack([blurred.ravel(), _local_deviation(image, pixel_size).ravel()], axis=1)
    spread = features.std(axis=0)
    if not spread.any():
        return np.zeros(image.shape, dtype=bool)
    features = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    # The clustering starts at the two ends of the intensity, so it needs no random numbers.
    ends = features[[features[:, 0].argmin(), features[:, 0].argmax()]]
    model = KMeans(n_clusters=2, init=ends, n_init=1).fit(features)
    dark = int(model.cluster_centers_[:, 0].argmin())
    return np.asarray(model.labels_ == dark).reshape(image.shape)


def _local_deviation(image: NDArray[np.float32], pixel_size: float) -> NDArray[np.float64]:
    """Standard deviation in a Gaussian neighbourhood [H, W]."""
    centred = image.astype(np.float64) - image.mean()
    sigma = NEIGHBOURHOOD / pixel_size
    variance = gaussian_filter(centred**2, sigma) - gaussian_filter(centred, sigma) ** 2
    return np.asarray(np.sqrt(np.clip(variance, 0, None)))


def _otsu(values: NDArray[Any]) -> float:
    """Threshold of N. Otsu, IEEE Trans. SMC 9, 62 (1979); of constant values, that value."""
    from skimage.filters import threshold_otsu

    return float(threshold_otsu(values))


BASELINES: dict[str, Baseline] = {
    "everything is particle": everything,
    "Otsu after blur": otsu_intensity,
    "local deviation + Otsu": otsu_local_deviation,
    "lattice energy + Otsu": otsu_lattice_energy,
    "k-means": k_means,
}
"""The baselines by the name in tables."""
