"""Scores of networks and baselines with their intervals: page, forest plot, and table for the console."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from exitwave.benchmark.metrics import Metric, Score
from exitwave.benchmark.scoring import scoring_of
from exitwave.training.kinds import task_from

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]
ORDER = {"network": 0, "ensemble": 1, "baseline": 2}
MARKERS = {"network": "o", "ensemble": "D", "baseline": "s"}
MISSING = "–"
THRESHOLD = 0.5
"""For metrics that are asked for their names alone."""
LABELS = {
    "network": "network, median over seeds",
    "ensemble": "mean prediction of the seeds",
    "baseline": "baseline",
}


def metric_of_summary(summary: pd.DataFrame) -> Metric:
    """Metric of the scores in a summary."""
    task = task_from(json.loads(summary["task"].iloc[0]))
    kind = str(summary["benchmark_kind"].iloc[0]) if "benchmark_kind" in summary else ""
    return scoring_of(task.model, kind).metric(task, THRESHOLD)


def tables_of_summary(summary: pd.DataFrame) -> dict[str, list[Score]]:
    """Scores of a summary by the heading of their table, without tables in which no method has a number.

    A summary that an older version has written has not all that its metric knows now.
    """
    tables: dict[str, list[Score]] = {}
    for score in metric_of_summary(summary).summary:
        if score.name in summary:
            tables.setdefault(score.group, []).append(score)
    names = {heading: [score.name for score in scores] for heading, scores in tables.items()}
    return {heading: scores for heading, scores in tables.items() if summary[names[heading]].notna().to_numpy().any()}


def sort_methods(summary: pd.DataFrame) -> list[Row]:
    """Rows of a summary: networks first, then ensembles, then baselines, each from the best to the worst first score.

    Methods without a score stand last.
    """
    metric = metric_of_summary(summary)
    name, sign = metric.summary[0].name, -1 if metric.higher_is_better else 1
    rows: list[Row] = [{str(key): value for key, value in row.items()} for row in summary.to_dict("records")]

    def order(row: Row) -> tuple[int, float, str]:
        return ORDER[row["kind"]], sign * row[name] if np.isfinite(row[name]) else np.inf, row["method"]

    return sorted(rows, key=order)


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
    from exitwave.report.tables import Table, write_html

    methods = sort_methods(summary)
    tables = []
    for heading, scores in tables_of_summary(summary).items():
        columns = ["method", "networks", "images"]
        for score in scores:
            columns += [score.label, "over seeds"] if score.foremost else [score.label]
        rows: list[list[str | tuple[str, str]]] = []
        for row in methods:
            cells: list[str | tuple[str, str]] = [method_name(row), _networks(row), f"{row['images']:d}"]
            for score in scores:
                if score.foremost:
                    cells += [(_value(row, score), interval_told(row, score.name)), _over_seeds(row, score.name)]
                else:
                    told = row["kind"] != "baseline" or score.of_rules
                    cells.append(_value(row, score) if told else MISSING)
            rows.append(cells)
        marks = ["" if row["kind"] == "baseline" else "strong" for row in methods]
        tables.append(Table(columns, rows, marks, heading.capitalize()))
    note = f"{data} {metric_of_summary(summary).note}"
    write_html(path, f"Scores: {title}" if title else "Scores", note, tables)


def forest_plot(summary: pd.DataFrame, path: str | Path, data: str, title: str = "") -> None:
    """Draw the foremost scores of every method with their intervals and the range of its seeds.

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
    shown = [score for scores in tables_of_summary(summary).values() for score in scores if score.foremost]
    with figure(path, max(11.0, 2.0 + 3.0 * len(shown)), 0.34 * len(rows) + 1.7) as drawing:
        panels = drawing.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, score in zip(panels, shown, strict=True):
            _forest(axes, rows, score)
        panels[0].set_yticks(range(len(rows)), [method_name(row) for row in rows])
        panels[0].set_ylim(len(rows) - 0.4, -0.6)
        present = [kind for kind in ORDER if any(row["kind"] == kind for row in rows)]
        handles = [
            Line2D([], [], ls="", marker=MARKERS[kind], ms=7, color=_colour(kind), label=LABELS[kind])
            for kind in present
        ]
        handles.append(Line2D([], [], color=INK, lw=1.4, label="95 % interval"))
        if any(row["kind"] == "network" and row["seeds"] > 1 for row in rows):
            handles.append(Line2D([], [], color=_colour("network"), lw=7, alpha=0.3, label="range of seeds"))
        drawing.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        images = max((row["images"] for row in rows), default=0)
        drawing.suptitle(f"{f'{title}: ' if title else ''}{data.rstrip('.')}, {images} images", fontsize=11)


def _colour(kind: str) -> str:
    from exitwave.report.style import BLUE, MUTED, VERMILLION

    return {"network": BLUE, "ensemble": VERMILLION, "baseline": MUTED}[kind]


