"""What is measured of the particles of a micrograph: sizes, shapes and places."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LENGTHS = ("x", "y", "equivalent_diameter", "feret_max", "feret_min", "major_axis", "minor_axis")
"""Columns that are lengths."""
COLUMNS = (
    "number",
    "x",
    "y",
    "area",
    "equivalent_diameter",
    "feret_max",
    "feret_min",
    "major_axis",
    "minor_axis",
    "circularity",
    "mean_probability",
    "uncertainty",
    "touches_edge",
)
"""Of a table of particles."""


def particle_table(
    labels: NDArray[np.int32],
    pixel_size: float,
    probability: NDArray[np.float32] | None = None,
    spread: NDArray[np.float32] | None = None,
    left_out: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """Sizes, shapes and places of labelled particles.

    Parameters
    ----------
    labels : int array [H, W]
        Number of the particle at each pixel; 0 is background.
    pixel_size : float
        Pixel [Å].
    probability : float array [H, W], optional
        Probability of a particle.
    spread : float array [H, W], optional
        Standard deviation of the probability over several networks.
    left_out : bool array [H, W], optional
        Where the image shows no specimen.

    Returns
    -------
    DataFrame
        One row a particle, by ``number``: ``x`` and ``y`` [Å] of the centroid from the upper left corner of the image;
        ``area`` [Å²] and ``equivalent_diameter`` [Å] of the disc of that area; ``feret_max`` and ``feret_min`` [Å],
        the largest and the smallest distance of two parallel lines that hold it between them; ``major_axis`` and
        ``minor_axis`` [Å] of the ellipse of the same second moments; ``circularity`` 4π area / perimeter², the
        perimeter of Crofton's formula in four directions, and 1 where noise of the pixels makes it larger;
        ``mean_probability`` and ``uncertainty``, the mean of the spread, NaN where they are not given; and
        ``touches_edge``, true where the image or what is left out cuts it, so that its size is a lower bound.
    """
    from skimage.measure import regionprops_table

    measured = regionprops_table(
        labels,
        properties=("label", "area", "centroid", "axis_major_length", "axis_minor_length", "perimeter_crofton"),
        extra_properties=(feret_diameters,),
    )
    if not len(measured["label"]):
        return pd.DataFrame({name: [] for name in COLUMNS})
    area = measured["area"]
    table = pd.DataFrame(
        {
            "number": measured["label"].astype(int),
            # A pixel is centred half of its edge from the corner.
            "x": measured["centroid-1"] + 0.5,
            "y": measured["centroid-0"] + 0.5,
            "area": area * pixel_size**2,
            "equivalent_diameter": np.sqrt(4 * area / np.pi),
            "feret_max": measured["feret_diameters-0"],
            "feret_min": measured["feret_diameters-1"],
            "major_axis": measured["axis_major_length"],
            "minor_axis": measured["axis_minor_length"],
            "circularity": np.minimum(1, 4 * np.pi * area / measured["perimeter_crofton"] ** 2),
            "mean_probability": _mean(labels, probability),
            "uncertainty": _mean(labels, spread),
            "touches_edge": np.isin(measured["label"], _cut(labels, left_out)),
        }
    )
    table[list(LENGTHS)] *= pixel_size
    return table[list(COLUMNS)]


def feret_diameters(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Largest and smallest Feret diameter of a region [px].

    The outline passes midway between pixels that are in the region and neighbours that are not. The smallest diameter
    lies along a normal of an edge of the convex hull: H. Freeman, R. Shapira, Commun. ACM 18, 409 (1975).

    Parameters
    ----------
    region : bool array [h, w]
        The region in its bounding box.
    """
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    rows = np.flatnonzero(region.any(axis=1))
    first = region[rows].argmax(axis=1)
    last = region.shape[1] - 1 - region[rows, ::-1].argmax(axis=1)
    ends = np.concatenate([np.stack([rows, first], axis=1), np.stack([rows, last], axis=1)])
    steps = np.array([(-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5)])
    hull = ConvexHull((ends[:, None] + steps).reshape(-1, 2))
    corners, normals = hull.points[hull.vertices], hull.equations[:, :2]
    widths = np.ptp(corners @ normals.T, axis=0)
    return np.array([pdist(corners).max(), widths.min()])


def _mean(labels: NDArray[np.int32], values: NDArray[np.float32] | None) -> NDArray[np.float64] | float:
    from skimage.measure import regionprops_table

    if values is None:
        return np.nan
    mean: NDArray[np.float64] = regionprops_table(labels, values, properties=("intensity_mean",))["intensity_mean"]
    return mean


def _cut(labels: NDArray[np.int32], left_out: NDArray[np.bool_] | None) -> NDArray[np.int32]:
    """Numbers of the particles that the edge of the image or an area that is left out cuts."""
    from scipy.ndimage import binary_dilation

    beside = [labels[0], labels[-1], labels[:, 0], labels[:, -1]]
    if left_out is not None and left_out.any():
        beside.append(labels[binary_dilation(left_out & (labels == 0), np.ones((3, 3)))])
    return np.unique(np.concatenate(beside))
