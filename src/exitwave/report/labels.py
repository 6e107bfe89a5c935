"""Two masks of particles, by a map and by atoms: where they differ, and how much at each threshold of the map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch
from numpy.typing import NDArray

from exitwave.data.shards import open_shard, read_table, table_path
from exitwave.errors import ShardError
from exitwave.labels.comparison import threshold_curve
from exitwave.labels.mask import mask_of
from exitwave.report.images import MAPS
from exitwave.report.style import BLUE, GRID, INK, MUTED, ORANGE, figure, grey_range, picture, scale_bar, spread

THRESHOLDS = np.geomspace(0.1, 20.0, 61)
"""Thresholds of the curve, in multiples of that of the mask."""


def draw_labels(
    shard: str | Path, path: str | Path, map: str = "phase", above: float = 0.1, n: int = 3, title: str = ""
) -> None:
    """Draw both masks of a few images, and below them how they agree at each threshold in all images of a shard.

    Parameters
    ----------
    shard : path
        Shard of images that has the label ``atoms``.
    path : path
        PNG to write.
    map : str
        Map that one of the masks is made from.
    above : float
        Value of the map above which a pixel is particle.
    n : int
        Images shown, evenly spread among those with a particle.
    title : str
        Name of the block.

    Raises
    ------
    ShardError
        If the shard has no label ``atoms``.
    """
    opened, table = open_shard(shard), read_table(table_path(shard)).reset_index(drop=True)
    if "atoms" not in opened.group:
        raise ShardError(f"{shard}: has no label 'atoms'; allowed: images of a block whose labels name it")
    values = np.stack([opened.read(map, place) for place in range(len(table))]).astype(np.float32)
    atoms = np.stack([opened.read("atoms", place) for place in range(len(table))]).astype(bool)
    shown = np.flatnonzero(atoms.any(axis=(1, 2)))
    shown = shown[spread(len(shown), n)] if len(shown) else np.arange(1)
    _, unit = MAPS.get(map, (map, ""))
    titles = ("image", f"{map} [{unit}]", f"mask by {map}", "mask by atoms", "difference")
    parts = _parts(map)
    with figure(path, 12.0, 2.45 * len(shown) + 3.3) as drawing:
        layout = drawing.add_gridspec(2, 1, height_ratios=[2.45 * len(shown), 2.4])
        axes = layout[0].subgridspec(len(shown), len(titles)).subplots(squeeze=False)
        for row, place in zip(axes, shown, strict=True):
            counts, by_map = opened.read("counts", int(place)), mask_of(values[place], above)
            low, high = grey_range(counts)
            row[0].imshow(counts, cmap="gray", vmin=low, vmax=high, interpolation="antialiased")
            scale_bar(row[0], float(table["pixel_size"].iloc[place]), counts.shape)
            bright = max(float(np.percentile(values[place], 99.8)), above)
            row[1].imshow(values[place], cmap="viridis", vmin=0, vmax=bright, interpolation="antialiased")
            row[1].set_xlabel(f"0 to {bright:.2g} {unit}", fontsize=8)
            for axis, mask in ((row[2], by_map), (row[3], atoms[place])):
                axis.imshow(mask, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            row[4].imshow(_difference(by_map, atoms[place], list(parts.values())), interpolation="nearest")
            score = float(threshold_curve(values[place], atoms[place], [above])[0])
            row[4].set_xlabel(f"Dice {score:.3f}", fontsize=8)
            row[0].set_ylabel(str(table["image_id"].iloc[place]), fontsize=8)
            for axis in row:
                picture(axis)
        for axis, name in zip(axes[0], titles, strict=True):
            axis.set_title(name)
        curve = drawing.add_subplot(layout[1])
        _draw_curve(curve, table, values, atoms, above, unit)
        curve.set_xlabel(f"threshold of the {map} [{unit}]")
        drawing.suptitle(f"Particles by {map} above {above:g} {unit} and by atoms{f': {title}' if title else ''}")
        drawing.legend(
            handles=[Patch(color=colour, label=label) for label, colour in parts.items()],
            loc="outside lower center",
            ncols=3,
        )


def _parts(map: str) -> dict[str, str]:
    """What both masks cover and what only one does, with their colours."""
    return {"both": "#b8bfc6", f"by {map} alone": ORANGE, "by atoms alone": BLUE}


def _difference(by_map: NDArray[np.bool_], by_atoms: NDArray[np.bool_], parts: Sequence[str]) -> NDArray[np.float64]:
    """Colours [y, x, 3] of what both masks, either or none of them cover."""
    colours = np.array([to_rgb(colour) for colour in (INK, *parts)])
    return np.asarray(colours[np.select([by_map & by_atoms, by_map, by_atoms], [1, 2, 3], 0)])


def _draw_curve(
    axes: Axes, table: pd.DataFrame, values: NDArray[np.float32], atoms: NDArray[np.bool_], above: float, unit: str
) -> None:
    """Dice against the threshold: a line a structure, of its images with a particle, and their median."""
    thresholds = above * THRESHOLDS
    scores = threshold_curve(values, atoms, thresholds)
    present = atoms.any(axis=(1, 2))
    structures = table["structure_id"].to_numpy()
    each = [scores[present & (structures == one)].mean(axis=0) for one in np.unique(structures[present])]
    for curve in each:
        axes.plot(thresholds, curve, color=MUTED, lw=0.7, alpha=0.5)
    axes.axvline(above, color=ORANGE, lw=1.2, label=f"threshold {above:g} {unit}")
    if each:
        median = np.median(each, axis=0)
        best = f"highest at {thresholds[median.argmax()]:.2g} {unit}: {median.max():.3f}"
        axes.plot(thresholds, median, color=BLUE, lw=2, label=f"median of {len(each)} structures, {best}")
    axes.set(xscale="log", ylabel="Dice with mask by atoms", ylim=(0, 1.01), xlim=(thresholds[0], thresholds[-1]))
    axes.grid(color=GRID)
    axes.legend(loc="lower left")
