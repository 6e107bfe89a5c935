"""Contact sheets: what the images of a block look like, with the outlines of their masks where they have one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from exitwave.config.images import DRAWN
from exitwave.config.models import MaskTarget
from exitwave.data.shards import Shard, open_shard
from exitwave.data.tables import read_table, row_count, table_path
from exitwave.labels.mask import target_mask
from exitwave.report.style import ORANGE, figure, grey_range, outline, picture, scale_bar, spread, wrapped

COLUMNS = 6
LETTERS = 34
"""Of a line above an image, about as many as have room."""


def contact_sheet(
    shards: Sequence[str | Path],
    path: str | Path,
    describe: Callable[[Mapping[Any, Any]], str],
    target: MaskTarget | None = None,
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
    target : MaskTarget, optional
        What counts as particle in the mask; no outlines if left out.
    n : int
        Images shown.
    title : str
        Name of the block.
    """
    rows = spread_rows(shards, n)
    columns = min(COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    opened = {shard: open_shard(shard) for shard in {row[0] for row in rows}}
    pixel_size = float(rows[0][2]["pixel_size"])
    titles = [wrapped(describe(values).split(", "), LETTERS) for _, _, values in rows]
    tall = 2.02 + 0.14 * max(1, *(len(title_of) for title_of in titles))
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
            if target is not None:
                outline(axis, stored_mask(opened[shard], index, target), ORANGE)
            scale_bar(axis, pixel_size, counts.shape)
            axis.set_title("\n".join(title_of), fontsize=7.5, pad=3)
        real = "micrograph" in rows[0][2]
        what = "Fields of micrographs" if real else "Simulated images"
        edge = int(opened[rows[0][0]].read("counts", rows[0][1]).shape[-1])
        drawing.suptitle(f"{what}{f': {title}' if title else ''}   ({edge}² pixels of {pixel_size:g} Å)", fontsize=11)
        if target is not None:
            drawing.legend(handles=[mask_line(target, real)], loc="outside lower center")


def spread_rows(shards: Sequence[str | Path], n: int) -> list[tuple[Path, int, dict[Any, Any]]]:
    """Shard, place in it and row of at most ``n`` images, evenly spread; no other table is read."""
    first = np.cumsum([0, *(row_count(table_path(shard)) for shard in shards)])
    places = spread(int(first[-1]), n)
    rows = []
    for number in np.unique(np.searchsorted(first, places, side="right") - 1):
        chosen = places[(first[number] <= places) & (places < first[number + 1])] - first[number]
        records = read_table(table_path(shards[number])).iloc[chosen].to_dict("records")
        rows += [(Path(shards[number]), int(place), values) for place, values in zip(chosen, records, strict=True)]
    return rows


def stored_mask(shard: Shard, place: int, target: MaskTarget) -> NDArray[np.bool_]:
    """Mask [y, x] of the image of a row; one that was drawn, if it has one."""
    names = (DRAWN,) if DRAWN in shard.names() else target.arrays
    return target_mask(target, {name: shard.read(name, place) for name in names})


def mask_line(target: MaskTarget, drawn: bool = False) -> Line2D:
    """Entry of a legend for outlines of a mask, or of one that was ``drawn`` by hand."""
    return Line2D([], [], color=ORANGE, lw=1.6, label=f"label: {'drawn by hand' if drawn else target.told()}")
