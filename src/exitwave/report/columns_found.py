"""Picture of an image with the columns and the lattice that were found in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from exitwave.benchmark.columns import FoundColumns
from exitwave.benchmark.plane_lattices import PlaneLattice
from exitwave.benchmark.readers import Micrograph
from exitwave.report.style import ORANGE, SKY, figure, picture, scale_bar


def draw_cell(axes: Axes, origin: NDArray[np.floating], vectors: NDArray[np.floating]) -> None:
    """Draw the cell of two vectors, rows [2, 2] [px], at an origin."""
    first, second = vectors
    corners = np.array([origin, origin + first, origin + first + second, origin + second, origin])
    axes.plot(*corners.T, "-", lw=1.8, color=ORANGE)


def draw_columns(
    micrograph: Micrograph, columns: FoundColumns, lattice: PlaneLattice | None, told: str, path: Path
) -> None:
    """Draw an image with its columns, and the cell of its lattice in the middle.

    Parameters
    ----------
    micrograph : Micrograph
    columns : FoundColumns
    lattice : PlaneLattice, optional
    told : str
        What was found, in a sentence.
    path : path
        PNG to write.
    """
    image, pixel = micrograph.image, micrograph.pixel_size
    height, width = image.shape
    with figure(path, 9.0, 9.0 * height / width + 0.7) as drawing:
        axes = drawing.subplots()
        picture(axes)
        low, high = np.percentile(image, [0.5, 99.8])
        axes.imshow(image, cmap="gray", vmin=low, vmax=high)
        usual = np.median(columns.sigmas) if len(columns.sigmas) else 1.0
        size = max(1.0, 72 * 9.0 * float(usual) / width)
        axes.plot(*columns.places.T, "o", ms=size, mew=0.7, mfc="none", mec=SKY)
        if lattice is not None and len(columns.places):
            middle = columns.places[np.argmin(np.linalg.norm(columns.places - [width / 2, height / 2], axis=1))]
            draw_cell(axes, middle, lattice.vectors / pixel)
        scale_bar(axes, pixel, image.shape, "Å")
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        axes.set_title(told, fontsize=9)
        drawing.suptitle(micrograph.name, fontsize=10)
