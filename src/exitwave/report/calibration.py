"""Predicted probabilities against the shares of particle that they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.calibration import CALIBRATION_COUNTS, curves, scores_from_counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = {"all": "all pixels", "rim": "within 4 Å of true outlines"}
FEWEST = 50
"""Pixels of a bin from which its share is shown."""


def draw_calibration(images: pd.DataFrame, path: str | Path, data: str, title: str = "") -> None:
    """Draw the shares of particle against the probabilities of networks, of all pixels and of those at rims.

    Parameters
    ----------
    images : DataFrame
        Scores of all methods on each image, as the benchmark stage writes them.
    path : path
        PNG to write.
    data : str
        What was scored.
    title : str
        Name of the benchmark.
    """
    from exitwave.report.style import BLUE, GREEN, MUTED, ORANGE, PURPLE, VERMILLION, figure

    methods = shown_methods(images)
    colours = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, MUTED)
    with figure(path, 9.6, 5.4) as drawing:
        panels = dict(zip(PANELS, drawing.subplots(1, 2, sharey=True), strict=True))
        for place, (name, counts) in enumerate(methods.items()):
            errors = scores_from_counts(counts)
            for (area, told), error in zip(curves(counts).items(), errors.values(), strict=True):
                label = f"{name}: {error:.3f}" if np.isfinite(error) else name
                _curve(panels[area], told, colours[place % len(colours)], label)
        for area, axes in panels.items():
            axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 3)), zorder=0)
            axes.set(title=PANELS[area], xlabel="predicted probability", xlim=(0, 1), ylim=(0, 1), aspect="equal")
            if methods:
                axes.legend(title="expected calibration error", loc="upper left", fontsize=8, title_fontsize=8)
        panels["all"].set_ylabel("share of particle")
        drawing.suptitle(f"{f'{title}: ' if title else ''}{data.rstrip('.')}", fontsize=11)


def shown_methods(images: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Sums over images of the counts of each training: of its mean prediction, or of its only network."""
    found: dict[str, NDArray[np.float64]] = {}
    for kind in ("network", "ensemble"):
        for method, rows in images[images["kind"] == kind].groupby("method", sort=False):
            counts = rows[list(CALIBRATION_COUNTS)].to_numpy(np.float64)
            if np.isfinite(counts).all():
                found[str(method)] = counts.sum(axis=0)
    return found


def _curve(axes: Axes, told: NDArray[np.float64], colour: str, label: str) -> None:
    pixels, probability, share = told
    shown = pixels >= FEWEST
    axes.plot(probability[shown], share[shown], marker="o", ms=4, lw=1.2, color=colour, label=label)
