"""Areas of a micrograph in which nothing was recorded: information bars, lettering, and what is saturated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_dilation,
    convolve,
    distance_transform_edt,
    find_objects,
    label,
    maximum_filter,
    minimum_filter,
)

WINDOW = 7
"""Edge [px] of a square of equal values that makes its centre flat."""
LEAST = 100
"""Smallest number of such centres that touch: a square of 16 px is flat, a few equal pixels are chance."""
USUAL = 0.85
"""Share of the other pixels that have the value of an area, above which it is none: most pixels without an electron."""
NOISELESS = 0.9
"""Share of pixels equal to all eight neighbours, above which areas of several values are a picture without noise."""
LETTERING = 15
"""Gaps [px] in an area up to which are part of it: the letters of an information bar."""
BAR = 0.9
"""Share of a row or column at the edge that is flat, from which all of it is part of a bar."""
HOLE = 0.2
"""Size of what flat areas enclose, as a share of theirs, below which it belongs to them."""
STROKES = 30
"""Smallest number of pixels of lettering."""
MOST_STROKES = 0.05
"""Largest share of an image that lettering takes; what is more is saturation of noise."""


def unrecorded(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where an image does not show what the microscope saw.

    Parameters
    ----------
    image : float32 array [H, W]

    Returns
    -------
    bool array [H, W]
        True in flat areas of about 16 x 16 px or more, such as information bars with their letters, masked corners and
        saturation; bars along an edge as a whole. True also on letters and lines of the brightest or darkest value,
        and the pixels beside them.
    """
    flat = _flat_areas(image)
    return flat if flat.all() else np.asarray(flat | _strokes(image, flat))


def _flat_areas(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    centres = _equal(image, WINDOW)
    if centres.all():
        return np.ones(image.shape, dtype=bool)
    parts, number = label(centres, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=number + 1)
    if centres.mean() > 0.5 and len(np.unique(image[centres])) > 1 and _equal(image, 3).mean() > NOISELESS:
        return np.zeros(image.shape, dtype=bool)
    other = image[~centres]
    kept = np.zeros(number + 1, dtype=bool)
    places = find_objects(parts)
    for part in np.flatnonzero(sizes[1:] >= LEAST) + 1:
        box = places[part - 1]
        value = image[box][parts[box] == part][0]
        kept[part] = (other == value).mean() <= USUAL
    if not kept.any():
        return np.zeros(image.shape, dtype=bool)
    flat = maximum_filter(kept[parts], WINDOW, mode="constant")
    # Beyond the edges lies nothing: a bar reaches up to them.
    flat = minimum_filter(maximum_filter(flat, LETTERING, mode="nearest"), LETTERING, mode="nearest")
    flat |= _holes(flat)
    for view in (flat, flat[::-1], flat.T, flat.T[::-1]):
        across = view.mean(axis=1) >= BAR
        view[: len(across) if across.all() else int(np.argmin(across))] = True
    return np.asarray(flat)


def _strokes(image: NDArray[np.float32], flat: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Letters and lines drawn into an image: of an extreme value, and beside ordinary ones, as saturation is not."""
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
        beside = binary_dilation(drawn, np.ones((5, 5))) & ~binary_dilation(drawn, np.ones((3, 3))) & ~flat
        if (
            drawn.sum() > 5 * tail
            and (around[drawn] > 2).mean() > 0.5
            and beside.any()
            and abs(np.median(image[beside]) - middle) < away / 2
        ):
            found |= binary_dilation(drawn, np.ones((3, 3)))
    return found


def _equal(image: NDArray[np.float32], edge: int) -> NDArray[np.bool_]:
    """Pixels in the middle of a square of equal values."""
    return np.asarray(maximum_filter(image, edge, mode="nearest") == minimum_filter(image, edge, mode="nearest"))


def _holes(areas: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What areas enclose, such as letters; not what a frame encloses, which is the image."""
    parts, number = label(~areas)
    enclosed = np.bincount(parts.ravel(), minlength=number + 1) < HOLE * areas.sum()
    enclosed[0] = False
    for edge in (parts[0], parts[-1], parts[:, 0], parts[:, -1]):
        enclosed[edge] = False
    return np.asarray(enclosed[parts])


def continued(image: NDArray[np.float32], left_out: NDArray[np.bool_]) -> NDArray[np.float32]:
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
