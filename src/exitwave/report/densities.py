"""Local densities of states above layers: surfaces of constant density, and how densities fall into the vacuum."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from exitwave.data.shards import open_shard
from exitwave.report.columns import Told
from exitwave.report.images import spread_rows
from exitwave.report.style import BLUE, figure, picture, scale_bar

TOLD = Told(left_out=frozenset({"map_engine"}), labels={"band_gap": "band gap", "work_function": "work function"})
SHOWN, PIXELS = 16.0, 128
"""Edge of the pictures [Å], and their pixels along it."""
MEAN_HEIGHTS = (3.5, 5.0, 7.0)
"""At which the mean density is that of the surfaces [Å]."""


def draw_densities(shard: str | Path, path: str | Path, n: int = 4, title: str = "") -> None:
    """Draw densities above a few layers: surfaces that a tip would follow, and the mean density against height.

    Parameters
    ----------
    shard : path
        Shard of exit waves of kind ldos.
    path : path
        PNG to write.
    n : int
        Layers shown, evenly spread over the shard.
    title : str
        Name of the block.
    """
    opened, rows = open_shard(shard), spread_rows([shard], n)
    with figure(path, 11.0, 2.5 * len(rows) + 0.9) as drawing:
        axes = drawing.subplots(len(rows), len(MEAN_HEIGHTS) + 1, squeeze=False, width_ratios=[1, 1, 1, 1.4])
        for line, (_, place, row) in zip(axes, rows, strict=True):
            item = opened.item(place)
            density, cell = (item[name].values.astype(np.float64) for name in ("density", "cell"))
            for axis, height in zip(line, MEAN_HEIGHTS, strict=False):
                _draw_surface(axis, density, cell[1:], height)
            line[0].set_ylabel(_described(row), fontsize=8)
            _draw_fall(line[-1], density)
        axes[-1, -1].set_xlabel("height above the topmost atom [Å]")
        drawing.suptitle(
            f"Simulated densities of states{f': {title}' if title else ''}\nsurfaces of constant density, each in its "
            "own range of heights",
            fontsize=11,
        )


def _described(row: Mapping[Any, Any]) -> str:
    bias = "" if np.isnan(row["bias"]) else f"\n{row['bias']:.2g} V".replace("-", "−")
    return f"{row['map']}{bias}, gap {row['band_gap']:.2g} eV" if bias else str(row["map"])


def _draw_surface(axes: Axes, density: NDArray[np.float64], vectors: NDArray[np.float64], height: float) -> None:
    from exitwave.imaging.tunnelling import heights_of, logarithm, mean_density, over_cell
    from exitwave.waves.ldos import HEIGHTS

    picture(axes)
    log_density = logarithm(density, vectors, 0.0)
    try:
        surface = heights_of(log_density, HEIGHTS, mean_density(log_density, HEIGHTS, height))
    except ValueError:
        axes.set_title(f"{height:g} Å: below {HEIGHTS[0]:g} Å somewhere", fontsize=8, pad=3)
        return
    row, column = np.mgrid[:PIXELS, :PIXELS] * SHOWN / PIXELS
    image = over_cell(surface, np.zeros(2), vectors, np.stack([column, row], -1))
    axes.imshow(image, cmap="gray", interpolation="bilinear")
    scale_bar(axes, SHOWN / PIXELS, image.shape)
    axes.set_title(f"{height:g} Å: {100 * np.ptp(surface):.2g} pm", fontsize=8, pad=3)


def _draw_fall(axes: Axes, density: NDArray[np.float64]) -> None:
    """Mean density at every height."""
    from exitwave.waves.ldos import HEIGHTS

    axes.plot(HEIGHTS, density.mean(axis=(1, 2)), color=BLUE)
    axes.set_yscale("log")
    axes.set_ylabel("mean density, 1/Å³")
