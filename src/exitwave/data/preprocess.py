"""Preprocessing of images before a network sees them; the same for simulated and real images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from exitwave.config.models import Preprocessing


def remove_outliers(images: NDArray[Any], size: int) -> NDArray[np.float32]:
    """Median filter in the image plane.

    Parameters
    ----------
    images : array [..., H, W]
        Images; leading axes are independent images.
    size : int
        Edge of the square window [px]; 1 leaves the images as they are.

    Returns
    -------
    float32 array [..., H, W]
    """
    images = np.asarray(images).astype(np.float32)
    if size == 1:
        return images
    filtered = np.empty_like(images)
    # Image by image: about twice as fast as a window of (1, ..., size, size) on the stack.
    for index in np.ndindex(images.shape[:-2]):
        filtered[index] = median_filter(images[index], size=size, mode="reflect")
    return filtered


def normalize(images: NDArray[Any], normalization: str) -> NDArray[np.float32]:
    """Normalise every image by itself; a constant image becomes zero.

    Parameters
    ----------
    images : array [..., H, W]
        Images; leading axes are independent images.
    normalization : {"minmax", "standard"}
        To [0, 1], or to mean 0 and standard deviation 1.

    Returns
    -------
    float32 array [..., H, W]
    """
    images = np.asarray(images).astype(np.float32)
    if normalization == "minmax":
        offset = images.min(axis=(-2, -1), keepdims=True)
        scale = images.max(axis=(-2, -1), keepdims=True) - offset
    else:
        offset = images.mean(axis=(-2, -1), keepdims=True, dtype=np.float64)
        scale = images.std(axis=(-2, -1), keepdims=True, dtype=np.float64)
        # Rounding leaves a constant image a deviation of about one part in 1e16, which is not contrast.
        scale = np.where(images.max(axis=(-2, -1), keepdims=True) > images.min(axis=(-2, -1), keepdims=True), scale, 0)
    normalized = np.zeros(images.shape)
    np.divide(images - offset, scale, out=normalized, where=scale > 0)
    return normalized.astype(np.float32)


def preprocess(images: NDArray[Any], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Median filter, then normalisation of every image by itself.

    Parameters
    ----------
    images : array [..., H, W]
        Counts or grey values; leading axes are independent images.
    preprocessing : Preprocessing
        Window of the median filter and kind of normalisation.

    Returns
    -------
    float32 array [..., H, W]
    """
    return normalize(remove_outliers(images, preprocessing.median), preprocessing.normalization)


def preprocess_stack(images: NDArray[Any], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """The same of a large stack of images [n, H, W], few at a time: it takes several times the memory of what it gives.

    Parameters
    ----------
    images : array [n, H, W]
    preprocessing : Preprocessing

    Returns
    -------
    float32 array [n, H, W]
    """
    few = np.array_split(images, len(images) // 64 + 1)
    return np.concatenate([preprocess(part, preprocessing) for part in few])
