"""Preprocessing of images before a network sees them; the same for simulated and real images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from exitwave.config.models import Preprocessing
from exitwave.data.strips import Patched, Rows, median3, percentiles, strips, touching, with_margin

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
            replaced = outliers_replaced(images[index], limit)
            images[index].reshape(-1)[replaced.places] = replaced.values
    return images


def outliers_replaced(image: Rows, limit: float) -> Patched:
    """The same of one image, of which only the pixels that are replaced take memory.

    Parameters
    ----------
    image : Rows [H, W]
    limit : float
        See `replace_outliers`.

    Returns
    -------
    Patched
    """
    if limit <= 0:
        return Patched(image, np.zeros(0, np.intp), np.zeros(0, np.float32))
    clusters = _clusters_replaced(image)
    places, values = _alone(clusters, limit)
    # A pixel of a cluster may stand out again from the median that it was given.
    all_places, last = np.unique(np.concatenate([places, clusters.places]), return_index=True)
    return Patched(image, all_places, np.concatenate([values, clusters.values])[last])


def _away(image: Rows, rows: slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Medians of the 3 x 3 pixels around those of some rows, and the distances of these from them."""
    padded = with_margin(image, rows, 1, "reflect").astype(np.float32, copy=False)
    around = median3(padded)
    return around, padded[1:-1, 1:-1] - around


def _alone(image: Patched, limit: float) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Pixels that stand alone far out, and the medians around them."""
    shape = image.shape
    height, width = shape

    def distances() -> Iterator[NDArray[np.float32]]:
        return (_away(image, rows)[1] for rows in strips(shape))

    low, middle, high = percentiles(distances, (1, 50, 99))
    spread = percentiles(lambda: (np.abs(part - middle) for part in distances()), (50,))[0]
    # A normal distribution has 4.653 standard deviations from the 1st to the 99th percentile.
    deviation = max(1.4826 * float(spread), float(high - low) / 4.653)
    if deviation == 0:
        return np.zeros(0, np.intp), np.zeros(0, np.float32)
    mean, far = 0.0, []
    for rows in strips(shape):
        around, distance = _away(image, rows)
        mean += float(around.sum(dtype=np.float64)) / (height * width)
        far.append(rows.start * width + np.flatnonzero(np.abs(distance) > LINES * limit * deviation))
    lined = np.concatenate(far)
    lines = touching(lined, width) if len(lined) else np.zeros(0, np.int32)
    found = [
        _alone_in(image, rows, lambda around: _noise(around, deviation, mean) * limit, lined, lines)
        for rows in strips(shape)
    ]
    places, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return places, values


def _noise(around: NDArray[np.float32], deviation: float, mean: float) -> NDArray[Any] | float:
    """Deviation of a pixel by what is around it."""
    # Shot noise grows with the counts: of what is several times brighter than the mean more is chance.
    return deviation * (np.sqrt(np.maximum(around / (2 * mean), 1)) if mean > 0 else 1.0)


def _alone_in(
    image: Patched,
    rows: slice,
    allowed: Callable[[NDArray[np.float32]], NDArray[Any] | float],
    lined: NDArray[np.intp],
    lines: NDArray[np.int32],
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Those of :func:`_alone` in some rows.

    Parameters
    ----------
    image : Patched
    rows : slice
    allowed : callable
        Distance up to which a pixel is no outlier, by the medians around.
    lined, lines : int array [n]
        Pixels in rows of such, and the number of the row of each.
    """
    (height, width), edge = image.shape, 2 * _NEARBY + 1
    start, stop = max(0, rows.start - _NEARBY), min(height, rows.stop + _NEARBY)
    around, distance = _away(image, slice(start, stop))
    own = slice(rows.start - start, rows.stop - start)
    row, column = np.nonzero(np.abs(distance[own]) > allowed(around[own]))
    if not len(row):
        return np.zeros(0, np.intp), np.zeros(0, np.float32)
    numbers = np.zeros(distance.shape, np.int32)
    first, last = np.searchsorted(lined, (start * width, stop * width))
    numbers.reshape(-1)[lined[first:last] - start * width] = lines[first:last]
    beyond_edges = ((_NEARBY - own.start, _NEARBY - (stop - rows.stop)), (_NEARBY, _NEARBY))
    line = sliding_window_view(np.pad(numbers, beyond_edges), (edge, edge))
    far = sliding_window_view(np.pad(np.abs(distance), beyond_edges), (edge, edge))
    pixels = with_margin(image, rows, 1, "reflect")
    values = sliding_window_view(pixels, (3, 3))
    places, medians = [], []
    for begin in range(0, len(row), _TOGETHER):
        part = row[begin : begin + _TOGETHER], column[begin : begin + _TOGETHER]
        away, here = distance[own][part], numbers[own][part][:, None, None]
        others = (line[part] != here) | (here == 0)
        # Of a pixel that is on no line it counts itself.
        fellows = ((far[part] >= np.abs(away)[:, None, None] / 2) & others).sum(axis=(1, 2))
        # From the farthest neighbour to the nearest in value, as if all outliers were bright.
        neighbours = np.sort(np.delete(values[part].reshape(-1, 9), 4, axis=1) * np.sign(away)[:, None], axis=1)
        beyond = values[part][:, 1, 1] * np.sign(away) - neighbours[:, 5]
        alone = fellows - (here[:, 0, 0] == 0) < FELLOWS
        alone &= beyond > 2 * (neighbours[:, 5] - neighbours[:, 0])
        places.append((rows.start + part[0][alone]) * width + part[1][alone])
        medians.append(around[own][part][alone])
    return np.concatenate(places), np.concatenate(medians)


