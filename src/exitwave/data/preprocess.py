"""Preprocessing of images before a network sees them; the same for simulated and real images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label, median_filter, minimum

from exitwave.config.models import Preprocessing

PERCENTILES = (0.1, 99.9)
"""Grey values that become 0 and 1 by the normalisation ``percentile``: of 128 x 128 pixels 16 lie beyond each."""
FELLOWS = 4
"""So many pixels nearby that lie half as far out make it no outlier: bright dots of a lattice, not a few bad pixels."""
LINES = 4
"""So many times the limit away, pixels in a row are a dead column or a track, and not fringes."""
CLUSTER, STEP = (4, 30), 3
"""Pixels of a cluster that its neighbours' medians do not show, and how far each is at least beyond nearly all."""
_NEARBY = 5
"""Pixels that are nearby, on each side."""
_TOGETHER = 2**16
"""Pixels looked at in one step, so that memory does not grow with the image."""


def replace_outliers(images: NDArray[Any], limit: float) -> NDArray[np.float32]:
    """Replace pixels that stand alone far out by the median of the 3 x 3 pixels around them.

    Hot and dead pixels of a camera are of one pixel or few; strong hot columns and the tracks of cosmic rays are one
    pixel wide. Fringes and bright columns are not: near each of them are others that lie as far out, and its neighbours
    lead up to it. Bright dots narrower than about two pixels, and farther apart than five, cannot be told from hot
    pixels.

    Parameters
    ----------
    images : array [..., H, W]
        Images on the pixels of the camera; leading axes are independent images.
    limit : float
        Distance from that median above which a pixel may be an outlier, in robust standard deviations of all distances
        in the image; 0: nothing is replaced. The deviation is 1.4826 times the median absolute deviation, or what the
        range from the 1st to the 99th percentile tells, if that is more: where electrons are few, or fringes strong.
        It grows with the root of the brightness around the pixel, from twice the mean on.

    Returns
    -------
    float32 array [..., H, W]
        An outlier lies beyond its neighbours, but for the two nearest in value, by twice their range; and fewer than
        ``FELLOWS`` pixels nearby are half as far from their own medians. Pixels that touch and are ``LINES`` times the
        limit away do not count for each other. Clusters of ``CLUSTER`` pixels are outliers as a whole if all of
        them lie ``STEP`` times the range of nearly all pixels beyond it. Images of which nearly all pixels are equal
        stay as they are.
    """
    images = np.array(images, dtype=np.float32)
    if limit > 0:
        for index in np.ndindex(images.shape[:-2]):
            _replace(images[index], limit)
    return images


def _replace(image: NDArray[np.float32], limit: float) -> None:
    """Replace the outliers of one image [H, W] in place."""
    _replace_clusters(image)
    around = median_filter(image, size=3, mode="mirror")
    distance = image - around
    low, middle, high = np.percentile(distance, (1, 50, 99))
    # A normal distribution has 4.653 standard deviations from the 1st to the 99th percentile.
    deviation = max(1.4826 * float(np.median(np.abs(distance - middle))), float(high - low) / 4.653)
    # Shot noise grows with the counts: of what is several times brighter than the mean more is chance.
    mean = float(around.mean(dtype=np.float64))
    noise = deviation * (np.sqrt(np.maximum(around / (2 * mean), 1)) if mean > 0 else 1.0)
    rows, columns = np.nonzero(np.abs(distance) > limit * noise)
    if deviation == 0 or not len(rows):
        return
    lines = label(np.abs(distance) > LINES * limit * deviation, np.ones((3, 3)))[0]
    line = sliding_window_view(np.pad(lines, _NEARBY), (2 * _NEARBY + 1,) * 2)
    far = sliding_window_view(np.pad(np.abs(distance), _NEARBY), (2 * _NEARBY + 1,) * 2)
    values = sliding_window_view(np.pad(image, 1, mode="reflect"), (3, 3))
    for start in range(0, len(rows), _TOGETHER):
        part = rows[start : start + _TOGETHER], columns[start : start + _TOGETHER]
        away = distance[part]
        own = lines[part][:, None, None]
        others = (line[part] != own) | (own == 0)
        # Of a pixel that is on no line it counts itself.
        fellows = ((far[part] >= np.abs(away)[:, None, None] / 2) & others).sum(axis=(1, 2))
        # From the farthest neighbour to the nearest in value, as if all outliers were bright.
        neighbours = np.sort(np.delete(values[part].reshape(-1, 9), 4, axis=1) * np.sign(away)[:, None], axis=1)
        beyond = image[part] * np.sign(away) - neighbours[:, 5]
        alone = (fellows - (lines[part] == 0) < FELLOWS) & (beyond > 2 * (neighbours[:, 5] - neighbours[:, 0]))
        place = part[0][alone], part[1][alone]
        image[place] = around[place]


