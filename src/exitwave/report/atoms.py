"""Columns that networks find in images, beside the true ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D

from exitwave.benchmark.atoms import TOLERANCE, judge, places_of
from exitwave.benchmark.ensemble import Predictions
from exitwave.benchmark.scoring import metric_of
from exitwave.report.style import GREEN, ORANGE, SKY, VERMILLION, figure, picture, scale_bar, spread
from exitwave.training.atoms import AtomsTask

MOST = 4
"""Images shown at the most."""
SHOWN = 25.0
"""Edge of the part of an image that is shown [Å]."""


def draw_atoms(predictions: Predictions, path: str | Path, title: str = "") -> None:
    """Draw parts of images with the columns that the mean of the networks finds, and the map that it gives.

    Images are evenly spread over the benchmark; the part is their middle.

    Parameters
    ----------
    predictions : Predictions
        Of the networks of a training; their mean is shown.
    path : path
        PNG to write.
    title : str
        Names of benchmark and training.
    """
    assert isinstance(predictions.task, AtomsTask)
    threshold = predictions.threshold(1.0)
    metric = metric_of(predictions.task, threshold)
    rows = predictions.table.to_dict("records")
    places = [int(i) for i in spread(len(rows), MOST)]
    with figure(path, max(6.5, 3.2 * len(places)), 7.4) as drawing:
        axes = drawing.subplots(2, len(places), squeeze=False)
        for (above, below), place in zip(axes.T, places, strict=True):
            row, truth, mean = rows[place], predictions.truth(place), predictions.mean(place)
            pixel, image = float(row["pixel_size"]), predictions.image(place)
            judged = judge(places_of(mean, threshold, pixel), truth, pixel)
            # The middle, pixel by pixel.
            edge = min(len(image), round(SHOWN / pixel))
            first = (len(image) - edge) // 2
            part = np.s_[first : first + edge, first : first + edge]
            low, high = np.percentile(image, [0.5, 99.8])
            for axis in (above, below):
                picture(axis)
            above.imshow(image[part], cmap="gray", vmin=low, vmax=high)
            below.imshow(np.asarray(mean, np.float32)[part], cmap="magma", vmin=0, vmax=1)
            below.set_title("output of the network", fontsize=8, pad=3)
            scale_bar(above, pixel, image[part].shape, "Å")
            missed, false = judged.true[judged.is_missed()], judged.found[judged.is_false()]
            above.plot(*(judged.found[judged.right.found] - first).T, "+", ms=6, mew=0.9, color=GREEN)
            above.plot(*(judged.faint - first).T, "o", ms=4, mew=0.8, mfc="none", mec=SKY)
            above.plot(*(missed - first).T, "o", ms=7, mew=1.0, mfc="none", mec=ORANGE)
            above.plot(*(false - first).T, "x", ms=6, mew=1.2, color=VERMILLION)
            scores = metric.of_image(mean, truth, pixel)
            above.set_title(f"{row['image']}\nF1 {scores['f1']:.3f}, RMS {scores['rms']:.0f} pm", fontsize=8, pad=3)
            for axis in (above, below):
                axis.set(xlim=(-0.5, edge - 0.5), ylim=(edge - 0.5, -0.5))
        handles = [
            Line2D([], [], ls="", marker="+", ms=8, mew=1.2, color=GREEN, label=f"found, within {TOLERANCE:g} Å"),
            Line2D([], [], ls="", marker="o", ms=8, mfc="none", mec=ORANGE, label="missed"),
            Line2D([], [], ls="", marker="o", ms=6, mfc="none", mec=SKY, label="hidden by noise"),
            Line2D([], [], ls="", marker="x", ms=8, mew=1.2, color=VERMILLION, label="found where there is none"),
        ]
        drawing.legend(handles=handles, ncols=len(handles), loc="outside lower center")
        networks = predictions.told
        drawing.suptitle(f"{title} ({networks})" if title else networks.capitalize(), fontsize=11)
