"""Scores of networks and baselines in bins of conditions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from exitwave.benchmark.metrics import Score
from exitwave.data.columns import UNITS
from exitwave.report.benchmarks import method_name, metric_of_summary, sort_methods
from exitwave.report.columns import label_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 4
"""Methods of each kind shown at the most, the best of all images."""
SPREAD = 0.5
"""Width over which the methods of a bin stand side by side."""
LONGEST = 40
"""Letters of the labels of all bins above which they are turned."""


def draw_breakdown(broken_down: pd.DataFrame, summary: pd.DataFrame, path: str | Path, title: str = "") -> None:
    """Draw the foremost scores against each condition, with intervals, networks beside baselines.

    Parameters
    ----------
    broken_down : DataFrame
        One row a bin and method, as the benchmark stage writes it.
    summary : DataFrame
        One row a method, by whose order the best are chosen.
    path : path
        PNG to write.
    title : str
        Name of the benchmark.
    """
    from matplotlib.lines import Line2D

    from exitwave.report.style import figure

    metric = metric_of_summary(summary)
    scores = [score for score in metric.summary if score.foremost]
    methods = shown_methods(summary)
    conditions = list(dict.fromkeys(broken_down["by"]))
    looks = _looks(methods)
    with figure(path, max(6.5, 1.0 + 3.3 * len(conditions)), 2.4 * len(scores) + 0.9) as drawing:
        panels = drawing.subplots(len(scores), len(conditions), sharey="row", sharex="col", squeeze=False)
        for line, score in zip(panels, scores, strict=True):
            for axes, condition in zip(line, conditions, strict=True):
                _panel(axes, broken_down[broken_down["by"] == condition], score, looks)
            line[0].set_ylabel(score.axis or score.label)
        for axes, condition in zip(panels[-1], conditions, strict=True):
            axes.set_xlabel(axis_of(condition))
        handles = [Line2D([], [], label=method_name(row), **looks[row["kind"], row["method"]]) for row in methods]
        drawing.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))
        told = "bars: 95 % interval"
        drawing.suptitle(f"{title}   ({told})" if title else told.capitalize(), fontsize=11)


def axis_of(condition: str) -> str:
    """Name of a condition with its unit."""
    unit = UNITS.get(condition, "")
    return f"{label_of(condition)} [{unit}]" if unit else label_of(condition)


def shown_methods(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a summary that are shown, of each kind the best."""
    rows = [row for row in sort_methods(summary) if row["images"]]
    seen: dict[str, int] = {}
    shown = []
    for row in rows:
        seen[row["kind"]] = seen.get(row["kind"], 0) + 1
        if seen[row["kind"]] <= MOST:
            shown.append(row)
    return shown


def _looks(methods: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Colour and marker of each method: one colour a training, grey for baselines."""
    from exitwave.report.benchmarks import MARKERS
    from exitwave.report.style import BLUE, GREEN, MUTED, ORANGE, PURPLE, VERMILLION

    colours = [BLUE, VERMILLION, GREEN, PURPLE]
    trainings = list(dict.fromkeys(row["method"] for row in methods if row["kind"] != "baseline"))
    grey = [row["method"] for row in methods if row["kind"] == "baseline"]
    looks: dict[tuple[str, str], dict[str, Any]] = {}
    for row in methods:
        if row["kind"] == "baseline":
            colour = [ORANGE, MUTED, "#a9b2ba", "#c9d0d6"][grey.index(row["method"])]
        else:
            colour = colours[trainings.index(row["method"]) % len(colours)]
        style = {"network": "-", "ensemble": ":", "baseline": "--"}[row["kind"]]
        look = {"color": colour, "marker": MARKERS[row["kind"]], "ls": style, "ms": 5, "lw": 1.1}
        looks[row["kind"], row["method"]] = look
    return looks


def _panel(axes: Axes, rows: pd.DataFrame, score: Score, looks: dict[tuple[str, str], dict[str, Any]]) -> None:
    bins = rows.drop_duplicates("bin").sort_values("bin")
    for place, ((kind, method), look) in enumerate(looks.items()):
        own = rows[(rows["kind"] == kind) & (rows["method"] == method)].sort_values("bin")
        x = own["bin"].to_numpy(float) + SPREAD * ((place + 0.5) / len(looks) - 0.5)
        value, low, high = (
            own[name].to_numpy(float) for name in (score.name, f"{score.name}_low", f"{score.name}_high")
        )
        axes.plot(x, value, mec="white", mew=0.6, **look)
        known = np.isfinite(value) & np.isfinite(low) & np.isfinite(high)
        ends = np.clip([value - low, high - value], 0, None)[:, known]
        axes.errorbar(x[known], value[known], ends, fmt="none", ecolor=look["color"], elinewidth=0.9, capsize=0)
    labels = bins["label"].str.replace(" to ", "\nto ")
    longest = max(len(line) for label in labels for line in label.split("\n"))
    turned = longest * len(bins) > LONGEST
    axes.set_xticks(bins["bin"], labels, rotation=30 if turned else 0, ha="right" if turned else "center")
    axes.set_xlim(bins["bin"].min() - 0.6, bins["bin"].max() + 0.6)
    if score.limits is not None:
        axes.set_ylim(*score.limits)
    axes.grid(axis="y")
    axes.tick_params(axis="both", length=0)
