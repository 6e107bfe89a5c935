"""A segmented micrograph as a picture: particles filled and numbered on the image, at its own resolution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7")
"""Of particles: Okabe and Ito's palette without its blue, which is too dark to lie on an image."""
FILLED = 0.3
"""Opacity of the fill."""
STRIP = 256
"""Rows drawn at a time, so that a large image needs little memory beside itself."""
SMALLEST_LETTERS = 9
"""Height of letters [px] below which they cannot be read."""
SAMPLED = 1_000_000
"""Pixels, about, from which the grey range is told."""
NEAREST = 5
"""Particles around one that should have other colours."""


@cache
def _font(size: int) -> FreeTypeFont:
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans-Bold.ttf")), size)


def draw_overlay(
    grey: NDArray[np.uint8],
    labels: NDArray[np.int32],
    colours: NDArray[np.uint8],
    places: Mapping[int, tuple[float, float, float]],
    pixel_size: float,
    ground: int,
    warnings: Sequence[str],
) -> Image:
    """Draw particles over a micrograph, pixel on pixel: filled, outlined and numbered.

    Parameters
    ----------
    grey : uint8 array [H, W]
        As of :func:`grey_levels`.
    labels : int array [H, W]
        Number of the particle at each pixel; 0 is background.
    colours : uint8 array [n + 1]
        As of :func:`distinct_colours`.
    places : mapping
        Of each particle x and y of its number, and its diameter [px].
    pixel_size : float
        Pixel [Å].
    ground : int
        Row on which the scale bar stands: the last one that shows the specimen.
    warnings : sequence of str
        Written along the upper edge.
    """
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", grey.shape[::-1])
    for top, strip in _strips(grey, labels, colours):
        picture.paste(Image.fromarray(strip), (0, top))
    draw = ImageDraw.Draw(picture)
    for number, (x, y, diameter) in places.items():
        size = number_size(number, diameter, min(grey.shape))
        _write(draw, (x, y), str(number), size, "mm")
    _draw_scale_bar(draw, pixel_size, (ground, grey.shape[1]))
    if warnings:
        _write_warnings(picture, warnings)
    return picture


