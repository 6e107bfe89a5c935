"""From a mask to particles: holes filled, touching particles split, specks left out.

Of every region, the distance to its outline has a peak in each of its lobes. Two lobes are two particles where the neck
between them is clearly narrower than the smaller lobe: where the highest pass between the peaks, the saddle, is below
``NECK`` times the lower peak. That ratio knows no length, so that small and large particles are split alike. Of two
equal discs it is √(1 - (s / 2 R)²), with their distance s and radius R.

Watershed: L. Vincent, P. Soille, IEEE Trans. Pattern Anal. Mach. Intell. 13, 583 (1991).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_fill_holes,
    distance_transform_edt,
    find_objects,
    gaussian_filter,
    label,
    maximum_filter,
)

from exitwave.errors import MicrographError

Labels = NDArray[np.int32]
Mask = NDArray[np.bool_]
Window = tuple[slice, slice]

NECK = 0.7
"""Saddle of the distance to the outline over the lower peak, below which a region is split there."""
HOLE = 0.02
"""Largest area of a hole, as a share of the particle about it with its holes filled: of four equal discs that touch in
a ring the hole has 0.06, and filled it would make them one."""
SMOOTHING = 1.0
"""Standard deviation of the blur before peaks are looked for [px]; heights are those without."""
LARGEST = 2048
"""Edge [px] of a square as large as which a region is looked at; of larger ones, pixels are put together first."""
ROWS = 256
"""Rows taken at a time where a copy of the whole image would need much memory."""
TOUCHING = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class ParticleRules:
    """What counts as one particle.

    Attributes
    ----------
    smallest : float
        Diameter of the disc of the same area [Å], below which a region is no particle.
    split : bool
        Whether particles that touch are split.
    """

    smallest: float = 10.0
    split: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.smallest < np.inf:
            raise MicrographError(f"found a smallest particle of {self.smallest:g} Å; allowed: 0 or more")


@dataclass(frozen=True)
class Hole:
    """A hole: the number of its pixels in the labels, how many they are, and its window."""

    number: int
    size: int
    window: Window


@dataclass(frozen=True)
class Parts:
    """Particles of a region.

    Attributes
    ----------
    labels : int32 array [h, w]
        1 to ``number``, of the region; elsewhere 0 or any of them.
    factor : int
        So many pixels of the region in a row are one of the labels: what is larger than ``LARGEST`` is looked at with
        pixels put together.
    number : int
    sizes : int array [number + 1]
        Pixels of the particles, and of what is not the region.
    """

    labels: Labels
    factor: int
    number: int
    sizes: NDArray[np.int64]

    def at(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Labels:
        """Particle at each of these pixels of the region."""
        height, width = self.labels.shape
        place = np.minimum(rows // self.factor, height - 1), np.minimum(columns // self.factor, width - 1)
        return np.asarray(self.labels[place])


def find_instances(mask: Mask, pixel_size: float, rules: ParticleRules = ParticleRules()) -> Labels:
    """The particles of a mask.

    Pixels that touch, also at corners, are a region. Holes are filled that are small against the particle about them,
    and those in which half of the smallest particle would not find room, in diameter. Then particles that touch are
    split, and what is smaller than the smallest particle is left out. The edge of the image is no outline: a particle
    that it cuts is split as it would be with its mirror image beyond.

    Parameters
    ----------
    mask : bool array [H, W]
        True on particles.
    pixel_size : float
        Pixel [Å].
    rules : ParticleRules

    Returns
    -------
    int32 array [H, W]
        0 is background, 1 to n are the particles in the order in which they are met row by row.

    Raises
    ------
    MicrographError
        If the mask has not two axes, or the pixel is no length.
    """
    if mask.ndim != 2:
        raise MicrographError(f"found a mask of the shape {mask.shape}; allowed: two axes")
    if not 0 < pixel_size < np.inf:
        raise MicrographError(f"found a pixel of {pixel_size:g} Å; allowed: above 0")
    smallest = np.pi / 4 * (rules.smallest / pixel_size) ** 2
    labels, holes = _regions(mask, smallest)
    for number, window in enumerate(find_objects(labels), start=1):
        if number in holes:
            _fill_holes(labels, number, window, holes[number])
    np.maximum(labels, 0, out=labels)
    if rules.split:
        last = int(labels.max())
        for number, window in enumerate(find_objects(labels), start=1):
            last = _split(labels, number, window, last)
        _keep(labels, _sizes(labels) >= smallest)
    _order(labels)
    return labels


def _regions(mask: Mask, smallest: float) -> tuple[Labels, dict[int, list[Hole]]]:
    """Regions of so many pixels or more with pinholes filled, and by their number their other holes.

    Labels are below 0 in these holes, and 0 in all other background.
    """
    mask = mask.astype(bool)
    background = _label(np.logical_not(mask, out=mask))
    np.logical_not(mask, out=mask)
    sizes = _sizes(background)
    closed = np.ones(sizes.size, bool)
    for edge in (background[0], background[-1], background[:, 0], background[:, -1], 0):
        closed[edge] = False
    pinholes = closed & (sizes < smallest / 4)
    for rows, there in zip(_blocks(mask), _blocks(background), strict=True):
        rows |= pinholes[there]
    closed &= ~pinholes
    _keep(background, closed)
    labels = _label(mask, TOUCHING)
    _keep(labels, _sizes(labels) >= smallest)
    holes: dict[int, list[Hole]] = {}
    for number, (window, size) in enumerate(zip(find_objects(background), sizes[closed], strict=True), start=1):
        rows, columns = window
        first = columns.start + int(np.argmax(background[rows.start, columns] == number))
        # Above the topmost pixel of a hole is the region about it.
        about = int(labels[rows.start - 1, first])
        if about:
            holes.setdefault(about, []).append(Hole(-number, int(size), window))
    for rows, there in zip(_blocks(labels), _blocks(background), strict=True):
        rows -= there
    return labels, holes


def _label(mask: Mask, structure: Mask | None = None) -> Labels:
    labels = np.empty(mask.shape, np.int32)
    label(mask, structure, output=labels)
    return labels


def _blocks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for top in range(0, array.shape[0], ROWS):
        yield array[top : top + ROWS]


def _sizes(labels: Labels) -> NDArray[np.int64]:
    """Pixels of every label [n + 1]."""
    sizes = np.zeros(int(labels.max()) + 1, np.int64)
    for block in _blocks(labels):
        sizes += np.bincount(block.ravel(), minlength=sizes.size)
    return sizes


def _keep(labels: Labels, kept: Mask) -> None:
    """Leave out regions and number the others without a gap; in place."""
    kept[0] = False
    number = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    for block in _blocks(labels):
        block[...] = number[block]


def _fill_holes(labels: Labels, number: int, window: Window, holes: list[Hole]) -> None:
    """Fill the holes of a region that are small against the particle that they would be in; in place."""
    rows, columns = window
    most = HOLE * (rows.stop - rows.start) * (columns.stop - columns.start)
    if min(hole.size for hole in holes) >= most:
        return
    window = _widened(window, labels.shape)
    rows, columns = window
    region = labels[window] == number
    filled = []
    for hole in holes:
        place = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(hole.window, window, strict=True))
        inside = binary_fill_holes(labels[hole.window] == hole.number, TOUCHING)
        # What lies in a hole may be a particle of its own.
        if not (labels[hole.window][inside] > 0).any():
            region[place] |= inside
            filled.append((hole, inside, place))
    parts = _parts(region)
    for hole, inside, place in filled:
        y, x = np.nonzero(inside)
        about = parts.sizes[parts.at(y + place[0].start, x + place[1].start)]
        if hole.size < HOLE * about.min():
            labels[hole.window][inside] = number


def _split(labels: Labels, number: int, window: Window, last: int) -> int:
    """Split a region into particles with new numbers after ``last``, in place; gives the last number then taken."""
    window = _widened(window, labels.shape)
    view = labels[window]
    parts = _parts(view == number)
    if parts.number > 1:
        names = np.concatenate([[0, number], np.arange(last + 1, last + parts.number)]).astype(np.int32)
        columns = np.arange(view.shape[1])
        for top in range(0, view.shape[0], ROWS):
            block = view[top : top + ROWS]
            found = names[parts.at(np.arange(top, top + len(block))[:, None], columns)]
            np.copyto(block, found, where=block == number)
    return last + parts.number - 1


def _widened(window: Window, shape: tuple[int, ...]) -> Window:
    """A window with one pixel more on each side where the image has it."""
    rows, columns = (slice(max(s.start - 1, 0), min(s.stop + 1, n)) for s, n in zip(window, shape, strict=True))
    return rows, columns


def _parts(region: Mask) -> Parts:
    """Particles of one region [H, W]."""
    factor = min(int(np.ceil(max(1.0, np.sqrt(region.size) / LARGEST))), *region.shape)
    if factor > 1:
        height, width = (n // factor for n in region.shape)
        blocks = region[: height * factor, : width * factor].reshape(height, factor, width, factor)
        region = blocks.mean(axis=(1, 3), dtype=np.float32) >= 0.5
    labels, number = _basins(region)
    sizes = np.bincount(labels.ravel(), minlength=number + 1) * factor**2
    if factor > 1 and number > 1:
        nearest = distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
        labels = labels[nearest[0], nearest[1]]
    return Parts(labels if number > 1 else np.ones_like(labels), factor, number, sizes)


def _basins(region: Mask) -> tuple[NDArray[np.int32], int]:
    """Particles of one region at its own pixels."""
    from skimage.segmentation import watershed

    whole = region.astype(np.int32)
    if region.all():
        return whole, 1
    distance = distance_transform_edt(region).astype(np.float32)
    smooth = gaussian_filter(distance, SMOOTHING)
    peaks, n_peaks = label((maximum_filter(smooth, 3) == smooth) & region, TOUCHING)
    if n_peaks < 2:
        return whole, 1
    basins = watershed(-smooth, peaks, connectivity=2, mask=region)
    height = np.zeros(n_peaks + 1, np.float32)
    np.maximum.at(height, basins[region], distance[region])
    pairs, saddles = _passes(basins, distance)
    joined = _join(pairs, saddles - 0.5, height - 0.5)
    roots, number = np.unique(joined[1:], return_inverse=True)
    if roots.size < 2:
        return whole, 1
    lookup = np.concatenate([[0], number + 1]).astype(np.int32)
    return lookup[basins], int(roots.size)


def _passes(basins: NDArray[Any], distance: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Pairs of basins that touch [n, 2], and the largest distance to the outline on the border between them [n]."""
    pairs, heights = [], []
    for one, other in (
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:-1], np.s_[1:]),
        (np.s_[:-1, :-1], np.s_[1:, 1:]),
        (np.s_[:-1, 1:], np.s_[1:, :-1]),
    ):
        a, b = basins[one], basins[other]
        border = (a != b) & (a > 0) & (b > 0)
        pairs.append(np.sort(np.stack([a[border], b[border]], axis=1), axis=1))
        heights.append(np.minimum(distance[one][border], distance[other][border]))
    found, place = np.unique(np.concatenate(pairs), axis=0, return_inverse=True)
    saddles = np.zeros(len(found), np.float32)
    np.maximum.at(saddles, place.ravel(), np.concatenate(heights))
    return found, saddles


