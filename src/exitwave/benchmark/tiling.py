"""From a micrograph of any size and calibration to the fields a network was trained on, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct

from exitwave.config.benchmarks import FARTHEST_PIXEL
from exitwave.errors import MicrographError

LARGEST_AREA = 2**28
"""Pixels of the largest image that is resampled to: 16384 x 16384, a gigabyte."""
FAR_PIXEL = 1.5
"""Ratio of an image's pixel to a network's, either way, beyond which there is a warning."""

Predictor = Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]
"""From tiles [n, t, t] to one number a pixel [n, t, t]."""


def resample(image: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Bring an image to other pixels over the same field of view, as a camera with such pixels would have taken it.

    A pixel averages over its area, which multiplies the spectrum by a sinc: the sinc of the present pixel is taken back
    and that of the new one put in its place, and what lies beyond the new Nyquist frequency folds back, as it does in a
    camera. So fringes keep the amplitude, and white noise the variance, that they have on such pixels; by a whole
    number it is the mean over the pixels. Towards finer pixels the noise that they would have beyond the present
    Nyquist frequency is missing. Beyond its edges the image is continued by its mirror image.

    Parameters
    ----------
    image : array [H, W]
        Image.
    shape : (int, int)
        Shape of the new grid.

    Returns
    -------
    float32 array of the given shape
    """
    image = np.asarray(image, dtype=np.float32)
    for axis, new in enumerate(shape):
        if image.shape[axis] != new:
            image = np.moveaxis(_resampled(np.moveaxis(image, axis, 0), new), 0, axis)
    return np.ascontiguousarray(image)


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
    image = np.asarray(image, dtype=np.float32)
    if image.shape == tuple(shape):
        return image
    from skimage.transform import resize

    coarser = any(new < old for new, old in zip(shape, image.shape, strict=True))
    resized = resize(image, shape, order=1, mode="reflect", anti_aliasing=coarser, preserve_range=True, clip=False)
    return np.asarray(resized, dtype=np.float32)


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
    shape: tuple[int, int], pixel_size: float, target: float, tile: int, overlap: float, any_pixel_size: bool = False
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
    # The image, the sums of values and of weights in double precision, and what becomes of them.
    memory = height * width * (2 * 4 + 2 * 8 + 4) / 2**30
    taken = f"{shape[0]} x {shape[1]} px become {height} x {width} px in {tiles:,} tiles, which take {memory:,.1f} GiB"
    coarser = pixel_size > target
    differs = f"{ratio:,.1f} times {'coarser' if coarser else 'finer'}"
    told = f"its pixel of {pixel_size:.4g} Å is {differs} than the network's, {target:.4g} Å"
    if ratio > FARTHEST_PIXEL and not any_pixel_size:
        raise MicrographError(
            f"{told}: {taken}; allowed: up to {FARTHEST_PIXEL:g} times, unless any_pixel_size says that it is meant so "
            "(is the pixel size right?)"
        )
    if height * width > LARGEST_AREA:
        raise MicrographError(f"{taken}; allowed: {LARGEST_AREA:,} px")
    if ratio <= FAR_PIXEL:
        return ""
    return f"{told}: {'it lacks details that the network knows' if coarser else 'the network sees less than it shows'}"


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


def blending_window(tile: int) -> NDArray[np.float64]:
    """Weight of each pixel of a tile [t, t]: a squared sine along both edges, above zero everywhere."""
    edge = np.sin(np.pi * (np.arange(tile) + 0.5) / tile) ** 2
    return np.outer(edge, edge)


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
    height, width = image.shape
    padding = [((missing := max(0, tile - edge)) // 2, missing - missing // 2) for edge in (height, width)]
    padded = np.pad(np.asarray(image, dtype=np.float32), padding, mode="reflect")
    corners = [
        (top, left)
        for top in tile_starts(padded.shape[0], tile, overlap)
        for left in tile_starts(padded.shape[1], tile, overlap)
    ]
    window = blending_window(tile)
    total, weight = np.zeros(padded.shape), np.zeros(padded.shape)
    for first in range(0, len(corners), batch_size):
        batch = corners[first : first + batch_size]
        tiles = np.stack([padded[top : top + tile, left : left + tile] for top, left in batch])
        predicted = _symmetric(predict, tiles) if symmetry_average else predict(tiles)
        for (top, left), values in zip(batch, predicted, strict=True):
            total[top : top + tile, left : left + tile] += window * values
            weight[top : top + tile, left : left + tile] += window
    blended = (total / weight).astype(np.float32)
    (top, _), (left, _) = padding
    return blended[top : top + height, left : left + width]


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
