"""Bragg disks that networks and template matching find in patterns, beside the true ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from exitwave.benchmark.disk_maps import image_of
from exitwave.benchmark.disks import disks_of
from exitwave.benchmark.ensemble import Predictions
from exitwave.benchmark.scoring import metric_of
from exitwave.report.patterns import LARGEST_CIRCLE, SHOWN_AS, brightness, strong_reflections
from exitwave.report.style import BLUE, INK, figure, picture, scale_bar, spread
from exitwave.training.disks import DisksTask

MOST = 6
"""Patterns shown at the most."""
LARGEST_CROSS = 0.055
"""Width of the cross of the strongest disk that is found, over the edge of a pattern."""


def draw_disks(predictions: Predictions, baselines: pd.DataFrame | None, path: str | Path, title: str = "") -> None:
    """Draw patterns, the disks found in them by template matching and by a network, and the output of the network.

    Patterns are evenly spread over the benchmark. Above each stands the intensity-weighted accuracy.

    Parameters
    ----------
    predictions : Predictions
        Of the networks of a training; their mean is shown.
    baselines : DataFrame, optional
        Scores of classical methods with what each has found; the one with the best F1 is shown.
    path : path
        PNG to write.
    title : str
        Names of benchmark and training.
    """
    task = predictions.task
    assert isinstance(task, DisksTask)
    threshold = predictions.threshold(1.0)
    metric = metric_of(task, threshold)
    rows = predictions.table.to_dict("records")
    places = [int(i) for i in spread(len(rows), MOST)]
    name, classical = best_of(baselines)
    lines = 4 if classical is not None else 3
    with figure(path, max(6.5, 2.3 * len(places)), 2.5 * lines + 1.1) as drawing:
        axes = drawing.subplots(lines, len(places), squeeze=False)
        for column, place in zip(axes.T, places, strict=True):
            row, truth, mean = rows[place], predictions.truth(place), predictions.mean(place)
            pattern, size = predictions.image(place), mean.shape[-1]
            for axis in column:
                picture(axis)
            column[0].imshow(brightness(pattern), cmap="gray", vmin=0, vmax=1, interpolation="antialiased")
            scale_bar(column[0], float(row["pixel_size"]), pattern.shape, "1/Å")
            column[0].set_title("\n".join([str(row["image"]), *_conditions(row)]), fontsize=7.5, pad=3)
            column[1].imshow(image_of(mean), cmap="magma", vmin=0, vmax=1, interpolation="antialiased")
            column[1].set_title("output of the network", fontsize=8, pad=3)
            scores = metric.of_image(mean, truth, float(row["pixel_size"]))
            found = disks_of(mean, threshold, task.model.target.gamma)
            _draw_found(column[2], truth, found, size, f"network: {_told(scores)}")
            if classical is not None:
                one = classical.loc[str(row["image"])]
                found = np.asarray(one["disks"], np.float64).reshape(-1, 3)
                _draw_found(column[3], truth, found, size, f"{name}: {_told(one)}")
        handles = [
            Line2D([], [], ls="", marker="o", ms=8, mfc="none", mec=BLUE, label="true, area ∝ weighted |V$_g$|"),
            Line2D([], [], ls="", marker="+", ms=8, mew=1.2, color=INK, label="found, area ∝ its intensity"),
        ]
        drawing.legend(handles=handles, ncols=2, loc="outside lower center", title=SHOWN_AS, title_fontsize=8.5)
        networks = predictions.told
        drawing.suptitle(f"{title} ({networks})" if title else networks.capitalize(), fontsize=11)


def best_of(baselines: pd.DataFrame | None) -> tuple[str, pd.DataFrame | None]:
    """Name of the classical method with the best F1 and its rows by the name of the image; none if there is none."""
    if baselines is None or baselines.empty:
        return "", None
    sums = baselines.groupby("method", sort=False)[["tp", "fp", "fn"]].sum()
    name = str((2 * sums["tp"] / (2 * sums["tp"] + sums["fp"] + sums["fn"])).idxmax())
    return name, baselines[baselines["method"] == name].set_index("image")


def _conditions(row: Mapping[Any, Any]) -> list[str]:
    """Semiangle and thickness, where the benchmark has kept them, in one line."""
    told = []
    if np.isfinite(row.get("semiangle", np.nan)):
        told.append(f"{row['semiangle']:.3g} mrad")
    if np.isfinite(row.get("specimen_thickness", np.nan)):
        told.append(f"{row['specimen_thickness'] / 10:g} nm")
    return [", ".join(told)] if told else []


def _told(scores: Any) -> str:
    accuracy = float(scores["accuracy"])
    return f"accuracy {accuracy:.2f}, F1 {float(scores['f1']):.2f}" if np.isfinite(accuracy) else "nothing to find"


def _draw_found(
    axes: Axes, reflections: NDArray[np.floating], found: NDArray[np.float64], size: int, title: str
) -> None:
    """Circles at true reflections, crosses at what is found, their areas as strong as they are."""
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), aspect="equal")
    for spine in axes.spines.values():
        spine.set(visible=True, color="#c9d0d6")
    axes.set_title(title, fontsize=8, pad=3)
    edge = 72 * axes.get_window_extent().width / axes.figure.dpi
    shown, shares = strong_reflections(reflections)
    areas = (LARGEST_CIRCLE * edge) ** 2 * shares[shown]
    x, y = reflections[shown, :2].T
    axes.scatter(x, y, s=areas, facecolors="none", edgecolors=BLUE, linewidths=0.9)
    if not len(found):
        return
    # The direct beam would make all others faint.
    middle = np.hypot(*(found[:, :2] - size // 2).T) < 0.05 * size
    strongest = float(found[~middle, 2].max(initial=0.0)) or float(found[:, 2].max())
    shares = np.clip(found[:, 2] / strongest, 0.02, 1.0)
    x, y = found[:, :2].T
    axes.scatter(x, y, s=(LARGEST_CROSS * edge) ** 2 * shares, marker="+", color=INK, linewidths=0.9)
