"""Two masks of particles, by a target and by atoms: where they differ, and how much at each threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch
from numpy.typing import NDArray

from exitwave.config.models import MaskTarget
from exitwave.data.shards import open_shard
from exitwave.data.tables import read_table, table_path
from exitwave.errors import ShardError
from exitwave.labels.comparison import dice, threshold_curve
from exitwave.labels.mask import target_mask
from exitwave.report.style import BLUE, GRID, INK, MUTED, ORANGE, figure, grey_range, picture, scale_bar, spread

THRESHOLDS = np.geomspace(0.1, 20.0, 61)
"""Thresholds of the curve, in multiples of that of the mask."""


def draw_labels(
    shard: str | Path, path: str | Path, target: MaskTarget = MaskTarget(), n: int = 3, title: str = ""
) -> None:
    """Draw both masks of a few images, and below them how they agree at each threshold in all images of a shard.

    Parameters
    ----------
    shard : path
        Shard of images that has the label ``atoms``.
    path : path
        PNG to write.
    target : MaskTarget
        What counts as particle in one of the masks: by phase or by thickness.
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
    stored = [{name: opened.read(name, place) for name in target.arrays} for place in range(len(table))]
    atoms = np.stack([opened.read("atoms", place) for place in range(len(table))]).astype(bool)
    shown = np.flatnonzero(atoms.any(axis=(1, 2)))
    shown = shown[spread(len(shown), n)] if len(shown) else np.arange(1)
    unit = {"phase": "rad", "thickness": "Å"}[target.by]
    titles = ("image", f"{target.by} [{unit}]", f"mask by {target.by}", "mask by atoms", "difference")
    parts = _parts(target.by)
    with figure(path, 12.0, 2.45 * len(shown) + 3.3) as drawing:
        layout = drawing.add_gridspec(2, 1, height_ratios=[2.45 * len(shown), 2.4])
        axes = layout[0].subgridspec(len(shown), len(titles)).subplots(squeeze=False)
        for row, place in zip(axes, shown, strict=True):
            counts, mask = opened.read("counts", int(place)), target_mask(target, stored[place])
            values = _values(stored[place])
            low, high = grey_range(counts)
            row[0].imshow(counts, cmap="gray", vmin=low, vmax=high, interpolation="antialiased")
            scale_bar(row[0], float(table["pixel_size"].iloc[place]), counts.shape)
            bright = max(float(np.percentile(values, 99.8)), target.least)
            row[1].imshow(values, cmap="viridis", vmin=0, vmax=bright, interpolation="antialiased")
            row[1].set_xlabel(f"0 to {bright:.2g} {unit}", fontsize=8)
            for axis, shown_mask in ((row[2], mask), (row[3], atoms[place])):
                axis.imshow(shown_mask, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            row[4].imshow(_difference(mask, atoms[place], list(parts.values())), interpolation="nearest")
            row[4].set_xlabel(f"Dice {float(dice(mask, atoms[place])):.3f}", fontsize=8)
            row[0].set_ylabel(str(table["image_id"].iloc[place]), fontsize=8)
            for axis in row:
                picture(axis)
        for axis, name in zip(axes[0], titles, strict=True):
            axis.set_title(name)
        curve = drawing.add_subplot(layout[1])
        _draw_curve(curve, table, stored, atoms, target, unit)
        curve.set_xlabel(f"smallest {target.by} that is particle [{unit}]")
        drawing.suptitle(f"Particles by {target.told()}, and by atoms{f': {title}' if title else ''}")
        drawing.legend(
            handles=[Patch(color=colour, label=label) for label, colour in parts.items()],
            loc="outside lower center",
            ncols=3,
        )


def _values(stored: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Map [y, x] that a mask by phase or by thickness is made from; the thickness of all particles together."""
    if "phase" in stored:
        return np.asarray(stored["phase"], np.float32)
    return np.asarray(stored["particle_thickness"].sum(axis=0, dtype=np.float32))


def _parts(by: str) -> dict[str, str]:
    """What both masks cover and what only one does, with their colours."""
    return {"both": "#b8bfc6", f"by {by} alone": ORANGE, "by atoms alone": BLUE}


def _difference(by_map: NDArray[np.bool_], by_atoms: NDArray[np.bool_], parts: Sequence[str]) -> NDArray[np.float64]:
    """Colours [y, x, 3] of what both masks, either or none of them cover."""
    colours = np.array([to_rgb(colour) for colour in (INK, *parts)])
    return np.asarray(colours[np.select([by_map & by_atoms, by_map, by_atoms], [1, 2, 3], 0)])


def _draw_curve(
    axes: Axes,
    table: pd.DataFrame,
    stored: Sequence[Mapping[str, NDArray[Any]]],
    atoms: NDArray[np.bool_],
    target: MaskTarget,
    unit: str,
) -> None:
    """Dice against the threshold: a line a structure, of its images with a particle, and their median."""
    # A target without a smallest value of its own has the curve about that of its default.
    above = target.least or MaskTarget.LEAST[target.by]
    thresholds = above * THRESHOLDS

    def masks(least: float) -> NDArray[np.bool_]:
        varied = target.model_copy(update={"minimum": least})
        return np.stack([target_mask(varied, one) for one in stored])

    scores = threshold_curve(masks, atoms, thresholds)
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
