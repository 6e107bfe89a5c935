"""How far found outlines are from true ones.

The outline of a mask is made of its pixels with a neighbour, beside, above or below, that is not in it; the edge of the
image is no outline. Distances go from the centre of each pixel of one outline to the nearest of the other.

- The Hausdorff distance at 95 % is the 95th percentile of these distances, from the found outline to the true one or
  the other way, whichever is larger: D. P. Huttenlocher, G. A. Klanderman, W. J. Rucklidge, IEEE Trans. Pattern Anal.
  Mach. Intell. 15, 850 (1993), where it is a partial Hausdorff distance.
- The normalised surface Dice at a tolerance is the share of both outlines that is not farther than that from the other:
  S. Nikolov et al., J. Med. Internet Res. 23, e26151 (2021), here with outlines measured in pixels.

Where neither mask has an outline, because nothing or everything is marked, they agree: the distance is 0 and the Dice
1. Where one of them has none, the Dice is 0 and the distance the diagonal of the image: nothing could be farther off.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from exitwave.benchmark.metrics import SHARE, Score, ratio
from exitwave.data.strips import strips

TOLERANCES = (2, 4)
"""Of the normalised surface Dice [Å]: a lattice spacing, and what experts differ by."""
PERCENT = 95
SURFACE_COUNTS = ("outline_true", "outline_found", *(f"outline_within_{tolerance}" for tolerance in TOLERANCES))
"""What is counted of an image: pixels of both outlines, and those of both that are within each tolerance."""
HAUSDORFF = f"hausdorff_{PERCENT}"
NOTE = (
    "Outlines: Hausdorff is the 95th percentile of the distances from one outline to the other, the larger way, as a "
    "mean over images with particles; the surface Dice is the share of both outlines, of all images, that is within 2 "
    "or 4 Å of the other."
)
SUMMARY = (
    Score("surface_dice_2", "surface_dice_2", "Dice at 2 Å", "surface Dice at 2 Å", "outlines", True, limits=SHARE),
    Score("surface_dice_4", "surface_dice_4", "Dice at 4 Å", group="outlines"),
    Score(HAUSDORFF, HAUSDORFF, "Hausdorff [Å]", group="outlines", mean=True),
)


def outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a mask [H, W] with a neighbour that is not in it."""
    return np.asarray(mask & ~binary_erosion(mask, border_value=1))


def nearest(places: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Row and column [2, H, W] of the nearest marked pixel for every pixel; some must be marked."""
    # Distances of all pixels would take four times the memory.
    return np.asarray(distance_transform_edt(~places, return_distances=False, return_indices=True), np.int32)


def near(places: NDArray[np.bool_], distance: float, pixel_size: float) -> NDArray[np.bool_]:
    """Pixels [H, W] that are not farther from a marked one than a distance [Å]; none where none is marked."""
    found = np.zeros(places.shape, bool)
    if not places.any():
        return found
    indices = nearest(places)
    columns = np.arange(places.shape[1])
    for rows in strips(places.shape):
        down = indices[0, rows] - np.arange(rows.start, rows.stop)[:, None]
        found[rows] = np.hypot(down, indices[1, rows] - columns) * pixel_size <= distance
    return found


def count_surfaces(found: NDArray[np.bool_], true: NDArray[np.bool_], pixel_size: float) -> dict[str, float]:
    """Counts of the outlines of one image, and the distance between them.

    Parameters
    ----------
    found, true : bool array [H, W]
        Predicted and true mask.
    pixel_size : float
        [Å]

    Returns
    -------
    dict
        The names of ``SURFACE_COUNTS``, and ``hausdorff_95`` [Å].
    """
    outlines = outline(true), outline(found)
    sizes = [float(one.sum()) for one in outlines]
    if not all(sizes):
        farthest = float(np.hypot(*true.shape)) * pixel_size if any(sizes) else 0.0
        return dict(zip(SURFACE_COUNTS, (*sizes, *(0.0 for _ in TOLERANCES)), strict=True)) | {HAUSDORFF: farthest}
    distances = [_distances(one, other) * pixel_size for one, other in (outlines, outlines[::-1])]
    within = [float(sum((one <= tolerance).sum() for one in distances)) for tolerance in TOLERANCES]
    counts = dict(zip(SURFACE_COUNTS, (*sizes, *within), strict=True))
    return counts | {HAUSDORFF: float(max(np.percentile(one, PERCENT) for one in distances))}


def _distances(start: NDArray[np.bool_], end: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance from each marked pixel of one image to the nearest of another [px]."""
    places = np.nonzero(start)
    return np.asarray(np.hypot(*(to[places] - place for to, place in zip(nearest(end), places, strict=True))))


def scores_from_counts(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Normalised surface Dice from counts [..., 4] in the order of ``SURFACE_COUNTS``; 1 where there is no outline."""
    true, found, *within = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    return {
        f"surface_dice_{tolerance}": ratio(pixels, true + found, 1.0)
        for tolerance, pixels in zip(TOLERANCES, within, strict=True)
    }