def _forest(axes: Axes, rows: list[Row], score: Score) -> None:
    from exitwave.report.style import INK

    column = score.name
    beside: dict[str, Any] = {"va": "center", "fontsize": 8.5, "transform": axes.get_yaxis_transform()}
    for y, row in enumerate(rows):
        kind, value = row["kind"], row[column]
        if not np.isfinite(value):
            axes.text(1.02, y, "diverged" if row["diverged"] else MISSING, **beside)
            continue
        if kind == "network" and row["seeds"] > 1:
            ends = [row[f"{column}_seed_min"], row[f"{column}_seed_max"]]
            axes.plot(ends, [y, y], color=_colour(kind), lw=8, alpha=0.28, solid_capstyle="butt")
        ends = [row[f"{column}_low"], row[f"{column}_high"]]
        if np.all(np.isfinite(ends)):
            axes.plot(ends, [y, y], color=INK, lw=1.3, marker="|", ms=7)
        axes.plot(value, y, marker=MARKERS[kind], color=_colour(kind), ms=7, mec="white", mew=0.8, zorder=4)
        axes.text(1.02, y, number_told(value), **beside)
    axes.set_xlabel(score.axis or score.label)
    if score.limits is not None:
        low, high = score.limits
        axes.set_xlim(low - 0.015 * (high - low), high)
        axes.set_xticks(np.linspace(low, high, 6))
    axes.grid(axis="x")
    axes.tick_params(axis="both", length=0)
    axes.spines["left"].set_visible(False)
    trained = sum(row["kind"] != "baseline" for row in rows)
    if 0 < trained < len(rows):
        axes.axhline(trained - 0.5, color="#b5bdc5", lw=0.8, ls=(0, (4, 3)))


def print_table(summaries: Sequence[pd.DataFrame | str | Path], below: Sequence[Sequence[str]] = ()) -> None:
    """Print the scores of benchmarks to the terminal.

    Parameters
    ----------
    summaries : sequence of DataFrame or path
        Summaries as the benchmark stage writes them.
    below : sequence of sequences of str
        Lines below the table of each of the benchmarks, such as how its methods differ.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from exitwave.data.tables import read_table

    console = Console()
    for number, given in enumerate(summaries):
        summary = given if isinstance(given, pd.DataFrame) else read_table(given)
        if summary.empty:
            continue
        name = str(summary["benchmark"].iloc[0])
        title = Text(f"{name}, {summary['images'].max()} images")
        for place, (group, scores) in enumerate(tables_of_summary(summary).items()):
            table = Table(title=title if place == 0 else None, title_justify="left", box=None, pad_edge=False)
            # Of probabilities alone there is nothing to say of rules without degrees.
            of_rules = any(score.of_rules for score in scores)
            first, *others = [score for score in scores if score.of_rules] if of_rules else scores
            table.add_column(group or "method", min_width=24, overflow="fold")
            # Of all tables of a benchmark, the first says how much the seeds differ: others have no room for it.
            seeds = ["seeds"] if place == 0 else []
            for column in (first.label, "95 % interval", *seeds, *(score.label for score in others)):
                table.add_column(Text(column), justify="right", no_wrap=True)
            for row in sort_methods(summary):
                if row["kind"] == "baseline" and not of_rules:
                    continue
                told = Text(f"{row['diverged']} diverged") if row["diverged"] else _over_seeds(row, first.name)
                table.add_row(
                    Text(method_name(row)),
                    _value(row, first),
                    Text(interval_told(row, first.name)),
                    *([told] if seeds else []),
                    *(_value(row, score) for score in others),
                    style="bold" if row["kind"] != "baseline" else "",
                )
            if table.row_count:
                console.print(table)
                console.print()
        if below and below[number]:
            console.print(Text("\n".join(below[number])))
            console.print()


def _networks(row: Row) -> str | tuple[str, str]:
    if row["kind"] != "network":
        return MISSING
    return (f"{row['seeds']:d}", f"{row['diverged']} diverged") if row["diverged"] else f"{row['seeds']:d}"


def _value(row: Row, score: Score) -> str:
    value = row[score.name]
    return f"{value:.0f}" if score.whole and np.isfinite(value) else number_told(value)


def number_told(value: float, digits: int = 3) -> str:
    """So many decimals of what is at most 1, so many digits of what is more."""
    if not np.isfinite(value):
        return MISSING
    return f"{value:.{digits}f}" if abs(value) <= 1 else f"{value:.3g}"


def interval_told(row: Row, column: str) -> str:
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    return f"[{number_told(low, 2)}, {number_told(high, 2)}]" if np.isfinite(low) and np.isfinite(high) else ""


def _over_seeds(row: Row, column: str) -> str:
    if row["kind"] != "network" or row["seeds"] < 2:
        return MISSING
    return f"{number_told(row[f'{column}_seed_min'], 2)} to {number_told(row[f'{column}_seed_max'], 2)}"
