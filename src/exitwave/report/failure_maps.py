"""Scores against two conditions at a time: where a method fails."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.breakdown import binned
from exitwave.benchmark.metrics import Metric, Score
from exitwave.benchmark.summary import weighted_scores
from exitwave.report.benchmarks import method_name, metric_of_summary, number_told, sort_methods
from exitwave.report.breakdown import axis_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

FEW = 5
"""Images of a cell below which its score says little."""
MOST = 9
"""Pairs of conditions drawn at the most, those first that the benchmark names first."""
ACROSS = 3


def failure_map(
    scores: pd.DataFrame, metric: Metric, conditions: tuple[str, str], bins: int
) -> tuple[pd.DataFrame, tuple[list[str], list[str]]]:
    """First score of one method in cells of two conditions.

    Parameters
    ----------
    scores : DataFrame
        One row an image and seed, with the columns that :func:`exitwave.benchmark.summary.summarise` needs, ``image``
        and both conditions.
    metric : Metric
    conditions : pair of str
        Columns; each is binned as for the scores against one condition. Images without a value, such as those without
        a particle for its radius, are left out.
    bins : int
        Bins of equal counts of a column with many different numbers.

    Returns
    -------
    cells : DataFrame
        One row a cell that has images: ``first`` and ``second``, the numbers of its bins; ``score``, the median over
        seeds; ``images``, and ``groups`` that these are of.
    labels : pair of lists of str
        Labels of the bins of both conditions.
    """
    scores = scores.dropna(subset=list(conditions))
    images = scores.drop_duplicates("image").set_index("image")
    places, labels = [], []
    for name in conditions:
        numbers, told = binned(images[name], bins)
        places.append(scores["image"].map(numbers))
        labels.append([label for label, _, _ in told])
    rows = []
    for (first, second), part in scores.groupby([places[0].to_numpy(), places[1].to_numpy()]):
        number = part["image"].nunique()
        value = float(np.median(weighted_scores(part, metric)(np.ones((1, number)))[0, :, 0]))
        groups = part["group"].nunique()
        rows.append({"first": first, "second": second, "score": value, "images": number, "groups": groups})
    return pd.DataFrame(rows), (labels[0], labels[1])


def says_little(cells: pd.DataFrame) -> NDArray[np.bool_]:
    """Of each cell whether it has few images, or images of one group alone."""
    return np.asarray((cells["images"] < FEW) | (cells["groups"] < 2) | cells["score"].isna())


def draw_failure_maps(
    per_image: pd.DataFrame, summary: pd.DataFrame, by: Sequence[str], bins: int, path: str | Path, title: str = ""
) -> None:
    """Draw the first score of the best training against every two conditions.

    Parameters
    ----------
    per_image : DataFrame
        One row an image, method and seed, as the benchmark stage writes it.
    summary : DataFrame
        One row a method, by which the best training is chosen.
    by : sequence of str
        Conditions that the benchmark names.
    bins : int
        Bins of each.
    path : path
        PNG to write.
    title : str
        Name of the benchmark.
    """
    from exitwave.report.style import figure

    method = next(row for row in sort_methods(summary) if row["images"])
    metric = metric_of_summary(summary)
    scores = per_image[(per_image["kind"] == method["kind"]) & (per_image["method"] == method["method"])]
    pairs = list(islice(combinations(by, 2), MOST))
    maps = [failure_map(scores, metric, pair, bins) for pair in pairs]
    known = np.concatenate([cells["score"].to_numpy(float)[~says_little(cells)] for cells, _ in maps])
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    across = min(ACROSS, len(pairs))
    down = -(-len(pairs) // across)
    with figure(path, max(6.0, 4.1 * across), 3.4 * down + 0.7) as drawing:
        panels = drawing.subplots(down, across, squeeze=False)
        for axes in panels.flat[len(pairs) :]:
            axes.set_visible(False)
        shown: AxesImage | None = None
        for axes, pair, (cells, labels) in zip(panels.flat, pairs, maps, strict=False):
            shown = _draw(axes, cells, labels, (low, high), metric.higher_is_better)
            axes.set(xlabel=axis_of(pair[0]), ylabel=axis_of(pair[1]))
        if shown is not None and known.size:
            drawing.colorbar(shown, ax=panels, label=_name(metric.summary[0]), shrink=0.8, pad=0.01)
        told = f"{method_name(method)}; grey: fewer than {FEW} images, or of one structure"
        drawing.suptitle(f"{title}: {told}" if title else told, fontsize=11)


def _draw(
    axes: Axes,
    cells: pd.DataFrame,
    labels: tuple[list[str], list[str]],
    limits: tuple[float, float],
    higher_is_better: bool,
) -> AxesImage:
    from matplotlib import colormaps

    from exitwave.report.style import GRID, INK, MUTED

    shape = len(labels[1]), len(labels[0])
    values, few = np.full(shape, np.nan), says_little(cells)
    for cell, little in zip(cells.to_dict("records"), few, strict=True):
        if not little:
            values[cell["second"], cell["first"]] = cell["score"]
    # Dark is where a method fails.
    colours = colormaps["viridis" if higher_is_better else "viridis_r"].with_extremes(bad=GRID)
    span = max(limits[1] - limits[0], 1e-6)
    shown = axes.imshow(
        np.ma.masked_invalid(values), cmap=colours, vmin=limits[0], vmax=limits[0] + span, aspect="auto", origin="lower"
    )
    for cell, little in zip(cells.to_dict("records"), few, strict=True):
        bright = (cell["score"] - limits[0]) / span
        ink = MUTED if little else INK if (bright if higher_is_better else 1 - bright) > 0.6 else "white"
        text: dict[str, Any] = {"ha": "center", "color": ink}
        axes.text(cell["first"], cell["second"], number_told(cell["score"], 2), va="bottom", fontsize=9, **text)
        axes.text(cell["first"], cell["second"], f"{cell['images']} images", va="top", fontsize=6.5, **text)
    axes.set_xticks(range(shape[1]), [label.replace(" to ", "\nto ") for label in labels[0]])
    axes.set_yticks(range(shape[0]), [label.replace(" to ", "\nto ") for label in labels[1]])
    axes.tick_params(axis="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return shown


def _name(score: Score) -> str:
    return score.axis or score.label
