"""What a person takes away from a segmented micrograph: a table of particles and an overlay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def particle_table(mask: NDArray[np.bool_], pixel_size: float) -> pd.DataFrame:
    """Sizes and places of the connected regions of a mask.

    Parameters
    ----------
    mask : bool array [H, W]
        True on particles.
    pixel_size : float
        Pixel [Å].

    Returns
    -------
    DataFrame
        One row a particle (pixels that touch, also at corners): ``label``, ``area`` [Å²], ``equivalent_diameter`` [Å]
        of the disc of that area, ``centroid_y`` and ``centroid_x`` [Å] from the first pixel's centre, and
        ``touches_edge``, true where the particle is cut by the image and its size a lower bound.
    """
    from skimage.measure import label, regionprops

    labels = label(mask, connectivity=2)
    rows = []
    for region in regionprops(labels):
        top, left, bottom, right = region.bbox
        area = float(region.num_pixels) * pixel_size**2
        rows.append(
            {
                "label": int(region.label),
                "area": area,
                "equivalent_diameter": float(np.sqrt(4 * area / np.pi)),
                "centroid_y": float(region.centroid[0]) * pixel_size,
                "centroid_x": float(region.centroid[1]) * pixel_size,
                "touches_edge": top == 0 or left == 0 or bottom == mask.shape[0] or right == mask.shape[1],
            }
        )
    columns = ["label", "area", "equivalent_diameter", "centroid_y", "centroid_x", "touches_edge"]
    return pd.DataFrame(rows, columns=columns)


def save_overlay(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_],
    path: Path,
    expert: NDArray[np.bool_] | None = None,
) -> None:
    """Write a picture of a micrograph with the outline of the prediction, and of the expert's mask if there is one.

    Parameters
    ----------
    image : float array [H, W]
        Micrograph; shown between its 1st and 99th percentile.
    mask : bool array [H, W]
        Prediction, outlined in orange.
    path : path
        Picture to write; the suffix says the format.
    expert : bool array [H, W], optional
        The expert's mask, outlined in blue.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = image.shape
    edge = 6.0
    figure = Figure(figsize=(edge * min(1, width / height), edge * min(1, height / width)), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    low, high = np.percentile(image, [1, 99])
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    for region, color in ((expert, "#0072b2"), (mask, "#e69f00")):
        # A mask of one value has no outline.
        if region is not None and region.any() and not region.all():
            axes.contour(region.astype(float), levels=[0.5], colors=color, linewidths=1.5)
    axes.set_axis_off()
    figure.savefig(path)
