"""From a micrograph of any size and calibration to the fields a network was trained on, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import MicrographError

LARGEST_AREA = 2**28
"""Pixels of the largest image that is resampled to: 16384 x 16384, a gigabyte."""

Predictor = Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]
"""From tiles [n, t, t] to one number a pixel [n, t, t]."""


def resample(image: NDArray[Any], shape: tuple[int, int], order: int = 3) -> NDArray[np.float32]:
    """Resample an image to another grid over the same field of view.

    A spline through the pixel centres; towards coarser pixels a Gaussian of the width of the coarse pixel comes first,
    so that fine noise is averaged, as the camera's larger pixel would have done, and not folded into low frequencies.

    Parameters
    ----------
    image : array [H, W]
        Image.
    shape : (int, int)
        Shape of the new grid.
    order : int
        Order of the spline: 3 keeps lattice fringes, 1 never overshoots.

    Returns
    -------
    float32 array of the given shape
    """
    image = np.asarray(image, dtype=np.float32)
    if image.shape == tuple(shape):
        return image
    from skimage.transform import resize

    coarser = any(new < old for new, old in zip(shape, image.shape, strict=True))
    resampled = resize(
        image, shape, order=order, mode="reflect", anti_aliasing=coarser, preserve_range=True, clip=False
    )
    return np.asarray(resampled, dtype=np.float32)


def resampled_shape(shape: tuple[int, int], pixel_size: float, target: float) -> tuple[int, int]:
    """Pixels needed to cover a field of view at another pixel size, at least one.

    Parameters
    ----------
    shape : (int, int)
        Shape of the image [px].
    pixel_size, target : float
        Present and wanted pixel [Å]. Rounding to whole pixels changes the wanted pixel by at most half a pixel in the
        whole field.

    Raises
    ------
    MicrographError
        If the new image would be larger than ``LARGEST_AREA``, before memory is taken for it.
    """
    height, width = (max(1, round(edge * pixel_size / target)) for edge in shape)
    if height * width > LARGEST_AREA:
        raise MicrographError(
            f"an image of {shape[0]} x {shape[1]} px of {pixel_size:.4g} Å would be resampled to {height} x {width} px "
            f"of {target:.4g} Å; allowed: {LARGEST_AREA} px (is the pixel size right?)"
        )
    return height, width


def tile_starts(length: int, tile: int, overlap: float) -> list[int]:
    """First pixels of evenly spaced tiles that cover a line.

    Parameters
    ----------
    length, tile : int
        Lengths of line and tile [px]; the line is at least as long as the tile.
    overlap : float
        Smallest overlap of neighbouring tiles, as a fraction of the tile.
    """
    step = max(1.0, tile * (1 - overlap))
    count = int(np.ceil((length - tile) / step)) + 1
    return [round(float(start)) for start in np.linspace(0, length - tile, count)]


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
