"""Images of known lattices with the lattice that was found, and the classes that were named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from exitwave.benchmark.classification import FINDER
from exitwave.benchmark.ensemble import open_predictions
from exitwave.benchmark.lattice_scores import VECTORS
from exitwave.data.tables import read_table
from exitwave.report.columns_found import draw_cell
from exitwave.report.style import INK, SKY, figure, picture, scale_bar

COLUMNS = 2
"""Of the pictures beside each other."""
BLUR = 0.5
"""Standard deviation [Å] of the Gaussian after which the brightest place is a column."""


def draw_known_lattices(predictions: Sequence[Path], baselines: Path, path: Path, title: str = "") -> None:
    """Draw each image with the lattice that its autocorrelation shows, and what is said of it.

    Parameters
    ----------
    predictions : sequence of paths
        Of the networks of a training; those that have diverged are left out.
    baselines : path
        Scores of the finder without learning.
    path : path
        PNG to write.
    title : str
        Names of benchmark and training.
    """
    opened, scored = open_predictions(predictions), read_table(baselines)
    finder = scored[scored["method"] == FINDER].set_index("image")
    images = opened.table["image"].tolist() if opened.shards else []
    lines = max(1, -(-len(images) // COLUMNS))
    with figure(path, 4.6 * min(COLUMNS, max(1, len(images))), 0.5 + 5.0 * lines if images else 1.2) as drawing:
        if images:
            panels = drawing.subplots(lines, min(COLUMNS, len(images)), squeeze=False).ravel()
            for axes in panels[len(images) :]:
                axes.set_axis_off()
        for place, name in enumerate(images):
            axes, image, row = panels[place], opened.image(place), finder.loc[name]
            picture(axes)
            low, high = np.percentile(image, [0.5, 99.8])
            axes.imshow(image, cmap="gray", vmin=low, vmax=high)
            pixel = float(row["pixel_size"])
            if np.isfinite(row["lattice_a"]):
                keys = ("first_x", "first_y", "second_x", "second_y")
                vectors = np.array([row[f"lattice_{key}"] for key in keys], float).reshape(2, 2) / pixel
                origin = _column_near_the_middle(image, vectors, BLUR / pixel)
                axes.plot(*_points(origin, vectors, image.shape).T, ".", ms=2.5, color=SKY)
                draw_cell(axes, origin, vectors)
            scale_bar(axes, pixel, image.shape, "Å")
            axes.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
            probability = opened.mean(place)[:-VECTORS]
            classes = [*opened.task.facts["classes"], "another"]
            best = int(probability.argmax())
            axes.set_title(f"{name}\n{_told(row)}\nnetworks: {classes[best]} ({probability[best]:.2f})", fontsize=8)
        told = opened.told if opened.shards else "all networks have diverged, none has predicted anything"
        drawing.suptitle(f"{title} ({told})" if title else told, fontsize=10, color=INK)


def _told(row: pd.Series) -> str:
    known = f"known: {row['truth']} {row['known_a']:.2f}, {row['known_b']:.2f} Å, {row['known_gamma']:.1f}°"
    if not np.isfinite(row["lattice_a"]):
        return f"{known}\nautocorrelation: no lattice"
    return (
        f"{known}\nautocorrelation: {row['prediction']} {row['lattice_a']:.2f}, {row['lattice_b']:.2f} Å, "
        f"{row['lattice_gamma']:.1f}°; strain {row['strain']:.1%}, scale {row['scale_error']:.1%} off"
    )


def _column_near_the_middle(
    image: NDArray[np.float32], vectors: NDArray[np.float64], sigma: float
) -> NDArray[np.float64]:
    """Brightest place [x, y] within a cell of the middle of an image, where the mean over lattice points is highest."""
    height, width = image.shape
    smooth = gaussian_filter(image.astype(np.float64), sigma)
    reach = int(np.ceil(np.abs(vectors).sum(axis=0).max() / 2))
    y, x = np.mgrid[max(0, height // 2 - reach) : height // 2 + reach, max(0, width // 2 - reach) : width // 2 + reach]
    steps = np.array([(i, j) for i in range(-3, 4) for j in range(-3, 4)]) @ vectors
    down = np.clip(np.rint(y[..., None] + steps[:, 1]).astype(int), 0, height - 1)
    along = np.clip(np.rint(x[..., None] + steps[:, 0]).astype(int), 0, width - 1)
    means = smooth[down, along].mean(axis=-1)
    best = np.unravel_index(int(means.argmax()), means.shape)
    return np.array([x[best], y[best]], np.float64)


def _points(origin: NDArray[np.float64], vectors: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Points [n, 2] of a lattice inside an image."""
    height, width = shape
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) - origin
    reach = int(np.ceil(np.abs(corners @ np.linalg.inv(vectors)).max()))
    index = np.array([(i, j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1)])
    points = origin + index @ vectors
    return points[((points >= 0) & (points <= [width - 1, height - 1])).all(axis=1)]
