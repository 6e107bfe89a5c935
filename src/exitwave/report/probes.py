"""Waves of convergent probes: their patterns at some depths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from exitwave.data.shards import open_shard
from exitwave.report import crystals
from exitwave.report.columns import Told
from exitwave.report.images import spread_rows
from exitwave.report.patterns import SHOWN_AS, draw_pattern
from exitwave.report.style import figure, picture, spread

TOLD = Told(
    left_out=frozenset(
        {"simulation_grid", "slice_thickness", "n_slices", "storage_error", "loss_alarm", "rms_displacements"}
        | {"spectrum_sampling"}
    )
)
"""How a wave is simulated follows from the size of its structure."""
PLANES = 4
"""Depths shown."""
LINES = 6
"""Shown at the most, each of a structure and a semiangle."""


def draw_probes(
    shard: str | Path,
    path: str | Path,
    describe: Callable[[Mapping[Any, Any]], str] = crystals.describe,
    n: int = 2,
    title: str = "",
) -> None:
    """Draw patterns of the probes of a few structures: of the first position, means over thermal configurations.

    Parameters
    ----------
    shard : path
        Shard of waves of probes.
    path : path
        PNG to write.
    describe : function
        What is written beside the patterns of a structure, from its row of the table.
    n : int
        Structures shown, evenly spread over the shard.
    title : str
        Name of the block.
    """
    opened = open_shard(shard)
    most = min(n, max(1, LINES // len(opened.read("semiangles", 0))))
    rows = {place: row for _, place, row in spread_rows([shard], most)}
    semiangles = {place: opened.read("semiangles", place) for place in rows}
    columns = max(len(spread(len(opened.read("planes", place)), PLANES)) for place in rows)
    lines = sum(map(len, semiangles.values()))
    with figure(path, max(6.0, 2.3 * columns + 0.6), 2.5 * lines + 0.9) as drawing:
        axes = drawing.subplots(lines, columns, squeeze=False)
        for axis in axes.flat:
            picture(axis)
            axis.set_visible(False)
        line = 0
        for place, row in rows.items():
            amplitudes, planes = opened.read("amplitudes", place), opened.read("planes", place)
            intensities = (np.abs(amplitudes[:, 0]) ** 2).mean(axis=2)
            for of_semiangle, semiangle in zip(intensities, semiangles[place], strict=True):
                for axis, plane in zip(axes[line], spread(len(planes), PLANES), strict=False):
                    axis.set_visible(True)
                    draw_pattern(axis, of_semiangle[plane], float(row["spectrum_sampling"]))
                    axis.set_title(f"{planes[plane] / 10:.3g} nm", pad=3)
                axes[line, 0].set_ylabel(f"{describe(row)}\n{semiangle:g} mrad", fontsize=8)
                line += 1
        first = next(iter(rows.values()))
        drawing.suptitle(
            f"Simulated probes at {first['energy'] / 1e3:g} kV{f': {title}' if title else ''}\n"
            f"{SHOWN_AS.replace('counts', 'intensity')}, each pattern in its own range",
            fontsize=11,
        )