def _join(pairs: NDArray[np.int64], saddles: NDArray[Any], height: NDArray[Any]) -> NDArray[np.int64]:
    """The basin to which each one belongs after all that no narrow neck divides are joined [n + 1].

    Passes are taken from the highest to the lowest. What is not joined by then never is: peaks only grow.
    """
    parent = np.arange(height.size)
    height = height.copy()

    def root(basin: int) -> int:
        while parent[basin] != basin:
            parent[basin] = parent[parent[basin]]
            basin = int(parent[basin])
        return basin

    for place in np.argsort(-saddles, kind="stable"):
        a, b = root(int(pairs[place, 0])), root(int(pairs[place, 1]))
        if a != b and saddles[place] >= NECK * min(height[a], height[b]):
            parent[b] = a
            height[a] = max(height[a], height[b])
    return np.array([root(basin) for basin in range(parent.size)])


def _order(labels: Labels) -> None:
    """Number regions in the order in which they are met row by row; in place."""
    places = []
    for number, (rows, columns) in enumerate(find_objects(labels), start=1):
        first = int(np.argmax(labels[rows.start, columns] == number))
        places.append((rows.start, columns.start + first))
    ranks = np.zeros(len(places) + 1, np.int32)
    ranks[1 + np.array(sorted(range(len(places)), key=places.__getitem__), dtype=np.intp)] = np.arange(1, ranks.size)
    for block in _blocks(labels):
        block[...] = ranks[block]
