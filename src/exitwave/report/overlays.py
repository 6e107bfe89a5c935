"""Predictions laid over the images of a benchmark, beside the masks they are scored against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from exitwave.benchmark.ensemble import Predictions
from exitwave.benchmark.scoring import metric_of
from exitwave.benchmark.segmentation import EMPTY_FRACTION
from exitwave.report.style import ORANGE, SKY, figure, grey_range, outline, picture, scale_bar, spread

MOST = 40
"""Held-out simulated images shown at the most; of micrographs every one is shown."""


def draw_overlays(
    predictions: Predictions, path: str | Path, threshold: float, real: bool = True, title: str = ""
) -> None:
    """Draw prediction and mask over the images of a benchmark.

    Above each stand its F1 and how many of its particles are found.

    Parameters
    ----------
    predictions : Predictions
        Of the networks of a training; their mean probability is shown.
    path : path
        PNG to write.
    threshold : float
        Probability from which a pixel is particle.
    real : bool
        The images are micrographs with an expert's masks, and every one is shown; else they are simulated images with
        labels, of which at most ``MOST`` are shown, evenly spread.
    title : str
        Names of benchmark and training.
    """
    metric = metric_of(predictions.task, threshold)
    rows = predictions.table.to_dict("records")
    places = range(len(rows)) if real else [int(i) for i in spread(len(rows), MOST)]
    columns = min(max(2, len(places)), 4 if len(places) <= 12 else 5 if len(places) <= 40 else 8)
    lines = max(1, -(-len(places) // columns))
    panel = 12.0 / columns if columns >= 4 else 3.0
    with figure(path, max(6.5, panel * columns), (panel + 0.25) * lines + 0.85) as drawing:
        axes = drawing.subplots(lines, columns, squeeze=False)
        for axis in axes.flat:
            picture(axis)
            axis.set_visible(False)
        for axis, place in zip(axes.flat, places, strict=False):
            axis.set_visible(True)
            image, mask = predictions.image(place), predictions.truth(place).astype(bool)
            probability = predictions.mean(place)
            row = rows[place]
            scores = metric.of_image(probability, mask, float(row["pixel_size"]))
            overlay(axis, image, probability >= threshold, mask)
            scale_bar(axis, float(row["pixel_size"]), image.shape)
            particles = f"{scores['particles_matched']:.0f} of {scores['particles_true']:.0f}"
            score = f"F1 {scores['f1']:.2f}, {particles}" if mask.mean() >= EMPTY_FRACTION else "no particle"
            axis.set_title(f"{row['image']}: {score}", fontsize=8, pad=3)
        truth = "expert" if real else "label"
        handles: list[Any] = [
            Line2D([], [], color=SKY, lw=2, label="expert's outline" if real else "outline of the label"),
            Line2D([], [], color=ORANGE, lw=2, label="predicted outline"),
            Patch(color=to_rgba(SKY, 0.5), label=f"missed ({truth} only)"),
            Patch(color=to_rgba(ORANGE, 0.5), label="false (prediction only)"),
        ]
        drawing.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        networks = predictions.told
        drawing.suptitle(f"{title} ({networks})" if title else networks.capitalize(), fontsize=11)


def overlay(axes: Axes, image: NDArray[Any], predicted: NDArray[np.bool_], mask: NDArray[np.bool_]) -> None:
    """Draw an image with the outlines of prediction and mask, and tint where only one of them holds.

    Parameters
    ----------
    axes : Axes
        Where to draw.
    image : ndarray [H, W]
        Image.
    predicted, mask : ndarray, bool [H, W]
        What the network and the expert hold for particle.
    """
    low, high = grey_range(image)
    axes.imshow(image, cmap="gray", interpolation="antialiased", vmin=low, vmax=high)
    tint = np.zeros((*mask.shape, 4))
    tint[mask & ~predicted] = to_rgba(SKY, 0.38)
    tint[predicted & ~mask] = to_rgba(ORANGE, 0.38)
    axes.imshow(tint, interpolation="nearest")
    outline(axes, mask, SKY, 1.3)
    outline(axes, predicted, ORANGE, 1.3)
