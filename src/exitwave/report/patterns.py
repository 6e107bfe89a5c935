"""Diffraction patterns as they are shown, with their reflections and the images of structure factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from exitwave.config.models import MaskTarget
from exitwave.config.patterns import REFLECTIONS, Diffraction
from exitwave.data.shards import Shard, open_shard
from exitwave.labels.reflections import Weight, structure_factor_image, weights
from exitwave.report.columns import short
from exitwave.report.diffraction import conditions_told, named
from exitwave.report.images import spread_rows
from exitwave.report.samples import Panels, Sample
from exitwave.report.style import ORANGE, SKY, figure, picture, scale_bar

EXPONENT = 0.25
"""Of intensities, so that weak disks are seen beside the direct beam."""
SHOWN_AS = "brightness: counts to the power 1/4"
LARGEST_CIRCLE = 0.085
"""Diameter of the circle of the strongest reflection over the edge of a pattern."""
LEAST_CIRCLE = 0.03
"""Reflections below this share of the strongest but that of 000 have none."""
FAINT = 0.01
"""Share of the brightest pixel of a vacuum probe below which there is none."""
INSET = 0.22
"""Edge of the inset over that of the pattern."""
COLUMNS = 4
WEIGHTS: tuple[Weight, ...] = ("ewald", "flat")
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)


def brightness(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Grey values of a pattern in 0 ... 1, a power of its intensity.

    The brightest is that which a pixel shares with its neighbours, so that hot pixels do not darken all else.

    Parameters
    ----------
    counts : array [y, x]

    Returns
    -------
    float64 [y, x]
    """
    values = np.maximum(np.asarray(counts, dtype=np.float64), 0)
    largest = float(median_filter(values, footprint=_CROSS).max()) or float(values.max()) or 1.0
    return np.asarray(np.minimum(values / largest, 1) ** EXPONENT)


def draw_pattern(axes: Axes, counts: NDArray[Any], sampling: float) -> None:
    """Draw a pattern with a scale bar; its pixel [1/Å]."""
    axes.imshow(brightness(counts), cmap="gray", interpolation="antialiased", vmin=0, vmax=1)
    scale_bar(axes, sampling, counts.shape, "1/Å")


