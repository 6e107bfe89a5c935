"""The two masks of particles, by phase and by atoms: where they differ, and how much at each threshold."""

from __future__ import annotations

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
from exitwave.report.style import BLUE, GRID, INK, MUTED, ORANGE, figure, grey_range, picture, scale_bar, spread

COLUMNS = ("image", "smoothed phase [rad]", "mask by phase", "mask by atoms", "difference")
THRESHOLDS = np.geomspace(0.01, 2.0, 61)
"""Thresholds of the curve [rad]."""


def draw_labels(shard: str | Path, path: str | Path, label_threshold: float, n: int = 3, title: str = "") -> None:
    """Draw both masks of a few images, and below them how they agree at each threshold in all images of a shard.

    Parameters
    ----------
    shard : path
        Shard of images that has the label ``atoms``.
    path : path
        PNG to write.
    label_threshold : float
        Phase above which a pixel is particle [rad].
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
    phases = np.stack([opened.read("phase", place) for place in range(len(table))]).astype(np.float32)
    atoms = np.stack([opened.read("atoms", place) for place in range(len(table))]).astype(bool)
    shown = np.flatnonzero(atoms.any(axis=(1, 2)))
    shown = shown[spread(len(shown), n)] if len(shown) else np.arange(1)
    with figure(path, 12.0, 2.45 * len(shown) + 3.3) as drawing:
        layout = drawing.add_gridspec(2, 1, height_ratios=[2.45 * len(shown), 2.4])
        axes = layout[0].subgridspec(len(shown), len(COLUMNS)).subplots(squeeze=False)
        for row, place in zip(axes, shown, strict=True):
            counts, by_phase = opened.read("counts", int(place)), phases[place] > label_threshold
            low, high = grey_range(counts)
            row[0].imshow(counts, cmap="gray", vmin=low, vmax=high, interpolation="antialiased")
            scale_bar(row[0], float(opened.attributes["pixel_size"]), counts.shape)
            bright = max(float(np.percentile(phases[place], 99.8)), label_threshold)
            row[1].imshow(phases[place], cmap="viridis", vmin=0, vmax=bright, interpolation="antialiased")
            row[1].set_xlabel(f"0 to {bright:.2g} rad", fontsize=8)
            for axis, mask in ((row[2], by_phase), (row[3], atoms[place])):
                axis.imshow(mask, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            row[4].imshow(_difference(by_phase, atoms[place]), interpolation="nearest")
            score = float(threshold_curve(phases[place], atoms[place], [label_threshold])[0])
            row[4].set_xlabel(f"Dice {score:.3f}", fontsize=8)
            row[0].set_ylabel(str(table["image_id"].iloc[place]), fontsize=8)
            for axis in row:
                picture(axis)
        for axis, name in zip(axes[0], COLUMNS, strict=True):
            axis.set_title(name)
        _draw_curve(drawing.add_subplot(layout[1]), table, phases, atoms, label_threshold)
        drawing.suptitle(
            f"Particles by phase above {label_threshold:g} rad and by atoms{f': {title}' if title else ''}"
        )
        drawing.legend(
            handles=[Patch(color=colour, label=label) for label, colour in _PARTS], loc="outside lower center", ncols=3
        )


_PARTS = (("both", "#b8bfc6"), ("by phase alone", ORANGE), ("by atoms alone", BLUE))


def _difference(by_phase: NDArray[np.bool_], by_atoms: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Colours [y, x, 3] of what both masks, either or none of them cover."""
    colours = np.array([to_rgb(INK), *[to_rgb(colour) for _, colour in _PARTS]])
    both, phase_alone = by_phase & by_atoms, by_phase & ~by_atoms
    return np.asarray(colours[np.select([both, phase_alone, by_atoms], [1, 2, 3], 0)])


def _draw_curve(
    axes: Axes, table: pd.DataFrame, phases: NDArray[np.float32], atoms: NDArray[np.bool_], label_threshold: float
) -> None:
    """Dice against the threshold: a line a structure, of its images with a particle, and their median."""
    scores = threshold_curve(phases, atoms, THRESHOLDS)
    present = atoms.any(axis=(1, 2))
    structures = table["structure_id"].to_numpy()
    each = [scores[present & (structures == one)].mean(axis=0) for one in np.unique(structures[present])]
    for curve in each:
        axes.plot(THRESHOLDS, curve, color=MUTED, lw=0.7, alpha=0.5)
    axes.axvline(label_threshold, color=ORANGE, lw=1.2, label=f"label_threshold {label_threshold:g} rad")
    if each:
        median = np.median(each, axis=0)
        best = f"highest at {THRESHOLDS[median.argmax()]:.2g} rad: {median.max():.3f}"
        axes.plot(THRESHOLDS, median, color=BLUE, lw=2, label=f"median of {len(each)} structures, {best}")
    axes.set(xscale="log", xlabel="threshold of the phase [rad]", ylabel="Dice with mask by atoms", ylim=(0, 1.01))
    axes.set_xlim(THRESHOLDS[0], THRESHOLDS[-1])
    axes.grid(color=GRID)
    axes.legend(loc="lower left")