def _replace_clusters(image: NDArray[np.float32]) -> None:
    """Replace small clusters of pixels far beyond all others, with no pixel that leads up to them, in place."""
    low, high = np.percentile(image, (0.5, 99.5))
    beyond = np.maximum(image - high, low - image)
    clusters, number = label(beyond > high - low, np.ones((3, 3)))
    if high == low or not number:
        return
    # In units of the range of nearly all pixels. The image of anything that the lens has made has slopes.
    least = minimum(beyond, clusters, np.arange(1, number + 1)) / (high - low)
    sizes, boxes = np.bincount(clusters.ravel(), minlength=number + 1)[1:], find_objects(clusters)
    for cluster in np.flatnonzero((sizes >= CLUSTER[0]) & (sizes <= CLUSTER[1]) & (least > STEP)) + 1:
        box = tuple(slice(max(0, part.start - 2), part.stop + 2) for part in boxes[cluster - 1])
        inside = image[box]
        inside[clusters[box] == cluster] = np.median(inside[clusters[box] == 0])


def filter_median(images: NDArray[Any], size: int) -> NDArray[np.float32]:
    """Median filter in the image plane.

    Parameters
    ----------
    images : array [..., H, W]
        Images on the pixels of the network; leading axes are independent images.
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
    """Normalise every image by itself; one without contrast becomes zero.

    Parameters
    ----------
    images : array [..., H, W]
        Images; leading axes are independent images.
    normalization : {"percentile", "minmax", "standard"}
        ``PERCENTILES`` to 0 and 1, and cut off there; smallest and largest value to 0 and 1; or to mean 0 and standard
        deviation 1.

    Returns
    -------
    float32 array [..., H, W]
    """
    images = np.asarray(images).astype(np.float32)
    if normalization == "percentile":
        offset, top = np.percentile(images, PERCENTILES, axis=(-2, -1), keepdims=True)
        scale = top - offset
    elif normalization == "minmax":
        offset = images.min(axis=(-2, -1), keepdims=True)
        scale = images.max(axis=(-2, -1), keepdims=True) - offset
    else:
        offset = images.mean(axis=(-2, -1), keepdims=True, dtype=np.float64)
        scale = images.std(axis=(-2, -1), keepdims=True, dtype=np.float64)
        # Rounding leaves a constant image a deviation of about one part in 1e16, which is not contrast.
        scale = np.where(images.max(axis=(-2, -1), keepdims=True) > images.min(axis=(-2, -1), keepdims=True), scale, 0)
    normalized = np.zeros(images.shape)
    np.divide(images - offset, scale, out=normalized, where=scale > 0)
    if normalization == "percentile":
        np.clip(normalized, 0, 1, out=normalized)
    return normalized.astype(np.float32)


def has_contrast(images: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each image [..., H, W] has grey values that differ, but for the few beyond ``PERCENTILES``."""
    low, high = np.percentile(images, PERCENTILES, axis=(-2, -1))
    return np.asarray(high > low)


def preprocess(images: NDArray[Any], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Outliers, then median filter, then normalisation of every image by itself.

    Parameters
    ----------
    images : array [..., H, W]
        Counts or grey values; leading axes are independent images.
    preprocessing : Preprocessing
        Limit of outliers, window of the median filter and kind of normalisation.

    Returns
    -------
    float32 array [..., H, W]
    """
    cleaned = replace_outliers(images, preprocessing.outliers)
    return normalize(filter_median(cleaned, preprocessing.median), preprocessing.normalization)


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
