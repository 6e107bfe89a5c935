"""Distributions of every drawn parameter, from the metadata tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.stats import skew

from exitwave.data.columns import UNITS, columns_of
from exitwave.data.shards import read_table
from exitwave.report.style import BLUE, GREEN, ORANGE, figure

PER_PARTICLE = {
    "radius": "Å",
    "material": "",
    "shape": "",
    "domains": "",
    "shell_thickness": "Å",
    "surface_relaxation": "",
    "vacancies": "",
    "antisites": "",
    "embedding": "",
    "ligands": "",
    "zone_axis_tilt": "°",
}
"""What is shown of every particle, not of the structure, with its unit."""
BOOKKEEPING = frozenset(
    {"item", "seed", "split_position", "draw", "offset_y", "offset_x", "radius_mean", "radius_min", "radius_max"}
    | {
        "simulation_grid",
        "slice_thickness",
        "n_slices",
        "oversampling",
        "series_step",
        "storage_error",
        "loss_alarm",
        "exitwave_version",
        "abtem_version",
        "structures",
        "exit_waves",
        "images",
    }
    | {"content_hash", "zone_axis", *PER_PARTICLE}
    | {"structures_hash", "exit_waves_hash", "images_hash", "structure_id", "image_id", "particles"}
)
"""Columns that are no property of the sample or the microscope, or follow from another."""
LABELS = {
    "radius": "particle radius",
    "n_atoms_substrate": "substrate atoms",
    "n_atoms_particles": "particle atoms",
}
COLOURS = {"particle": BLUE, "structure": GREEN, "image": ORANGE}
DISTINCT = 16
"""Up to this many whole values get a bar each."""


def parameter_histograms(tables: Sequence[str | Path], path: str | Path, title: str = "") -> None:
    """Draw a histogram of every parameter that varies.

    Parameters of a structure count once a structure, those of an image once an image.

    Parameters
    ----------
    tables : sequence of paths
        Metadata tables of a block's shards.
    path : path
        PNG to write.
    title : str
        Name of the block.
    """
    table = pd.concat([read_table(path) for path in tables], ignore_index=True)
    structures = table.drop_duplicates("structure_id")
    panels: list[tuple[str, str, pd.Series[Any]]] = []
    if "particles" in structures:
        particles = [particle for text in structures["particles"].dropna() for particle in json.loads(text)]
        drawn = pd.DataFrame(particles)
        panels += [("particle", name, drawn[name]) for name in PER_PARTICLE if name in drawn]
    for kind, names, source in (
        ("structure", {**columns_of("structures"), **columns_of("exit_waves")}, structures),
        ("image", columns_of("images"), table),
    ):
        panels += [(kind, name, source[name]) for name in names if name in source and name not in BOOKKEEPING]
    panels = [(kind, name, values.dropna()) for kind, name, values in panels]
    panels = [panel for panel in panels if _varies(panel[2])]

    counts = {"particle": len(panels[0][2]) if panels and panels[0][0] == "particle" else 0}
    counts |= {"structure": len(structures), "image": len(table) if "image_id" in table else 0}
    columns = max(1, min(4, len(panels)))
    lines = max(1, -(-len(panels) // columns))
    with figure(path, max(6.0, 2.9 * columns), 1.75 * lines + 0.9) as drawing:
        axes = drawing.subplots(lines, columns, squeeze=False)
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        for axis, (kind, name, values) in zip(axes.flat, panels, strict=False):
            _histogram(axis, name, values, COLOURS[kind])
        if not panels:
            axes[0, 0].text(0.5, 0.5, "no parameter of this block varies", ha="center", va="center")
        drawing.suptitle(f"Drawn parameters{f': {title}' if title else ''}", fontsize=11)
        shown = [kind for kind in COLOURS if any(panel[0] == kind for panel in panels)]
        handles = [
            Line2D([], [], ls="", marker="s", ms=8, color=COLOURS[kind], label=f"{counts[kind]} {kind}s")
            for kind in shown
        ]
        if handles:
            drawing.legend(handles=handles, loc="outside lower center", ncols=len(handles), handletextpad=0.2)


def _varies(values: pd.Series[Any]) -> bool:
    return bool(values.nunique() > 1)


def _logarithmic(numbers: NDArray[np.float64]) -> bool:
    """Whether a positive quantity over decades, such as the dose, is spread more evenly in its logarithm."""
    if numbers.min() <= 0 or numbers.max() / numbers.min() <= 15:
        return False
    return bool(abs(skew(np.log(numbers))) < abs(skew(numbers)))


def _histogram(axes: Axes, name: str, values: pd.Series[Any], colour: str) -> None:
    unit = {**UNITS, **PER_PARTICLE}.get(name, "")
    if unit == "Å" and values.abs().max() >= 1e4:
        factor, unit = (1e7, "mm") if values.abs().max() >= 1e6 else (1e4, "µm")
        values = values / factor
    label = LABELS.get(name) or (name if name[:1].isupper() or name.startswith("phi") else name.replace("_", " "))
    axes.set_xlabel(f"{label} [{unit}]" if unit else label)
    axes.grid(axis="y")
    axes.tick_params(axis="x", length=3)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    if not pd.api.types.is_numeric_dtype(values):
        shares = values.astype(str).value_counts().sort_index().head(DISTINCT)
        axes.bar(shares.index, shares.to_numpy(), color=colour, width=0.7)
        axes.set_xlim(-0.9, max(len(shares), 3) - 0.1)
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
