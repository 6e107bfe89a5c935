"""Exit waves of the whole structure and of the particles alone: phase and amplitude."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from exitwave.data.shards import Shard, open_shard
from exitwave.data.tables import read_table, table_path
from exitwave.report import crystals
from exitwave.report.columns import Told
from exitwave.report.style import BLUE, GREEN, ORANGE, figure, picture, scale_bar, spread

COLUMNS = (
    "whole structure, phase",
    "whole structure, amplitude",
    "particles alone, phase",
    "particles alone, amplitude",
)
TOLD = Told(
    left_out=frozenset(
        {"simulation_grid", "slice_thickness", "n_slices", "oversampling", "series_step", "storage_error", "loss_alarm"}
        | {"rms_displacements"}
    )
)
"""How a wave is simulated follows from the size of its structure, and is no property of the microscope."""


def draw_exit_waves(
    shard: str | Path,
    path: str | Path,
    describe: Callable[[Mapping[Any, Any]], str] = crystals.describe,
    order: Sequence[str] = ("item",),
    n: int = 3,
    title: str = "",
) -> None:
    """Draw phase and amplitude of the exit waves of a few structures, first thermal configuration.

    Below them, where there is a thickness series, how the direct beam fades and what is scattered grows with depth.

    Parameters
    ----------
    shard : path
        Shard of exit waves.
    path : path
        PNG to write.
    describe : function
        What is written beside the waves of a structure, from its row of the table.
    order : sequence of str
        Columns by which structures are sorted; those shown are evenly spread.
    n : int
        Structures shown.
    title : str
        Name of the block.
    """
    opened, table = open_shard(shard), read_table(table_path(shard)).reset_index(drop=True)
    sampling, energy = float(table["wave_sampling"].iloc[0]), float(table["energy"].iloc[0])
    places = table.sort_values(list(order), na_position="first").index
    places = places[spread(len(places), n)]
    has_series = "series_step" in table and bool(table["series_step"].notna().any())
    with figure(path, 12.0, 2.4 * (len(places) + has_series) + 0.7) as drawing:
        layout = drawing.add_gridspec(len(places) + has_series, len(COLUMNS))
        axes = layout[: len(places), :].subgridspec(len(places), len(COLUMNS)).subplots(squeeze=False)
        if has_series:
            _draw_series(drawing.add_subplot(layout[-1, :]), opened, table.loc[places])
        for row, place in zip(axes, places, strict=True):
            whole, particles = (opened.read(name, int(place))[0] for name in ("whole", "particles"))
            for column, (axis, values) in enumerate(zip(row, _maps(whole, particles), strict=True)):
                _panel(axis, values, column, sampling)
            picture(row[0])
            row[0].set_ylabel(describe(table.loc[place].to_dict()))
        for axis, name in zip(axes[0], COLUMNS, strict=True):
            axis.set_title(name)
        alarms = int(table["loss_alarm"].sum()) if "loss_alarm" in table else 0
        drawing.suptitle(
            f"Simulated exit waves at {energy / 1e3:g} kV"
            + (f": {title}" if title else "")
            + (f"\n{alarms} of {len(table)} lost too much intensity to the band limit" if alarms else "")
        )


def _draw_series(axes: Axes, shard: Shard, rows: pd.DataFrame) -> None:
    """Intensity of the direct beam (solid) and of all that is scattered (dashed) against depth."""
    for colour, (place, row) in zip((BLUE, ORANGE, GREEN), rows.to_dict("index").items(), strict=False):
        series = shard.read("series", place)
        direct = np.abs(series.mean(axis=(-2, -1))) ** 2
        total = np.mean(np.abs(series) ** 2, axis=(-2, -1), dtype=np.float64)
        depth = row["series_step"] * np.arange(1, len(series) + 1)
        axes.plot(depth, direct.mean(axis=1), color=colour, label=f"item {row['item']}, direct beam")
        axes.plot(depth, (total - direct).mean(axis=1), color=colour, linestyle="--", label="scattered")
    axes.set(xlabel="depth [Å]", ylabel="intensity", ylim=(0, None))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _maps(whole: NDArray[np.complex64], particles: NDArray[np.complex64]) -> list[NDArray[Any]]:
    """Phase and amplitude of both waves [y, x]; the phase of the whole is counted from that of its mean."""
    reference = np.exp(-1j * np.angle(whole.mean()))
    return [np.angle(whole * reference), np.abs(whole), np.angle(particles), np.abs(particles)]


def _panel(axes: Axes, values: NDArray[Any], column: int, sampling: float) -> None:
    is_phase = "phase" in COLUMNS[column]
    low, high = (float(q) for q in np.percentile(values, [0.2, 99.8]))
    # A phase that reaches the branch cut needs colours that meet there.
    cyclic = is_phase and max(-low, high) > 0.9 * np.pi
    if cyclic:
        low, high = -np.pi, np.pi
    elif high - low < 1e-2:  # vacuum
        low, high = low - 0.1, high + 0.1
    colours = "twilight" if cyclic else "viridis" if is_phase else "gray"
    shown = axes.imshow(values, cmap=colours, vmin=low, vmax=high, interpolation="antialiased")
    bar = axes.figure.colorbar(
        shown, ax=axes, fraction=0.046, pad=0.02, label="phase [rad]" if is_phase else "amplitude"
    )
    bar.outline.set_visible(False)
    if cyclic:
        bar.set_ticks([-np.pi, 0, np.pi], labels=["−π", "0", "π"])
    scale_bar(axes, sampling, values.shape)
    picture(axes)
