"""Contact sheets: what the images of a block look like, with the outlines of their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from exitwave.data.shards import open_shard, read_table, table_path
from exitwave.report.style import ORANGE, figure, grey_range, outline, picture, scale_bar, spread

COLUMNS = 6


def contact_sheet(
    shards: Sequence[str | Path], path: str | Path, label_threshold: float, n: int = 24, title: str = ""
) -> None:
    """Draw images of a block with the outlines of their labels.

    Parameters
    ----------
    shards : sequence of paths
        Shards of images; the images shown are evenly spread over them.
    path : path
        PNG to write.
    label_threshold : float
        Phase above which a pixel is particle [rad].
    n : int
        Images shown.
    title : str
        Name of the block.
    """
    rows = [
        (Path(shard), index, values)
        for shard in shards
        for index, values in enumerate(read_table(table_path(shard)).to_dict("records"))
    ]
    rows = [rows[place] for place in spread(len(rows), n)]
    columns = min(COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    opened = {shard: open_shard(shard) for shard in {row[0] for row in rows}}
    pixel_size = float(rows[0][2]["pixel_size"])
    with figure(path, max(5.5, 2.0 * columns), 2.14 * lines + 0.8) as drawing:
        axes = drawing.subplots(lines, columns, squeeze=False)
        for axis in axes.flat:
            picture(axis)
            axis.set_visible(False)
        for axis, (shard, index, values) in zip(axes.flat, rows, strict=False):
            counts, phase = opened[shard].read("counts", index), opened[shard].read("phase", index)
            axis.set_visible(True)
            low, high = grey_range(counts)
            axis.imshow(counts, cmap="gray", interpolation="antialiased", vmin=low, vmax=high)
            outline(axis, phase.astype(np.float32) > label_threshold, ORANGE)
            scale_bar(axis, pixel_size, counts.shape)
            axis.set_title(describe_conditions(values), fontsize=7.5, pad=3)
        edge = int(opened[rows[0][0]].read("counts", rows[0][1]).shape[-1])
        drawing.suptitle(
            f"Simulated images{f': {title}' if title else ''}   ({edge}² pixels of {pixel_size:g} Å)", fontsize=11
        )
        label = f"label: phase of the particles' exit wave above {label_threshold:g} rad"
        drawing.legend(handles=[Line2D([], [], color=ORANGE, lw=1.6, label=label)], loc="outside lower center")


def describe_conditions(row: Mapping[Any, Any]) -> str:
    """Defocus and dose of an image in a line."""
    defocus = row["defocus"] / 10
    digits = 0 if abs(defocus) >= 9.95 else 1
    dose = f"{row['dose']:.0f}" if row["dose"] >= 10 else f"{row['dose']:.2g}"
    return f"Δf {defocus:+.{digits}f} nm, {dose} e⁻/Å²".replace("-", "−")