def grey_levels(image: NDArray[np.float32], left_out: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """An image in the grey values of a picture, without all but the outermost 0.5 % on either side, and what is left
    out hatched.

    Parameters
    ----------
    image : float array [H, W]
    left_out : bool array [H, W]
    """
    from exitwave.report.style import grey_range

    step = max(1, int(np.sqrt(image.size / SAMPLED)))
    sample, dropped = image[::step, ::step], left_out[::step, ::step]
    low, high = grey_range(sample if dropped.all() else sample[~dropped])
    grey = np.empty(image.shape, np.uint8)
    stripe = max(3, min(image.shape) // 80)
    columns = np.arange(image.shape[1])
    for top in range(0, len(image), STRIP):
        rows = slice(top, top + STRIP)
        grey[rows] = np.clip((image[rows] - low) * (255 / (high - low)), 0, 255)
        if (out := left_out[rows]).any():
            diagonals = (np.arange(top, top + len(out))[:, None] + columns) // stripe % 2
            hatched = 0.35 * grey[rows] + 60 + 50 * diagonals
            grey[rows][out] = hatched[out]
    return grey


def distinct_colours(labels: NDArray[np.int32], centres: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colours that tell particles from those around them.

    Particles that touch get different ones as far as there are colours, and so do the nearest ones otherwise.

    Parameters
    ----------
    labels : int array [H, W]
        Number of the particle at each pixel, 1 to n; 0 is background.
    centres : float array [n, 2]
        Of the particles.

    Returns
    -------
    uint8 array [n + 1]
        Place of the colour of each particle among ``COLOURS``; that of the background means nothing.
    """
    from scipy.spatial import cKDTree

    number = len(centres)
    around: list[dict[int, int]] = [{} for _ in range(number + 1)]
    if number > 1:
        _, nearest = cKDTree(centres).query(centres, k=min(NEAREST + 1, number))
        for one, others in enumerate(nearest[:, 1:] + 1, start=1):
            for other in others:
                around[one][int(other)] = around[int(other)][one] = 1
    for a, b in _touching(labels):
        # No number of near ones outweighs one that touches.
        around[a][b] = around[b][a] = 1000
    chosen = np.zeros(number + 1, np.uint8)
    for one in range(1, number + 1):
        cost = np.zeros(len(COLOURS), int)
        for other, weight in around[one].items():
            if other < one:
                cost[chosen[other]] += weight
        # Where several would do they take turns.
        turn = (np.arange(len(COLOURS)) - one) % len(COLOURS)
        chosen[one] = np.lexsort((turn, cost))[0]
    return chosen


def number_places(
    labels: NDArray[np.int32], numbers: Sequence[int], centres: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Where the numbers of particles are written: in the centre, or where that is not in the particle, next to it.

    Parameters
    ----------
    labels : int array [H, W]
    numbers : sequence of int
    centres : float array [n, 2]
        x and y of the centroids [px], counted from the corner of the image.

    Returns
    -------
    float array [n, 2]
    """
    from scipy.ndimage import find_objects

    places, windows = centres.copy(), find_objects(labels)
    for place, number in zip(places, numbers, strict=True):
        column, row = place.astype(int)
        if labels[row, column] != number:
            window = windows[number - 1]
            found = np.argwhere(labels[window] == number)[:, ::-1] + (window[1].start + 0.5, window[0].start + 0.5)
            place[:] = found[np.argmin(((found - place) ** 2).sum(axis=1))]
    return places


def number_size(number: int, diameter: float, edge: int) -> int:
    """Height of the letters of a number [px], so that it fits into its particle but can be read.

    Parameters
    ----------
    number : int
    diameter : float
        Of the particle [px].
    edge : int
        Shorter edge of the image [px].
    """
    fitting = min(0.45 * diameter, 1.2 * diameter / len(str(number)))
    return int(np.clip(fitting, SMALLEST_LETTERS, max(SMALLEST_LETTERS, edge / 25)))


def _strips(
    grey: NDArray[np.uint8], labels: NDArray[np.int32], colours: NDArray[np.uint8]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Rows of the picture [rows, W, 3] with the first of them: image, fill and outlines."""
    palette = np.array([[int(text[place : place + 2], 16) for place in (1, 3, 5)] for text in COLOURS])
    # Image and colour blend by tables of whole numbers.
    tint = (palette[colours] * FILLED).astype(np.uint8)
    solid = palette[colours].astype(np.uint8)
    dimmed = (np.arange(256) * (1 - FILLED)).astype(np.uint8)
    line = outline_width(grey.shape)
    for top in range(0, len(grey), STRIP):
        rows = slice(top, top + STRIP)
        strip = np.repeat(grey[rows, :, None], 3, axis=2)
        own = labels[rows]
        if (inside := own > 0).any():
            numbers = own[inside]
            strip[inside] = dimmed[strip[inside]] + tint[numbers]
            above = max(0, top - line)
            borders = _borders(labels[above : top + STRIP + line], line)
            outline = borders[top - above :][: len(own)] & inside
            strip[outline] = solid[own[outline]]
        yield top, strip


def _borders(labels: NDArray[np.int32], width: int) -> NDArray[np.bool_]:
    """Pixels that are at most so far from another label along the rows and columns."""
    borders = np.zeros(labels.shape, bool)
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differs = labels[here] != labels[there]
        borders[here] |= differs
        borders[there] |= differs
    for axis in (0, 1):
        # Shifts of one byte a pixel are many times faster than a filter.
        narrow, wide = np.moveaxis(borders.copy(), axis, 0), np.moveaxis(borders, axis, 0)
        for step in range(1, width):
            wide[step:] |= narrow[:-step]
            wide[:-step] |= narrow[step:]
    return borders


def outline_width(shape: tuple[int, ...]) -> int:
    """Width of outlines [px] that can be seen when all of an image of this shape is shown."""
    return max(1, round(max(shape) / 1500))


def _touching(labels: NDArray[np.int32]) -> set[tuple[int, int]]:
    """Pairs of particles that touch or nearly do, the smaller number first."""
    pairs: set[tuple[int, int]] = set()
    for top in range(0, len(labels), STRIP):
        rows = labels[top : top + STRIP + 3]
        for step in (1, 3):
            for one, other in ((rows[step:], rows[:-step]), (rows[:, step:], rows[:, :-step])):
                border = (one != other) & (one > 0) & (other > 0)
                found = np.sort(np.stack([one[border], other[border]], axis=1), axis=1)
                pairs.update((int(a), int(b)) for a, b in np.unique(found, axis=0))
    return pairs


def _write(draw: ImageDraw, place: tuple[float, float], text: str, size: int, anchor: str) -> None:
    # A dark rim keeps it legible on bright images.
    rim = max(1, size // 8)
    draw.text(place, text, "white", _font(size), anchor, stroke_width=rim, stroke_fill="black")


def _draw_scale_bar(draw: ImageDraw, pixel_size: float, shape: tuple[int, int]) -> None:
    from exitwave.report.style import round_length

    height, width = shape
    edge = min(shape)
    length = round_length(0.25 * width * pixel_size)
    thick, margin, rim = max(3, round(0.012 * edge)), round(0.04 * edge), max(1, round(0.003 * edge))
    left, bottom = margin, height - margin
    bar = (left, bottom - thick, left + round(length / pixel_size) - 1, bottom - 1)
    draw.rectangle((bar[0] - rim, bar[1] - rim, bar[2] + rim, bar[3] + rim), fill="black")
    draw.rectangle(bar, fill="white")
    size = max(SMALLEST_LETTERS + 2, round(0.035 * edge))
    _write(draw, ((bar[0] + bar[2]) / 2, bar[1] - 2 * rim), f"{length / 10:g} nm", size, "mb")


def _write_warnings(picture: Image, warnings: Sequence[str]) -> None:
    """Write warnings on a darkened band along the upper edge."""
    from PIL import Image, ImageDraw

    size = max(SMALLEST_LETTERS + 2, round(picture.width / 60))
    font, room = _font(size), picture.width - 2 * size
    lines: list[str] = []
    for warning in warnings:
        words = f"Warning: {warning}".split()
        line = words[0]
        for word in words[1:]:
            if font.getlength(f"{line} {word}") > room:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}"
        lines.append(line)
    band = (0, 0, picture.width, min(picture.height, round((1.3 * len(lines) + 0.7) * size)))
    picture.paste(Image.blend(part := picture.crop(band), Image.new("RGB", part.size), 0.7), band)
    draw = ImageDraw.Draw(picture)
    for place, line in enumerate(lines):
        draw.text((size, (0.5 + 1.3 * place) * size), line, COLOURS[3], font)
