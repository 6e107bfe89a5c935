"""Images larger than what is worked on at once: strips of rows, exact percentiles, sparse corrections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

STRIP = 2**18
"""Pixels of a strip: a megabyte in single precision, which stays in the cache."""

Chunks = Callable[[], Iterator[NDArray[Any]]]
"""The numbers of an image, some at a time, as often as they are asked for."""


class Rows(Protocol):
    """An image of which rows can be had: an array, or what computes them."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W)"""
        ...

    def __getitem__(self, rows: Any, /) -> Any:
        """Rows of a slice, [n, W]."""
        ...


@dataclass(frozen=True)
class Patched:
    """An image with other values in some pixels, of which it keeps these alone.

    Attributes
    ----------
    image : Rows
        As it was.
    places : int array [n]
        Pixels that have another value, counted row by row, rising.
    values : float32 array [n]
        Their values.
    """

    image: Rows
    places: NDArray[np.intp | np.int32]
    values: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W)"""
        return self.image.shape

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        """Rows of a slice, a copy."""
        height, width = self.shape
        start, stop, _ = rows.indices(height)
        part = np.array(self.image[start:stop], dtype=np.float32)
        first, last = np.searchsorted(self.places, np.array((start * width, stop * width), self.places.dtype))
        part.reshape(-1)[self.places[first:last] - start * width] = self.values[first:last]
        return part


def values_at(image: Rows, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
    """Values of single pixels [n]."""
    if not isinstance(image, Patched):
        pixels: Any = image
        return np.asarray(pixels[rows, columns], np.float32)
    found = values_at(image.image, rows, columns)
    if len(image.places):
        flat = (rows * image.shape[1] + columns).astype(image.places.dtype)
        where = np.minimum(np.searchsorted(image.places, flat), len(image.places) - 1)
        known = image.places[where] == flat
        found[known] = image.values[where[known]]
    return found


def strips(shape: Sequence[int], least: int = 1) -> Iterator[slice]:
    """Rows of an image, a strip at a time, of no less than some rows but for the last."""
    rows = max(least, STRIP // max(1, shape[1]))
    for start in range(0, shape[0], rows):
        yield slice(start, min(start + rows, shape[0]))


def with_margin(image: Rows, rows: slice, margin: int, mode: Any) -> NDArray[Any]:
    """Rows of an image with a margin on all sides, [n + 2 margin, W + 2 margin].

    Parameters
    ----------
    image : Rows
    rows : slice
        With start and stop.
    margin : int
        [px]
    mode : str
        How the image goes on beyond its edges, as in `numpy.pad`.
    """
    start, stop = max(0, rows.start - margin), min(image.shape[0], rows.stop + margin)
    missing = (margin - (rows.start - start), margin - (stop - rows.stop))
    return np.pad(image[start:stop], (missing, (margin, margin)), mode=mode)


def median3(padded: NDArray[Any]) -> NDArray[Any]:
    """Median of the 3 x 3 pixels around each pixel of an image, which comes with a margin of one.

    By columns that are sorted first: the median of nine is that of the largest of the lowest, the median of the middle
    ones and the smallest of the highest (J. L. Smith, "Implementing median filters in XC4000E FPGAs", 1996).

    Parameters
    ----------
    padded : array [H + 2, W + 2]

    Returns
    -------
    array [H, W]
    """
    top, centre, bottom = padded[:-2], padded[1:-1], padded[2:]
    low, high = np.minimum(top, centre), np.maximum(top, centre)
    middle = np.minimum(high, bottom)
    np.maximum(high, bottom, out=high)
    low, middle = np.minimum(low, middle), np.maximum(low, middle)
    lowest = np.maximum(np.maximum(low[:, :-2], low[:, 1:-1]), low[:, 2:])
    highest = np.minimum(np.minimum(high[:, :-2], high[:, 1:-1]), high[:, 2:])
    return _median_of_three(lowest, _median_of_three(middle[:, :-2], middle[:, 1:-1], middle[:, 2:]), highest)


def _median_of_three(one: NDArray[Any], two: NDArray[Any], three: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.maximum(np.minimum(one, two), np.minimum(np.maximum(one, two), three)))


def percentiles(chunks: Chunks, wanted: Sequence[float]) -> NDArray[np.float64]:
    """Percentiles of many numbers, exact in single precision, without having them all at once.

    The bits of a float32 rise with its value, but for the sign. So the upper half of them is counted, and then the
    lower half of those whose upper half is that of the number sought.

    Parameters
    ----------
    chunks : callable
        The numbers, none of them NaN.
    wanted : sequence of float
        [%]

    Returns
    -------
    float64 array [n]
        Linear between the two nearest numbers, as `numpy.percentile` has it.
    """
    parts = chunks()
    first, second = next(parts), next(parts, None)
    if second is None:
        return np.asarray(np.percentile(first, wanted), np.float64)
    upper = np.zeros(2**16, np.int64)
    for part in chunks():
        upper += np.bincount(_keys(part) >> 16, minlength=2**16)
    ends = np.cumsum(upper)
    place = np.asarray(wanted, np.float64) / 100 * (int(ends[-1]) - 1)
    ranks = np.stack([np.floor(place), np.ceil(place)]).astype(np.int64)
    halves = np.searchsorted(ends, ranks, side="right")
    lower = {half: np.zeros(2**16, np.int64) for half in np.unique(halves)}
    for part in chunks():
        keys = _keys(part)
        for half, counts in lower.items():
            counts += np.bincount(keys[keys >> 16 == half] & 0xFFFF, minlength=2**16)
    found = np.empty(ranks.shape)
    for index, half in np.ndenumerate(halves):
        inside = ranks[index] - (ends[half] - upper[half])
        found[index] = _number(int(half) << 16 | int(np.searchsorted(np.cumsum(lower[half]), inside, side="right")))
    return np.asarray(found[0] + (found[1] - found[0]) * (place - ranks[0]))


def _keys(numbers: NDArray[Any]) -> NDArray[np.uint32]:
    """Whole numbers in the order of float32 numbers, [n]."""
    bits = np.ascontiguousarray(numbers, np.float32).reshape(-1).view(np.uint32)
    # All bits of a negative number are turned round, only the sign of a positive one.
    return bits ^ ((bits.view(np.int32) >> 31).view(np.uint32) | np.uint32(2**31))


def _number(key: int) -> float:
    """The number of a key."""
    bits = key ^ (2**31 if key >> 31 else 2**32 - 1)
    return float(np.array(bits, np.uint32).view(np.float32))


def touching(places: NDArray[np.intp], width: int) -> NDArray[np.int32]:
    """Number the groups of pixels that touch, also at corners.

    Parameters
    ----------
    places : int array [n]
        Pixels, counted row by row, rising.
    width : int
        Of the image [px].

    Returns
    -------
    int32 array [n]
        Group of each pixel, from 1.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    columns, edges = places % width, []
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
        beside = places + (down * width + right)
        found = np.minimum(np.searchsorted(places, beside), len(places) - 1)
        inside = (columns + right >= 0) & (columns + right < width)
        here = np.flatnonzero((places[found] == beside) & inside)
        edges.append(np.stack([here, found[here]]))
    one, other = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(len(one), bool), (one, other)), shape=(len(places),) * 2)
    return np.asarray(connected_components(graph, directed=False)[1] + 1, np.int32)
