"""Distributions of every drawn parameter, from the metadata tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.stats import skew

from exitwave.data.columns import UNITS
from exitwave.data.tables import read_table, row_count
from exitwave.report.columns import Told, is_bookkeeping, label_of
from exitwave.report.style import BLUE, GREEN, ORANGE, figure, spread

COLOURS = {"part": BLUE, "structure": GREEN, "image": ORANGE}
DISTINCT = 16
"""Up to this many values get a bar each."""
MOST = 100_000
"""Items that histograms are made of: a bar of a hundredth of them is known to 3 %."""
LETTERS = 24
"""Of the names below bars, above which they are turned."""


@dataclass(frozen=True)
class _Panel:
    """Values of one parameter: of every part, structure or image."""

    of: str
    values: pd.Series[Any]
    label: str
    unit: str


def parameter_histograms(
    tables: Sequence[str | Path], path: str | Path, told: Sequence[Told] = (), title: str = ""
) -> None:
    """Draw a histogram of every parameter that varies.

    Parameters of a structure count once a structure, those of an image once an image. Of more than ``MOST`` items the
    tables of some shards are read, evenly spread, and the title says of how many.

    Parameters
    ----------
    tables : sequence of paths
        Metadata tables of a block's shards.
    path : path
        PNG to write.
    told : sequence of Told
        What there is to say of the kinds that the items were made by.
    title : str
        Name of the block.
    """
    rows = [row_count(path) for path in tables]
    read = [tables[place] for place in spread(len(tables), max(1, int(len(tables) * min(1, MOST / max(1, sum(rows))))))]
    table = pd.concat([read_table(path) for path in read], ignore_index=True)
    structures = table.drop_duplicates("structure_id")
    panels = [panel for kind in told if kind.parts in structures for panel in _of_parts(kind, structures[kind.parts])]
    panels += _of_columns(table, structures, told)
    panels = [panel for panel in panels if panel.values.nunique() > 1]
    columns = max(1, min(4, len(panels)))
    lines = max(1, -(-len(panels) // columns))
    with figure(path, max(6.0, 2.9 * columns), 1.75 * lines + 0.9) as drawing:
        axes = drawing.subplots(lines, columns, squeeze=False)
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        for axis, panel in zip(axes.flat, panels, strict=False):
            _histogram(axis, panel)
        if not panels:
            axes[0, 0].text(0.5, 0.5, "no parameter of this block varies", ha="center", va="center")
        part = "" if len(table) == sum(rows) else f"   (a sample: {len(table):,} of {sum(rows):,})"
        drawing.suptitle(f"Drawn parameters{f': {title}' if title else ''}{part}", fontsize=11)
        names = {kind.parts for kind in told if kind.parts}
        counts = {
            "part": f"{len(panels[0].values) if panels else 0} {', '.join(names)}",
            "structure": f"{len(structures)} structures",
            "image": f"{len(table)} images",
        }
        handles = [
            Line2D([], [], ls="", marker="s", ms=8, color=colour, label=counts[of])
            for of, colour in COLOURS.items()
            if any(panel.of == of for panel in panels)
        ]
        if handles:
            drawing.legend(handles=handles, loc="outside lower center", ncols=len(handles), handletextpad=0.2)


def _of_parts(kind: Told, texts: pd.Series[Any]) -> list[_Panel]:
    """Parameters of every part of all structures."""
    parts = pd.DataFrame([part for text in texts.dropna() for part in json.loads(text)])
    return [
        _Panel("part", parts[name].dropna(), kind.labels.get(name, label_of(name)), unit)
        for name, unit in kind.units.items()
        if name in parts
    ]


def _of_columns(table: pd.DataFrame, structures: pd.DataFrame, told: Sequence[Told]) -> list[_Panel]:
    """Parameters of structures and images, each in the order of the known columns."""
    left_out = {name for kind in told for name in kind.left_out}
    labels = {name: label for kind in told for name, label in kind.labels.items()}
    known = {name: place for place, name in enumerate(UNITS)}
    # What the table says of images stands after what it says of their structures.
    columns = [str(name) for name in table]
    first = columns.index("image_id") if "image_id" in columns else len(columns)
    panels = []
    for of, source, names in (("structure", structures, columns[:first]), ("image", table, columns[first:])):
        for name in sorted(names, key=lambda name: known.get(name, len(known))):
            if name not in left_out and not is_bookkeeping(name):
                values = source[name].dropna()
                panels.append(_Panel(of, values, labels.get(name, label_of(name)), UNITS.get(name, "")))
    return panels


def _logarithmic(numbers: NDArray[np.float64]) -> bool:
    """Whether a positive quantity over decades, such as the dose, is spread more evenly in its logarithm."""
    if numbers.min() <= 0 or numbers.max() / numbers.min() <= 15:
        return False
    return bool(abs(skew(np.log(numbers))) < abs(skew(numbers)))


def _histogram(axes: Axes, panel: _Panel) -> None:
    values, unit, colour = panel.values, panel.unit, COLOURS[panel.of]
    if unit == "Å" and values.abs().max() >= 1e4:
        factor, unit = (1e7, "mm") if values.abs().max() >= 1e6 else (1e4, "µm")
        values = values / factor
    axes.set_xlabel(f"{panel.label} [{unit}]" if unit else panel.label)
    axes.grid(axis="y")
    axes.tick_params(axis="x", length=3)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    if not pd.api.types.is_numeric_dtype(values):
        counts = values.astype(str).value_counts().sort_index()
        shown = counts.sort_values(ascending=False, kind="stable").head(DISTINCT).sort_index()
        if len(counts) > len(shown):
            axes.set_xlabel(f"{panel.label}, {len(shown)} of {len(counts)}")
        axes.bar(shown.index, shown.to_numpy(), color=colour, width=0.7)
        axes.set_xlim(-0.9, max(len(shown), 3) - 0.1)
        if sum(map(len, shown.index)) > LETTERS:
            axes.tick_params(axis="x", rotation=90)
        return
    numbers = values.to_numpy(dtype=float)
    distinct = np.unique(numbers)
    if len(distinct) <= DISTINCT and np.all(distinct == distinct.round()) and np.ptp(distinct) <= 2 * DISTINCT:
        axes.bar(distinct, [(numbers == value).sum() for value in distinct], color=colour, width=0.8)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        return
    bins = int(np.clip(np.sqrt(len(numbers)), 8, 40))
    edges = np.linspace(distinct[0], distinct[-1], bins + 1)
    if _logarithmic(numbers):
        edges = np.geomspace(distinct[0], distinct[-1], bins + 1)
        axes.set_xscale("log")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.hist(numbers, bins=edges.tolist(), color=colour, edgecolor="white", linewidth=0.4)
