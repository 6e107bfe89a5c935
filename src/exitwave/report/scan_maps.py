"""Strain of a real scan as networks and template matching show it, with the parts whose strain is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from exitwave.benchmark.scan_columns import PART, REFERENCE
from exitwave.benchmark.strain_maps import COMPONENTS
from exitwave.report.strain_profiles import LABELS, LEAST, map_of, median_of, methods_shown, rms_told
from exitwave.report.style import INK, MUTED, figure

LARGEST = 98
"""Percentile of the values of all methods that the colours reach: a failed fit is not to hide all others."""
FINER = 8
"""Points along a place, for the lines around parts."""
FloatArray = NDArray[np.float64]


def draw_scan_maps(predictions: Sequence[Path], baselines: Path, path: str | Path, title: str = "") -> None:
    """Draw maps of strain and rotation, a line for each method.

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
    height, width = scan["scan_row"].nunique(), scan["scan_column"].nunique()
    high = float(np.clip(2.7 * height / width, 1.1, 3.6))
    with figure(path, 12.0, 0.9 + len(shown) * (high + 0.35)) as drawing:
        panels = drawing.subplots(len(shown), len(COMPONENTS), squeeze=False)
        for column, component in enumerate(COMPONENTS):
            maps = {
                name: median_of(np.stack([map_of(table, f"{way}_{component}") for table in tables]))
                for name, (tables, way, _) in shown.items()
            }
            limit = max(LEAST[component], float(np.nanpercentile(np.abs(np.stack([*maps.values()])), LARGEST)))
            for line, (name, values) in enumerate(maps.items()):
                axes = panels[line][column]
                seen = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
                axes.set_aspect("auto" if height < 4 or width < 4 else "equal")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                if not line:
                    axes.set_title(LABELS[component], fontsize=9)
                if not column:
                    tables, way, _ = shown[name]
                    axes.set_ylabel(f"{name}\n{rms_told(tables, way)}", fontsize=7.5)
                _outline(axes, scan)
            drawing.colorbar(seen, ax=[lines[column] for lines in panels], location="bottom", fraction=0.05, pad=0.02)
        networks = opened.told.replace("mean prediction", "median")
        drawing.suptitle(
            f"{title}{f' ({networks})' if opened.shards else ''}\nin brackets: RMS of e$_{{xx}}$ and e$_{{yy}}$ "
            "against what is known; full lines: reference, dashed: parts of known strain",
            fontsize=10,
        )


def _outline(axes: Axes, scan: pd.DataFrame) -> None:
    """Draw a line around the reference and around each part of known strain."""
    numbers, parts = pd.factorize(scan[PART])
    table = scan.assign(part_number=numbers.astype(float))
    regions = map_of(table, "part_number")
    reference = set(scan.loc[scan[REFERENCE].astype(bool), PART])
    for number, part in enumerate(parts):
        if part in ("scan", "elsewhere"):
            continue
        # Of finer pixels, so that lines run along the places and their corners are square.
        inside = np.pad(regions == number, 1).repeat(FINER, axis=0).repeat(FINER, axis=1).astype(float)
        y, x = ((np.arange(edge) + 0.5) / FINER - 1.5 for edge in inside.shape)
        colour, style = (INK, "solid") if part in reference else (MUTED, "dashed")
        axes.contour(x, y, inside, levels=[0.5], colors=[colour], linestyles=[style], linewidths=0.9)
