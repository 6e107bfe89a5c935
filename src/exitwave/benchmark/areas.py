"""Areas of a micrograph that do not show the specimen: data bars, annotations, and what is saturated."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_dilation,
    convolve,
    distance_transform_cdt,
    distance_transform_edt,
    find_objects,
    label,
    maximum_filter,
    minimum_filter,
)

from exitwave.data.preprocess import replace_outliers

Mask = NDArray[np.bool_]

WINDOW = 7
"""Edge [px] of a square of equal values that makes its centre flat."""
LEAST = 100
"""Smallest number of such centres that touch: a square of 16 px is flat, a few equal pixels are chance."""
USUAL = 0.85
"""Share of the other pixels that have the value of an area, above which it is none: most pixels without an electron."""
NOISELESS = 0.9
"""Share of pixels equal to all eight neighbours, above which areas of several values are a picture without noise."""
SHARED = 0.02
"""Share of an image that is flat at one value, unless that is an extreme one: a smoothed image has many small areas."""
BACKGROUND = 0.5
"""Share of an image above which what is flat is the background of the specimen."""
BAR = 0.9
"""Share of its first row that is flat in a data bar, which ends straight."""
HIGHEST_BAR = 1 / 3
"""Height of a data bar, as a share of the image."""
STROKES, MOST_STROKES = 30, 0.05
"""Smallest number of pixels of an annotation, and the largest share of an image."""
THICKEST = 3
"""Half the width of the strokes of an annotation [px]; what is thicker is a specimen that is cut off."""


def without_artifacts(image: NDArray[np.float32], outliers: float) -> tuple[NDArray[np.float32], Mask]:
    """An image without what the specimen did not make, and where it shows no specimen.

    Parameters
    ----------
    image : float32 array [H, W]
        On the pixels of the camera.
    outliers : float
        Limit of outliers; see `exitwave.data.preprocess.replace_outliers`.

    Returns
    -------
    image : float32 array [H, W]
        Outliers replaced, and what is left out filled unless that is all.
    left_out : bool array [H, W]
        See `not_specimen`.
    """
    # First, lest a hot pixel is the brightest one in the place of a scale bar.
    cleaned = replace_outliers(image, outliers)
    left_out = not_specimen(cleaned)
    return (cleaned if left_out.all() else continued(cleaned, left_out)), left_out


def not_specimen(image: NDArray[np.float32]) -> Mask:
    """Where an image does not show the specimen.

    Parameters
    ----------
    image : float32 array [H, W]

    Returns
    -------
    bool array [H, W]
        True in areas of one value of about 16 x 16 px or more, such as masked corners and saturation, unless they are
        most of the image; in data bars along an edge as a whole; and on letters and lines of the brightest or darkest
        value, if they are drawn with hard edges. All of an image of one value.
    """
    flat = _flat_areas(image)
    return flat if flat.all() else np.asarray(flat | _annotations(image, flat))


def continued(image: NDArray[np.float32], left_out: Mask) -> NDArray[np.float32]:
    """An image with some areas filled by the mirror image of what lies beside them, so that none has an edge there.

    Parameters
    ----------
    image : float32 array [H, W]
    left_out : bool array [H, W]
        Areas to fill; not all of the image.

    Returns
    -------
    float32 array [H, W]
    """
    if not left_out.any():
        return image
    nearest = distance_transform_edt(left_out, return_distances=False, return_indices=True)
    edges = np.array(image.shape)[:, None, None] - 1
    mirrored = np.clip(2 * nearest - np.indices(image.shape), 0, edges)
    # Where the mirror image is left out itself the nearest pixel has to do.
    source = np.where(left_out[tuple(mirrored)], nearest, mirrored)
    filled: NDArray[np.float32] = image[tuple(source)]
    return filled


def _flat_areas(image: NDArray[np.float32]) -> Mask:
    nothing = np.zeros(image.shape, dtype=bool)
    centres = _equal(image, WINDOW)
    if centres.all():
        return ~nothing
    parts, number = label(centres, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=number + 1)[1:]
    large = np.flatnonzero(sizes >= LEAST) + 1
    if not len(large):
        return nothing
    boxes = find_objects(parts)
    values = np.array([image[boxes[part - 1]][parts[boxes[part - 1]] == part][0] for part in large])
    different, which = np.unique(values, return_inverse=True)
    if len(different) > 1 and centres.mean() > BACKGROUND and _equal(image, 3).mean() > NOISELESS:
        return nothing
    other = image[~centres]
    place = np.minimum(np.searchsorted(different, other), len(different) - 1)
    usual = np.bincount(place[different[place] == other], minlength=len(different)) > USUAL * len(other)
    shared = np.bincount(which, weights=sizes[large - 1]) >= SHARED * image.size
    extreme = (different == image.min()) | (different == image.max())
    kept = np.zeros(number + 1, dtype=bool)
    kept[large] = (~usual & (shared | extreme))[which]
    flat = np.asarray(maximum_filter(kept[parts], WINDOW, mode="constant"))
    return nothing if flat.mean() > BACKGROUND else np.asarray(flat | _bars(flat))


def _bars(flat: Mask) -> Mask:
    """Data bars along an edge, with their letters."""
    bars = np.zeros(flat.shape, dtype=bool)
    parts = label(flat, np.ones((3, 3)))[0]
    for turns in range(4):
        turned, target = np.rot90(parts, turns), np.rot90(bars, turns)
        for part in set(turned[0]) & set(turned[:, 0]) & set(turned[:, -1]) - {0} - set(turned[-1]):
            rows = np.flatnonzero((turned == part).any(axis=1))
            height = int(rows[-1]) + 1
            if height <= HIGHEST_BAR * len(turned) and (turned[height - 1] == part).mean() >= BAR:
                target[:height] = True
    return bars


def _annotations(image: NDArray[np.float32], flat: Mask) -> Mask:
    """Letters and lines drawn into an image: thin, of an extreme value, and beside ordinary ones."""
    found = np.zeros(image.shape, dtype=bool)
    values = image[~flat]
    middle = np.median(values)
    for extreme, nearest in ((values.max(), np.max), (values.min(), np.min)):
        drawn, away = (image == extreme) & ~flat, abs(extreme - middle)
        if away == 0 or not STROKES <= drawn.sum() <= MOST_STROKES * image.size:
            continue
        others = values[values != extreme]
        # Saturated noise has a tail that leads up to it.
        tail = max((np.abs(others - extreme) <= away / 10).sum(), (others == nearest(others)).sum())
        around = np.asarray(convolve(drawn.astype(np.uint8), np.ones((3, 3), np.uint8), mode="constant"))
        thick = distance_transform_cdt(drawn, metric="chessboard").max() > THICKEST
        if drawn.sum() <= 5 * tail or (around[drawn] > 2).mean() <= 0.5 or thick:
            continue
        # Beside a letter the image begins at once; a peak that is cut off goes on to fall.
        grown = [binary_dilation(drawn, np.ones((3, 3)), iterations=steps) for steps in (1, 2)]
        first, second = (image[outer & ~inner & ~flat] for inner, outer in pairwise((drawn, *grown)))
        if len(first) and len(second):
            step = abs(np.median(first) - np.median(second))
            if abs(np.median(second) - middle) < away / 2 and step < away / 10:
                found |= drawn
    return found


def _equal(image: NDArray[np.float32], edge: int) -> Mask:
    """Pixels in the middle of a square of equal values."""
    return np.asarray(maximum_filter(image, edge, mode="nearest") == minimum_filter(image, edge, mode="nearest"))
