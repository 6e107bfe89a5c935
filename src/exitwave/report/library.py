"""What a library of crystals consists of: elements, prototypes, symmetries, sizes and directions of view."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ase.data import atomic_numbers, chemical_symbols
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.container import BarContainer
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from exitwave.data.tables import read_table
from exitwave.report.diffraction import indices_told
from exitwave.report.style import BLUE, GREEN, INK, MUTED, decimal_ticks, figure

SYSTEMS = ("cubic", "hexagonal", "trigonal", "tetragonal", "orthorhombic", "monoclinic", "triclinic")
PROTOTYPES = 14
"""Prototypes named, the largest."""
AXES = 8
"""Zone axes named, the most frequent."""
LEAST_BARS = 7
_NOBLE = (0, 2, 10, 18, 36, 54, 86, 118)
"""Atomic numbers that end the periods."""
_FIRST_F, _LAST_F = 57, 71
"""Lanthanides, drawn below the others; the actinides are 32 further."""


def draw_library(tables: Sequence[str | Path], path: str | Path, title: str = "") -> None:
    """Draw statistics of the crystals of a block, each counted once however often it is seen.

    Parameters
    ----------
    tables : sequence of paths
        Metadata tables of the shards of a block of crystals.
    path : path
        PNG to write.
    title : str
        Name of the block.
    """
    table = pd.concat([read_table(path) for path in tables], ignore_index=True)
    crystals = table.drop_duplicates("crystal")
    with figure(path, 12.0, 7.6) as drawing:
        layout = drawing.add_gridspec(2, 12, height_ratios=[1.25, 1.0])
        _draw_elements(drawing.add_subplot(layout[0, :8]), crystals)
        _draw_prototypes(drawing.add_subplot(layout[0, 8:]), crystals)
        _draw_systems(drawing.add_subplot(layout[1, :4]), crystals)
        _draw_volumes(drawing.add_subplot(layout[1, 4:8]), crystals)
        _draw_views(drawing.add_subplot(layout[1, 8:]), table)
        number = crystals["prototype"].nunique()
        drawing.suptitle(
            f"Library of crystals{f': {title}' if title else ''}   ({_some(len(crystals), 'crystal')} of "
            f"{_some(number, 'prototype')}, {_some(len(table), 'orientation')})",
            fontsize=11,
        )


def place_of_element(number: int) -> tuple[int, float]:
    """Group, from 1, and period of an element in the periodic table; f-elements stand below the others."""
    if _FIRST_F <= (number - 32 if number > 86 else number) <= _LAST_F:
        actinide = number > 86
        return number - _FIRST_F - 32 * actinide + 3, 9.4 if actinide else 8.4
    period = next(period for period, last in enumerate(_NOBLE) if number <= last)
    place, length = number - _NOBLE[period - 1], _NOBLE[period] - _NOBLE[period - 1]
    first = {2: 1, 8: 2, 18: 2, 32: 2}[length]
    return place if place <= first else 18 - (length - place), float(period)


def _draw_elements(axes: Axes, crystals: pd.DataFrame) -> None:
    """Periodic table with the number of crystals that hold each element."""
    counts: dict[str, int] = {}
    for formula in crystals["formula"]:
        for symbol in set(re.findall(r"[A-Z][a-z]?", str(formula))) & atomic_numbers.keys():
            counts[symbol] = counts.get(symbol, 0) + 1
    largest = max(counts.values(), default=1)
    norm, colours = LogNorm(1, max(largest, 2)), colormaps["YlGnBu"]
    for number in range(1, 104):
        symbol = chemical_symbols[number]
        group, period = place_of_element(number)
        found = counts.get(symbol, 0)
        face = colours(0.1 + 0.85 * float(norm(found))) if found else "white"
        axes.add_patch(Rectangle((group - 0.47, period - 0.46), 0.94, 0.92, fc=face, ec="#c5ccd3", lw=0.6))
        dark = found and float(norm(found)) > 0.55
        ink = "white" if dark else INK if found else "#a9b1b8"
        axes.text(group, period - 0.06 if found else period, symbol, color=ink, ha="center", va="center", fontsize=8)
        if found:
            axes.text(group, period + 0.3, f"{found}", color=ink, ha="center", va="center", fontsize=5)
    axes.set(
        xlim=(0.4, 18.6),
        ylim=(10.0, 0.4),
        aspect="equal",
        title=f"crystals that hold an element ({len(counts)} elements)",
    )
    axes.set_axis_off()


def _draw_prototypes(axes: Axes, crystals: pd.DataFrame) -> None:
    counts = _most_frequent(crystals["prototype"])
    shown = counts.head(PROTOTYPES)
    _bars(axes, {str(name): int(number) for name, number in shown.items()}, "crystals", 7)
    many = len(counts) > len(shown)
    axes.set_title(f"the largest {len(shown)} of {len(counts)} prototypes" if many else "prototypes", loc="left")


def _draw_systems(axes: Axes, crystals: pd.DataFrame) -> None:
    counts = crystals["crystal_system"].value_counts()
    _bars(axes, {system: int(counts[system]) for system in SYSTEMS if system in counts}, "crystals")
    axes.set_title("crystal systems", loc="left")


def _draw_volumes(axes: Axes, crystals: pd.DataFrame) -> None:
    volumes = crystals["volume"].to_numpy(dtype=float)
    low, high = volumes.min() * 0.97, volumes.max() * 1.03
    bins = int(np.clip(2 * np.sqrt(len(volumes)), 6, 30)) + 1
    if high / low > 10:
        axes.set_xscale("log")
        decimal_ticks(axes.xaxis)
    edges = np.geomspace(low, high, bins) if high / low > 10 else np.linspace(low, high, bins)
    counts, _, _ = axes.hist(volumes, bins=edges.tolist(), color=BLUE, edgecolor="white", linewidth=0.4)
    axes.set_ylim(0, 1.15 * float(np.max(counts)))
    median = float(np.median(volumes))
    axes.axvline(median, color=INK, lw=1.0, ls="--")
    right = np.searchsorted(edges, median) > 0.6 * len(edges)
    axes.annotate(
        f"median {median:.0f} Å³", (median, 1.0), xycoords=("data", "axes fraction"), xytext=(-4 if right else 4, -1),
        textcoords="offset points", ha="right" if right else "left", va="top", fontsize=8,
    )  # fmt: skip
    axes.set_title("volume of the cell", loc="left")
    axes.set(xlabel="volume [Å³]", ylabel="crystals")
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(axis="y")
    axes.spines["left"].set_visible(False)


def _draw_views(axes: Axes, table: pd.DataFrame) -> None:
    """How often crystals are seen along which zone axes, and at random."""
    along = table[table["orientation_kind"] == "zone_axis"]
    counts = _most_frequent(along["zone_axis"])
    most = AXES if len(counts) > AXES + 1 else len(counts)
    shown = {indices_told(str(name)): int(number) for name, number in counts.head(most).items()}
    if len(counts) > most:
        shown[f"{len(counts) - most} others"] = int(counts.iloc[most:].sum())
    if random := len(table) - len(along):
        shown["random"] = random
    bars = _bars(axes, shown, "orientations")
    for bar, name in zip(bars, shown, strict=True):
        bar.set_facecolor(GREEN if name == "random" else MUTED if name.endswith("others") else BLUE)
    tilts = along["mistilt"].to_numpy(dtype=float)
    told = f", mistilt {tilts.min():.2g} to {tilts.max():.2g} mrad" if len(tilts) and tilts.max() > 0 else ""
    axes.set_title(f"zone axes{told}", loc="left")


def _bars(axes: Axes, counts: dict[str, int], counted: str, size: float = 8) -> BarContainer:
    """Horizontal bars, the first on top."""
    bars = axes.barh(list(counts), list(counts.values()), color=BLUE, height=0.72)
    # Few bars are no thicker than many.
    axes.set_ylim(max(len(counts), LEAST_BARS) - 0.4, -0.6)
    axes.tick_params(axis="y", labelsize=size, length=0)
    axes.set_xlabel(counted)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(axis="x")
    axes.spines["bottom"].set_visible(False)
    return bars


def _most_frequent(names: pd.Series[Any]) -> pd.Series[Any]:
    """How often each name occurs, the most frequent first; of those that are as frequent by name."""
    return names.value_counts().sort_index().sort_values(ascending=False, kind="stable")


def _some(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