def strong_reflections(reflections: NDArray[np.floating]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which reflections of a list [n, 9] have circles, and their weights as shares of the largest but that of 000."""
    centre = (reflections[:, 2:5] == 0).all(axis=1)
    heights = weights(reflections, "ewald")
    shares = heights / max(float(heights[~centre].max(initial=0.0)), 1e-12)
    return ~centre & (shares >= LEAST_CIRCLE), shares


def draw_reflections(axes: Axes, reflections: NDArray[np.floating], size: int) -> None:
    """Draw reflections of a list [n, 9], circles of an area that goes with their weight, a cross at the direct beam."""
    shown, shares = strong_reflections(reflections)
    box = axes.get_window_extent()
    edge = box.width / axes.figure.dpi * 72
    x, y = reflections[shown, :2].T
    axes.scatter(
        x,
        y,
        s=(LARGEST_CIRCLE * edge) ** 2 * shares[shown],
        facecolors="none", edgecolors=ORANGE, linewidths=0.8, zorder=3,
    )  # fmt: skip
    centre = (reflections[:, 2:5] == 0).all(axis=1)
    axes.plot(*reflections[centre, :2].T, ls="", marker="+", ms=6, mew=1.1, color=SKY, zorder=3)
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))


def reach_of(probes: Sequence[NDArray[np.floating]]) -> int:
    """Half an edge [px] that holds any of these vacuum probes, whose faint tails do not count, with a rim."""
    bright = (np.argwhere(probe > FAINT * probe.max()) - len(probe) // 2 for probe in probes)
    return max(int(np.abs(offsets).max(initial=0)) for offsets in bright) + 2


def draw_probe(axes: Axes, probe: NDArray[np.floating], reach: int) -> None:
    """Draw a vacuum probe into the upper right corner of its pattern."""
    inset = axes.inset_axes((1 - INSET, 1 - INSET, INSET, INSET))
    inset.set(xticks=[], yticks=[])
    for spine in inset.spines.values():
        spine.set(visible=True, color="white", linewidth=0.8)
    middle = len(probe) // 2
    place = slice(max(0, middle - reach), middle + reach + 1)
    inset.imshow(probe[place, place], cmap="gray", interpolation="antialiased", vmin=0)


def legend_of_patterns() -> list[Line2D]:
    """Entries of a legend for what is drawn over patterns."""
    circle = Line2D([], [], ls="", marker="o", ms=7, mfc="none", mec=ORANGE, mew=1.0)
    circle.set_label("label: reflections, area ∝ |V$_g$| exp(−s$_g$²/2σ²)")
    return [circle, Line2D([], [], ls="", marker="+", ms=7, mew=1.2, color=SKY, label="direct beam")]


def probe_told(reach: int, size: int) -> str:
    """What the insets show."""
    return f"inset: vacuum probe, {short(INSET * size / (2 * reach + 1))} × enlarged"


def pattern_sheet(shards: Sequence[str | Path], path: str | Path, n: int = 12, title: str = "") -> None:
    """Draw patterns of a block with their reflections and vacuum probes.

    Parameters
    ----------
    shards : sequence of paths
        Shards of diffraction patterns; those shown are evenly spread over them.
    path : path
        PNG to write.
    n : int
        Patterns shown.
    title : str
        Name of the block.
    """
    rows = spread_rows(shards, n)
    opened = {shard: open_shard(shard) for shard in {row[0] for row in rows}}
    columns = min(COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    reach = reach_of([opened[shard].read("probe", place) for shard, place, _ in rows])
    with figure(path, max(5.5, 2.9 * columns), 3.2 * lines + 1.0) as drawing:
        axes = drawing.subplots(lines, columns, squeeze=False)
        for axis in axes.flat[len(rows) :]:
            axis.set_visible(False)
        for axis, (shard, place, row) in zip(axes.flat, rows, strict=False):
            draw_panel(axis, opened[shard], place, row, reach)
            axis.set_title(f"{named(row)}\n{', '.join(conditions_told(row))}", fontsize=8, pad=3, loc="left")
        size = int(opened[rows[0][0]].read("counts", rows[0][1]).shape[-1])
        told = f"{size}² pixels of {rows[0][2]['reciprocal_sampling']:g} Å⁻¹; {SHOWN_AS}"
        drawing.suptitle(f"Simulated diffraction patterns{f': {title}' if title else ''}   ({told})", fontsize=11)
        drawing.legend(
            handles=legend_of_patterns(),
            ncols=2,
            loc="outside lower center",
            title=probe_told(reach, size),
            title_fontsize=8.5,
        )


def draw_panel(axes: Axes, shard: Shard, place: int, row: Mapping[Any, Any], reach: int) -> None:
    """Draw a pattern of a shard with its reflections and its vacuum probe."""
    counts = shard.read("counts", place)
    axes.set_visible(True)
    picture(axes)
    draw_pattern(axes, counts, float(row["reciprocal_sampling"]))
    draw_reflections(axes, shard.read(REFLECTIONS, place), counts.shape[-1])
    draw_probe(axes, shard.read("probe", place), reach)


def pattern_panels(samples: Sequence[Sample], target: MaskTarget | None) -> Panels:
    """Patterns as a preview shows them; masks they have none."""
    shards = [open_shard(sample.shard) for sample in samples]
    reach = reach_of([probe for shard in shards for probe in shard.read("probe")])
    block = samples[0].member.of(Diffraction)

    def draw(axes: Axes, shard: Shard, place: int, row: Mapping[Any, Any]) -> None:
        draw_panel(axes, shard, place, row, reach)

    shape = f"{block.size}² pixels of {block.reciprocal_sampling:g} Å⁻¹"
    return Panels(draw, (shape, f"{SHOWN_AS}, {probe_told(reach, block.size)}"), legend_of_patterns())


def draw_structure_factors(shard: str | Path, path: str | Path, n: int = 3, title: str = "") -> None:
    """Draw patterns beside the images of structure factors that are made of their reflections.

    Parameters
    ----------
    shard : path
        Shard of diffraction patterns.
    path : path
        PNG to write.
    n : int
        Patterns shown, evenly spread over the shard.
    title : str
        Name of the block.
    """
    opened, rows = open_shard(shard), {place: row for _, place, row in spread_rows([shard], n)}
    with figure(path, 10.6, 3.35 * len(rows) + 0.9) as drawing:
        axes = drawing.subplots(len(rows), 3, squeeze=False)
        for line, (place, row) in zip(axes, rows.items(), strict=True):
            counts, reflections = opened.read("counts", place), opened.read(REFLECTIONS, place)
            sampling = float(row["reciprocal_sampling"])
            draw_pattern(line[0], counts, sampling)
            for axis, weight in zip(line[1:], WEIGHTS, strict=True):
                axis.imshow(
                    structure_factor_image(reflections, counts.shape[-1], weight),
                    cmap="gray", vmin=0, vmax=1, interpolation="antialiased",
                )  # fmt: skip
                scale_bar(axis, sampling, counts.shape, "1/Å")
            for axis in line:
                picture(axis)
            line[0].set_ylabel(f"{named(row)}\n{', '.join(conditions_told(row))}", fontsize=8)
        axes[0, 0].set_title(f"pattern\n{SHOWN_AS}")
        axes[0, 1].set_title("structure factors, weight ewald\n√ of |V$_g$| exp(−s$_g$²/2σ²)")
        axes[0, 2].set_title("structure factors, weight flat\n√ of |V$_g$| exp(−g$_z$²/2σ²)")
        drawing.suptitle(f"Simulated patterns and their labels{f': {title}' if title else ''}")
