"""What the monolayers of a block are: their lattices in the plane of all lattices, classes and margins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from exitwave.data.tables import read_table
from exitwave.report.columns import Told
from exitwave.report.style import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, VERMILLION, figure

COLOURS = {"hexagonal": BLUE, "square": ORANGE, "rectangular": GREEN, "rhombus": PURPLE, "oblique": VERMILLION}
"""Of the classes, in their order."""
TOLD = Told(
    left_out=frozenset(
        {"strain_first", "strain_second", "strain_direction", "tilt_towards", "cell_height", "bravais_3d", "motif",
         "bravais_resolved", "lattice_gamma", "periodic"}
    ),
    labels={"n_atoms": "atoms", "lattice_a": "shortest vector", "lattice_b": "second vector",
            "column_distance": "nearest columns"},
)  # fmt: skip
WIDEST = 3.0
"""Ratio of the two vectors that is shown."""
AMBIGUOUS = 0.02
"""Strain below which real images leave the class open."""


def describe(row: Mapping[Any, Any]) -> str:
    """Formula, prototype and class of a monolayer, in a few lines."""
    lines = [f"item {row['item']}: {row['formula']}, {row['bravais']}", str(row["prototype"])]
    more = [f"{row['layers']:.0f} layers"] if row["layers"] > 1 else []
    more += [f"{row['contamination_thickness']:.0f} Å of carbon"] if row["contamination_thickness"] > 0 else []
    return "\n".join([*lines, ", ".join(more)] if more else lines)


def draw_lattices(tables: Sequence[str | Path], path: str | Path, title: str = "") -> None:
    """Draw the lattices of the monolayers of a block, each item once.

    Parameters
    ----------
    tables : sequence of paths
        Metadata tables of the shards of a block of monolayers.
    path : path
        PNG to write.
    title : str
        Name of the block.
    """
    table = pd.concat([read_table(path) for path in tables], ignore_index=True)
    with figure(path, 12.0, 4.6) as drawing:
        first, second, third = drawing.subplots(1, 3, width_ratios=[1.25, 1, 1])
        _draw_plane(first, table)
        _draw_margins(second, table)
        _draw_classes(third, table)
        monolayers = len(table.drop_duplicates(["formula", "prototype"]))
        drawing.suptitle(
            f"Monolayers{f': {title}' if title else ''}   ({len(table):,} items of {monolayers:,} monolayers, "
            f"{table['prototype'].nunique()} prototypes)",
            fontsize=11,
        )


def _draw_plane(axes: Axes, table: pd.DataFrame) -> None:
    """Every lattice as a point: the angle and the ratio of its two shortest vectors."""
    ratio = np.minimum(table["lattice_b"] / table["lattice_a"], WIDEST)
    for name, colour in COLOURS.items():
        own = (table["bravais"] == name).to_numpy()
        axes.plot(table["lattice_gamma"][own], ratio[own], "o", ms=3, mew=0, color=colour, alpha=0.6)
    # Where lattices with symmetry lie: rectangles, equal vectors, and a second that ends above the middle of the first.
    angles = np.linspace(60, 89, 60)
    axes.plot([90, 90], [1, WIDEST], color=GREEN, lw=0.8, zorder=0)
    axes.plot([60, 90], [1, 1], color=PURPLE, lw=0.8, zorder=0)
    axes.plot(angles, 0.5 / np.cos(np.radians(angles)), color=PURPLE, lw=0.8, zorder=0)
    axes.set(xlim=(59, 91), ylim=(0.96, WIDEST + 0.05), xlabel="angle of the shortest vectors [°]")
    axes.set_ylabel("second over shortest vector")
    axes.set_title("lattices of the columns", loc="left")
    axes.plot([60], [1], "h", ms=9, mfc="none", mec=INK)
    axes.plot([90], [1], "s", ms=8, mfc="none", mec=INK)


def _draw_margins(axes: Axes, table: pd.DataFrame) -> None:
    """Strain to the next class."""
    edges = np.geomspace(0.005, 0.5, 26)
    parts = [100 * table["bravais_margin"][table["bravais"] == name].clip(0.005, 0.5) for name in COLOURS]
    axes.hist(parts, bins=(100 * edges).tolist(), stacked=True, color=list(COLOURS.values()))
    axes.set_xscale("log")
    axes.axvspan(0.5, 100 * AMBIGUOUS, color=MUTED, alpha=0.15, lw=0)
    share = float((table["bravais_margin"] < AMBIGUOUS).mean())
    axes.annotate(f"{share:.1%} below {AMBIGUOUS:.0%}", (0.03, 0.97), xycoords="axes fraction", va="top", fontsize=8)
    axes.set(xlabel="strain to the next class [%]", ylabel="items")
    axes.set_xticks([0.5, 1, 2, 5, 10, 20, 50], ["0.5", "1", "2", "5", "10", "20", "50"])
    axes.minorticks_off()
    axes.set_title("margins", loc="left")


def _draw_classes(axes: Axes, table: pd.DataFrame) -> None:
    """Classes of the columns, of the layer, and of the motif."""
    ways = {"bravais": "columns", "bravais_resolved": "columns,\n0.5 Å", "bravais_3d": "layer", "motif": "motif"}
    counts = np.array([[(table[column] == name).sum() for name in COLOURS] for column in ways])
    below = np.zeros(len(ways))
    for number, (name, colour) in enumerate(COLOURS.items()):
        axes.bar(list(ways.values()), counts[:, number], bottom=below, color=colour, width=0.7, label=name)
        below = below + counts[:, number]
    axes.set_ylim(0, 1.02 * below.max())
    axes.set_ylabel("items")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_title("class of the lattice of", loc="left")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), reverse=True)
