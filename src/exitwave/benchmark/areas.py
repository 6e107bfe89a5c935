"""Areas of a micrograph that do not show the specimen: data bars, annotations, and what is saturated."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_dilation,
    convolve,
    distance_transform_edt,
    label,
    maximum_filter,
    minimum_filter,
)

from exitwave.data.preprocess import outliers_replaced
from exitwave.data.strips import Patched, Rows, percentiles, strips, values_at, with_margin

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
BLOCK = 512
"""Edge [px] of a square that is filled at once, so that memory does not grow with the image."""


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
    cleaned, left_out = artifacts_replaced(image, outliers)
    return cleaned[:], left_out


def artifacts_replaced(image: Rows, outliers: float) -> tuple[Patched, Mask]:
    """The same, but for a cleaned image of which only what is replaced takes memory."""
    # First, lest a hot pixel is the brightest one in the place of a scale bar.
    cleaned = outliers_replaced(image, outliers)
    left_out = not_specimen(cleaned)
    return (cleaned if left_out.all() else filled(cleaned, left_out)), left_out


def not_specimen(image: Rows) -> Mask:
    """Where an image does not show the specimen.

    Parameters
    ----------
    image : Rows [H, W]

    Returns
    -------
    bool array [H, W]
        True in areas of one value of about 16 x 16 px or more, such as masked corners and saturation, unless they are
        most of the image; in data bars along an edge as a whole; and on letters and lines of the brightest or darkest
        value, if they are drawn with hard edges. All of an image of one value.
    """
    flat = _flat_areas(image)
    if not flat.all():
        for drawn in _annotations(image, flat):
            flat |= drawn
    return flat


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
    return filled(image, left_out)[:]


def filled(image: Rows, left_out: Mask) -> Patched:
    """The same, but for an image of which only what is filled takes memory."""
    places = np.flatnonzero(left_out)
    if left_out.size < 2**31:
        places = places.astype(np.int32)
    values = np.zeros(len(places), np.float32)
    height, width = left_out.shape
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            row, column = np.nonzero(left_out[top : top + BLOCK, left : left + BLOCK])
            if len(row):
                row, column = row + top, column + left
                nearest = _nearest(left_out, row, column)
                mirrored = [
                    np.clip(2 * near - here, 0, edge - 1)
                    for near, here, edge in zip(nearest, (row, column), left_out.shape, strict=True)
                ]
                # Where the mirror image is left out itself the nearest pixel has to do.
                out = left_out[mirrored[0], mirrored[1]]
                source = [np.where(out, near, mirror) for near, mirror in zip(nearest, mirrored, strict=True)]
                values[np.searchsorted(places, (row * width + column).astype(places.dtype))] = values_at(
                    image, source[0], source[1]
                )
    return Patched(image, places, values)


def _nearest(left_out: Mask, row: NDArray[np.intp], column: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Rows and columns of the nearest pixels that are not left out to some that are, which lie in one block."""
    margin = BLOCK // 8
    while True:
        top, left = max(0, int(row.min()) - margin), max(0, int(column.min()) - margin)
        part = left_out[top : int(row.max()) + margin + 1, left : int(column.max()) + margin + 1]
        whole = part.shape == left_out.shape
        if whole or not part.all():
            nearest = distance_transform_edt(part, return_distances=False, return_indices=True)
            found = [axis[row - top, column - left] for axis in nearest]
            far = np.hypot(found[0] + top - row, found[1] + left - column).max()
            # What is beyond the margin is farther still.
            if whole or far <= margin:
                return [found[0].astype(np.intp) + top, found[1].astype(np.intp) + left]
            margin = int(far) + 1
        else:
            margin *= 2


def _flat_areas(image: Rows) -> Mask:
    shape = (image.shape[0], image.shape[1])
    nothing = np.zeros(shape, dtype=bool)
    centres = np.empty(shape, dtype=bool)
    for rows in strips(shape):
        centres[rows] = _equal(image, rows, WINDOW)
    if centres.all():
        return centres
    # Labels take four times the memory of the centres: of rows without one there are none.
    some = np.flatnonzero(centres.any(axis=1))
    if not len(some):
        return nothing
    part = slice(int(some[0]), int(some[-1]) + 1)
    parts, number = label(centres[part], np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=number + 1)[1:]
    large = np.flatnonzero(sizes >= LEAST) + 1
    if not len(large):
        return nothing
    values = _values_of(image, parts, part.start)[large]
    different, which = np.unique(values, return_inverse=True)
    noiseless = len(different) > 1 and centres.mean() > BACKGROUND
    if noiseless and sum(int(_equal(image, rows, 3).sum()) for rows in strips(shape)) > NOISELESS * centres.size:
        return nothing
    same, others, low, high = np.zeros(len(different), np.int64), 0, np.inf, -np.inf
    for rows in strips(shape):
        pixels = image[rows]
        low, high = min(low, pixels.min()), max(high, pixels.max())
        other = pixels[~centres[rows]]
        place = np.minimum(np.searchsorted(different, other), len(different) - 1)
        same += np.bincount(place[different[place] == other], minlength=len(different))
        others += len(other)
    usual = same > USUAL * others
    shared = np.bincount(which, weights=sizes[large - 1]) >= SHARED * centres.size
    extreme = (different == low) | (different == high)
    kept = np.zeros(number + 1, dtype=bool)
    kept[large] = (~usual & (shared | extreme))[which]
    nothing[part] = kept[parts]
    del parts, centres
    flat: Mask = maximum_filter(nothing, WINDOW, mode="constant")
    del nothing
    if flat.mean() > BACKGROUND:
        return np.zeros(shape, dtype=bool)
    for bar in _bars(flat):
        flat[bar] = True
    return flat