def _clusters_replaced(image: Rows) -> Patched:
    """An image with small clusters of pixels far beyond all others, with no pixel that leads up to them, replaced."""
    width = image.shape[1]
    low, high = percentiles(lambda: (image[rows] for rows in strips(image.shape)), (0.5, 99.5))
    places, values, size = [np.zeros(0, np.intp)], [np.zeros(0)], high - low
    for rows in strips(image.shape) if size > 0 else ():
        part = image[rows].astype(np.float32, copy=False).reshape(-1)
        beyond = np.maximum(part - high, low - part)
        here = np.flatnonzero(beyond > size)
        places.append(rows.start * width + here)
        values.append(beyond[here] / size)
    far, least = np.concatenate(places), np.concatenate(values)
    replaced, medians = [np.zeros(0, np.intp)], [np.zeros(0, np.float32)]
    if len(far):
        clusters = touching(far, width)
        order = np.argsort(clusters, kind="stable")
        members = np.split(far[order], np.flatnonzero(np.diff(clusters[order])) + 1)
        # In units of the range of nearly all pixels. The image of anything that the lens has made has slopes.
        nearest = [part.min() for part in np.split(least[order], np.flatnonzero(np.diff(clusters[order])) + 1)]
        for cluster, above in zip(members, nearest, strict=True):
            if CLUSTER[0] <= len(cluster) <= CLUSTER[1] and above > STEP:
                replaced.append(cluster)
                medians.append(np.full(len(cluster), _median_beside(image, cluster, far), np.float32))
    all_replaced = np.concatenate(replaced)
    rising = np.argsort(all_replaced)
    return Patched(image, all_replaced[rising], np.concatenate(medians)[rising])


def _median_beside(image: Rows, cluster: NDArray[np.intp], far: NDArray[np.intp]) -> float:
    """Median of the pixels in and around the box of a cluster that are in no cluster."""
    height, width = image.shape
    row, column = np.divmod(cluster, width)
    top, bottom = max(0, int(row.min()) - 2), min(height, int(row.max()) + 3)
    left, right = max(0, int(column.min()) - 2), min(width, int(column.max()) + 3)
    ordinary = np.ones((bottom - top, width), bool)
    first, last = np.searchsorted(far, (top * width, bottom * width))
    ordinary.reshape(-1)[far[first:last] - top * width] = False
    box = image[top:bottom][:, left:right].astype(np.float32, copy=False)
    return float(np.median(box[ordinary[:, left:right]]))


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
    images = np.array(images, dtype=np.float32)
    for index in np.ndindex(images.shape[:-2]):
        filter_median_in_place(images[index], size)
    return images


def filter_median_in_place(image: NDArray[np.float32], size: int) -> None:
    """The same of one image [H, W], which becomes the filtered one."""
    if size == 1:
        return
    margin = size // 2
    parts = list(strips(image.shape, margin))
    padded = with_margin(image, parts[0], margin, "symmetric")
    for place, rows in enumerate(parts):
        # The next rows need these as they were.
        following = with_margin(image, parts[place + 1], margin, "symmetric") if place + 1 < len(parts) else padded
        if size == 3:
            image[rows] = median3(padded)
        else:
            image[rows] = median_filter(padded, size=size)[margin:-margin, margin:-margin]
        padded = following


def normalize(images: NDArray[Any], normalization: str) -> NDArray[np.float32]:
    """Normalise every image by itself; one without contrast becomes zero.

    Parameters
    ----------
    images : array [..., H, W]
        Images; leading axes are independent images.
    normalization : {"percentile", "root", "minmax", "standard"}
        ``PERCENTILES`` to 0 and 1, and cut off there; the square root of that, which also makes the noise of counts
        even; smallest and largest value to 0 and 1; or to mean 0 and standard deviation 1.

    Returns
    -------
    float32 array [..., H, W]
    """
    images = np.asarray(images).astype(np.float32)
    if normalization in ("percentile", "root"):
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
    if normalization in ("percentile", "root"):
        np.clip(normalized, 0, 1, out=normalized)
    if normalization == "root":
        np.sqrt(normalized, out=normalized)
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
