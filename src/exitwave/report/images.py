"""Contact sheets: what the images of a block look like, with the outlines of their masks where they have one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.lines import Line2D

from exitwave.data.shards import open_shard, read_table, table_path
from exitwave.labels.mask import mask_of
from exitwave.report.style import ORANGE, figure, grey_range, outline, picture, scale_bar, spread, wrapped

COLUMNS = 6
LETTERS = 34
"""Of a line above an image, about as many as have room."""
MAPS = {
    "phase": ("phase of the particles' exit wave", "rad"),
    "thickness": ("projected thickness of the particles", "Å"),
    "atoms": ("mask by projected atoms", ""),
}
"""Maps that a mask may be made from, in words, with their units."""


def contact_sheet(
    shards: Sequence[str | Path],
    path: str | Path,
    describe: Callable[[Mapping[Any, Any]], str],
    map: str | None = None,
    above: float = 0.0,
    n: int = 24,
    title: str = "",
) -> None:
    """Draw images of a block, with the outlines of their masks.

    Parameters
    ----------
    shards : sequence of paths
        Shards of images; the images shown are evenly spread over them.
    path : path
        PNG to write.
    describe : function
        What is written above an image, from its row of the table.
    map : str, optional
        Map that the mask is made from; no outlines if left out.
    above : float
        Value of the map above which a pixel belongs to the mask.
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
    titles = [wrapped(describe(values).split(", "), LETTERS) for _, _, values in rows]
    tall = 2.02 + 0.12 * max(1, *(len(title_of) for title_of in titles))
    with figure(path, max(5.5, 2.0 * columns), tall * lines + 0.8) as drawing:
        axes = drawing.subplots(lines, columns, squeeze=False)
        for axis in axes.flat:
            picture(axis)
            axis.set_visible(False)
        for axis, (shard, index, _), title_of in zip(axes.flat, rows, titles, strict=False):
            counts = opened[shard].read("counts", index)
            axis.set_visible(True)
            low, high = grey_range(counts)
            axis.imshow(counts, cmap="gray", interpolation="antialiased", vmin=low, vmax=high)
            if map is not None:
                outline(axis, mask_of(opened[shard].read(map, index), above), ORANGE)
            scale_bar(axis, pixel_size, counts.shape)
            axis.set_title("\n".join(title_of), fontsize=7.5, pad=3)
        edge = int(opened[rows[0][0]].read("counts", rows[0][1]).shape[-1])
        drawing.suptitle(
            f"Simulated images{f': {title}' if title else ''}   ({edge}² pixels of {pixel_size:g} Å)", fontsize=11
        )
        if map is not None:
            drawing.legend(handles=[mask_line(map, above)], loc="outside lower center")


def mask_line(map: str, above: float) -> Line2D:
    """Entry of a legend for outlines of a mask."""
    words, unit = MAPS.get(map, (map, ""))
    return Line2D([], [], color=ORANGE, lw=1.6, label=f"label: {words} above {above:g} {unit}".rstrip())
