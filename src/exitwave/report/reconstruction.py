"""Images that networks make, beside the true ones; and how their errors follow from the numbers that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from exitwave.benchmark.autoencoder import MEAN
from exitwave.benchmark.ensemble import Predictions
from exitwave.benchmark.scoring import metric_of
from exitwave.benchmark.super_resolution import interpolated
from exitwave.report.style import BLUE, GREEN, MUTED, ORANGE, figure, grey_range, picture, scale_bar, spread
from exitwave.training.autoencoder import AutoencoderTask
from exitwave.training.super_resolution import SuperResolutionTask

MOST = 4
"""Images shown at the most."""
PCA = "PCA "
"""How the names of principal components begin in tables."""


def draw_remade(predictions: Predictions, path: str | Path, title: str = "") -> None:
    """Draw images, the same made again of a few numbers, and the difference, evenly spread over a benchmark.

    Parameters
    ----------
    predictions : Predictions
        Of the networks of a training; their mean is shown.
    path : path
        PNG to write.
    title : str
        Names of benchmark and training.
    """
    assert isinstance(predictions.task, AutoencoderTask)
    metric = metric_of(predictions.task, 0.5)
    rows = predictions.table.to_dict("records")
    places = [int(i) for i in spread(len(rows), MOST)]
    with figure(path, max(6.5, 3.0 * len(places)), 9.6) as drawing:
        axes = drawing.subplots(3, len(places), squeeze=False)
        for (above, middle, below), place in zip(axes.T, places, strict=True):
            row, truth, mean = rows[place], predictions.truth(place), predictions.mean(place)
            pixel = float(row["pixel_size"])
            _grey(above, truth, truth)
            _grey(middle, mean, truth)
            # Of the range of the image.
            limit = 0.5 * float(np.ptp(truth)) or 1.0
            below.imshow(mean - truth, cmap="RdBu_r", vmin=-limit, vmax=limit)
            picture(below)
            scale_bar(above, pixel, truth.shape, "Å")
            scores = metric.of_image(mean, truth, pixel)
            above.set_title(str(row["image"]), fontsize=8, pad=3)
            middle.set_title("made again", fontsize=8, pad=3)
            below.set_title(
                f"difference: {scores['squared_error']:.3g} grey², {scores['lost']:.3g} % lost", fontsize=8, pad=3
            )
        _told(drawing, predictions, title, "; differences up to half of the range, red: too bright")


def draw_finer(predictions: Predictions, path: str | Path, title: str = "") -> None:
    """Draw coarse images, their cubic interpolation, what networks make of them, and the true ones.

    Images are evenly spread over the benchmark.

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
    assert isinstance(task, SuperResolutionTask)
    metric, factor = metric_of(task, 0.5), task.model.factor
    rows = predictions.table.to_dict("records")
    places = [int(i) for i in spread(len(rows), MOST)]
    with figure(path, 12.0, 3.15 * len(places) + 0.6) as drawing:
        axes = drawing.subplots(len(places), 4, squeeze=False)
        for line, place in zip(axes, places, strict=True):
            row, coarse, truth = rows[place], predictions.image(place), predictions.truth(place)
            pixel, mean = float(row["pixel_size"]), predictions.mean(place)
            cubic = interpolated(coarse, factor, "BICUBIC")
            low, high = grey_range(coarse)
            line[0].imshow(coarse, cmap="gray", vmin=low, vmax=high)
            picture(line[0])
            scale_bar(line[0], pixel, coarse.shape, "Å")
            line[0].set_title(f"{row['image']}\n{pixel:g} Å", fontsize=8, pad=3)
            for axis, image, name in ((line[1], cubic, "bicubic"), (line[2], mean, "network")):
                _grey(axis, image, truth)
                scores = metric.of_image(image, truth, pixel)
                told = f"PSNR {scores['psnr']:.1f} dB, SSIM {scores['ssim']:.3f}"
                columns = f"columns invented {_share(scores['invented'])}, lost {_share(scores['lost'])}"
                axis.set_title(f"{name}: {told}\n{columns}", fontsize=8, pad=3)
            _grey(line[3], truth, truth)
            line[3].set_title(f"expected electrons\n{pixel / factor:g} Å", fontsize=8, pad=3)
        _told(drawing, predictions, title)


