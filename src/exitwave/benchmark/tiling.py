"""From a micrograph of any size and calibration to the fields a network was trained on, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct
from scipy.ndimage import gaussian_filter

from exitwave.benchmark.remedies import IN_BENCHMARK, Remedies
from exitwave.config.benchmarks import FARTHEST_PIXEL
from exitwave.data.strips import Rows, strips
from exitwave.errors import MicrographError

LARGEST_AREA = 2**28
"""Pixels of the largest image that is resampled to: 16384 x 16384, a gigabyte."""
FAR_PIXEL = 1.5
"""Ratio of an image's pixel to a network's, either way, beyond which there is a warning."""

Predictor = Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]
"""From tiles [n, t, t] to one number a pixel [n, t, t]."""
Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""


def resample(image: Rows, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Bring an image to other pixels over the same field of view, as a camera with such pixels would have taken it.

    A pixel averages over its area, which multiplies the spectrum by a sinc: the sinc of the present pixel is taken back
    and that of the new one put in its place, and what lies beyond the new Nyquist frequency folds back, as it does in a
    camera. So fringes keep the amplitude, and white noise the variance, that they have on such pixels; by a whole
    number it is the mean over the pixels. Towards finer pixels the noise that they would have beyond the present
    Nyquist frequency is missing. Beyond its edges the image is continued by its mirror image.

    Parameters
    ----------
    image : Rows [H, W]
        Image, of which a few rows are taken at once.
    shape : (int, int)
        Shape of the new grid.

    Returns
    -------
    float32 array of the given shape
    """
    height, width = image.shape
    narrowed = np.empty((height, shape[1]), np.float32)
    for rows in strips((height, max(width, shape[1]))):
        part = np.asarray(image[rows], np.float32)
        narrowed[rows] = part if shape[1] == width else _resampled(part.T, shape[1]).T
    if shape[0] == height:
        return narrowed
    resampled = np.empty(shape, np.float32)
    for columns in strips((shape[1], max(height, shape[0]))):
        resampled[:, columns] = _resampled(narrowed[:, columns], shape[0])
    return resampled


def resample_cubic(image: Rows, shape: tuple[int, int]) -> NDArray[np.float32]:
    """The same by cubic interpolation between the centres of pixels, which leaves high frequencies weaker."""
    from skimage.transform import resize

    whole = np.asarray(image[0 : image.shape[0]], np.float32)
    return np.asarray(resize(whole, shape, order=3, mode="reflect", preserve_range=True), np.float32)


def _resampled(image: NDArray[np.float32], new: int) -> NDArray[np.float32]:
    """Image [n, ...] with ``new`` pixels along its first axis."""
    old = len(image)
    # The cosine transform of n pixels is the Fourier transform of the line and its mirror image.
    spectrum = dct(image, axis=0)
    frequency = np.arange(old) / (2 * old)
    ratio = np.sinc(frequency * old / new) / np.sinc(frequency) * (new / old)
    spectrum *= ratio.astype(np.float32).reshape(-1, *[1] * (image.ndim - 1))
    folded = np.zeros((new, *image.shape[1:]), np.float32)
    for number, first in enumerate(range(0, old, 2 * new)):
        sign = (-1) ** number
        rising, falling = spectrum[first : first + new], spectrum[first + new + 1 : first + 2 * new]
        folded[: len(rising)] += sign * rising
        # cos(π (2n - k) (j + 1/2) / n) = -cos(π k (j + 1/2) / n) at the centres j of the new pixels.
        folded[new - np.arange(1, len(falling) + 1)] -= sign * falling
    return np.asarray(idct(folded, axis=0, overwrite_x=True))


