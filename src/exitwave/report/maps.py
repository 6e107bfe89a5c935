"""Predicted maps beside the true ones, and where they differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from exitwave.benchmark.ensemble import Predictions
from exitwave.benchmark.regression import KEPT
from exitwave.benchmark.scoring import metric_of
from exitwave.report.style import figure, grey_range, picture, scale_bar, spread
from exitwave.training.regression import RegressionTask

MOST = 6
"""Images shown at the most."""


def draw_maps(predictions: Predictions, path: str | Path, title: str = "") -> None:
    """Draw image, true map, predicted map and their difference for some images of a benchmark, evenly spread.

    Parameters
    ----------
    predictions : Predictions
        Of the networks of a training; their mean is shown.
    path : path
        PNG to write.
    title : str
        Names of benchmark and training.
    """
    task = predictions.task
    assert isinstance(task, RegressionTask)
    metric = metric_of(task, 0.5)
    rows = predictions.table.to_dict("records")
    places = [int(i) for i in spread(len(rows), MOST)]
    truths = [predictions.truth(place).astype(KEPT) for place in places]
    means = [predictions.mean(place) for place in places]
    values = np.concatenate([truth[np.isfinite(truth)] for truth in truths])
    low, high = (float(value) for value in np.percentile(values, [0, 99.8])) if values.size else (0.0, 1.0)
    wrong = np.concatenate([(mean - truth)[np.isfinite(truth)] for mean, truth in zip(means, truths, strict=True)])
    limit = max(float(np.percentile(np.abs(wrong), 99)) if wrong.size else 0.0, 1e-6)
    with figure(path, 11.0, 2.55 * len(places) + 0.9) as drawing:
        axes = drawing.subplots(len(places), 4, squeeze=False)
        for line, place, truth, mean in zip(axes, places, truths, means, strict=True):
            image, row = predictions.image(place), rows[place]
            dark, bright = grey_range(image)
            line[0].imshow(image, cmap="gray", vmin=dark, vmax=bright, interpolation="antialiased")
            scale_bar(line[0], float(row["pixel_size"]), image.shape)
            shown = [line[i + 1].imshow(m, cmap="viridis", vmin=low, vmax=high) for i, m in enumerate((truth, mean))]
            differing = line[3].imshow(mean - truth, cmap="RdBu_r", vmin=-limit, vmax=limit)
            error = metric.of_image(mean, truth, float(row["pixel_size"]))["mae"]
            line[0].set_title(str(row["image"]), fontsize=8, pad=3)
            line[3].set_title(f"mean absolute error {error:.3g} {task.unit}", fontsize=8, pad=3)
            for axis in line:
                picture(axis)
        axes[0][1].set_title("truth", fontsize=8, pad=3)
        axes[0][2].set_title("prediction", fontsize=8, pad=3)
        unit = f" [{task.unit}]" if task.unit else ""
        _bar(drawing, shown[0], list(axes[:, 1]) + list(axes[:, 2]), f"{task.model.target.map}{unit}")
        _bar(drawing, differing, list(axes[:, 3]), f"prediction - truth{unit}")
        drawing.suptitle(f"{title} ({predictions.told})" if title else predictions.told.capitalize(), fontsize=11)


def _bar(drawing: Figure, shown: AxesImage, axes: list[Axes], label: str) -> None:
    drawing.colorbar(shown, ax=axes, location="bottom", label=label, shrink=0.6, aspect=30, pad=0.02)