def _share(value: float) -> str:
    return f"{value:.1f} %" if np.isfinite(value) else "–"


def _grey(axes: Axes, image: NDArray[np.floating], truth: NDArray[np.floating]) -> None:
    """An image in the range of the true one."""
    low, high = float(truth.min()), float(truth.max())
    axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6))
    picture(axes)


def _told(drawing: Figure, predictions: Predictions, title: str, more: str = "") -> None:
    networks = f"{predictions.told}{more}"
    drawing.suptitle(f"{title} ({networks})" if title else networks.capitalize(), fontsize=11)


def draw_latent(summary: pd.DataFrame, latent: Mapping[str, int], path: str | Path, title: str = "") -> None:
    """Draw the squared error of images against how many numbers each was written as.

    Parameters
    ----------
    summary : DataFrame
        One row a method, as the benchmark stage writes it.
    latent : mapping of int
        Numbers that the autoencoders of a training keep, by its name.
    path : path
        PNG to write.
    title : str
        Name of the benchmark.
    """
    rows = summary[summary["images"] > 0]
    with figure(path, 7.0, 4.6) as drawing:
        axes = drawing.subplots()
        for kind, colour, marker, label in (
            ("network", BLUE, "o", "autoencoder, median over seeds"),
            ("ensemble", GREEN, "D", "mean image of the seeds"),
        ):
            own = rows[(rows["kind"] == kind) & rows["method"].isin(latent)]
            _curve(axes, own, [latent[name] for name in own["method"]], colour, marker, label)
        components = rows[rows["method"].str.startswith(PCA)]
        numbers = [int(name.removeprefix(PCA)) for name in components["method"]]
        _curve(axes, components, numbers, ORANGE, "s", "principal components")
        for error in rows.loc[rows["method"] == MEAN, "squared_error"].tolist():
            axes.axhline(error, color=MUTED, ls="--", lw=1.1)
            axes.annotate(
                f"{MEAN}: {error:.4g}", (0.99, error), xycoords=("axes fraction", "data"), xytext=(0, 3),
                textcoords="offset points", ha="right", fontsize=8, color=MUTED,
            )  # fmt: skip
        known = sorted({*numbers, *latent.values()})
        axes.set(xscale="log", xlabel="numbers that an image is written as", ylabel="squared error [grey²]")
        axes.set_xticks(known, [str(number) for number in known], rotation=45)
        axes.minorticks_off()
        axes.set_ylim(0, None)
        axes.grid(axis="y")
        axes.legend(handles=[h for h in axes.get_lines() if not str(h.get_label()).startswith("_")], fontsize=8)
        told = "bars: 95 % interval over groups"
        drawing.suptitle(f"{title}   ({told})" if title else told.capitalize(), fontsize=11)


def _curve(axes: Axes, rows: pd.DataFrame, numbers: list[int], colour: str, marker: str, label: str) -> None:
    """Errors of some methods against their numbers, with intervals."""
    if rows.empty:
        return
    order = np.argsort(numbers, kind="stable")
    x = np.asarray(numbers, float)[order]
    value, low, high = (
        rows[name].to_numpy(float)[order] for name in ("squared_error", "squared_error_low", "squared_error_high")
    )
    axes.add_line(Line2D(x, value, color=colour, marker=marker, ms=6, mec="white", mew=0.7, label=label))
    known = np.isfinite(value) & np.isfinite(low) & np.isfinite(high)
    ends = np.clip([value - low, high - value], 0, None)[:, known]
    axes.errorbar(x[known], value[known], ends, fmt="none", ecolor=colour, elinewidth=1.0, label="_")