def _values_of(image: Rows, parts: NDArray[np.int32], first: int) -> NDArray[np.float32]:
    """Value of each part, all of whose pixels have one; that of no part is 0."""
    values = np.zeros(int(parts.max()) + 1, np.float32)
    for rows in strips(parts.shape):
        here = parts[rows]
        values[here] = image[first + rows.start : first + rows.stop]
    values[0] = 0
    return values


def _bars(flat: Mask) -> list[tuple[slice, slice]]:
    """Data bars along an edge, with their letters."""
    bars = []
    for turns in range(4):
        turned = np.rot90(flat, turns)
        # What goes on below is no bar, so that nothing has to be known of what is there.
        highest = int(HIGHEST_BAR * len(turned))
        if not (turned[:highest].mean(axis=1) >= BAR).any():
            continue
        parts = label(turned[: highest + 1], np.ones((3, 3)))[0]
        for part in set(parts[0]) & set(parts[:, 0]) & set(parts[:, -1]) - {0} - set(parts[-1]):
            height = int(np.flatnonzero((parts == part).any(axis=1))[-1]) + 1
            if (parts[height - 1] == part).mean() >= BAR:
                long, wide = flat.shape
                bars.append(
                    (
                        (slice(0, height), slice(None)),
                        (slice(None), slice(wide - height, wide)),
                        (slice(long - height, long), slice(None)),
                        (slice(None), slice(0, height)),
                    )[turns]
                )
    return bars


def _annotations(image: Rows, flat: Mask) -> list[Mask]:
    """Letters and lines drawn into an image: thin, of an extreme value, and beside ordinary ones."""
    shape = flat.shape

    def ordinary() -> Iterator[NDArray[np.float32]]:
        return (image[rows][~flat[rows]] for rows in strips(shape) if not flat[rows].all())

    middle = percentiles(ordinary, (50,))[0]
    lowest, highest = min(part.min() for part in ordinary()), max(part.max() for part in ordinary())
    found = []
    for extreme, nearest in ((highest, np.max), (lowest, np.min)):
        away = abs(extreme - middle)
        number = sum(int(np.count_nonzero(part == extreme)) for part in ordinary())
        if away == 0 or not STROKES <= number <= MOST_STROKES * flat.size:
            continue
        # Saturated noise has a tail that leads up to it.
        next_ones = [nearest(others) for part in ordinary() if len(others := part[part != extreme])]
        next_one, tail = nearest(next_ones), np.zeros(2, np.int64)
        for part in ordinary():
            others = part[part != extreme]
            tail += (np.count_nonzero(np.abs(others - extreme) <= away / 10), np.count_nonzero(others == next_one))
        if number <= 5 * tail.max():
            continue
        drawn = np.empty(shape, dtype=bool)
        for rows in strips(shape):
            drawn[rows] = (image[rows] == extreme) & ~flat[rows]
        if _is_drawn(image, flat, drawn, middle, away):
            found.append(drawn)
    return found


def _is_drawn(image: Rows, flat: Mask, drawn: Mask, middle: float, away: float) -> bool:
    """Whether pixels are thin and have ordinary ones beside them."""
    around = np.asarray(convolve(drawn.view(np.uint8), np.ones((3, 3), np.uint8), mode="constant"))
    lines = (around[drawn] > 2).mean() > 0.5
    del around
    if not lines or minimum_filter(drawn, 2 * THICKEST + 1, mode="nearest").any():
        return False
    # Beside a letter the image begins at once; a peak that is cut off goes on to fall.
    inner, medians = drawn, []
    for _ in range(2):
        outer = binary_dilation(inner, np.ones((3, 3)))
        row, column = np.nonzero(outer & ~inner & ~flat)
        if not len(row):
            return False
        medians.append(float(np.median(values_at(image, row, column))))
        inner = outer
    first, second = medians
    return abs(second - middle) < away / 2 and abs(first - second) < away / 10


def _equal(image: Rows, rows: slice, edge: int) -> Mask:
    """Pixels of some rows in the middle of a square of equal values."""
    margin = edge // 2
    padded = with_margin(image, rows, margin, "edge")
    beside = padded[:, 1:] == padded[:, :-1]
    # Most strips have not even a line of equal values, which is faster to see.
    if not np.logical_and.reduce([beside[:, k : beside.shape[1] - edge + 2 + k] for k in range(edge - 1)]).any():
        return np.zeros((rows.stop - rows.start, image.shape[1]), dtype=bool)
    equal = maximum_filter(padded, edge) == minimum_filter(padded, edge)
    return np.asarray(equal[margin:-margin, margin:-margin])
