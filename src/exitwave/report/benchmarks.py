"""Scores of networks and baselines with their intervals: page, forest plot, and table for the console."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]
ORDER = {"network": 0, "ensemble": 1, "baseline": 2}
MARKERS = {"network": "o", "ensemble": "D", "baseline": "s"}
MISSING = "–"
NOTE = (
    "F1 of the particle class. Pooled: of the summed pixels of all images; mean: over the images with particles. "
    "Brackets: 95 % bootstrap interval over images. Of networks the median over seeds is given, with the smallest and "
    "the largest seed; an ensemble is the mean prediction of all seeds. Baselines are rules without training."
)


def sort_methods(summary: pd.DataFrame) -> list[Row]:
    """Rows of a summary: networks first, then ensembles, then baselines, each from the best to the worst pooled F1."""
    rows: list[Row] = [{str(name): value for name, value in row.items()} for row in summary.to_dict("records")]
    return sorted(rows, key=lambda row: (ORDER[row["kind"]], -row["f1_pooled"], row["method"]))


def method_name(row: Row) -> str:
    """Name of a method as a reader sees it."""
    name = str(row["method"])
    if row["kind"] == "baseline":
        return name.replace("_", " ")
    return f"{name} (ensemble)" if row["kind"] == "ensemble" else name


def score_page(summary: pd.DataFrame, path: str | Path, data: str, title: str = "") -> None:
    """Write the scores on a benchmark as a HTML page.

    Parameters
    ----------
    summary : DataFrame
        One row a method, as the benchmark stage writes it.
    path : path
        Page to write.
    data : str
        What was scored, such as "Real micrographs with expert masks."
    title : str
        Name of the benchmark.
    """
    from exitwave.report.tables import write_html

    columns = [
        "method",
        "networks",
        "images",
        "F1 pooled",
        "over seeds",
        "F1 mean",
        "over seeds",
        "IoU pooled",
        "soft F1 pooled",
        "soft F1, two classes",
    ]
    rows: list[list[str | tuple[str, str]]] = []
    marks = []
    for row in sort_methods(summary):
        trained = row["kind"] != "baseline"
        rows.append(
            [
                method_name(row),
                f"{row['seeds']:d}" if row["kind"] == "network" else MISSING,
                f"{row['images']:d}",
                (_number(row["f1_pooled"]), _interval(row, "f1_pooled")),
                _over_seeds(row, "f1_pooled"),
                (_number(row["f1_mean"]), _interval(row, "f1_mean")),
                _over_seeds(row, "f1_mean"),
                _number(row["iou_pooled"]),
                _number(row["f1_soft_pooled"]) if trained else MISSING,
                _number(row["f1_soft_two_class"]) if trained else MISSING,
            ]
        )
        marks.append("strong" if trained else "")
    write_html(path, f"Scores: {title}" if title else "Scores", f"{data} {NOTE}", columns, rows, marks)


def forest_plot(summary: pd.DataFrame, path: str | Path, data: str, title: str = "") -> None:
    """Draw pooled and mean F1 of every method with its interval and the range of its seeds.

    Parameters
    ----------
    summary : DataFrame
        One row a method, as the benchmark stage writes it.
    path : path
        PNG to write.
    data : str
        What was scored.
    title : str
        Name of the benchmark.
    """
    from matplotlib.lines import Line2D

    from exitwave.report.style import INK, figure

    rows = sort_methods(summary)
    with figure(path, 11.0, 0.34 * len(rows) + 1.7) as drawing:
        pooled, mean = drawing.subplots(1, 2, sharey=True)
        _forest(pooled, rows, "f1_pooled", "F1, pixels of all images pooled")
        _forest(mean, rows, "f1_mean", "F1, mean over images with particles")
        pooled.set_yticks(range(len(rows)), [method_name(row) for row in rows])
        pooled.set_ylim(len(rows) - 0.4, -0.6)
        present = [kind for kind in ORDER if any(row["kind"] == kind for row in rows)]
        labels = {
            "network": "network, median over seeds",
            "ensemble": "mean prediction of the seeds",
            "baseline": "rule without training",
        }
        handles = [
            Line2D([], [], ls="", marker=MARKERS[kind], ms=7, color=_colour(kind), label=labels[kind])
            for kind in present
        ]
        handles.append(Line2D([], [], color=INK, lw=1.4, label="95 % interval over images"))
        if any(row["kind"] == "network" and row["seeds"] > 1 for row in rows):
            handles.append(Line2D([], [], color=_colour("network"), lw=7, alpha=0.3, label="range of seeds"))
        drawing.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        images = max((row["images"] for row in rows), default=0)
        drawing.suptitle(f"{f'{title}: ' if title else ''}{data.rstrip('.')}, {images} images", fontsize=11)


def _colour(kind: str) -> str:
    from exitwave.report.style import BLUE, MUTED, VERMILLION

    return {"network": BLUE, "ensemble": VERMILLION, "baseline": MUTED}[kind]


def _forest(axes: Axes, rows: list[Row], column: str, label: str) -> None:
    from exitwave.report.style import INK

    for y, row in enumerate(rows):
        kind, value = row["kind"], row[column]
        if not np.isfinite(value):
            continue
        if kind == "network" and row["seeds"] > 1:
            ends = [row[f"{column}_seed_min"], row[f"{column}_seed_max"]]
            axes.plot(ends, [y, y], color=_colour(kind), lw=8, alpha=0.28, solid_capstyle="butt")
        ends = [row[f"{column}_low"], row[f"{column}_high"]]
        if np.all(np.isfinite(ends)):
            axes.plot(ends, [y, y], color=INK, lw=1.3, marker="|", ms=7)
        axes.plot(value, y, marker=MARKERS[kind], color=_colour(kind), ms=7, mec="white", mew=0.8, zorder=4)
        axes.text(1.02, y, f"{value:.3f}", va="center", fontsize=8.5, transform=axes.get_yaxis_transform())
    axes.set(xlim=(-0.015, 1.0), xlabel=label)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.grid(axis="x")
    axes.tick_params(axis="both", length=0)
    axes.spines["left"].set_visible(False)
    trained = sum(row["kind"] != "baseline" for row in rows)
    if 0 < trained < len(rows):
        axes.axhline(trained - 0.5, color="#b5bdc5", lw=0.8, ls=(0, (4, 3)))


def print_table(summaries: Sequence[pd.DataFrame | str | Path]) -> None:
    """Print the scores of benchmarks to the terminal.

    Parameters
    ----------
    summaries : sequence of DataFrame or path
        Summaries as the benchmark stage writes them.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from exitwave.data.shards import read_table

    console = Console()
    for given in summaries:
        summary = given if isinstance(given, pd.DataFrame) else read_table(given)
        if summary.empty:
            continue
        name = str(summary["benchmark"].iloc[0])
        title = Text(f"{name}, {summary['images'].max()} images")
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        table.add_column("method", min_width=24, overflow="fold")
        for column in ("F1 pooled", "95 % interval", "seeds", "F1 mean", "IoU"):
            table.add_column(column, justify="right", no_wrap=True)
        for row in sort_methods(summary):
            table.add_row(
                Text(method_name(row)),
                _number(row["f1_pooled"]),
                Text(_interval(row, "f1_pooled")),
                _over_seeds(row, "f1_pooled"),
                _number(row["f1_mean"]),
                _number(row["iou_pooled"]),
                style="bold" if row["kind"] != "baseline" else "",
            )
        console.print(table)
        console.print()


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else MISSING


def _interval(row: Row, column: str) -> str:
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    return f"[{low:.2f}, {high:.2f}]" if np.isfinite(low) and np.isfinite(high) else ""


def _over_seeds(row: Row, column: str) -> str:
    if row["kind"] != "network" or row["seeds"] < 2:
        return MISSING
    return f"{row[f'{column}_seed_min']:.2f} to {row[f'{column}_seed_max']:.2f}"