def interpolate(image: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Values of a smooth map [H, W] on another grid over the same field of view, linear between pixel centres."""
    values = np.empty(shape, np.float32)
    for rows in strips(shape):
        values[rows] = interpolated_rows(image, shape, rows)
    return values


def interpolated_rows(image: NDArray[Any], shape: tuple[int, int], rows: slice) -> NDArray[np.float32]:
    """Some rows of the same.

    Towards coarser pixels the map is smoothed first, by as much as `skimage.transform.resize` does.
    """
    if image.shape == tuple(shape):
        return np.array(image[rows], np.float32)
    steps = [old / new for old, new in zip(image.shape, shape, strict=True)]
    below, above, upper = _between(np.arange(rows.start, rows.stop), steps[0], image.shape[0])
    sigmas = [max(0.0, (step - 1) / 2) for step in steps]
    margin = int(4 * sigmas[0] + 0.5)
    first, last = max(0, int(below.min()) - margin), min(image.shape[0], int(above.max()) + margin + 1)
    part = np.asarray(image[first:last], np.float32)
    if any(sigmas):
        part = gaussian_filter(part, sigmas, mode="mirror")
    left, right, share = _between(np.arange(shape[1]), steps[1], image.shape[1])
    between = part[below - first] * (1 - upper)[:, None] + part[above - first] * upper[:, None]
    return np.asarray(between[:, left] * (1 - share) + between[:, right] * share, np.float32)


def _between(
    places: NDArray[np.intp], step: float, length: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """The two old pixels around the centres of new ones, and the share of the second; mirrored at the ends."""
    centres = np.abs((places + 0.5) * step - 0.5)
    centres = (length - 1) - np.abs((length - 1) - centres)
    first = np.clip(np.floor(centres).astype(np.intp), 0, max(0, length - 2))
    return first, np.minimum(first + 1, length - 1), np.clip(centres - first, 0, 1).astype(np.float32)


def resampled_shape(shape: tuple[int, int], pixel_size: float, target: float) -> tuple[int, int]:
    """Pixels needed to cover a field of view at another pixel size, at least one.

    Parameters
    ----------
    shape : (int, int)
        Shape of the image [px].
    pixel_size, target : float
        Present and wanted pixel [Å]. Rounding to whole pixels changes the wanted pixel by at most half a pixel in the
        whole field.
    """
    height, width = (max(1, round(edge * pixel_size / target)) for edge in shape)
    return height, width


def check_pixel(
    shape: tuple[int, int],
    pixel_size: float,
    target: float,
    tile: int,
    overlap: float,
    any_pixel_size: bool = False,
    remedies: Remedies = IN_BENCHMARK,
) -> str:
    """Compare the pixel of an image with that of a network, before memory is taken.

    Parameters
    ----------
    shape : (int, int)
        Shape of the image [px].
    pixel_size, target : float
        Pixel of the image and of the network [Å].
    tile : int
        Edge of a tile [px].
    overlap : float
        Smallest overlap of neighbouring tiles, as a fraction of the tile.
    any_pixel_size : bool
        Whether a pixel beyond ``FARTHEST_PIXEL`` is meant so.
    remedies : Remedies
        Where the pixel is given.

    Returns
    -------
    str
        A warning in words; empty if there is none.

    Raises
    ------
    MicrographError
        If the pixels differ by more than ``FARTHEST_PIXEL``, unless ``any_pixel_size``; or if the image would have
        more than ``LARGEST_AREA`` pixels.
    """
    ratio = max(pixel_size / target, target / pixel_size)
    height, width = resampled_shape(shape, pixel_size, target)
    tiles = tile_count(max(height, tile), tile, overlap) * tile_count(max(width, tile), tile, overlap)
    # The image, and mean and deviation of what is predicted.
    memory = height * width * 3 * 4 / 2**30
    taken = f"{shape[0]} x {shape[1]} px become {height} x {width} px in {tiles:,} tiles, which take {memory:,.1f} GiB"
    coarser = pixel_size > target
    differs = f"{ratio:,.1f} times {'coarser' if coarser else 'finer'}"
    told = f"its pixel of {pixel_size:.4g} Å is {differs} than the network's, {target:.4g} Å"
    if ratio > FARTHEST_PIXEL and not any_pixel_size:
        raise MicrographError(
            f"{told}: {taken}; allowed: up to {FARTHEST_PIXEL:g} times, unless {remedies.any_pixel_size} says that it "
            f"is meant so; if the pixel is wrong, {remedies.pixel_size}"
        )
    if height * width > LARGEST_AREA:
        raise MicrographError(f"{taken}; allowed: {LARGEST_AREA:,} px; if the pixel is wrong, {remedies.pixel_size}")
    if ratio <= FAR_PIXEL:
        return ""
    means = "it lacks details that the network knows" if coarser else "the network sees less than it shows"
    return f"{told}: {means}; if the pixel is wrong, {remedies.pixel_size}"


def tile_count(length: int, tile: int, overlap: float) -> int:
    """Number of the tiles of :func:`tile_starts`."""
    return math.ceil((length - tile) / max(1.0, tile * (1 - overlap))) + 1


def tile_starts(length: int, tile: int, overlap: float) -> list[int]:
    """First pixels of evenly spaced tiles that cover a line.

    Parameters
    ----------
    length, tile : int
        Lengths of line and tile [px]; the line is at least as long as the tile.
    overlap : float
        Smallest overlap of neighbouring tiles, as a fraction of the tile.
    """
    return [round(float(start)) for start in np.linspace(0, length - tile, tile_count(length, tile, overlap))]


def predict_tiled(
    predict: Predictor,
    image: NDArray[Any],
    tile: int,
    overlap: float,
    symmetry_average: bool = False,
    batch_size: int = 16,
) -> NDArray[np.float32]:
    """Predict on an image of any size, tile by tile, blended by a smooth window.

    Images smaller than a tile are continued by reflection. The weights of the tiles sum to one in every pixel.

    Parameters
    ----------
    predict : callable
        From float32 tiles [n, t, t] to values [n, t, t].
    image : array [H, W]
        Image on the grid of the network.
    tile : int
        Edge of a tile [px].
    overlap : float
        Smallest overlap of neighbouring tiles, as a fraction of the tile.
    symmetry_average : bool
        Average over the eight quarter turns and flips of every tile.
    batch_size : int
        Tiles given to ``predict`` at once.

    Returns
    -------
    float32 array [H, W]
    """
    predicted = np.empty(image.shape, np.float32)
    for rows, values in predicted_rows([predict], image, tile, overlap, symmetry_average, batch_size):
        predicted[rows] = values[0]
    return predicted


def predicted_rows(
    predictors: Sequence[Predictor],
    image: NDArray[Any],
    tile: int,
    overlap: float,
    symmetry_average: bool = False,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """What several networks predict on an image, as soon as all tiles of some rows are done.

    So no more is kept of it than the rows of a few tiles. Parameters are those of :func:`predict_tiled`, and:

    Parameters
    ----------
    predictors : sequence of callable
        One a network.
    progress : callable, optional
        Told how many tiles are done, those of each network, and of how many.

    Yields
    ------
    rows : slice
        Of the image, from the first to the last.
    values : float32 array [networks, n, W]
    """
    height, width = image.shape
    padding = [((missing := max(0, tile - edge)) // 2, missing - missing // 2) for edge in (height, width)]
    padded = np.asarray(image, dtype=np.float32)
    if min(height, width) < tile:
        padded = np.pad(padded, padding, mode="reflect")
    (top, _), (left, _) = padding
    tops, lefts = (tile_starts(edge, tile, overlap) for edge in padded.shape)
    edge = np.sin(np.pi * (np.arange(tile) + 0.5) / tile) ** 2
    window = np.outer(edge, edge).astype(np.float32)
    down, across = (_summed(edge, starts, length) for starts, length in zip((tops, lefts), padded.shape, strict=True))
    together = max(1, batch_size // len(lefts))
    total, done = len(tops) * len(lefts) * len(predictors), 0
    first, sums = 0, np.zeros((len(predictors), 0, padded.shape[1]), np.float32)
    for step in range(0, len(tops), together):
        here = tops[step : step + together]
        grown = np.zeros((len(predictors), here[-1] + tile - first, padded.shape[1]), np.float32)
        grown[:, : sums.shape[1]] = sums
        corners = list(product(here, lefts))
        for start in range(0, len(corners), batch_size):
            batch = corners[start : start + batch_size]
            tiles = np.stack([padded[y : y + tile, x : x + tile] for y, x in batch])
            for own, predict in zip(grown, predictors, strict=True):
                predicted = _symmetric(predict, tiles) if symmetry_average else predict(tiles)
                for (y, x), values in zip(batch, predicted, strict=True):
                    own[y - first : y - first + tile, x : x + tile] += window * values
                done += len(batch)
                if progress is not None:
                    progress(done, total)
        # What begins where the next tiles do is not done yet.
        ready = tops[step + together] if step + together < len(tops) else len(padded)
        blended = grown[:, : ready - first] / (down[first:ready, None] * across)
        begin, end = max(first, top), min(ready, top + height)
        if begin < end:
            yield slice(begin - top, end - top), blended[:, begin - first : end - first, left : left + width]
        first, sums = ready, grown[:, ready - first :]


def _summed(edge: NDArray[np.float64], starts: Sequence[int], length: int) -> NDArray[np.float32]:
    """Sum of the weights of all tiles along a line."""
    total = np.zeros(length)
    for start in starts:
        total[start : start + len(edge)] += edge
    return total.astype(np.float32)


def _symmetric(predict: Predictor, tiles: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
    """Mean prediction over the symmetries of the square, each turned back."""
    return np.asarray(np.mean([undo(predict(turn(tiles))) for turn, undo in _square_symmetries()], axis=0))


def _square_symmetries() -> Iterator[tuple[Callable[..., Any], Callable[..., Any]]]:
    """The eight symmetries of the square, each with its inverse."""
    for turns in range(4):

        def turn(tiles: NDArray[Any], turns: int = turns) -> NDArray[Any]:
            return np.ascontiguousarray(np.rot90(tiles, turns, axes=(-2, -1)))

        def turn_flipped(tiles: NDArray[Any], turns: int = turns) -> NDArray[Any]:
            return np.ascontiguousarray(np.rot90(tiles, turns, axes=(-2, -1))[..., ::-1])

        def undo(tiles: NDArray[Any], turns: int = turns) -> NDArray[Any]:
            return np.rot90(tiles, -turns, axes=(-2, -1))

        def undo_flipped(tiles: NDArray[Any], turns: int = turns) -> NDArray[Any]:
            return np.rot90(tiles[..., ::-1], -turns, axes=(-2, -1))

        yield turn, undo
        yield turn_flipped, undo_flipped
