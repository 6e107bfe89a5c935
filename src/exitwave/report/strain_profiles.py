"""Strain of a simulated multilayer as networks and template matching show it, beside what is true."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from exitwave.benchmark.ensemble import Predictions, open_predictions
from exitwave.benchmark.scan_columns import REFERENCE, SCORED
from exitwave.benchmark.strain_maps import COMPONENTS
from exitwave.data.tables import read_table, table_path
from exitwave.report.style import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, SKY, VERMILLION, figure

LABELS = {"xx": "e$_{xx}$ [%]", "yy": "e$_{yy}$ [%]", "xy": "e$_{xy}$ [%]", "rotation": "rotation [°]"}
PAPER = (
    "Munshi et al. 2022, fig. 3, RMS e$_{yy}$: aligned 0.2 % by correlation, ≤ 0.02 % by FCU-Net; twisted 0.6 % and "
    "< 0.1 %"
)
COLOURS = (ORANGE, SKY, GREEN, PURPLE, MUTED)
"""Of classical methods."""
WIDEST = 3.0
"""Range of a panel over that of the true values, and at least ``LEAST``: a failed fit is not to hide all others."""
LEAST = {"xx": 1.0, "yy": 0.6, "xy": 0.6, "rotation": 0.4}
FloatArray = NDArray[np.float64]


def draw_strain_profiles(predictions: Sequence[Path], baselines: Path, path: str | Path, title: str = "") -> None:
    """Draw strain against the place of the probe; of a scan of several rows means over rows, and maps below.

    Parameters
    ----------
    predictions : sequence of paths
        Predictions of the networks of a training, one a seed; those that have diverged are left out.
    baselines : path
        Scores of classical methods.
    path : path
        PNG to write.
    title : str
        Names of benchmark and training.
    """
    opened, shown = methods_shown(predictions, baselines)
    scan = next(iter(shown.values()))[0][0]
    two_dimensional = scan["scan_y"].nunique() > 1
    lines = 2 + (len(shown) + 1 if two_dimensional else 0)
    with figure(path, 12.0, 6.2 + (1.3 * (len(shown) + 1) if two_dimensional else 0.0)) as drawing:
        ratios = [3.0, 3.0] + [1.0] * (lines - 2)
        grid = drawing.add_gridspec(lines, 4, height_ratios=ratios)
        panels = [drawing.add_subplot(grid[line, 2 * half : 2 * half + 2]) for line in (0, 1) for half in (0, 1)]
        for axes, component in zip(panels, COMPONENTS, strict=True):
            _draw_profile(axes, component, scan, shown)
        for axes in panels[2:]:
            axes.set_xlabel("x along the growth [nm]")
        if two_dimensional:
            for line, (name, value) in enumerate([("truth", None), *shown.items()], start=2):
                for column, component in enumerate(COMPONENTS):
                    _draw_map(drawing.add_subplot(grid[line, column]), name, component, scan, value)
        handles, labels = panels[0].get_legend_handles_labels()
        told = f"{PAPER}; brackets: RMS e$_{{xx}}$ and e$_{{yy}}$ of scored places, here"
        drawing.legend(handles, labels, loc="outside lower center", ncols=3, title=told, title_fontsize=8.5)
        networks = opened.told.replace("mean prediction", "median")
        drawing.suptitle(f"{title} ({networks})" if opened.shards else title, fontsize=11)


def methods_shown(
    predictions: Sequence[Path], baselines: Path
) -> tuple[Predictions, dict[str, tuple[list[pd.DataFrame], str, str]]]:
    """Predictions, and by the name of a method its tables (one a seed), its way to a lattice, and its colour."""
    opened = open_predictions(predictions)
    seeds = [read_table(table_path(shard.path)) for shard in opened.shards]
    shown: dict[str, tuple[list[pd.DataFrame], str, str]] = {}
    if seeds:
        shown["network, fit to disks"] = (seeds, "fit", BLUE)
        shown["network, fit to map"] = (seeds, "map", VERMILLION)
    classical = read_table(baselines).groupby("method", sort=False)
    for (name, rows), colour in zip(classical, COLOURS, strict=False):
        shown[str(name)] = ([rows], "map" if rows["map_places"].any() else "fit", colour)
    return opened, shown


def _draw_profile(
    axes: Axes, component: str, scan: pd.DataFrame, shown: dict[str, tuple[list[pd.DataFrame], str, str]]
) -> None:
    x, true = _profile(scan, f"true_{component}")
    _mark_layers(axes, scan)
    for name, (tables, way, colour) in shown.items():
        values = np.stack([_profile(table, f"{way}_{component}")[1] for table in tables])
        if not np.isfinite(values).any():
            continue
        middle = median_of(values)
        axes.plot(x / 10, middle, ".-", color=colour, lw=1.0, ms=4, label=f"{name} {rms_told(tables, way)}")
        if len(tables) > 1:
            low, high = np.fmin.reduce(values), np.fmax.reduce(values)
            axes.fill_between(x / 10, low, high, color=colour, alpha=0.25, lw=0)
    axes.plot(x / 10, true, color=INK, lw=1.3, label="truth", zorder=1.9)
    middle, reach = (true.max() + true.min()) / 2, max(LEAST[component], WIDEST * np.ptp(true) / 2)
    axes.set_ylim(middle - reach, middle + reach)
    axes.set_ylabel(LABELS[component])
    axes.grid(axis="y")


def _mark_layers(axes: Axes, scan: pd.DataFrame) -> None:
    """Shade the reference, and draw a line where the layer changes."""
    rows = scan.drop_duplicates("scan_x").sort_values("scan_x")
    x, layers = rows["scan_x"].to_numpy(float) / 10, rows["layer"].to_numpy()
    for place in np.flatnonzero(np.diff(layers)):
        axes.axvline((x[place] + x[place + 1]) / 2, color=MUTED, lw=0.6, ls=":", zorder=0)
    reference = x[rows[REFERENCE].to_numpy(bool)]
    if len(reference):
        step = float(np.diff(x).min()) if len(x) > 1 else 1.0
        axes.axvspan(reference.min() - step / 2, reference.max() + step / 2, color=MUTED, alpha=0.12, lw=0, zorder=0)


def _draw_map(
    axes: Axes,
    name: str,
    component: str,
    scan: pd.DataFrame,
    value: tuple[list[pd.DataFrame], str, str] | None,
) -> None:
    true = map_of(scan, f"true_{component}")
    limit = max(LEAST[component], float(np.abs(true).max()) * 1.5)
    if value is None:
        values = true
    else:
        tables, way, _ = value
        values = median_of(np.stack([map_of(table, f"{way}_{component}") for table in tables]))
    bar = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest", aspect="auto")
    axes.set(xticks=[], yticks=[])
    axes.set_title(f"{LABELS[component]}: {name}, ±{limit:.2g}", fontsize=7.5, pad=2)
    bar.set_clim(-limit, limit)


def _profile(table: pd.DataFrame, column: str) -> tuple[FloatArray, FloatArray]:
    """Places along the growth [Å] and the mean of a column at each."""
    means = table.groupby("scan_x")[column].mean()
    return means.index.to_numpy(float), means.to_numpy(float)


def map_of(table: pd.DataFrame, column: str) -> FloatArray:
    """A column as a map of the scan [rows, columns]; NaN where there is nothing."""
    return np.asarray(table.pivot_table(column, "scan_y", "scan_x", "mean", dropna=False).to_numpy(float))


def median_of(values: FloatArray) -> FloatArray:
    """Median over the first axis of what is known; NaN where nothing is."""
    known = np.isfinite(values).any(axis=0)
    found = np.full(values.shape[1:], np.nan)
    found[known] = np.nanmedian(values[:, known], axis=0)
    return found


def rms_told(tables: Sequence[pd.DataFrame], way: str) -> str:
    """RMS of e_xx and e_yy over scored places, median over networks, and how many fits have failed."""
    told: list[str] = []
    for component in ("xx", "yy"):
        sums = [(table[f"{way}_square_{component}"].sum(), table[f"{way}_places"].sum()) for table in tables]
        rms = [np.sqrt(squares / places) if places else np.nan for squares, places in sums]
        told.append(f"{np.median(rms):.3f}")
    failed: Any = np.median([table[f"{way}_failed"].sum() for table in tables])
    scored = int(tables[0][SCORED].sum())
    return f"[{' and '.join(told)} %{f', {failed:.0f} of {scored} failed' if failed else ''}]"
